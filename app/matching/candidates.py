"""Who may serve what: lots and pools against lines, in arrays; and why the rest may not."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.matching.asking import Asked, Line, Lot, Pool
from app.matching.model import Instance
from app.matching.program import Bools, Ints
from app.matching.rules import Way, instants, step

_MICRO = 1e6


@dataclass
class Fate:
    """What became of what is published of an item, for lines alike; quantities are available."""

    published: int = 0
    empty: int = 0
    hidden: int = 0
    left_out: int = 0
    no_route: int = 0
    late: int = 0
    soonest: float | None = None
    expires: int = 0
    window: int = 0
    fit: int = 0


@dataclass
class Candidates:
    """The instance, and what its numbers stand for."""

    instance: Instance
    lines: list[Line]
    arc_place: list[tuple[int, int, Way, float]]
    """Of an arc: site, place, way, hours until it arrives."""
    lot_of: list[Lot]
    """In the instance's order of lots."""
    pool_of_arc: dict[int, Pool]
    arc_code: list[str]
    fates: dict[int, list[Fate]]
    """Of a line: what became of each thing that it takes."""


@dataclass
class _Growing:
    limit: list[int] = field(default_factory=list)
    at_row: list[Ints] = field(default_factory=list)
    at_arc: list[Ints] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    lots: list[tuple[int, int]] = field(default_factory=list)
    places: list[tuple[int, int, Way, float]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    pools: dict[int, Pool] = field(default_factory=dict)
    owners: dict[tuple[str, str], int] = field(default_factory=dict)
    stock: list[int] = field(default_factory=list)
    journeys: dict[tuple[int, str, bool], int] = field(default_factory=dict)

    def owner(self, society: str, code: str, stock: int) -> int:
        key = (society, code)
        if key not in self.owners:
            self.owners[key] = len(self.owners)
            self.stock.append(stock)
        return self.owners[key]

    def journey(self, site: int, request: str, people: bool) -> int:
        return self.journeys.setdefault((site, request, people), len(self.journeys))


def find(asked: Asked) -> Candidates:
    """Every arc from a class of lots or a pool to a line that it may serve."""
    lines = [line for line in asked.lines if line.need > 0]
    growing = _Growing()
    fates: dict[int, list[Fate]] = defaultdict(list)
    takers: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for n, line in enumerate(lines):
        if line.people:
            continue
        for code, use, cover in asked.accepted_by(line):
            takers[code].append((n, use, cover))
    by_item: dict[str, list[int]] = defaultdict(list)
    for n, lot in enumerate(asked.lots):
        by_item[lot.item].append(n)
    for code in sorted(takers):
        _goods(asked, lines, code, takers[code], by_item.get(code, []), growing, fates)
    _people(asked, lines, growing, fates)
    return _finished(asked, lines, growing, fates)


def _goods(
    asked: Asked,
    lines: list[Line],
    code: str,
    takers: list[tuple[int, int, int]],
    indices: list[int],
    growing: _Growing,
    fates: dict[int, list[Fate]],
) -> None:
    lots = [asked.lots[n] for n in indices]
    # The order of everything that follows: by site, earliest-expiring first, then by id.
    order = sorted(range(len(lots)), key=lambda n: (lots[n].site, lots[n].days, lots[n].id))
    indices, lots = [indices[n] for n in order], [lots[n] for n in order]
    kinds: dict[tuple[str, int, float], int] = {}
    kind_of = [
        kinds.setdefault((lines[n].society, lines[n].place, lines[n].deadline), len(kinds))
        for n, _, _ in takers
    ]
    shelf = _Shelf.of(lots)
    fit = np.zeros((len(lots), len(kinds)), dtype=bool)
    told = []
    ways: dict[int, dict[int, Way | None]] = {}
    for (society, place, deadline), kind in kinds.items():
        fate, fit[:, kind] = _judge(asked, shelf, society, place, deadline)
        told.append(fate)
        ways[kind] = {
            site: asked.way(site, place, asked.options.handling_hours, deadline)
            for site in np.unique(shelf.site[fit[:, kind]]).tolist()
        }
    for (n, _, _), kind in zip(takers, kind_of, strict=True):
        fates[n].append(told[kind])
    if not fit.any():
        return
    alone = any(use > 1 for _, use, _ in takers)
    classes = _classes(lots, fit, alone)
    _arcs(asked, lines, code, takers, kind_of, (indices, lots, fit, classes), ways, growing)


@dataclass(frozen=True)
class _Shelf:
    """The lots of an item as columns."""

    available: Ints
    days: Ints
    site: Ints
    society: Any
    seen: Ints
    seen_by: list[frozenset[str] | None]

    @classmethod
    def of(cls, lots: list[Lot]) -> "_Shelf":
        """Columns of lots; who may see them is told by a number."""
        seen: dict[frozenset[str] | None, int] = {}
        numbers = [seen.setdefault(lot.visible_to, len(seen)) for lot in lots]
        return cls(
            np.array([lot.available for lot in lots], dtype=np.int64),
            np.array([lot.days for lot in lots], dtype=np.int64),
            np.array([lot.site for lot in lots], dtype=np.int64),
            np.array([lot.society for lot in lots], dtype="U3"),
            np.array(numbers, dtype=np.int64),
            list(seen),
        )


def _judge(
    asked: Asked, shelf: _Shelf, society: str, place: int, deadline: float
) -> tuple[Fate, Bools]:
    """Lot by lot: the first thing that stands in its way."""
    fate, options, has = Fate(), asked.options, shelf.available
    others = shelf.society != society
    may = np.array([seen is None or society in seen for seen in shelf.seen_by], dtype=bool)
    visible = others & may[shelf.seen] if len(may) else others
    fate.hidden = int((others & ~visible).sum())
    fate.published = int(visible.sum())
    out = visible & np.isin(shelf.society, sorted(options.leave_out))
    fate.left_out = int(has[out].sum())
    left = visible & ~out
    fate.empty = int((left & (has == 0)).sum())
    left &= has > 0
    hours = np.full(int(shelf.site.max(initial=0)) + 1, np.inf)
    good = np.zeros(len(hours), dtype=np.int64)
    for site in np.unique(shelf.site[left]).tolist():
        way = asked.way(site, place, options.handling_hours, deadline)
        if way is not None:
            hours[site] = options.handling_hours + way.hours
            good[site] = asked.good_until(hours[site])
    arrives = hours[shelf.site]
    fate.no_route = int(has[left & np.isinf(arrives)].sum())
    late = left & ~np.isinf(arrives) & (arrives > deadline)
    fate.late = int(has[late].sum())
    fate.soonest = float(arrives[late].min()) if late.any() else None
    left &= arrives <= deadline
    fit = left & (shelf.days > good[shelf.site])
    fate.expires = int(has[left & ~fit].sum())
    fate.fit = int(has[fit].sum())
    return fate, fit


def _classes(lots: list[Lot], fit: Bools, alone: bool) -> Ints:
    """Of each lot its class, -1 where it serves nobody: the same site and the same takers.

    Where a substitute stands in by twos or threes each lot is a class of its own: of a sum of
    lots nobody could say whether its parts make whole steps.
    """
    marks = np.packbits(fit, axis=1)
    sites = np.array([lot.site for lot in lots], dtype=np.int64)
    societies = {name: n for n, name in enumerate(sorted({lot.society for lot in lots}))}
    owners = np.array([societies[lot.society] for lot in lots], dtype=np.int64)
    own = np.arange(len(lots)) if alone else np.zeros(len(lots), dtype=np.int64)
    keys = np.column_stack([sites, owners, own, marks.astype(np.int64)])
    of = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    of[~fit.any(axis=1)] = -1
    _, of[of >= 0] = np.unique(of[of >= 0], return_inverse=True)
    return of


def _arcs(
    asked: Asked,
    lines: list[Line],
    code: str,
    takers: list[tuple[int, int, int]],
    kind_of: list[int],
    found: tuple[list[int], list[Lot], Bools, Ints],
    ways: dict[int, dict[int, Way | None]],
    growing: _Growing,
) -> None:
    indices, lots, fit, classes = found
    count = int(classes.max()) + 1
    first = np.zeros(count, dtype=np.int64)
    first[classes[::-1][classes[::-1] >= 0]] = np.flatnonzero(classes[::-1] >= 0)
    first = len(lots) - 1 - first
    base = len(growing.limit)
    limit = np.zeros(count, dtype=np.int64)
    had: dict[str, int] = defaultdict(int)
    for n, lot in enumerate(lots):
        had[lot.society] += lot.available
        if classes[n] >= 0:
            limit[classes[n]] += lot.available
            growing.lots.append((base + int(classes[n]), indices[n]))
    growing.limit += limit.tolist()
    heads = [lots[n] for n in first.tolist()]
    owner = np.array([growing.owner(h.society, code, had[h.society]) for h in heads])
    weight = asked.items[code]["kg"] or 0.0
    kinds = np.array(kind_of)
    rows, at = np.nonzero(fit[first][:, kinds])
    start = len(growing.places)
    handling = asked.options.handling_hours
    step_of: dict[tuple[int, int], tuple[int, int, tuple[int, int, Way, float]]] = {}
    steps, costs = [], []
    for row, taker in zip(rows.tolist(), at.tolist(), strict=True):
        site, kind = heads[row].site, kind_of[taker]
        if (site, kind) not in step_of:
            way = ways[kind][site]
            assert way is not None
            arrives = handling + way.hours
            cost = round(weight / 1000 * way.cost_per_tonne * _MICRO)
            place = (site, lines[takers[taker][0]].place, way, arrives)
            step_of[site, kind] = (step(arrives), cost, place)
        one, cost, place = step_of[site, kind]
        steps.append(one)
        costs.append(cost)
        growing.places.append(place)
    taken = np.array(takers, dtype=np.int64)[at]
    columns = growing.columns
    columns["owner"].append(owner[rows])
    columns["line"].append(taken[:, 0])
    columns["use"].append(taken[:, 1])
    columns["cover"].append(taken[:, 2])
    columns["step"].append(np.array(steps, dtype=np.int64))
    columns["cost"].append(np.array(costs, dtype=np.int64))
    columns["ill"].append(np.zeros(len(rows), dtype=np.int64))
    columns["journey"].append(
        np.array(
            [
                growing.journey(heads[r].site, lines[n].request, False)
                for r, n in zip(rows.tolist(), taken[:, 0].tolist(), strict=True)
            ],
            dtype=np.int64,
        )
    )
    growing.codes += [code] * len(rows)
    growing.at_row.append(base + rows)
    growing.at_arc.append(start + np.arange(len(rows)))


def _people(
    asked: Asked, lines: list[Line], growing: _Growing, fates: dict[int, list[Fate]]
) -> None:
    wanted = [(n, line) for n, line in enumerate(lines) if line.people]
    told = {n: Fate() for n, _ in wanted}
    for pool in asked.pools:
        serves = [
            (n, line, *found)
            for n, line in wanted
            if line.code == pool.skill and (found := _may_serve(asked, pool, line, told[n]))
        ]
        windows = [line.window for _, line, _, _ in serves if line.window]
        rows = {t: len(growing.limit) + k for k, t in enumerate(instants(pool.people, windows))}
        growing.limit += [pool.people.left_at(t) for t in rows]
        for n, line, way, arrives in serves:
            arc = len(growing.places)
            growing.places.append((pool.site, line.place, way, arrives))
            growing.codes.append(pool.skill)
            growing.pools[arc] = pool
            ill = line.languages and not line.languages & pool.languages
            had = sum(
                p.people.headcount
                for p in asked.pools
                if (p.society, p.skill) == (pool.society, pool.skill)
            )
            values = {
                "owner": growing.owner(pool.society, pool.skill, had), "line": n, "use": 1,
                "cover": 1, "step": step(arrives), "cost": 0, "ill": int(bool(ill)),
                "journey": growing.journey(pool.site, line.request, True),
            }  # fmt: skip
            for name, value in values.items():
                growing.columns[name].append(np.array([value], dtype=np.int64))
            assert line.window is not None
            there = [r for t, r in rows.items() if line.window[0] <= t < line.window[1]]
            growing.at_row.append(np.array(there, dtype=np.int64))
            growing.at_arc.append(np.full(len(there), arc, dtype=np.int64))
    for n, fate in told.items():
        fates[n].append(fate)


def _may_serve(asked: Asked, pool: Pool, line: Line, fate: Fate) -> tuple[Way, float] | None:
    """By which way a pool's people come to a line, None where something stands in the way."""
    assert line.window is not None
    if pool.society == line.society:
        return None
    if pool.visible_to is not None and line.society not in pool.visible_to:
        fate.hidden += 1
        return None
    fate.published += 1
    free = pool.people.left_in(*line.window)
    if pool.society in asked.options.leave_out:
        fate.left_out += free
        return None
    if line.window[0] < pool.people.start or line.window[1] > pool.people.end:
        fate.window += 1
        return None
    if free == 0:
        fate.empty += 1
        return None
    way = asked.way(pool.site, line.place, pool.notice, line.deadline)
    if way is None:
        fate.no_route += free
        return None
    arrives = pool.notice + way.hours
    if arrives > line.deadline:
        fate.late += free
        fate.soonest = arrives if fate.soonest is None else min(fate.soonest, arrives)
        return None
    fate.fit += free
    return way, arrives


def _finished(
    asked: Asked, lines: list[Line], growing: _Growing, fates: dict[int, list[Fate]]
) -> Candidates:
    def joined(blocks: list[Any]) -> Ints:
        return np.concatenate(blocks).astype(np.int64) if blocks else np.zeros(0, dtype=np.int64)

    def whole(values: Any) -> Ints:
        return np.array(list(values), dtype=np.int64)

    requests = {r: n for n, r in enumerate(sorted({line.request for line in lines}))}
    # Stable: within a row lots stay earliest-expiring first.
    lots = sorted(growing.lots, key=lambda pair: pair[0])
    columns = {name: joined(growing.columns[name]) for name in _COLUMNS}
    instance = Instance(
        limit=whole(growing.limit),
        at_row=joined(growing.at_row),
        at_arc=joined(growing.at_arc),
        stock=whole(growing.stock),
        need=whole(line.need for line in lines),
        rank=whole(line.rank for line in lines),
        request=whole(requests[line.request] for line in lines),
        lot_row=whole(row for row, _ in lots),
        lot_left=whole(asked.lots[n].available for _, n in lots),
        lot_days=whole(asked.lots[n].days for _, n in lots),
        **columns,
    )
    return Candidates(
        instance, lines, growing.places, [asked.lots[n] for _, n in lots], growing.pools,
        growing.codes, fates,
    )  # fmt: skip


_COLUMNS = ("owner", "journey", "line", "step", "cost", "use", "cover", "ill")
