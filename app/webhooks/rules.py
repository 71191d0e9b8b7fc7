"""When a delivery is tried again, when an endpoint rests, and when it is paused: pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each further attempt: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours."""

JITTER = 0.1
"""A wait is up to a tenth longer, so that what failed together is not tried again together."""

SLOW_DOWN = frozenset({429, 502, 503, 504})
GONE = 410

MOST_FAILURES = 20
LONGEST_FAILING = timedelta(days=3)

LONGEST_REST = 60.0
LONGEST_ASKED_REST = 3600.0
"""How long a receiver may ask us to rest by `Retry-After`."""

TEST = "webhook.test"
"""The event that is sent on demand; it passes every filter of the endpoint that it is about."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to. `status` is None where there was no answer."""

    status: int | None
    body: str = ""
    milliseconds: int = 0
    error: str | None = None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """2xx alone is success: a redirect is not followed, and is a failure."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants nothing any more."""
        return self.status == GONE


def next_attempt(tries: int, at: datetime, jitter: float) -> datetime | None:
    """When to try again after `tries` failed attempts; None where that was the last one.

    `jitter` is a number from 0 to 1.
    """
    if tries > len(SCHEDULE):
        return None
    return at + timedelta(seconds=SCHEDULE[tries - 1] * (1 + JITTER * jitter))


def rest(failures: int, outcome: Outcome) -> float:
    """For how many seconds nothing is sent to an endpoint after its `failures`-th failure in a row.

    Where nobody answers, or the receiver says that it is too much, it rests at once: what comes
    next would only fail too. Where it answers with another error, that may be for one event alone,
    and it rests only when it happens again and again.
    """
    if outcome.delivered:
        return 0.0
    if outcome.retry_after is not None and outcome.status in SLOW_DOWN:
        return min(max(outcome.retry_after, 1.0), LONGEST_ASKED_REST)
    overloaded = outcome.status is None or outcome.status in SLOW_DOWN
    doubled = failures - 1 if overloaded else failures - 5
    return min(2.0 ** min(doubled, 10), LONGEST_REST) if doubled >= 0 else 0.0


def seconds(count: float) -> timedelta:
    """A span of time."""
    return timedelta(seconds=count)


def worn_out(failures: int, failing_since: datetime, now: datetime) -> bool:
    """Whether an endpoint is to be paused: 20 failures in a row, and no success for 3 days."""
    return failures >= MOST_FAILURES and now - failing_since >= LONGEST_FAILING


def retry_after(value: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for; None where there is none that can be read.

    Only the number of seconds is read: a date would depend on the receiver's clock.
    """
    if value is None or not value.isascii() or not value.strip().isdigit():
        return None
    return float(value.strip()[:9])
