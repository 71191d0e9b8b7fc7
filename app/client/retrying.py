"""The rules of repeating: which outcome may be followed by a repeat, and after which wait. Pure.

They are the exchange's documented rules (docs/client.md), the same for a client in any language.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

_ALWAYS = frozenset({408, 429, 502, 503, 504, 507})
_MOST_500 = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """How patient a client is. All in seconds."""

    patience: float = 300.0
    """From the first attempt to the last answer."""
    first: float = 0.25
    """The bound of the first wait; it doubles with every further one …"""
    longest: float = 30.0
    """… up to this."""
    longest_told: float = 120.0
    """The longest `Retry-After` that is obeyed; of a longer one, this much."""


class Fate(Enum):
    """What is known of an attempt that got no final answer."""

    NOTHING_DONE = "nothing done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: an answer, or a failure of the link (`status` is None)."""

    status: int | None
    code: str | None = None
    retry_after: str | None = None
    sent: bool = True
    """Of a failure of the link: whether anything of the call may have reached the exchange."""

    @property
    def fate(self) -> Fate:
        """Whether the call may have had its effect, where this outcome is not the last word."""
        if self.status is None:
            return Fate.UNKNOWN if self.sent else Fate.NOTHING_DONE
        # A refusal before the work began, in contrast to a gateway that lost sight of it.
        return Fate.NOTHING_DONE if self.status in {408, 429, 507} else Fate.UNKNOWN


def may_be_repeated(outcome: Outcome, earlier_500s: int) -> bool:
    """Whether a repeat may follow. `earlier_500s` are the repeats that a 500 has had already."""
    if outcome.status is None or outcome.status in _ALWAYS:
        return True
    if outcome.status == 500:
        return earlier_500s < _MOST_500
    return outcome.status == 409 and outcome.code == "idempotency_in_progress"


def wait(
    rules: Rules, repeats: int, retry_after: str | None, chance: float, today: datetime
) -> float:
    """Seconds before the next attempt.

    What the exchange asks for in `Retry-After`, else exponential back-off with full jitter:
    anything from 0 up to a bound that doubles (`chance` is 0 to 1). Without the jitter, all who
    were cut off together would come back together.
    """
    told = seconds_told(retry_after, today)
    if told is not None:
        return min(told, rules.longest_told)
    # The exponent is bounded: 2.0 ** 1024 is no number any more.
    return chance * min(rules.longest, rules.first * 2.0 ** min(repeats, 64))


def seconds_told(retry_after: str | None, today: datetime) -> float | None:
    """What a `Retry-After` asks for, given in seconds or as a date; None where it is neither."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - today).total_seconds())


def counts_as_done(method: str, status: int, unknown_before: bool) -> bool:
    """Whether a refusal only says that an earlier attempt had its effect.

    A DELETE that finds nothing after an attempt whose outcome is not known: it was that attempt.
    """
    return method == "DELETE" and status == 404 and unknown_before
