"""Whose call gets a connection next: each society has its share of the pool.

What a worker does by itself has connections of its own (`Own`): neither a probe, nor the look-up of
a key, nor a chore ever waits behind callers.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Annotated, Protocol

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import ClientDisconnect

from app.config import Settings
from app.db import RETRY, Database
from app.errors import AppError
from app.outages import Outage
from app.turns import Gone, Left, QueueFull, Turns


class Connections(Protocol):
    """Where connections come from: a pool, or one society's share of it."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction: committed at the end, rolled back when anything is raised."""
        ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for single SELECTs."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for SELECTs that must all see one and the same state."""
        ...


_BYTES = 32_768
"""Of a body that waits in memory, for each further place in the queue that it takes."""


class Callers:
    """The pool as the callers of one worker have it, in turn."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._wait = settings.pool_wait
        self._turns = Turns(
            settings.pool_size,
            settings.queue if settings.limits else 1 << 30,
            fair=settings.limits,
        )

    def of(self, party: str, gone: Gone | None = None, size: int = 0) -> "Share":
        """The share of one party.

        `gone` returns when the caller has left: then its place in the queue is given up. `size` is
        how many bytes the call holds meanwhile.
        """
        return Share(self._database, self._turns, party, self._wait, gone, 1 + size // _BYTES)

    def held(self, party: str) -> int:
        """How many connections a party has."""
        return self._turns.held(party)

    def waiting(self) -> int:
        """How many calls wait for a connection."""
        return self._turns.waiting()


@dataclass(frozen=True, slots=True)
class Share:
    """A pool as one party gets it. A call holds one connection at a time, never two."""

    _database: Database
    _turns: Turns
    _party: str
    _wait: float
    _gone: Gone | None
    _weight: int = 1

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `Database.transaction`, in turn."""
        return _InTurn(self, self._database.transaction())

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `Database.reading`, in turn."""
        return _InTurn(self, self._database.reading())

    def snapshot(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `Database.snapshot`, in turn."""
        return _InTurn(self, self._database.snapshot())

    def take(self) -> bool:
        """Take a place at once; False where the party has to wait."""
        return self._turns.take(self._party)

    def give_back(self) -> None:
        """Give a place back."""
        self._turns.give_back(self._party)

    async def wait(self) -> None:
        """Wait for a place; raises 503 `busy` and 429 `rate_limited`."""
        try:
            await self._turns.wait(self._party, self._wait, self._gone, self._weight)
        except TimeoutError:
            raise AppError(
                "busy", "No database connection came free in time.", headers=RETRY
            ) from None
        except QueueFull:
            raise AppError(
                "rate_limited",
                "Too many calls of your society wait already: send fewer at once.",
                headers=RETRY,
            ) from None
        except Left:
            raise ClientDisconnect from None


class _InTurn(AbstractAsyncContextManager[AsyncConnection]):
    """A connection that is taken when it is the party's turn.

    Written out, because a generator more around every call costs as much as the turn itself.
    """

    __slots__ = ("_connection", "_share")

    def __init__(
        self, share: Share, connection: AbstractAsyncContextManager[AsyncConnection]
    ) -> None:
        self._share = share
        self._connection = connection

    async def __aenter__(self) -> AsyncConnection:
        if not self._share.take():
            await self._share.wait()
        try:
            return await self._connection.__aenter__()
        except BaseException:
            self._share.give_back()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._connection.__aexit__(kind, error, trace)
        finally:
            self._share.give_back()


class Own:
    """The connections of what a worker does by itself, apart from those of its callers.

    Some chores wait for locks that callers hold; a probe and the look-up of a key wait for nobody.
    """

    CONNECTIONS = 6

    def __init__(self, url: str, settings: Settings, outage: Outage) -> None:
        def pool(size: int) -> Database:
            return Database(url, replace(settings, pool_size=size), outage)

        self.chores, self.keys, self.probes = pool(self.CONNECTIONS - 2), pool(1), pool(1)

    async def close(self) -> None:
        """Close all of them."""
        for database in (self.chores, self.keys, self.probes):
            await database.close()


async def _share(request: Request) -> Connections:
    share: Connections = request.state.share
    return share


Snapshots = Annotated[Connections, Depends(_share)]
"""For a `Question`: it opens a snapshot itself, and lets it go before it begins to think."""
