"""A linear program with whole numbers, and HiGHS to solve it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

INFINITY = float("inf")
_LEAST_TIME = 0.05
_WHOLE_GAP = 0.5
_NO_PRICE = 0.5
_NEAR = 1e-3
_AMOUNTS_TIME = 3.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when the solver may search; every stage gets what the ones before it left."""

    at: float

    @classmethod
    def within(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(monotonic() + seconds)

    def share(self, part: float) -> "Deadline":
        """A part of what is left."""
        return Deadline(monotonic() + self.left * part)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.at - monotonic())


@dataclass(frozen=True, slots=True)
class Found:
    """What the solver found: `bound` is what no solution can be better than."""

    x: Floats
    value: float
    bound: float
    proven: bool
    reduced: Floats | None = None
    duals: Floats | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """How far one criterion got: its value, what is proven of it, and the gap between them."""

    name: str
    value: float
    bound: float
    proven: bool

    @property
    def gap(self) -> float:
        """How far from the bound, as a part of the value; 0 where it is proven the best."""
        if self.proven:
            return 0.0
        if self.bound == -INFINITY:
            return 1.0
        return abs(self.value - self.bound) / max(1.0, abs(self.value), abs(self.bound))


@dataclass
class Program:
    """Columns, and rows as triples; grows by blocks of arrays and never cell by cell."""

    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    whole: list[Bools] = field(default_factory=list)
    row_lower: list[Floats] = field(default_factory=list)
    row_upper: list[Floats] = field(default_factory=list)
    at_row: list[Ints] = field(default_factory=list)
    at_column: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    columns: int = 0
    rows: int = 0
    _compressed: tuple[int, NDArray[np.int32], NDArray[np.int32], Floats] | None = None

    def add_columns(self, lower: Any, upper: Any, whole: bool = True) -> slice:
        """New columns; where they are."""
        upper = np.asarray(upper, dtype=np.float64)
        lower = np.broadcast_to(np.asarray(lower, dtype=np.float64), upper.shape)
        start, self.columns = self.columns, self.columns + len(upper)
        self.lower.append(lower)
        self.upper.append(upper)
        self.whole.append(np.full(len(upper), whole))
        return slice(start, self.columns)

    def add_rows(self, lower: Any, upper: Any) -> slice:
        """New rows without cells; where they are."""
        upper = np.asarray(upper, dtype=np.float64)
        lower = np.broadcast_to(np.asarray(lower, dtype=np.float64), upper.shape)
        start, self.rows = self.rows, self.rows + len(upper)
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return slice(start, self.rows)

    def put(self, rows: Any, columns: Any, values: Any) -> None:
        """Cells; those of the same place add up."""
        rows = np.asarray(rows, dtype=np.int64)
        self.at_row.append(rows)
        self.at_column.append(np.broadcast_to(np.asarray(columns, dtype=np.int64), rows.shape))
        self.value.append(np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape))

    def add_row(self, cost: Floats, lower: float, upper: float) -> None:
        """One row over all columns, such as a criterion that must not get worse again."""
        # To the size of the other rows, by a power of two: the solver's tolerances are absolute.
        scale = 2.0 ** -np.floor(np.log2(max(1.0, np.abs(cost).max(initial=0.0))))
        row = self.add_rows(np.array([lower * scale]), np.array([upper * scale]))
        used = np.flatnonzero(cost)
        self.put(np.full(len(used), row.start), used, cost[used] * scale)

    def solve(
        self,
        cost: Floats,
        until: Deadline,
        *,
        whole: bool = True,
        loose: slice | None = None,
        held: tuple[slice, Floats] | None = None,
        as_good_as: Found | None = None,
    ) -> Found | None:
        """The least cost; None where nothing was found in time.

        `loose` columns need not be whole; `held` ones keep the values that are given; where
        `as_good_as` is the answer of a linear program, only what is as good as it is looked at.

        HiGHS 1.16 is not given a point to start from: with one, and its presolve, it called 3 the
        least number of consignments where it was 2 (tests/test_plans.py finds such questions).
        """
        if self.columns == 0:
            return Found(np.zeros(0), 0.0, 0.0, True, np.zeros(0), np.zeros(self.rows))
        highs = _solver(_OPTIONS if whole else _OPTIONS | _FLOW_OPTIONS)
        if whole and (cost == np.rint(cost)).all():
            # Whole costs of whole columns: what is less than one from the bound is the best.
            highs.setOptionValue("mip_abs_gap", _WHOLE_GAP)
        highs.setOptionValue("time_limit", max(_LEAST_TIME, until.left))
        model = self._model(cost, whole, loose, held)
        if as_good_as is not None:
            self._keep_as_good(model, as_good_as)
        highs.passModel(model)
        highs.run()
        info = highs.getInfo()
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        optimal = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        solution = highs.getSolution()
        x = np.array(solution.col_value)
        value = float(cost @ x)
        if whole:
            bound = value if optimal else float(info.mip_dual_bound)
            return Found(x, value, bound, optimal)
        if not optimal:
            return None
        reduced, duals = np.array(solution.col_dual), np.array(solution.row_dual)
        return Found(x, value, value, True, reduced, duals)

    def _keep_as_good(self, model: Any, best: Found) -> None:
        """Complementary slackness: what has a price stays where it is. Costs are whole."""
        assert best.reduced is not None
        assert best.duals is not None
        x = np.rint(best.x)
        lower, upper = np.array(model.col_lower_), np.array(model.col_upper_)
        priced = np.abs(best.reduced) > _NO_PRICE
        lower[priced] = upper[priced] = x[priced]
        model.col_lower_, model.col_upper_ = lower, upper
        starts, columns, values = self.matrix()
        sums = np.zeros(self.rows)
        np.add.at(sums, np.repeat(np.arange(self.rows), np.diff(starts)), values * x[columns])
        lower, upper = np.array(model.row_lower_), np.array(model.row_upper_)
        tight = np.abs(best.duals) > _NO_PRICE
        lower[tight] = upper[tight] = sums[tight]
        model.row_lower_, model.row_upper_ = lower, upper

    def spans(self, columns: slice, known: Floats, until: Deadline) -> tuple[Floats, Floats]:
        """The least and the most that each of these columns can be, were none of them whole.

        `known` is a solution. Where time runs out the columns' own bounds are told.
        """
        lower, upper = _joined(self.lower)[columns], _joined(self.upper)[columns]
        least, most = lower.copy(), upper.copy()
        seen_least, seen_most = known[columns].copy(), known[columns].copy()
        highs = _solver(_OPTIONS | _SPAN_OPTIONS)
        highs.passModel(self._model(np.zeros(self.columns), False, None, None))
        for n in range(len(lower)):
            for sign, seen, bound, found in (
                (1.0, seen_least, lower, least), (-1.0, seen_most, upper, most),
            ):  # fmt: skip
                if seen[n] == bound[n]:
                    continue
                if until.left <= 0:
                    return least, most
                highs.changeColCost(columns.start + n, sign)
                highs.run()
                if highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                    x = np.rint(np.array(highs.getSolution().col_value)[columns])
                    seen_least, seen_most = np.minimum(seen_least, x), np.maximum(seen_most, x)
                    found[n] = x[n]
            highs.changeColCost(columns.start + n, 0.0)
        return least, most

    def _model(
        self,
        cost: Floats,
        whole: bool,
        loose: slice | None,
        held: tuple[slice, Floats] | None,
    ) -> Any:
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self.columns, self.rows
        model.col_cost_ = cost
        lower, upper = _joined(self.lower), _joined(self.upper)
        if held is not None:
            lower[held[0]] = upper[held[0]] = held[1]
        model.col_lower_, model.col_upper_ = lower, upper
        model.row_lower_, model.row_upper_ = _joined(self.row_lower), _joined(self.row_upper)
        starts, columns, values = self.matrix()
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_, model.a_matrix_.index_ = starts, columns
        model.a_matrix_.value_ = values
        if whole:
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            flags = np.concatenate(self.whole)
            if loose is not None:
                flags[loose] = False
            model.integrality_ = [kinds[flag] for flag in flags.astype(np.int64).tolist()]
        return model

    def matrix(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
        """The rows, compressed: where each begins, the columns, the values."""
        # Three ask for it, one after the other; cells are only ever added.
        size = len(self.at_row) + self.rows + self.columns
        if self._compressed is not None and self._compressed[0] == size:
            return self._compressed[1:]
        rows, columns = _joined(self.at_row, np.int64), _joined(self.at_column, np.int64)
        values = _joined(self.value)
        place = rows * max(1, self.columns) + columns
        unique, inverse = np.unique(place, return_inverse=True)
        added = np.zeros(len(unique))
        np.add.at(added, inverse, values)
        rows, columns = unique // max(1, self.columns), unique % max(1, self.columns)
        starts = np.searchsorted(rows, np.arange(self.rows + 1))
        self._compressed = size, starts.astype(np.int32), columns.astype(np.int32), added
        return self._compressed[1:]


# One thread and a fixed seed: the same question on the same data gives the same answer.
_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "log_to_console": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-6,
}

# A flow has nothing to presolve; devex prices were the fastest of those measured.
_FLOW_OPTIONS: dict[str, Any] = {"presolve": "off", "simplex_dual_edge_weight_strategy": 1}


# From one question to the next only the price of a column changes: what was found stays feasible.
_SPAN_OPTIONS: dict[str, Any] = {"presolve": "off", "simplex_strategy": 4}


def _solver(options: dict[str, Any]) -> Any:
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in options.items():
        highs.setOptionValue(name, value)
    return highs


def _joined(blocks: Sequence[Any], kind: Any = np.float64) -> Any:
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=kind)


Criterion = tuple[str, Floats]


@dataclass(frozen=True, slots=True)
class Journeys:
    """Where a program is a flow once it is known who travels: `amounts` follow from `chosen`.

    Then only the choice must be searched in whole numbers. The amounts of a flow are whole by
    themselves, as a vertex of the linear program in which the choice is held.
    """

    amounts: slice
    chosen: slice
    up_to: str
    """The last criterion of which this is true: the next one is held by a row over the amounts."""
    cost: Floats
    """What the amounts are chosen by, among those that the choice allows."""


def one_after_another(
    program: Program,
    criteria: Sequence[Criterion],
    until: Deadline,
    start: Floats,
    journeys: Journeys | None = None,
) -> tuple[Floats, list[Stage]]:
    """Lexicographic: the least of each criterion among what is the least of those before it.

    Where time runs out the best that was found goes on, and the stage tells what is proven of it.
    """
    stages: list[Stage] = []
    x, tied = start, None
    for n, (name, cost) in enumerate(criteria):
        found = None
        if until.left > 0:
            # No criterion may use up all the time of those that come after it.
            share = until.share(1 / min(2, len(criteria) - n))
            found = _best(program, cost, share, tied or journeys, x if tied else None)
        if journeys is not None and name == journeys.up_to:
            tied = journeys
        if found is None or found.value > float(cost @ x) + 1e-6:
            bound = found.bound if found is not None else -INFINITY
            found = Found(x, float(cost @ x), bound, False)
        x = np.where(_joined(program.whole, np.bool_), np.rint(found.x), found.x)
        value = float(cost @ x)
        stages.append(Stage(name, value, found.bound, found.proven))
        if n + 1 < len(criteria):
            # Criteria are whole numbers on whole columns: half of one is room for rounding alone.
            # With more room the next criterion is bounded by what breaks this one a little, and
            # is never proven.
            program.add_row(cost, -INFINITY, value + max(0.5, 1e-11 * abs(value)))
    return x, stages


def _best(
    program: Program,
    cost: Floats,
    until: Deadline,
    journeys: Journeys | None,
    decided: Floats | None = None,
) -> Found | None:
    if journeys is None:
        return program.solve(cost, until)
    if decided is not None:
        return _among_equals(program, cost, until, journeys, decided)
    chosen = program.solve(cost, until, loose=journeys.amounts)
    if chosen is None:
        return None
    held = np.rint(chosen.x[journeys.chosen])
    by = np.zeros(program.columns)
    by[: len(journeys.cost)] = journeys.cost
    # Quick, and without it the choice would be lost: it may take a little beyond the time.
    after = Deadline.within(max(_AMOUNTS_TIME, until.left))
    amounts = program.solve(by, after, whole=False, held=(journeys.chosen, held))
    if amounts is None:
        return None
    return Found(amounts.x, float(cost @ amounts.x), chosen.bound, chosen.proven)


def _among_equals(
    program: Program, cost: Floats, until: Deadline, journeys: Journeys, decided: Floats
) -> Found | None:
    """The criterion after the price: a flow again among the amounts that cost the same.

    That is the best with these journeys. Whether it is with others at the same price is asked of
    the program in which only journeys are whole: its bound holds for whole amounts too.
    """
    by = np.zeros(program.columns)
    by[: len(journeys.cost)] = journeys.cost
    held = (journeys.chosen, np.rint(decided[journeys.chosen]))
    after = Deadline.within(max(_AMOUNTS_TIME, until.left))
    cheapest = program.solve(by, after, whole=False, held=held)
    if cheapest is None or cheapest.value > float(by @ decided) + 0.5:
        return program.solve(cost, until)
    here = program.solve(cost, after, whole=False, held=held, as_good_as=cheapest)
    if here is None:
        return program.solve(cost, until)
    others = program.solve(cost, until.share(0.5), loose=journeys.amounts)
    bound = others.bound if others is not None else -INFINITY
    if bound <= here.value - 1 + _NEAR and until.left > 0:
        better = program.solve(cost, until)
        if better is not None and (better.value < here.value - 0.5 or better.proven):
            return better
        bound = max(bound, better.bound if better is not None else -INFINITY)
    if bound > here.value - 1 + _NEAR:
        return Found(here.x, here.value, here.value, True)
    return Found(here.x, here.value, bound, False)
