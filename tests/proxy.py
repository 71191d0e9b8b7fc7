"""A poor link: a TCP proxy on loopback that delays, throttles and cuts, by a seeded chance.

Of the cuts, half fall after the request was sent on: the exchange did what it was asked to, and
nobody hears of it.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum


class Fate(Enum):
    """What becomes of one request and its answer."""

    PASSES = "passes"
    CUT_BEFORE = "cut before the request was sent on"
    CUT_AFTER = "cut after the request was sent on"


@dataclass
class PoorLink:
    """How poor it is, and what it has done so far."""

    to: int
    seed: int = 1
    cuts: float = 0.2
    """The share of requests that are cut."""
    delay: float = 0.02
    """The longest delay of a chunk, in seconds."""
    rate: float = 2_000_000
    """Bytes a second."""
    down: bool = False
    """Whether nobody gets through at all."""
    port: int = 0
    passed: int = 0
    cut_before: int = 0
    cut_after: int = 0
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PoorLink"]:
        """The link, until the end of the block."""
        running: set[asyncio.Task[None]] = set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            # Cancelled by the end of the link alone; streams would log it as a fault.
            with contextlib.suppress(asyncio.CancelledError):
                await self._connect(reader, writer)
            running.discard(task)

        server = await asyncio.start_server(take, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(running):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await asyncio.sleep(0.01)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.down:
                await self._join(reader, writer)
        finally:
            _end(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            return
        connection = _Connection(self)
        ways = [
            asyncio.create_task(connection.ask(reader, far_writer)),
            asyncio.create_task(connection.answer(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            _end(far_writer)
            await asyncio.gather(*ways, return_exceptions=True)

    def fate(self) -> Fate:
        """The fate of the next request."""
        if self.chance.random() >= self.cuts:
            self.passed += 1
            return Fate.PASSES
        if self.chance.random() < 0.5:
            self.cut_before += 1
            return Fate.CUT_BEFORE
        self.cut_after += 1
        return Fate.CUT_AFTER

    async def linger(self, size: int) -> None:
        """Delay and throttle."""
        await asyncio.sleep(self.chance.random() * self.delay + size / self.rate)


class _Connection:
    """One connection, on which requests follow each other."""

    def __init__(self, link: PoorLink) -> None:
        self._link = link
        self._fate: Fate | None = None

    async def ask(self, near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        while chunk := await near.read(65_536):
            if self._fate is None:
                self._fate = self._link.fate()
            if self._link.down:
                return
            await self._link.linger(len(chunk))
            if self._fate is Fate.CUT_BEFORE:
                far.write(chunk[: self._link.chance.randrange(len(chunk))])
                return
            far.write(chunk)
            await far.drain()

    async def answer(self, far: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        while chunk := await far.read(65_536):
            await self._link.linger(len(chunk))
            if self._fate is Fate.CUT_AFTER:
                near.write(chunk[: self._link.chance.randrange(len(chunk))])
                with contextlib.suppress(OSError):
                    await near.drain()
                return
            near.write(chunk)
            await near.drain()
            # The next thing that is asked is another request.
            self._fate = None


def _end(writer: asyncio.StreamWriter) -> None:
    # Not `close`: it would wait for ever with bytes that the other side does not take.
    writer.transport.abort()
