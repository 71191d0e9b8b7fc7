"""Plans: the flow against OR-tools on the same network, its growth, and the answer over HTTP."""

from collections.abc import Callable
from functools import lru_cache, partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from app.matching import flow
from app.matching.model import Instance
from app.matching.planning import plan
from app.matching.program import Deadline
from app.matching.rules import NEVER, TENTHS, tenths
from bench.report import Measured

_ITEMS = 100
_SITES = 200
_PLACES = 40
_SOCIETIES = 5


def network_of(lots: int, lines: int, seed: int = 1) -> Instance:
    """A network as large as this, drawn by chance: what is published, asked for, and how far."""
    draw = np.random.default_rng(seed)
    society = np.arange(_SITES) % _SOCIETIES
    far = draw.integers(4, 40, size=(_SITES, _PLACES))
    dear = draw.integers(50, 3000, size=(_SITES, _PLACES))
    item = draw.integers(0, _ITEMS, size=lots)
    site = draw.integers(0, _SITES, size=lots)
    left = draw.integers(1, 2000, size=lots)
    days = np.where(draw.random(lots) < 0.4, draw.integers(60, 700, size=lots), NEVER)
    # A class is an item at a site.
    kept, row = np.unique(item * _SITES + site, return_inverse=True)
    limit = np.bincount(row, weights=left).astype(np.int64)
    class_item, class_site = kept // _SITES, kept % _SITES
    owner_name = class_item * _SOCIETIES + society[class_site]
    _, owner = np.unique(owner_name, return_inverse=True)
    stock = np.bincount(owner, weights=limit).astype(np.int64)
    asked = draw.integers(0, _ITEMS, size=lines)
    request = np.arange(lines) // 5
    place = (request * 7) % _PLACES
    deadline = 12 + (request * 13) % 30
    need = draw.integers(1, int(2 * limit.sum() / lines), size=lines)
    pairs = [(np.flatnonzero(class_item == n), np.flatnonzero(asked == n)) for n in range(_ITEMS)]
    rows = np.concatenate([np.repeat(c, len(a)) for c, a in pairs])
    line = np.concatenate([np.tile(a, len(c)) for c, a in pairs])
    step = far[class_site[rows], place[line]]
    good = step <= deadline[line]
    rows, line, step = rows[good], line[good], step[good]
    arcs = len(rows)
    order = np.lexsort((days, row))
    ones = np.ones(arcs, dtype=np.int64)
    return Instance(
        limit=limit,
        at_row=rows,
        at_arc=np.arange(arcs),
        stock=stock,
        need=need,
        rank=request % 3,
        request=request,
        owner=owner[rows],
        journey=class_site[rows] * (lines // 5 + 1) + request[line],
        line=line,
        step=step,
        cost=dear[class_site[rows], place[line]] * 1000,
        use=ones,
        cover=ones,
        ill=ones * 0,
        lot_row=row[order],
        lot_left=left[order],
        lot_days=days[order],
    )


def our_flow(instance: Instance) -> int:
    """Coverage, time and fair share, as the plan finds them; what is covered."""
    found = plan(instance, Deadline.within(600), only_flow=True)
    assert all(stage.proven for stage in found.stages[:5]), found.stages
    return int(found.x.sum())


@lru_cache(2)
def _costs(instance: Instance) -> Any:
    """What decides the three criteria, of each arc; made once, and not part of their time."""
    whole = flow.network(instance, np.arange(instance.arcs))
    return flow.arc_costs(whole)[whole.arc_of]


def their_flow(instance: Instance) -> int:
    """The same network and the same costs, by OR-tools; what is covered."""
    try:
        from ortools.graph.python import min_cost_flow  # noqa: PLC0415
    except ImportError:
        raise SystemExit(
            "`python -m bench plans` compares with OR-tools, which the service does not need: "
            "install `ortools` into this environment first."
        ) from None
    rows, lines, owners = len(instance.limit), len(instance.need), len(instance.stock)
    costs = _costs(instance)
    owner_of = np.zeros(rows, dtype=np.int64)
    owner_of[instance.at_row] = instance.owner
    # Nodes: rows, lines, owners, source, sink; what is covered flows from source to sink.
    at_line, at_owner = rows, rows + lines
    source, sink = rows + lines + owners, rows + lines + owners + 1
    parts = np.array([tenths(int(had)) for had in instance.stock]).ravel()
    tails = [
        instance.at_row, np.full(len(parts), source), at_owner + owner_of,
        at_line + np.arange(lines), np.array([source]),
    ]  # fmt: skip
    heads = [
        at_line + instance.line, at_owner + np.repeat(np.arange(owners), TENTHS),
        np.arange(rows), np.full(lines, sink), np.array([sink]),
    ]  # fmt: skip
    total = int(instance.need.sum())
    room = np.minimum(instance.limit[instance.at_row], instance.need[instance.line])
    room_of = [room, parts, instance.limit, instance.need, np.array([total])]
    cost_of = [
        costs, np.tile(np.arange(TENTHS), owners), np.zeros(rows), np.zeros(lines), np.zeros(1),
    ]  # fmt: skip
    cells = [np.concatenate(part).astype(np.int64) for part in (tails, heads, room_of, cost_of)]
    solver = min_cost_flow.SimpleMinCostFlow()
    solver.add_arcs_with_capacity_and_unit_cost(*cells)
    supplies = np.zeros(sink + 1, dtype=np.int64)
    supplies[source], supplies[sink] = total, -total
    solver.set_nodes_supplies(np.arange(sink + 1), supplies)
    assert solver.solve() == solver.OPTIMAL
    return int(solver.flows(np.arange(instance.arcs)).sum())


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = perf_counter()
    result = run()
    return perf_counter() - start, result


def of_the_flow(lots: int = 100_000, lines: int = 5_000, rounds: int = 3) -> list[Measured]:
    """The flow against OR-tools, and how it grows."""
    large, small = network_of(lots, lines), network_of(lots // 10, lines)
    pairs, grown = [], []
    for n in range(rounds):
        runs = {"ours": our_flow, "theirs": their_flow}
        times = {}
        for name in list(runs)[:: 1 if n % 2 == 0 else -1]:
            times[name], covered = _timed(partial(runs[name], large))
            times[name + " covered"] = covered
        assert times["ours covered"] == times["theirs covered"], "the two cover differently"
        pairs.append((times["ours"], times["theirs"]))
        grown.append((_timed(lambda: our_flow(small))[0], times["ours"]))
    ours, theirs = (median(p[i] for p in pairs) for i in (0, 1))
    before = median(g[0] for g in grown)
    return [
        Measured(
            f"Flow of {lots:,} lots and {lines:,} lines ({large.arcs:,} arcs): time of "
            "OR-tools' SimpleMinCostFlow on the same network",
            median(o / t for o, t in pairs),
            f"{ours:.2f} s against {theirs:.2f} s",
            most=2.0,
        ),
        Measured(
            f"Flow: exponent of growth from {lots // 10:,} to {lots:,} lots",
            median(float(np.log10(after / start)) for start, after in grown),
            f"{before:.2f} s, then {ours:.2f} s",
            most=1.3,
        ),
    ]
