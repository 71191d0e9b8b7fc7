"""Coverage, time and fair share at once: a flow of least cost, and all plans that are as good.

docs/decisions/0030-plans.md proves that one cost decides all three criteria in their order.
"""

from dataclasses import dataclass

import numpy as np

from app.matching.model import Instance
from app.matching.program import Bools, Deadline, Floats, Ints, Program
from app.matching.rules import TENTHS, tenths

_INFINITY = float("inf")
_TIME = TENTHS
"""A step costs more than the dearest tenth (9): a cycle of a flow changes at most two of those."""


@dataclass(frozen=True)
class Network:
    """Arcs of an instance with what is alike put together: rows, lines and the arcs between."""

    arcs: Ints
    """Which arcs of the instance."""
    row_of: Ints
    line_of: Ints
    """For each of these arcs: its row and its line here."""
    arc_of: Ints
    """For each of these arcs: which arc it is here."""
    row: Ints
    line: Ints
    step: Ints
    owner: Ints
    """Of an arc here."""
    limit: Ints
    need: Ints
    rank: Ints
    stock: Ints


@dataclass(frozen=True)
class Face:
    """All plans that are as good as the one found: what may move, and what must be full."""

    x: Ints
    """On every arc of the instance that was asked about: one of these plans."""
    free: Bools
    """Arcs that such a plan may use."""
    full_rows: Ints
    full_lines: Ints
    tenth_lower: Floats
    tenth_upper: Floats
    """For each owner of the network and each tenth."""
    owners: Ints


def _mixed(one: Ints, other: Ints) -> Ints:
    """A hash of pairs, well spread over 64 bits (splitmix64)."""
    with np.errstate(over="ignore"):
        z = one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += other.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(0x632BE59BD9B4E019)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))).view(np.int64)


def _alike(of: Ints, count: int, others: Ints, step: Ints, kind: Ints) -> Ints:
    """Of each node: a number that it shares with those that have the same arcs and the same kind.

    Two sums of independent hashes stand for a node's arcs. Should two nodes ever share both by
    chance, the plan would fail the check that every plan is put to before it is shown.
    """
    marks = np.zeros((count, 2), dtype=np.int64)
    with np.errstate(over="ignore"):
        np.add.at(marks[:, 0], of, _mixed(others, step))
        np.add.at(marks[:, 1], of, _mixed(step + 7919, others * 31 + 17))
    keys = np.stack([marks[:, 0], marks[:, 1], kind], axis=1)
    order = np.lexsort(keys.T[::-1])
    new = np.ones(count, dtype=np.int64)
    if count > 1:
        new[1:] = (keys[order][1:] != keys[order][:-1]).any(axis=1)
    found = np.empty(count, dtype=np.int64)
    found[order] = np.cumsum(new) - 1
    return found


def network(instance: Instance, arcs: Ints) -> Network:
    """Put together lines that the same stock reaches in the same time, and then such stock."""
    row_at = np.zeros(instance.arcs, dtype=np.int64)
    row_at[instance.at_arc] = instance.at_row
    rows, row = np.unique(row_at[arcs], return_inverse=True)
    lines, line = np.unique(instance.line[arcs], return_inverse=True)
    step = instance.step[arcs]
    like = _alike(line, len(lines), rows[row], step, instance.rank[lines])
    line_of = like[line]
    owner_at = np.zeros(len(rows), dtype=np.int64)
    owner_at[row] = instance.owner[arcs]
    # Of arcs of one row to lines that are alike only one counts.
    wide = int(line_of.max(initial=0)) + 1
    once = np.unique(row * wide + line_of, return_index=True)[1]
    kind = _alike(row[once], len(rows), line_of[once], step[once], owner_at)
    row_of = kind[row]
    place, first, arc_of = np.unique(
        row_of * wide + line_of, return_index=True, return_inverse=True
    )
    limit = np.zeros(int(kind.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(limit, kind, instance.limit[rows])
    need = np.zeros(wide if len(lines) else 0, dtype=np.int64)
    np.add.at(need, like, instance.need[lines])
    rank = np.zeros(len(need), dtype=np.int64)
    rank[like] = instance.rank[lines]
    return Network(
        arcs, row_of, line_of, arc_of, place // wide, place % wide, step[first],
        instance.owner[arcs][first], limit, need, rank, instance.stock,
    )  # fmt: skip


def solve(net: Network, until: Deadline) -> tuple[Ints, Floats, Floats, Ints] | None:
    """The flow on each arc of the network, reduced costs, duals, its owners; None out of time."""
    owners, owner = np.unique(net.owner, return_inverse=True)
    program = Program()
    arcs = program.add_columns(0.0, np.full(len(net.row), _INFINITY))
    parts = np.array([tenths(int(a)) for a in net.stock[owners]], dtype=np.float64)
    parts = parts.reshape(len(owners), TENTHS)
    parts[:, -1] = _INFINITY
    share = program.add_columns(0.0, parts.ravel())
    rows = program.add_rows(-_INFINITY, net.limit)
    needs = program.add_rows(-_INFINITY, net.need)
    gives = program.add_rows(0.0, np.zeros(len(owners)))
    columns = np.arange(arcs.stop)
    program.put(rows.start + net.row, columns, 1.0)
    program.put(needs.start + net.line, columns, 1.0)
    program.put(gives.start + owner, columns, 1.0)
    program.put(
        gives.start + np.repeat(np.arange(len(owners)), TENTHS),
        np.arange(share.start, share.stop),
        -1.0,
    )
    cost = np.concatenate([arc_costs(net), np.tile(np.arange(TENTHS), len(owners))])
    found = program.solve(cost.astype(np.float64), until, whole=False)
    if found is None or found.reduced is None or found.duals is None:
        return None
    x = np.rint(found.x).astype(np.int64)
    duals = np.rint(found.duals)
    # Whole costs on a network have whole prices: with them the proof needs no tolerance.
    reduced = cost - _priced(program, duals)
    upper = np.concatenate([np.full(len(net.row), _INFINITY), parts.ravel()])
    proven = bool(
        (reduced[x == 0] >= 0).all()
        and (reduced[(x > 0) & (x < upper)] == 0).all()
        and (reduced[(x == upper) & (x > 0)] <= 0).all()
        and _holds(program, x, duals)
    )
    return (x, reduced, duals, owners) if proven else None


def arc_costs(net: Network) -> Ints:
    """Of each arc: what decides coverage by priority first, and then time."""
    # A cycle visits a row and a line at most once: so many arcs can it enter, and so much time
    # can one unit of coverage cost at most.
    longest = min(len(net.limit), len(net.need)) + 1
    unit = _TIME * (int(net.step.max(initial=0)) * longest + 1)
    costs: Ints = _TIME * net.step - unit * (3 - net.rank[net.line])
    return costs


def _priced(program: Program, duals: Floats) -> Floats:
    starts, columns, values = program.matrix()
    rows = np.repeat(np.arange(program.rows), np.diff(starts))
    priced = np.zeros(program.columns)
    np.add.at(priced, columns, values * duals[rows])
    return priced


def _holds(program: Program, x: Ints, duals: Floats) -> bool:
    starts, columns, values = program.matrix()
    rows = np.repeat(np.arange(program.rows), np.diff(starts))
    sums = np.zeros(program.rows)
    np.add.at(sums, rows, values * x[columns])
    lower, upper = np.concatenate(program.row_lower), np.concatenate(program.row_upper)
    tight = (duals == 0) | (sums == upper) | (sums == lower)
    return bool((sums <= upper).all() and (sums >= lower).all() and tight.all())


def face(instance: Instance, net: Network, until: Deadline) -> Face | None:
    """Solve, and say of the instance's arcs what every plan as good as that has in common."""
    solved = solve(net, until)
    if solved is None:
        return None
    x, reduced, duals, owners = solved
    count = len(net.row)
    free = (reduced[:count] == 0)[net.arc_of]
    row_full = (duals[: len(net.limit)] != 0)[net.row_of]
    line_full = (duals[len(net.limit) : len(net.limit) + len(net.need)] != 0)[net.line_of]
    row_at = np.zeros(instance.arcs, dtype=np.int64)
    row_at[instance.at_arc] = instance.at_row
    parts = np.array([tenths(int(a)) for a in net.stock[owners]], dtype=np.float64)
    parts = parts.reshape(len(owners), TENTHS)
    parts[:, -1] = _INFINITY
    at = reduced[count:].reshape(len(owners), TENTHS)
    return Face(
        x=spread(instance, net, x[:count]),
        free=free,
        full_rows=np.unique(row_at[net.arcs][row_full]),
        full_lines=np.unique(instance.line[net.arcs][line_full]),
        tenth_lower=np.where(at < 0, parts, 0.0),
        tenth_upper=np.where(at > 0, 0.0, parts),
        owners=owners,
    )


def spread(instance: Instance, net: Network, flow: Ints) -> Ints:
    """Give what flows on an arc of the network to the arcs of the instance that stand behind it.

    Any way is as good as any other; to fill one pair after the other needs few of them.
    """
    row_at = np.zeros(instance.arcs, dtype=np.int64)
    row_at[instance.at_arc] = instance.at_row
    rows, lines = row_at[net.arcs], instance.line[net.arcs]
    left = instance.limit.copy()
    wanted = instance.need.copy()
    given = np.zeros(len(net.arcs), dtype=np.int64)
    order = np.lexsort((lines, rows, instance.request[lines], net.arc_of))
    begins = np.searchsorted(net.arc_of[order], np.arange(len(flow) + 1))
    # With as much asked on one side as there is on the other, the next pair never gets stuck:
    # what is alike is bound by its sums alone.
    for arc in np.flatnonzero(flow):
        still = int(flow[arc])
        for place in order[begins[arc] : begins[arc + 1]]:
            amount = min(still, int(left[rows[place]]), int(wanted[lines[place]]))
            if amount > 0:
                given[place] += amount
                left[rows[place]] -= amount
                wanted[lines[place]] -= amount
                still -= amount
                if still == 0:
                    break
    return given
