"""What is planned with, and which of it can serve whom. Pure.

Times are hours from the instant of the plan, days are counted from its day; quantities are whole
numbers of base units, people are whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

STEP_HOURS = 6.0
"""Arrival is compared in started steps: an hour sooner is not worth another truck."""
TENTHS = 10
"""The fair share: the drawn part of what a society has, in steps of a tenth."""
PRIORITIES = ("critical", "high", "normal")
NEVER = 36_500
"""Days to the expiry of what does not expire: a hundred years."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a plan is to be made."""

    latest_arrival: float | None = None
    """Hours; in place of what each request says it needs."""
    max_consignments: int | None = None
    leave_out: frozenset[str] = frozenset()
    weights: Mapping[str, float] | None = None
    margin_days: int = 30
    time_limit: float = 10.0
    substitutes: bool = True
    count_proposed: bool = False
    handling_hours: float = 12.0
    modes: frozenset[str] = frozenset({"road", "rail", "sea", "air"})


CRITERIA = ("time", "fair_share", "consignments", "cost")
"""What weights may be given to, instead of one after the other."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something of a line stays uncovered: a code, how much it concerns, one sentence."""

    code: str
    sentence: str
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How long and how dear it is from a site to a destination, by the route that was chosen."""

    hours: float
    cost_per_tonne: float
    soonest: bool


def choose(
    soonest: tuple[float, float], cheapest: tuple[float, float], before: float, latest: float
) -> Way:
    """The cheapest of the routes that arrive in the same step as the soonest, and in time.

    Both are (hours, cost of a tonne); `before` are the hours until departure, `latest` those until
    the cheapest must have arrived: no coverage is given up for a price.
    """
    arrives = before + cheapest[0]
    if (
        cheapest[1] < soonest[1]
        and arrives <= latest
        and step(arrives) == step(before + soonest[0])
    ):
        return Way(cheapest[0], cheapest[1], False)
    return Way(soonest[0], soonest[1], True)


def step(hours: float) -> int:
    """The started step in which something arrives."""
    # A thousandth of an hour is the arithmetic's and not the truck's.
    return max(0, ceil(hours / STEP_HOURS - 1e-6))


def tenths(available: int) -> list[int]:
    """What a society has, in ten parts that add up to it."""
    return [available * (k + 1) // TENTHS - available * k // TENTHS for k in range(TENTHS)]


@dataclass(frozen=True, slots=True)
class Promise:
    """People of a pool who are promised already."""

    start: float
    end: float
    headcount: int


@dataclass(frozen=True, slots=True)
class People:
    """A pool over time: how many are there, and who of them is promised when."""

    headcount: int
    start: float
    end: float
    promised: Sequence[Promise] = field(default=())

    def left_at(self, instant: float) -> int:
        """How many are free at an instant; windows are half-open."""
        if not self.start <= instant < self.end:
            return 0
        gone = sum(p.headcount for p in self.promised if p.start <= instant < p.end)
        return max(0, self.headcount - gone)

    def left_in(self, start: float, end: float) -> int:
        """How many are free for the whole of a window."""
        if start < self.start or end > self.end:
            return 0
        instants = [start, *(p.start for p in self.promised if start < p.start < end)]
        return min(self.left_at(instant) for instant in instants)


def instants(people: People, windows: Sequence[tuple[float, float]]) -> list[float]:
    """The instants that decide: where a window or a promise begins. Nothing is tighter between."""
    starts = {start for start, _ in windows}
    starts |= {p.start for p in people.promised if any(s < p.start < e for s, e in windows)}
    return sorted(starts)


def fair_share(counts: Iterable[int], most: int) -> int:
    """The largest number such that, with no more than that of each, no more than `most` remain.

    Who has less than others keeps all of it: only what is beyond everybody's share is left out.
    """
    left, share = most, 0
    rising = sorted(counts)
    for n, count in enumerate(rising):
        share = left // (len(rising) - n)
        if count > share:
            return share
        left -= count
    return max(rising, default=0)
