"""What one society may have at once: calls in a time, and what it keeps open.

Each worker counts for itself: a count that all share would cost every call a round trip, and would
fail with what it is shared through.
"""

import contextlib
from collections.abc import Iterator
from math import ceil
from time import monotonic

from app.errors import AppError

Headers = list[tuple[bytes, bytes]]

WINDOW = 10
"""Seconds for which calls can be saved up."""


class Calls:
    """A bucket of calls for each society, filled at an even rate.

    Told as draft-ietf-httpapi-ratelimit-headers has it: `q` calls in `w` seconds, `r` of which
    remain; after `t` seconds without a call it is all of them.
    """

    def __init__(self, per_second: int) -> None:
        self._rate = per_second
        self._most = per_second * WINDOW
        # How many are spent, and when that was reckoned.
        self._spent: dict[str, tuple[float, float]] = {}
        self._policy = (b"ratelimit-policy", f'"calls";q={self._most};w={WINDOW}'.encode())

    def spend(self, society: str) -> tuple[bool, Headers]:
        """Spend a call: whether there was one left, and what the answer says about the rest."""
        now = monotonic()
        spent, at = self._spent.get(society, (0.0, now))
        spent = max(0.0, spent - (now - at) * self._rate)
        allowed = spent + 1 <= self._most
        if allowed:
            spent += 1
        self._spent[society] = (spent, now)
        left, full_in = int(self._most - spent), ceil(spent / self._rate)
        told = (b"ratelimit", b'"calls";r=%d;t=%d' % (left, full_in))
        return allowed, [self._policy, told]


class Opened:
    """What a society keeps open in this worker, such as streams: counted while it is."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._open: dict[str, int] = {}

    @contextlib.contextmanager
    def one(self, society: str) -> Iterator[None]:
        """Have one more open; 429 where that is one too many."""
        count = self._open.get(society, 0)
        if count >= self._most:
            raise AppError(
                "rate_limited",
                f"Your society has {self._most} {self._what} open here, which is the limit.",
                headers={"Retry-After": "5"},
            )
        self._open[society] = count + 1
        try:
            yield
        finally:
            self._open[society] -= 1
            if not self._open[society]:
                del self._open[society]


class Limits:
    """Every limit of one worker; without end where they are switched off, for measurements."""

    def __init__(self, on: bool, calls_per_second: int, streams: int) -> None:
        self._calls = Calls(calls_per_second) if on else None
        self.streams = Opened("streams", streams if on else 1 << 30)

    def call(self, society: str) -> tuple[bool, Headers]:
        """Count a call: whether it is allowed, and what the answer says about the rest."""
        return self._calls.spend(society) if self._calls is not None else (True, [])


def too_many_calls() -> AppError:
    """429: more calls than the society may send at once."""
    return AppError(
        "rate_limited",
        "Your society sends more calls than it may; `RateLimit-Policy` tells how many.",
        headers={"Retry-After": "1"},
    )
