"""Whose call gets a connection next: each society has its share of the pool.

What a worker does by itself has connections of its own (`Own`): neither a probe, nor the look-up of
a key, nor a chore ever waits behind callers.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """As `Database.transaction`, in turn."""
        await self._turn()
        try:
            async with self._database.transaction() as tx:
                yield tx
        finally:
            self._turns.give_back(self._party)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """As `Database.reading`, in turn."""
        await self._turn()
        try:
            async with self._database.reading() as connection:
                yield connection
        finally:
            self._turns.give_back(self._party)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """As `Database.snapshot`, in turn."""
        await self._turn()
        try:
            async with self._database.snapshot() as tx:
                yield tx
        finally:
            self._turns.give_back(self._party)

    async def _turn(self) -> None:
        if self._turns.take(self._party):
            return
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
