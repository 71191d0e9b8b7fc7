"""The rules of the trade by themselves: no database, no HTTP."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.offers.rules import (
    Outcome,
    Step,
    expires_soon,
    is_expired,
    months_later,
    newly_covered,
    per_line,
    undoes_unknown,
)
from app.quantity import Ratio
from app.stock import rules as stock

PAIR = Ratio(2, 1)
"""Two small jerrycans stand in for one large one."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_pair_of_which_one_piece_is_broken_says_nothing_while_more_is_on_the_way() -> None:
    assert newly_covered(PAIR, Outcome(), Outcome(1, 1, 0), 4) == Outcome(0, 0, 0)


def test_a_pair_of_which_one_piece_is_broken_is_damaged_once_all_is_there() -> None:
    assert newly_covered(PAIR, Outcome(), Outcome(1, 1, 0), 2) == Outcome(0, 1, 0)


def test_half_a_pair_lost_and_half_received_is_lost() -> None:
    assert newly_covered(PAIR, Outcome(), Outcome(1, 0, 1), 2) == Outcome(0, 0, 1)


def test_a_figure_that_was_told_stays_and_the_others_fill_up_the_rest() -> None:
    assert newly_covered(PAIR, Outcome(0, 1, 0), Outcome(3, 1, 0), 4) == Outcome(1, 0, 0)


RATIOS = st.builds(Ratio, st.integers(1, 7), st.integers(1, 7))
SHIPMENTS = st.lists(st.tuples(*[st.integers(0, 9)] * 3).filter(any), min_size=1, max_size=8)


@given(ratio=RATIOS, shipments=SHIPMENTS, ahead=st.integers(0, 5))
def test_figures_of_a_substitute_never_fall_and_add_up_once_all_is_accounted_for(
    ratio: Ratio, shipments: list[tuple[int, int, int]], ahead: int
) -> None:
    stored, outcome = Outcome(), Outcome()
    for shipment in shipments:
        outcome = outcome.plus(Outcome(*shipment))
        for dispatched in (sum(outcome) + ahead, sum(outcome)):
            added = newly_covered(ratio, stored, outcome, dispatched)
            assert min(added) >= 0
            stored = stored.plus(added)
            assert sum(stored) <= ratio.covered_by(dispatched)
        assert sum(stored) == ratio.covered_by(sum(outcome))
        # No figure is more than one unit away from what it really covers.
        for told, real in zip(stored, outcome, strict=True):
            assert abs(told - real * ratio.per / ratio.quantity) < 2


def test_steps_of_one_offer_line_are_one_step() -> None:
    one, two = UUID(int=1), UUID(int=2)
    steps = [Step(two, planned=5), Step(one, planned=1), Step(two, planned=7, lost=1)]
    assert per_line(steps) == [Step(one, planned=1), Step(two, planned=12, lost=1)]


def test_goods_are_good_until_the_end_of_the_day_that_is_printed_on_them() -> None:
    today = date(2026, 3, 1)
    assert not is_expired(today, today)
    assert is_expired(today - timedelta(days=1), today)
    assert not is_expired(None, today)


def test_goods_with_less_than_three_months_left_expire_soon() -> None:
    assert expires_soon(date(2026, 5, 31), date(2026, 3, 1))
    assert not expires_soon(date(2026, 6, 1), date(2026, 3, 1))
    assert not expires_soon(None, date(2026, 3, 1))


@pytest.mark.parametrize(
    ("day", "later"),
    [
        (date(2026, 11, 30), date(2027, 2, 28)),
        (date(2027, 11, 30), date(2028, 2, 29)),
        (date(2026, 12, 31), date(2027, 3, 31)),
        (date(2026, 1, 15), date(2026, 4, 15)),
    ],
)
def test_three_months_later_is_the_same_day_or_the_last_of_the_month(
    day: date, later: date
) -> None:
    assert months_later(day, 3) == later


def test_a_withdrawal_knows_of_what_happened_before_it_was_decided() -> None:
    assert undoes_unknown(NOON, NOON + timedelta(seconds=1))
    assert not undoes_unknown(NOON, NOON)
    assert not undoes_unknown(None, NOON)


def test_what_has_left_since_the_count_is_not_there_any_more() -> None:
    assert stock.still_there(1000, 600) == 400
    # More left than was counted: the count was wrong, and nothing can be promised on it.
    assert stock.still_there(500, 600) == 0


def test_a_count_below_what_is_promised_is_a_shortfall_and_stops_new_promises() -> None:
    assert stock.shortfall(700, 1500) == 800
    assert stock.available(700, 0, 1500) == 0
    assert stock.ceiling(700, 0, 1500) == 1500
