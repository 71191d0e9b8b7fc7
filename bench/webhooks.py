"""Webhooks: what is already sealed, sent by one worker to receivers on loopback.

The service is the one that a user starts, with one worker; the receiver is a process of its own
that answers each POST with 204 at once and counts every `webhook-id` once.
"""

import asyncio
import contextlib
import multiprocessing
import socket
import time
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from time import perf_counter
from typing import Any

import httpx

from bench.filling import Size
from bench.load import Strange
from bench.report import Measured
from bench.scale import Scale
from bench.stage import Server, Stage

_LEAST = 300.0
# A database of its own: the services of other measurements would take their share of the endpoints.
_SIZE = Size(lots=5_000, requests=1_000, records=10_000)
_PATIENCE = 120.0
_TYPES = ["stock.*", "offer.*", "request.*"]
"""What the filler is of; what the measurement itself does comes to nobody."""
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_NAME = b"\r\nwebhook-id:"
_LENGTH = b"\r\ncontent-length:"


class _Counting(asyncio.Protocol):
    """The least that a receiver can do: find the end of each request, and answer it."""

    def __init__(self, count: "Synchronized[int]", seen: set[bytes]) -> None:
        self._count, self._seen, self._rest = count, seen, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            if len(self._rest) < (length := end + 4 + int(_value(head, _LENGTH))):
                return
            self._rest = self._rest[length:]
            # Of several endpoints each gets an event once, at a path of its own.
            self._seen.add(head.partition(b"\r\n")[0] + _value(head, _NAME))
            self._count.value = len(self._seen)
            self._transport.write(_ANSWER)


def _value(head: bytes, name: bytes) -> bytes:
    return head[head.index(name) + len(name) :].split(b"\r\n", 1)[0].strip()


def _receive(listener: socket.socket, count: "Synchronized[int]") -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        seen: set[bytes] = set()
        server = await loop.create_server(lambda: _Counting(count, seen), sock=listener)
        await server.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def _receiver() -> Iterator[tuple[int, "Synchronized[int]"]]:
    count: Synchronized[int] = multiprocessing.Value("q", 0, lock=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        process = multiprocessing.Process(target=_receive, args=(listener, count), daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1], count
        finally:
            # It has the handler for SIGTERM of the process that it was forked from.
            process.kill()
            process.join()


def deliveries(stage: Stage, scale: Scale) -> list[Measured]:
    """Deliveries a second of one worker: to one endpoint, and to eight of them at once."""
    database = stage.database(_SIZE)
    service = stage.service(database, KOMEK_WEBHOOK_ALLOW_PRIVATE="1")
    return [_measured(service, scale.deliveries // n, n) for n in (1, 8)]


def _measured(service: Server, events: int, endpoints: int) -> Measured:
    headers = {"Authorization": f"Bearer {service.provider}"}
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{service.port}", headers=headers) as http,
        _receiver() as (port, count),
    ):
        after = _asked(http.get("/v1/events/head"), 200)["seq"] - events
        wanted = _seen(http, after) * endpoints
        body = {"types": _TYPES, "from": after}
        until = perf_counter() + _PATIENCE
        # The clock goes while they are opened: the first gets its events from then on.
        started = perf_counter()
        opened = [
            _asked(
                http.post("/v1/webhooks", json=body | {"url": f"http://127.0.0.1:{port}/{n}"}), 201
            )["id"]
            for n in range(endpoints)
        ]
        while count.value < wanted and perf_counter() < until:
            time.sleep(0.005)
        seconds = perf_counter() - started
        for webhook in opened:
            _asked(http.delete(f"/v1/webhooks/{webhook}"), 204)
    if count.value != wanted:
        raise Strange(f"{count.value} of {wanted} deliveries arrived in {seconds:.0f} s")
    places = "one endpoint" if endpoints == 1 else f"{endpoints} endpoints at once"
    return Measured(
        f"Webhooks: deliveries from one worker to {places}",
        wanted / seconds,
        f"{wanted:,} events in {seconds:.1f} s, signed, answered and noted",
        least=_LEAST,
        unit="/s",
    )


def _seen(http: httpx.Client, after: int) -> int:
    """How many events of the filler after a `seq` the society may see."""
    seen = 0
    while items := _asked(http.get(f"/v1/events?after={after}&limit=200"), 200)["items"]:
        seen += sum(e["type"].partition(".")[0] + ".*" in _TYPES for e in items)
        after = items[-1]["seq"]
    return seen


def _asked(answer: httpx.Response, status: int) -> Any:
    if answer.status_code != status:
        raise Strange(f"{answer.request.method} {answer.request.url}: {answer.text[:300]}")
    return answer.json() if answer.content else None
