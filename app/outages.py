"""What one pool of connections learns of an outage, all pools of the process know."""

from time import monotonic
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine


class Outage:
    """When the database was last away: connections from before that are replaced unused.

    Otherwise each of them, in each pool, would cost a call after a restart or a failover, while
    the probe, which has a pool of its own, says that all is well.
    """

    def __init__(self) -> None:
        self._at = 0.0

    def watch(self, engine: AsyncEngine) -> None:
        """Have the pool of this engine look at the age of what it hands out."""
        event.listen(engine.sync_engine, "connect", self._opened)
        event.listen(engine.sync_engine, "checkout", self._checked_out)

    def is_noted(self) -> None:
        """A connection has failed just now."""
        self._at = monotonic()

    def _opened(self, connection: Any, record: Any) -> None:
        record.info["opened"] = monotonic()

    def _checked_out(self, connection: Any, record: Any, proxy: Any) -> None:
        if record.info["opened"] <= self._at:
            # The pool opens another one in its place.
            raise DisconnectionError
