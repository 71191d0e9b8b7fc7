"""States of an offer, what fits a request line, and what is left to do. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.quantity import SAME, Ratio

ENDED = frozenset({"declined", "withdrawn", "expired", "completed"})
LONGEST = timedelta(days=90)
"""How long a proposal may reserve stock that nobody has accepted."""


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


def covered(
    ratio: Ratio, dispatched: int, received: int, damaged: int, lost: int
) -> tuple[int, int, int, int]:
    """The figures of an offer line in the units of its request line.

    Each is the difference of two running totals rounded down, so that
    received + damaged + lost never exceeds dispatched, and equals it once all is accounted for,
    although one broken piece of two stands for half a unit.
    """
    first = ratio.covered_by(received)
    second = ratio.covered_by(received + damaged)
    third = ratio.covered_by(received + damaged + lost)
    return ratio.covered_by(dispatched), first, second - first, third - second
