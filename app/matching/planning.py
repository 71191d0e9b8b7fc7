"""The plan: coverage by priority, time, fair share; then consignments, cost, expiry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.matching import flow
from app.matching.model import Instance, components, faults, measure, weigh
from app.matching.program import (
    Bools,
    Criterion,
    Deadline,
    Floats,
    Ints,
    Program,
    Stage,
    one_after_another,
)
from app.matching.rules import CRITERIA, TENTHS, tenths

_INFINITY = float("inf")
_FEW = 400
"""So many arcs are planned in one program: many small ones cost more than one of their size."""
_MANY = 40_000
"""Beyond so many arcs on a face, consignments are not counted down: no solver ends in time."""

STAGES = ("critical", "high", "normal", "time", "fair_share", "consignments", "cost", "suits")


@dataclass
class Plan:
    """Steps on each arc, and what is proven of each criterion."""

    x: Ints
    stages: list[Stage] = field(default_factory=list)

    @property
    def optimal(self) -> bool:
        """Whether every criterion is proven."""
        return all(stage.proven for stage in self.stages)


Told = Callable[[Plan], None]


def plan(
    instance: Instance,
    until: Deadline,
    most: int | None = None,
    weights: Mapping[str, float] | None = None,
    told: Told = lambda _: None,
) -> Plan:
    """The best plan that is found in time. `told` hears of every better one on the way."""
    best = Plan(nearest_first(instance, most), [Stage(n, 0, -_INFINITY, False) for n in STAGES])
    if instance.arcs == 0:
        return Plan(best.x, [Stage(name, 0, 0, True) for name in STAGES])
    told(best)
    search = _Search(instance, until, most, weights, best, told)
    search.run()
    wrong = faults(instance, best.x)
    assert not wrong, f"the plan promises {wrong}"
    return best


def nearest_first(instance: Instance, most: int | None = None) -> Ints:
    """Where every search begins: the most urgent line takes the nearest, and so on."""
    left, need = instance.limit.tolist(), instance.need.tolist()
    x = [0] * instance.arcs
    order = np.lexsort((instance.line, instance.step, instance.rank[instance.line]))
    on = np.argsort(instance.at_arc, kind="stable")
    begins = np.searchsorted(instance.at_arc[on], np.arange(instance.arcs + 1)).tolist()
    rows = instance.at_row[on].tolist()
    lines, use, cover = instance.line.tolist(), instance.use.tolist(), instance.cover.tolist()
    journeys: set[int] = set()
    for arc in order.tolist():
        steps = need[lines[arc]] // cover[arc]
        if steps == 0:
            continue
        mine = rows[begins[arc] : begins[arc + 1]]
        steps = min(steps, min(left[row] for row in mine) // use[arc])
        if steps == 0:
            continue
        journey = int(instance.journey[arc])
        if most is not None and journey not in journeys and len(journeys) >= most:
            continue
        journeys.add(journey)
        x[arc] = steps
        need[lines[arc]] -= steps * cover[arc]
        for row in mine:
            left[row] -= steps * use[arc]
    return np.array(x, dtype=np.int64)


@dataclass
class _Piece:
    """Arcs that are planned together, and what earlier stages say of them."""

    arcs: Ints
    free: Bools
    fixed: list[tuple[Ints, Ints, float]] = field(default_factory=list)
    """Criteria that are decided: (arcs, coefficients, at most)."""


@dataclass
class _Search:
    instance: Instance
    until: Deadline
    most: int | None
    weights: Mapping[str, float] | None
    best: Plan
    told: Told

    def __post_init__(self) -> None:
        instance = self.instance
        self.free = np.ones(instance.arcs, dtype=bool)
        self.full_rows = np.zeros(len(instance.limit), dtype=bool)
        self.full_lines = np.zeros(len(instance.need), dtype=bool)
        parts = [tenths(int(had)) for had in instance.stock]
        self.tenth_upper = np.array(parts, dtype=np.float64).reshape(len(parts), TENTHS)
        self.tenth_upper[:, -1] = _INFINITY
        self.tenth_lower = np.zeros_like(self.tenth_upper)
        self.fixed: list[tuple[Ints, list[Criterion], list[float]]] = []
        self.found: dict[str, list[Stage]] = {name: [] for name in STAGES}

    def run(self) -> None:
        """First what decouples by item, then what travels together."""
        if self.most is not None:
            self._together([np.arange(self.instance.arcs)], list(STAGES))
            return
        first = STAGES[:3] if self.weights else STAGES[:5]
        for name in first:
            self.found[name] = [Stage(name, 0, 0, True)]
        groups = self._hanging_together(by_journey=False)
        plain = self.instance.plain()
        flows = [] if self.weights else [g for g in groups if plain[g].all()]
        others = [g for g in groups if self.weights or not plain[g].all()]
        packed = list(_packed(flows))
        for n, arcs in enumerate([*packed, *others]):
            last = n + 1 == len(packed) + len(others)
            share = self.until.share(0.7 if last else 0.5)
            if n >= len(packed) or not self._flow(arcs, share):
                self._decide(arcs, first, share)
        self.best.stages = self._stages()
        self.told(self.best)
        groups = list(_packed(self._hanging_together(by_journey=True)))
        self._together(groups, list(STAGES[len(first) :]))

    # ---- what hangs together

    def _hanging_together(self, *, by_journey: bool) -> list[Ints]:
        """Arcs in groups that share neither stock nor lines (nor journeys)."""
        i = self.instance
        arcs = np.flatnonzero(self.free)
        # Lines, owners, rows, journeys as nodes of one graph.
        owners = len(i.need)
        rows = owners + len(i.stock)
        journeys = rows + len(i.limit)
        nodes = journeys + int(i.journey.max(initial=-1)) + 1
        drawn = self.free[i.at_arc]
        one = [i.line[arcs], i.line[i.at_arc[drawn]]]
        other = [owners + i.owner[arcs], rows + i.at_row[drawn]]
        if by_journey:
            one.append(i.line[arcs])
            other.append(journeys + i.journey[arcs])
        label = components(nodes, np.concatenate(one), np.concatenate(other))[i.line[arcs]]
        order = np.argsort(label, kind="stable")
        cuts = np.flatnonzero(np.diff(label[order])) + 1
        return list(np.split(arcs[order], cuts)) if len(arcs) else []

    # ---- coverage, time and fair share

    def _flow(self, arcs: Ints, until: Deadline) -> bool:
        net = flow.network(self.instance, arcs)
        face = flow.face(self.instance, net, until)
        if face is None:
            return False
        self.best.x[arcs] = face.x
        self.free[arcs] = face.free
        self.full_rows[face.full_rows] = True
        self.full_lines[face.full_lines] = True
        self.tenth_lower[face.owners] = face.tenth_lower
        self.tenth_upper[face.owners] = face.tenth_upper
        return True

    def _decide(self, arcs: Ints, names: Sequence[str], until: Deadline) -> None:
        """The same by whole numbers, one criterion after the other."""
        built = _Built(self, arcs, consignments=False)
        criteria = [(name, built.cost(name)) for name in names]
        x, stages = one_after_another(built.program, criteria, until, built.start(self.best.x))
        self._take(built, x, stages)
        self.fixed.append((arcs, criteria, [stage.value for stage in stages]))

    # ---- what travels together

    def _together(self, groups: list[Ints], names: Sequence[str]) -> None:
        count = len(groups)
        for name in [*names, "weighted"]:
            self.found[name] = [Stage(name, 0, 0, True)]
        for n, arcs in enumerate(groups):
            if len(arcs) > _MANY or self.until.left <= 0:
                for name in names:
                    self.found[name].append(Stage(name, 0, self._floor(name, arcs), False))
                continue
            built = _Built(self, arcs, consignments=True)
            criteria = self._criteria(built, names)
            until = self.until.share(1.0 if n + 1 == count else 0.5)
            start = built.start(self.best.x)
            x, stages = one_after_another(built.program, criteria, until, start)
            self._take(built, x, stages)
        self.best.stages = self._stages()

    def _criteria(self, built: "_Built", names: Sequence[str]) -> list[Criterion]:
        if not self.weights:
            return [(name, built.cost(name)) for name in names]
        weights = {name: float(self.weights.get(name, 0.0)) for name in CRITERIA}
        weighed = {name: built.cost(name) for name in CRITERIA}
        weighed["cost"] = weighed["cost"] / 1e6
        covers = [(name, built.cost(name)) for name in names if name in STAGES[:3]]
        last = [("weighted", weigh(weighed, weights)), ("suits", built.cost("suits"))]
        return [*covers, *last]

    def _floor(self, name: str, arcs: Ints) -> float:
        """A bound without a search: every request that is helped needs one journey at least."""
        if name != "consignments":
            return 0.0
        helped = arcs[self.best.x[arcs] > 0]
        return float(len(np.unique(self.instance.request[self.instance.line[helped]])))

    def _take(self, built: "_Built", x: Floats | None, stages: Sequence[Stage]) -> None:
        for stage in stages:
            self.found.setdefault(stage.name, []).append(stage)
        if x is None:
            return
        before = self.best.x[built.arcs].copy()
        self.best.x[built.arcs] = np.rint(x[built.x]).astype(np.int64)
        if faults(self.instance, self.best.x):
            # Rounding beyond what the solver allows itself: what was found before stands.
            self.best.x[built.arcs] = before
            for name in {stage.name for stage in stages}:
                last = self.found[name][-1]
                self.found[name][-1] = Stage(name, last.value, last.bound, False)

    def _stages(self) -> list[Stage]:
        judged = measure(self.instance, self.best.x)
        values = dict(zip(STAGES, judged.order, strict=True))
        stages = []
        for name in STAGES:
            parts = self.found.get(name, [])
            if self.weights and name in CRITERIA:
                parts = self.found.get("weighted", [])
            proven = bool(parts) and all(part.proven for part in parts)
            missing = sum(part.value - part.bound for part in parts) if parts else _INFINITY
            value = float(values[name])
            bound = value if proven else value - missing
            stages.append(Stage(name, value, bound, proven))
        return stages


def _packed(groups: Sequence[Ints]) -> Iterator[Ints]:
    """Small groups together, in the order in which they came."""
    small: list[Ints] = []
    for group in groups:
        if len(group) > _FEW:
            yield group
            continue
        small.append(group)
        if sum(map(len, small)) > _FEW:
            yield np.concatenate(small)
            small = []
    if small:
        yield np.concatenate(small)


class _Built:
    """The program of some arcs, with everything that is decided already."""

    def __init__(self, search: _Search, arcs: Ints, *, consignments: bool) -> None:
        i = search.instance
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
        low = np.where(search.full_rows[rows], limits, -_INFINITY)
        at = program.add_rows(low, limits)
        program.put(at.start + row, at_arc, i.use[arcs][at_arc])
        lines, line = np.unique(i.line[arcs], return_inverse=True)
        needs = i.need[lines].astype(np.float64)
        low = np.where(search.full_lines[lines], needs, -_INFINITY)
        at = program.add_rows(low, needs)
        program.put(at.start + line, np.arange(len(arcs)), i.cover[arcs])
        self._share(search, arcs)
        self.y: slice | None = self._journeys(search, most) if consignments else None
        self.z, self.days = self._lots(rows, row, at_arc) if consignments else (None, None)
        for decided, criteria, values in search.fixed:
            self._keep(decided, place, taken, criteria, values)

    def _share(self, search: _Search, arcs: Ints) -> None:
        i, program = self.instance, self.program
        self.owners, owner = np.unique(i.owner[arcs], return_inverse=True)
        lower, upper = search.tenth_lower[self.owners], search.tenth_upper[self.owners]
        self.f = program.add_columns(lower.ravel(), upper.ravel(), whole=False)
        at = program.add_rows(0.0, np.zeros(len(self.owners)))
        program.put(at.start + owner, np.arange(len(arcs)), i.use[arcs])
        program.put(
            at.start + np.repeat(np.arange(len(self.owners)), TENTHS),
            np.arange(self.f.start, self.f.stop),
            -1.0,
        )

    def _journeys(self, search: _Search, most: Ints) -> slice:
        i, program = self.instance, self.program
        self.pairs, self.pair = np.unique(i.journey[self.arcs], return_inverse=True)
        y = program.add_columns(0.0, np.ones(len(self.pairs)))
        # One row for each arc is tighter than one for each journey.
        at = program.add_rows(-_INFINITY, np.zeros(len(self.arcs)))
        rows = np.arange(at.start, at.stop)
        program.put(rows, np.arange(len(self.arcs)), 1.0)
        program.put(rows, y.start + self.pair, -most.astype(np.float64))
        if search.most is not None:
            at = program.add_rows(-_INFINITY, np.array([float(search.most)]))
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
        if name in STAGES[:3]:
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

    def start(self, best: Ints) -> Floats:
        """A plan that is there already, as a point of this program."""
        i, x = self.instance, best[self.arcs]
        point = np.zeros(self.program.columns)
        point[self.x] = x
        drawn = np.zeros(len(self.owners), dtype=np.int64)
        np.add.at(drawn, np.searchsorted(self.owners, i.owner[self.arcs]), x * i.use[self.arcs])
        parts = [tenths(int(had)) for had in i.stock[self.owners]]
        for n, gone in enumerate(drawn.tolist()):
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
