"""The plan is the best there is: against every plan there is, on thousands of small instances."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.matching.building import STAGES
from app.matching.model import Instance, faults, measure
from app.matching.planning import nearest_first, plan
from app.matching.program import Deadline
from app.matching.rules import NEVER

Numbers = list[int]


def instance(
    rows: Numbers,
    lines: list[tuple[int, int, int]],
    arcs: list[dict[str, Any]],
    owner_of: Numbers,
    lots: list[tuple[int, int, int]] | None = None,
    site_of: Numbers | None = None,
    stock: Numbers | None = None,
) -> Instance:
    """`lines` are (need, rank, request); `lots` are (row, quantity, days)."""

    def whole(values: Any) -> Any:
        return np.array(list(values), dtype=np.int64)

    sites = site_of or list(range(len(rows)))
    drawn = [(row, n) for n, arc in enumerate(arcs) for row in arc["rows"]]
    owned = [0] * (max(owner_of, default=-1) + 1)
    for row, had in enumerate(rows):
        owned[owner_of[row]] += had
    kept = sorted(lots if lots is not None else [(r, had, NEVER) for r, had in enumerate(rows)])
    return Instance(
        limit=whole(rows),
        at_row=whole(r for r, _ in drawn),
        at_arc=whole(a for _, a in drawn),
        stock=whole(stock or owned),
        need=whole(need for need, _, _ in lines),
        rank=whole(rank for _, rank, _ in lines),
        request=whole(request for _, _, request in lines),
        owner=whole(owner_of[arc["rows"][0]] for arc in arcs),
        journey=whole(sites[arc["rows"][0]] * 100 + lines[arc["line"]][2] for arc in arcs),
        line=whole(arc["line"] for arc in arcs),
        step=whole(arc["step"] for arc in arcs),
        cost=whole(arc["cost"] for arc in arcs),
        use=whole(arc.get("use", 1) for arc in arcs),
        cover=whole(arc.get("cover", 1) for arc in arcs),
        ill=whole(arc.get("ill", 0) for arc in arcs),
        lot_row=whole(r for r, _, _ in kept),
        lot_left=whole(q for _, q, _ in kept),
        lot_days=whole(d for _, _, d in kept),
    )


small = st.integers(0, 3)


@st.composite
def goods(draw: st.DrawFn, ratios: bool = False) -> Instance:
    """Some lots, some lines, and what may serve what."""
    n_rows, n_lines = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rows: Numbers = []
    lots = []
    for row in range(n_rows):
        parts = draw(
            st.lists(
                st.tuples(st.integers(1, 2), st.sampled_from([40, 90, NEVER])),
                min_size=1,
                max_size=2,
            )
        )
        lots += [(row, quantity, days) for quantity, days in parts]
        rows.append(sum(quantity for quantity, _ in parts))
    lines = [
        (draw(st.integers(1, 4)), draw(st.integers(0, 2)), draw(st.integers(0, 1)))
        for _ in range(n_lines)
    ]
    owner_of = [draw(st.integers(0, row)) for row in range(n_rows)]
    pairs = [(r, line) for r in range(n_rows) for line in range(n_lines)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=5))
    arcs = [
        {
            "rows": [r],
            "line": line,
            "step": draw(small),
            "cost": draw(small),
            "use": draw(st.integers(1, 2)) if ratios else 1,
            "cover": draw(st.integers(1, 2)) if ratios else 1,
        }
        for r, line in sorted(chosen)
    ]
    sites = [draw(st.integers(0, 1)) for _ in range(n_rows)]
    owner_of = _from_zero(owner_of)
    return instance(rows, lines, arcs, owner_of, lots, sites)


def _from_zero(of: Numbers) -> Numbers:
    names = {owner: n for n, owner in enumerate(sorted(set(of)))}
    return [names[owner] for owner in of]


@st.composite
def people(draw: st.DrawFn) -> Instance:
    """Pools whose people may serve two lines one after the other, and not at once."""
    n_pools, n_lines = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    windows = [draw(st.tuples(st.integers(0, 3), st.integers(1, 3))) for _ in range(n_lines)]
    lines = [(draw(st.integers(1, 3)), draw(st.integers(0, 2)), n) for n in range(n_lines)]
    rows: Numbers = []
    owner_of: Numbers = []
    at: dict[tuple[int, int], Numbers] = {}
    for pool in range(n_pools):
        for instant in sorted({start for start, _ in windows}):
            there = [n for n, (s, long) in enumerate(windows) if s <= instant < s + long]
            for n in there:
                at.setdefault((pool, n), []).append(len(rows))
            rows.append(draw(st.integers(0, 3)))
            owner_of.append(pool)
    arcs = [
        {"rows": of, "line": n, "step": draw(small), "cost": 0, "ill": draw(st.integers(0, 1))}
        for (_, n), of in sorted(at.items())
    ]
    return instance(rows, lines, arcs, owner_of, [], list(owner_of), [3] * (max(owner_of) + 1))


def every(question: Instance, most: int | None = None) -> list[np.ndarray[Any, Any]]:
    """Every plan there is."""
    spans = [range(int(m) + 1) for m in question.most]
    plans = [np.array(x, dtype=np.int64) for x in itertools.product(*spans)]
    return [
        x
        for x in plans
        if not faults(question, x) and (most is None or measure(question, x).consignments <= most)
    ]


def best(question: Instance, most: int | None = None) -> tuple[int, ...]:
    return min(measure(question, x).order for x in every(question, most))


def found(question: Instance, **options: Any) -> tuple[int, ...]:
    made = plan(question, Deadline.within(20), **options)
    assert faults(question, made.x) == []
    assert made.optimal, made.stages
    assert [s.name for s in made.stages] == list(STAGES)
    return measure(question, made.x).order


@settings(max_examples=600, deadline=None)
@given(goods())
def test_no_plan_for_goods_is_better(question: Instance) -> None:
    assert found(question) == best(question)


@settings(max_examples=300, deadline=None)
@given(goods(ratios=True))
def test_no_plan_with_substitutes_is_better(question: Instance) -> None:
    assert found(question) == best(question)


@settings(max_examples=300, deadline=None)
@given(people())
def test_no_plan_for_people_over_time_is_better(question: Instance) -> None:
    assert found(question) == best(question)


@settings(max_examples=200, deadline=None)
@given(goods(), st.integers(1, 2))
def test_no_plan_with_so_few_consignments_is_better(question: Instance, most: int) -> None:
    assert found(question, most=most) == best(question, most)


@settings(max_examples=300, deadline=None)
@given(st.one_of(goods(), goods(ratios=True), people()))
def test_the_plan_is_never_worse_than_nearest_first(question: Instance) -> None:
    greedy = measure(question, nearest_first(question)).order
    assert found(question) <= greedy


@pytest.mark.parametrize("kind", [goods(), goods(ratios=True), people()])
def test_the_same_question_gets_the_same_answer(kind: st.SearchStrategy[Instance]) -> None:
    @settings(max_examples=50, deadline=None)
    @given(kind)
    def ask_twice(question: Instance) -> None:
        first = plan(question, Deadline.within(20))
        again = plan(question, Deadline.within(20))
        assert (first.x == again.x).all()

    ask_twice()
