"""When an owner's count was made, and whether it may replace the one that stands."""

from datetime import datetime

from app import clock
from app.errors import AppError, Fault


def moment(sent: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """The `as_of` of a count: the one that was sent, or this moment.

    Raises 409 `stale_count` where it is older than the last one. A count that waited in a queue for
    days would otherwise bring back what has left meanwhile.
    """
    if sent is None:
        # Never before the last one, whose clock may be a little ahead of ours.
        return max(now, last) if last is not None else now
    if last is not None and sent < last:
        message = f"It was counted later, at {clock.text(last)}; this is as of {clock.text(sent)}."
        raise AppError(
            "stale_count",
            message,
            faults=[Fault("/as_of", "stale_count", message)],
            extra={"as_of": clock.text(last)},
        )
    return sent
