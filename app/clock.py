"""The one door through which the time comes in."""

from collections.abc import Callable
from datetime import UTC, datetime


def _machine() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _machine


def now() -> datetime:
    """The present instant, in UTC, with microseconds."""
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Let a test set the time; None gives the machine's clock back."""
    global _source
    _source = source or _machine


def text(instant: datetime) -> str:
    """An instant as the exchange writes it everywhere: RFC 3339, UTC, microseconds, `Z`.

    The ledger's commitments cover this text, so there must be only one way to write an instant.
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
