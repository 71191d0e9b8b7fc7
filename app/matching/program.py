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
        row = self.add_rows(np.array([lower]), np.array([upper]))
        used = np.flatnonzero(cost)
        self.put(np.full(len(used), row.start), used, cost[used])

    def solve(
        self,
        cost: Floats,
        until: Deadline,
        *,
        whole: bool = True,
        loose: slice | None = None,
        held: tuple[slice, Floats] | None = None,
    ) -> Found | None:
        """The least cost; None where nothing was found in time.

        `loose` columns need not be whole; `held` ones keep the values that are given.

        HiGHS 1.16 is not given a point to start from: with one, and its presolve, it called 3 the
        least number of consignments where it was 2 (tests/test_plans.py finds such questions).
        """
        if self.columns == 0:
            return Found(np.zeros(0), 0.0, 0.0, True, np.zeros(0), np.zeros(self.rows))
        highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in _OPTIONS.items():
            highs.setOptionValue(name, value)
        if not whole:
            for name, value in _FLOW_OPTIONS.items():
                highs.setOptionValue(name, value)
        highs.setOptionValue("time_limit", max(_LEAST_TIME, until.left))
        highs.passModel(self._model(cost, whole, loose, held))
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
        rows, columns = _joined(self.at_row, np.int64), _joined(self.at_column, np.int64)
        values = _joined(self.value)
        place = rows * max(1, self.columns) + columns
        unique, inverse = np.unique(place, return_inverse=True)
        added = np.zeros(len(unique))
        np.add.at(added, inverse, values)
        rows, columns = unique // max(1, self.columns), unique % max(1, self.columns)
        starts = np.searchsorted(rows, np.arange(self.rows + 1))
        return starts.astype(np.int32), columns.astype(np.int32), added


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
    x = start
    for n, (name, cost) in enumerate(criteria):
        found = None
        if until.left > 0:
            # No criterion may use up all the time of those that come after it.
            share = until.share(1 / min(2, len(criteria) - n))
            found = _best(program, cost, share, journeys)
        if journeys is not None and name == journeys.up_to:
            journeys = None
        if found is None or found.value > float(cost @ x) + 1e-6:
            bound = found.bound if found is not None else -INFINITY
            found = Found(x, float(cost @ x), bound, False)
        x = np.where(_joined(program.whole, np.bool_), np.rint(found.x), found.x)
        value = float(cost @ x)
        stages.append(Stage(name, value, found.bound, found.proven))
        if n + 1 < len(criteria):
            # Criteria are whole numbers on whole columns: half of one is room for rounding alone.
            program.add_row(cost, -INFINITY, value + max(0.5, 1e-9 * abs(value)))
    return x, stages


def _best(
    program: Program, cost: Floats, until: Deadline, journeys: Journeys | None
) -> Found | None:
    if journeys is None:
        return program.solve(cost, until)
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
