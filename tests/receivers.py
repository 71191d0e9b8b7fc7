"""Receivers of webhooks: real HTTP on loopback, answering as a test tells them, and a deliverer."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.service.stopping import end
from app.webhooks.delivering import Deliverer, Pace
from app.webhooks.rules import Outcome
from app.webhooks.sending import Bounds, Resolve, Sender
from tests.conftest import Service
from tests.world import Json, System, done


@dataclass
class Received:
    """One POST as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Json:
        event: Json = json.loads(self.body)
        return event

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[["Received", asyncio.StreamWriter], Awaitable[None] | None]


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer that is always the same."""
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def write(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)

    return write


TAKEN = answer(204)


@dataclass
class Receiver:
    """A society's system that is told what happens."""

    port: int = 0
    answers: Answer = TAKEN
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def ids(self) -> list[str]:
        return [r.id for r in self.received]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Cut every connection, as a process that is killed does."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def until(self, enough: Callable[[], bool], within: float = 30) -> None:
        """Wait until something has come in."""
        async with asyncio.timeout(within):
            while not enough():
                self._news.clear()
                await self._news.wait()

    async def count(self, number: int, within: float = 30) -> list[Received]:
        await self.until(lambda: len(self.received) >= number, within)
        return self.received

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                received = Received(first.split(" ")[1], headers, body)
                self.received.append(received)
                self._news.set()
                waiting = self.answers(received, writer)
                if waiting is not None:
                    await waiting
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@asynccontextmanager
async def told(system: System, receiver: Receiver, **wanted: Any) -> AsyncIterator[Json]:
    """An endpoint of a society at a receiver; deleted at the end, for the sake of other tests."""
    endpoint = done(await system.post("/v1/webhooks", {"url": receiver.url, **wanted}), 201)
    try:
        yield endpoint
    finally:
        await system.http.delete(f"/v1/webhooks/{endpoint['id']}")


class Obliging(Sender):
    """Reaches nobody and is always answered: for names that stand for no system."""

    def __init__(self) -> None:
        super().__init__(Bounds())

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Outcome:
        return Outcome(204)


@asynccontextmanager
async def delivering(
    service: Service,
    resolve: Resolve | None = None,
    *,
    seconds: float = 5,
    sender: Sender | None = None,
    **bounds: Any,
) -> AsyncIterator[None]:
    """A deliverer beside the service, which looks for what is due more often than a real one."""
    if sender is None:
        sender = Sender(Bounds(timeout=seconds, **{"allow_private": True, **bounds}), resolve)
    pace = Pace(lease=seconds + 10, tick=0.02)
    deliverer = Deliverer(service.database, service.app.state.stream, sender, pace)
    running = asyncio.create_task(deliverer.run())
    try:
        yield
    finally:
        await end([running])


async def eventually(look: Callable[[], Awaitable[Any]], within: float = 20) -> Any:
    """What a look finds, once it finds something; nothing announces when the service noted it."""
    async with asyncio.timeout(within):
        while not (found := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def deliveries(system: System, endpoint: Json, **wanted: str) -> list[Json]:
    page = done(await system.get(f"/v1/webhooks/{endpoint['id']}/deliveries", **wanted))
    found: list[Json] = page["items"]
    return found


async def progress(system: System, endpoint: Json) -> Json:
    return done(await system.get(f"/v1/webhooks/{endpoint['id']}/progress"))


async def send_test(system: System, endpoint: Json) -> None:
    done(await system.post(f"/v1/webhooks/{endpoint['id']}/test"), 202)


@asynccontextmanager
async def receiving(**options: Any) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(**options)
    await receiver.start()
    try:
        yield receiver
    finally:
        with contextlib.suppress(Exception):
            await receiver.die()
