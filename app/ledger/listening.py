"""What this process knows of the feed's end: one connection listens, however many wait.

The stream and the webhooks read sealed records only. The sealer announces each batch by one
notification; a reader that waits here wakes within milliseconds, and an idle one costs nothing.
"""

import asyncio
import contextlib
from typing import Any

import asyncpg
import structlog

from app import db
from app.ledger.sealing import CHANNEL

log = structlog.get_logger()

_AGAIN = 0.5
_LOOK = 5.0

_HEAD = "SELECT coalesce(max(seq), 0) FROM seals"


class Listening:
    """The last sealed `seq` that this process has heard of."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard = asyncio.Event()
        self.seq = 0
        self.is_ended = False

    async def beyond(self, seq: int) -> int:
        """Wait until something is sealed after `seq`, or the service stops; the last `seq`."""
        while self.seq <= seq and not self.is_ended:
            await self._heard.wait()
        return self.seq

    def end(self) -> None:
        """Wake all who wait, for the last time: the service stops."""
        self.is_ended = True
        self._wake()

    async def run(self) -> None:
        """Listen until cancelled. A lost connection is opened again."""
        while True:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._listen()
            log.warning("listening_connection_lost")
            await asyncio.sleep(_AGAIN)

    async def _listen(self) -> None:
        connection = await db.connect(
            self._url, {"application_name": "komek-listening", "timezone": "UTC"}
        )
        try:
            await connection.add_listener(CHANNEL, self._told)
            while True:
                # Looked up after listening began, and again now and then: a notification that was
                # sent while nobody listened is lost, and so is the news of a dead connection.
                self._hear(await connection.fetchval(_HEAD, timeout=_LOOK))
                await asyncio.sleep(_LOOK)
        finally:
            connection.terminate()

    def _told(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        self._hear(int(payload))

    def _hear(self, seq: int) -> None:
        if seq > self.seq:
            self.seq = seq
            self._wake()

    def _wake(self) -> None:
        # All who wait wake, and the next ones wait for the next news.
        self._heard.set()
        self._heard = asyncio.Event()
