"""The program of some arcs: what they draw and cover, and what earlier criteria decided."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.matching.model import Instance
from app.matching.program import Bools, Criterion, Floats, Ints, Journeys, Program
from app.matching.rules import TENTHS, tenths

_INFINITY = float("inf")

COVERAGE = ("critical", "high", "normal")
STAGES = (*COVERAGE, "time", "fair_share", "consignments", "cost", "suits")


@dataclass
class Decided:
    """What is decided of an instance: which arcs may move, what must be full, which values hold."""

    instance: Instance
    most: int | None
    """Of consignments."""
    fixed: list[tuple[Ints, list[Criterion], list[float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        instance = self.instance
        self.free: Bools = np.ones(instance.arcs, dtype=bool)
        self.full_rows: Bools = np.zeros(len(instance.limit), dtype=bool)
        self.full_lines: Bools = np.zeros(len(instance.need), dtype=bool)
        parts = [tenths(int(had)) for had in instance.stock]
        self.tenth_upper: Floats = np.array(parts, dtype=np.float64).reshape(len(parts), TENTHS)
        self.tenth_upper[:, -1] = _INFINITY
        self.tenth_lower: Floats = np.zeros_like(self.tenth_upper)


class Built:
    """The program of some arcs, with everything that is decided already."""

    def __init__(self, decided: Decided, arcs: Ints, *, consignments: bool) -> None:
        i = decided.instance
        self.arcs, self.instance = arcs, i
        program = self.program = Program()
        most = i.most[arcs]
        self.x = program.add_columns(0.0, most)
        taken = np.zeros(i.arcs, dtype=bool)
        taken[arcs] = True
        place = np.zeros(i.arcs, dtype=np.int64)
        place[arcs] = np.arange(len(arcs))
        drawn = taken[i.at_arc]
        at_arc = place[i.at_arc[drawn]]
        rows, row = np.unique(i.at_row[drawn], return_inverse=True)
        limits = i.limit[rows].astype(np.float64)
        low = np.where(decided.full_rows[rows], limits, -_INFINITY)
        at = program.add_rows(low, limits)
        program.put(at.start + row, at_arc, i.use[arcs][at_arc])
        lines, line = np.unique(i.line[arcs], return_inverse=True)
        needs = i.need[lines].astype(np.float64)
        low = np.where(decided.full_lines[lines], needs, -_INFINITY)
        at = program.add_rows(low, needs)
        program.put(at.start + line, np.arange(len(arcs)), i.cover[arcs])
        self._share(decided, arcs)
        self.y: slice | None = self._journeys(decided, most) if consignments else None
        self.z: slice | None = None
        self.days: Floats = np.zeros(0)
        if consignments:
            self.z, self.days = self._lots(rows, row, at_arc)
        for earlier, criteria, values in decided.fixed:
            self._keep(earlier, place, taken, criteria, values)

    def _share(self, decided: Decided, arcs: Ints) -> None:
        i, program = self.instance, self.program
        self.owners, owner = np.unique(i.owner[arcs], return_inverse=True)
        lower, upper = decided.tenth_lower[self.owners], decided.tenth_upper[self.owners]
        self.f = program.add_columns(lower.ravel(), upper.ravel(), whole=False)
        at = program.add_rows(0.0, np.zeros(len(self.owners)))
        program.put(at.start + owner, np.arange(len(arcs)), i.use[arcs])
        program.put(
            at.start + np.repeat(np.arange(len(self.owners)), TENTHS),
            np.arange(self.f.start, self.f.stop),
            -1.0,
        )

    def _journeys(self, decided: Decided, most: Ints) -> slice:
        i, program = self.instance, self.program
        self.pairs, self.pair = np.unique(i.journey[self.arcs], return_inverse=True)
        y = program.add_columns(0.0, np.ones(len(self.pairs)))
        # One row for each arc is tighter than one for each journey.
        at = program.add_rows(-_INFINITY, np.zeros(len(self.arcs)))
        rows = np.arange(at.start, at.stop)
        program.put(rows, np.arange(len(self.arcs)), 1.0)
        program.put(rows, y.start + self.pair, -most.astype(np.float64))
        if decided.most is not None:
            at = program.add_rows(-_INFINITY, np.array([float(decided.most)]))
            program.put(np.full(len(self.pairs), at.start), np.arange(y.start, y.stop), 1.0)
        return y

    def _lots(self, rows: Ints, row: Ints, at_arc: Ints) -> tuple[slice, Floats]:
        """Lots of a row one by one: the earliest-expiring of them is taken first."""
        i, program = self.instance, self.program
        place = np.full(len(i.limit), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        lots = np.flatnonzero(place[i.lot_row] >= 0)
        z = program.add_columns(0.0, i.lot_left[lots], whole=False)
        held, at_lot = np.unique(place[i.lot_row[lots]], return_inverse=True)
        at = program.add_rows(0.0, np.zeros(len(held)))
        back = np.full(len(rows), -1, dtype=np.int64)
        back[held] = np.arange(len(held))
        drawn = back[row] >= 0
        program.put(at.start + back[row[drawn]], at_arc[drawn], i.use[self.arcs][at_arc[drawn]])
        program.put(at.start + at_lot, np.arange(z.start, z.stop), -1.0)
        self.lots = lots
        return z, i.lot_days[lots].astype(np.float64)

    def _keep(
        self,
        decided: Ints,
        place: Ints,
        taken: Bools,
        criteria: Sequence[Criterion],
        values: Sequence[float],
    ) -> None:
        if not taken[decided].all():
            return
        owners = np.searchsorted(self.owners, np.unique(self.instance.owner[decided]))
        tenth = (self.f.start + owners[:, None] * TENTHS + np.arange(TENTHS)).ravel()
        for (name, cost), value in zip(criteria, values, strict=True):
            row = np.zeros(self.program.columns)
            row[place[decided]] = cost[: len(decided)]
            if name == "fair_share":
                row[tenth] = cost[len(decided) : len(decided) + len(tenth)]
            self.program.add_row(row, -_INFINITY, value + 0.5)

    def cost(self, name: str) -> Floats:
        """The coefficients of a criterion; the least is the best."""
        i, arcs = self.instance, self.arcs
        cost = np.zeros(self.program.columns)
        if name in COVERAGE:
            mine = i.rank[i.line[arcs]] == STAGES.index(name)
            cost[self.x] = np.where(mine, -i.cover[arcs], 0)
        elif name == "time":
            cost[self.x] = i.cover[arcs] * i.step[arcs]
        elif name == "fair_share":
            cost[self.f] = np.tile(np.arange(TENTHS), len(self.owners))
        elif name == "consignments" and self.y is not None:
            cost[self.y] = 1.0
        elif name == "cost":
            cost[self.x] = i.use[arcs] * i.cost[arcs]
        elif name == "suits" and self.z is not None:
            cost[self.x] = i.use[arcs] * i.ill[arcs]
            cost[self.z] = self.days
        return cost

    def journeys(self) -> Journeys:
        """For what is a flow once it is known which journeys are made."""
        assert self.y is not None
        return Journeys(self.x, self.y, "cost", self.cost("cost"))

    def start(self, best: Ints) -> Floats:
        """A plan that is there already, as a point of this program."""
        i, x = self.instance, best[self.arcs]
        point = np.zeros(self.program.columns)
        point[self.x] = x
        drawn = np.zeros(len(self.owners), dtype=np.int64)
        np.add.at(drawn, np.searchsorted(self.owners, i.owner[self.arcs]), x * i.use[self.arcs])
        parts = [tenths(int(had)) for had in i.stock[self.owners]]
        for n, total in enumerate(drawn.tolist()):
            gone = total
            for k, part in enumerate(parts[n]):
                taken = gone if k == TENTHS - 1 else min(part, gone)
                point[self.f.start + n * TENTHS + k] = taken
                gone -= taken
        if self.y is not None:
            point[self.y.start + self.pair[x > 0]] = 1.0
        if self.z is not None:
            through = np.zeros(len(i.limit), dtype=np.int64)
            mine = np.isin(i.at_arc, self.arcs)
            steps = np.zeros(i.arcs, dtype=np.int64)
            steps[self.arcs] = x * i.use[self.arcs]
            np.add.at(through, i.at_row[mine], steps[i.at_arc[mine]])
            left = i.lot_left[self.lots]
            rows = i.lot_row[self.lots]
            before = np.cumsum(left) - left
            before -= before[np.searchsorted(rows, rows)] if len(rows) else 0
            point[self.z] = np.clip(through[rows] - before, 0, left)
        return point
