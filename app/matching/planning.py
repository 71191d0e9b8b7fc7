"""The plan: coverage by priority, time, fair share; then consignments, cost, expiry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.matching import flow
from app.matching.building import COVERAGE, STAGES, Built, Decided
from app.matching.model import Instance, components, faults, measure, weigh
from app.matching.program import (
    Criterion,
    Deadline,
    Floats,
    Ints,
    Stage,
    one_after_another,
)
from app.matching.rules import CRITERIA

_INFINITY = float("inf")
_FEW = 400
"""So many arcs are planned in one program: many small ones cost more than one of their size."""
_FEW_JOURNEYS = 60
"""The same where journeys are searched in whole numbers."""
_MANY = 40_000
"""Beyond so many arcs on a face, consignments are not counted down: no solver ends in time."""


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
    *,
    only_flow: bool = False,
) -> Plan:
    """The best plan that is found in time. `told` hears of every better one on the way.

    `only_flow`: coverage, time and fair share alone.
    """
    if instance.arcs == 0:
        return Plan(np.zeros(0, dtype=np.int64), [Stage(name, 0, 0, True) for name in STAGES])
    unproven = [Stage(name, 0, -_INFINITY, False) for name in STAGES]
    if only_flow:
        best = Plan(np.zeros(instance.arcs, dtype=np.int64), unproven)
    else:
        best = Plan(nearest_first(instance, most), unproven)
        told(best)
    search = _Search(instance, until, most, weights, best, told)
    search.run(only_flow)
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
class _Search:
    instance: Instance
    until: Deadline
    most: int | None
    weights: Mapping[str, float] | None
    best: Plan
    told: Told

    def __post_init__(self) -> None:
        self.decided = Decided(self.instance, self.most)
        self.found: dict[str, list[Stage]] = {name: [] for name in STAGES}

    def run(self, only_flow: bool) -> None:
        """First what decouples by item, then what travels together."""
        if self.most is not None:
            self._together([np.arange(self.instance.arcs)], list(STAGES))
            return
        first = COVERAGE if self.weights else STAGES[:5]
        for name in first:
            self.found[name] = [Stage(name, 0, 0, True)]
        groups = self._hanging_together(by_journey=False)
        plain = self.instance.plain()
        flows = [] if self.weights else [g for g in groups if plain[g].all()]
        others = [g for g in groups if self.weights or not plain[g].all()]
        packed = list(_packed(flows, _FEW))
        # Seven tenths of the time at most: what travels together is the harder part.
        shares = _Shares([*packed, *others], self.until.share(0.7))
        for n, arcs in enumerate([*packed, *others]):
            share = shares.next()
            if n >= len(packed) or not self._flow(arcs, share):
                self._decide(arcs, first, share)
        self.best.stages = self._stages()
        self.told(self.best)
        if only_flow:
            return
        if not self.weights and not self.decided.fixed:
            self._narrow()
        groups = list(_packed(self._hanging_together(by_journey=True), _FEW_JOURNEYS))
        # The small ones first: they leave most of their share of the time to the large.
        self._together(sorted(groups, key=len), list(STAGES[len(first) :]))

    # ---- what hangs together

    def _hanging_together(self, *, by_journey: bool) -> list[Ints]:
        """Arcs in groups that share neither stock nor lines (nor journeys)."""
        i = self.instance
        arcs = np.flatnonzero(self.decided.free)
        # Lines, owners, rows, journeys as nodes of one graph.
        owners = len(i.need)
        rows = owners + len(i.stock)
        journeys = rows + len(i.limit)
        nodes = journeys + int(i.journey.max(initial=-1)) + 1
        drawn = self.decided.free[i.at_arc]
        one = [i.line[arcs], i.line[i.at_arc[drawn]]]
        other = [owners + i.owner[arcs], rows + i.at_row[drawn]]
        if by_journey:
            # What travels anyway ties nothing together.
            open_ = arcs[~self.decided.made[i.journey[arcs]]]
            one.append(i.line[open_])
            other.append(journeys + i.journey[open_])
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
        self.decided.free[arcs] = face.free
        self.decided.full_rows[face.full_rows] = True
        self.decided.full_lines[face.full_lines] = True
        self.decided.tenth_lower[face.owners] = face.tenth_lower
        self.decided.tenth_upper[face.owners] = face.tenth_upper
        return True

    def _decide(self, arcs: Ints, names: Sequence[str], until: Deadline) -> None:
        """The same by whole numbers, one criterion after the other."""
        built = Built(self.decided, arcs, consignments=False)
        criteria = [(name, built.cost(name)) for name in names]
        x, stages = one_after_another(built.program, criteria, until, built.start(self.best.x))
        self._take(built, x, stages)
        self.decided.fixed.append((arcs, criteria, [stage.value for stage in stages]))

    # ---- what travels together

    def _narrow(self) -> None:
        """How little and how much each arc carries in any plan that is as good so far.

        Most carry the same in all of them; and where a journey is made in all of them nothing
        depends on it any more. So what must be searched as one becomes small.
        """
        plain = self.instance.plain()
        groups = [g for g in self._hanging_together(by_journey=False) if plain[g].all()]
        shares = _Shares(groups, self.until.share(0.3))
        for arcs in groups:
            until = shares.next()
            if until.left <= 0:
                break
            built = Built(self.decided, arcs, consignments=False)
            start = built.start(self.best.x)
            least, most = built.program.spans(built.x, start, until)
            self.decided.narrow(arcs, least.astype(np.int64), most.astype(np.int64))

    def _together(self, groups: list[Ints], names: Sequence[str]) -> None:
        for name in [*names, "weighted"]:
            self.found[name] = [Stage(name, 0, 0, True)]
        sought = [_Sought(arcs) for arcs in groups]
        # What was not proven in its share of the time is searched again in what the others left.
        for _ in range(2):
            again = [s for s in sought if not s.proven and len(s.arcs) <= _MANY]
            shares = _Shares([s.arcs for s in again], self.until)
            for one in again:
                until = shares.next()
                if self.until.left > 0:
                    self._seek(one, names, until)
        for one in sought:
            if one.built is None:
                for name in names:
                    self.found[name].append(self._unsought(name, one.arcs))
            else:
                self._take(one.built, one.x, one.stages)
        self.best.stages = self._stages()

    def _seek(self, one: "_Sought", names: Sequence[str], until: Deadline) -> None:
        arcs = one.arcs
        built = Built(self.decided, arcs, consignments=True)
        plain = self.instance.plain()[arcs].all()
        flows = plain and not self.decided.fixed and self.most is None and not self.weights
        journeys = built.journeys() if flows else None
        start = built.start(self.best.x)
        criteria = self._criteria(built, names)
        x, stages = one_after_another(built.program, criteria, until, start, journeys)
        order = [stage.value for stage in stages]
        if one.built is None or order <= [stage.value for stage in one.stages]:
            one.built, one.x, one.stages = built, x, stages

    def _criteria(self, built: "Built", names: Sequence[str]) -> list[Criterion]:
        if not self.weights:
            return [(name, built.cost(name)) for name in names]
        weights = {name: float(self.weights.get(name, 0.0)) for name in CRITERIA}
        weighed = {name: built.cost(name) for name in CRITERIA}
        weighed["cost"] = weighed["cost"] / 1e6
        covers = [(name, built.cost(name)) for name in names if name in COVERAGE]
        last = [("weighted", weigh(weighed, weights)), ("suits", built.cost("suits"))]
        return [*covers, *last]

    def _unsought(self, name: str, arcs: Ints) -> Stage:
        """What is known without a search: each request that is helped needs one journey."""
        if name != "consignments":
            return Stage(name, 0, -_INFINITY, False)
        i = self.instance
        helped = arcs[self.best.x[arcs] > 0]
        made = self.decided.made[i.journey[helped]]
        request = i.request[i.line[helped]]
        anyway = np.unique(i.journey[helped[made]])
        others = np.setdiff1d(request, request[made])
        value = len(np.unique(i.journey[helped]))
        return Stage(name, value, len(anyway) + len(others), False)

    def _take(self, built: "Built", x: Floats, stages: Sequence[Stage]) -> None:
        for stage in stages:
            self.found.setdefault(stage.name, []).append(stage)
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


@dataclass
class _Sought:
    """A group of what travels together, and the best that was found for it."""

    arcs: Ints
    built: Built | None = None
    x: Floats = field(default_factory=lambda: np.zeros(0))
    stages: list[Stage] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Whether nothing is left to search for."""
        return self.built is not None and all(stage.proven for stage in self.stages)


class _Shares:
    """The time that is left, divided by the size of what is still to be planned."""

    def __init__(self, groups: Sequence[Ints], until: Deadline) -> None:
        self._sizes = [len(group) for group in groups]
        self._until = until

    def next(self) -> Deadline:
        """Until when the next group may take."""
        share = self._sizes[0] / max(1, sum(self._sizes))
        self._sizes.pop(0)
        return self._until.share(share)


def _packed(groups: Sequence[Ints], few: int) -> Iterator[Ints]:
    """Small groups together, in the order in which they came."""
    small: list[Ints] = []
    for group in groups:
        if len(group) > few:
            yield group
            continue
        small.append(group)
        if sum(map(len, small)) > few:
            yield np.concatenate(small)
            small = []
    if small:
        yield np.concatenate(small)
