"""States of an offer, what fits a request line, and what is left to do. Pure."""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.quantity import SAME, Ratio

ENDED = frozenset({"declined", "withdrawn", "expired", "completed"})
LONGEST = timedelta(days=90)
"""How long a proposal may reserve stock that nobody has accepted."""


EXPIRES_SOON_MONTHS = 3
"""Goods with less than this left are offered with a warning, as the logistics of the movement do:
they may expire on the road or in the store."""


class Outcome(NamedTuple):
    """What became of what was dispatched: of an offer line, or of a request line."""

    received: int = 0
    damaged: int = 0
    lost: int = 0

    def plus(self, other: "Outcome") -> "Outcome":
        """The sum, figure by figure."""
        return Outcome(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class Step:
    """What a journey adds to an offer line, in the units of the lot or in people."""

    line: UUID
    planned: int = 0
    dispatched: int = 0
    received: int = 0
    damaged: int = 0
    lost: int = 0

    @property
    def outcome(self) -> Outcome:
        """What it adds to what became of the goods."""
        return Outcome(self.received, self.damaged, self.lost)


def per_line(steps: Iterable[Step]) -> list[Step]:
    """One step for each offer line: the sum of those that name it, in the order of the lines."""
    total: dict[UUID, list[int]] = {}
    for step in steps:
        line, *figures = astuple(step)
        total[line] = [a + b for a, b in zip(total.get(line, [0] * 5), figures, strict=True)]
    return [Step(line, *figures) for line, figures in sorted(total.items())]


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of one offer line, in the units of the lot or in people."""

    accepted: int
    planned: int
    dispatched: int
    received: int
    damaged: int
    lost: int

    @property
    def to_plan(self) -> int:
        """Accepted and not yet in a consignment or deployment."""
        return self.accepted - self.planned

    @property
    def to_send(self) -> int:
        """Accepted and not yet dispatched: what a withdrawal or release frees."""
        return self.accepted - self.dispatched

    @property
    def on_the_way(self) -> int:
        """Dispatched and not yet accounted for."""
        return self.dispatched - self.received - self.damaged - self.lost

    @property
    def outcome(self) -> Outcome:
        """What became of what was dispatched."""
        return Outcome(self.received, self.damaged, self.lost)


def is_completed(lines: Iterable[Figures]) -> bool:
    """Nothing is left to dispatch or to receive."""
    return all(line.to_send == 0 and line.on_the_way == 0 for line in lines)


def has_left(lines: Iterable[Figures]) -> bool:
    """Something is on its way or arrived already: the offer cannot be undone altogether."""
    return any(line.dispatched for line in lines)


def lapsed(status: str, expires_at: datetime | None, now: datetime) -> bool:
    """A proposal whose time is over, even where nobody has written that down yet."""
    return status == "proposed" and expires_at is not None and expires_at <= now


def ratio_for(
    asked_item: str,
    item: str,
    accepts_substitutes: bool,
    stand_ins: Mapping[str, Ratio],
) -> Ratio | None:
    """At which ratio a lot's item counts for a line; None where it does not fit."""
    if item == asked_item:
        return SAME
    return stand_ins.get(item) if accepts_substitutes else None


def newly_covered(ratio: Ratio, stored: Outcome, outcome: Outcome, dispatched: int) -> Outcome:
    """What is added to the figures of a request line that a substitute serves, in whole units.

    `stored` are the line's figures so far, `outcome` and `dispatched` those of the offer line from
    now on, in units of the substitute. While something is on the way, a figure grows by the whole
    units that it covers: of a pair of which one piece is broken, nothing can be said yet. Once all
    is accounted for, what is left over goes to the figure that lacks most, and where two lack the
    same to the loss: half a unit in good order is of no use to anybody.

    No figure ever falls, and received + damaged + lost never exceeds what the dispatched cover, and
    equals it once all is accounted for.
    """
    added = [0, 0, 0]
    room = ratio.covered_by(sum(outcome)) - sum(stored)

    def lacks(n: int) -> int:
        """By how much a figure is behind, in parts of a unit: `ratio.quantity` parts are one."""
        return outcome[n] * ratio.per - (stored[n] + added[n]) * ratio.quantity

    # The later of equals comes first: lost, damaged, received.
    by_need = sorted(range(3), key=lambda n: (lacks(n), n), reverse=True)
    for n in by_need:
        whole = max(0, min(room, lacks(n) // ratio.quantity))
        added[n] += whole
        room -= whole
    while room > 0 and sum(outcome) == dispatched:
        added[max(range(3), key=lambda n: (lacks(n), n))] += 1
        room -= 1
    return Outcome(*added)


def months_later(day: date, months: int) -> date:
    """The same day some months later; the last of the month where that one is shorter."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def is_expired(expires_on: date | None, today: date) -> bool:
    """Goods are good until the end of the day that is printed on them."""
    return expires_on is not None and expires_on < today


def expires_soon(expires_on: date | None, today: date) -> bool:
    """Whether so little time is left that the requester has to be warned."""
    return expires_on is not None and expires_on < months_later(today, EXPIRES_SOON_MONTHS)


def undoes_unknown(decided_at: datetime | None, changed_at: datetime) -> bool:
    """Whether a withdrawal was decided before the change of an accepted offer that it would undo.

    Over a poor link a withdrawal may wait for days. Whoever decided on it could not know that the
    offer was accepted meanwhile, and that somebody counts on the goods.
    """
    return decided_at is not None and decided_at < changed_at
