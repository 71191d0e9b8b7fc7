"""Heads of requests, trailers of bodies and requests that come in a heap: bounded before anyone is
known."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import httpx
import pytest

from app.embedded import EmbeddedPostgres
from app.service.server import HEAD_LIMIT
from tests.conftest import Service
from tests.processes import make_database, running
from tests.test_limits import opened, rest
from tests.wire import wire_of
from tests.world import System

_MEGABYTE = 1 << 20


async def _answers(service: Service, sent: bytes) -> bytes:
    reader, writer = await opened(service.url)
    with contextlib.suppress(ConnectionError):
        writer.write(sent)
        await writer.drain()
    found = await rest(reader)
    writer.close()
    return found


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez?" + b"q" * HEAD_LIMIT + b" HTTP/1.1\r\nHost: x\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * HEAD_LIMIT + b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 0123456789\r\n" * 2_000,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"n" * 40_000 + b": 1\r\n",
    ],
    ids=["address", "field", "fields", "name"],
)
@pytest.mark.parametrize("ends", [True, False])
async def test_a_head_that_is_too_large_is_refused_whether_it_ends_or_not(
    service: Service, head: bytes, ends: bool
) -> None:
    answer = await _answers(service, head + (b"\r\n" if ends else b"X-More: " + b"z" * 8_192))
    told, _, body = answer.partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 431 "), told
    assert b"connection: close" in told
    assert json.loads(body)["code"] == "head_too_large"


async def test_a_head_up_to_the_limit_is_taken(service: Service) -> None:
    close = b"Connection: close\r\n"
    start = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + close
    field = b"X-Long: " + b"y" * (HEAD_LIMIT - len(start) - 100) + b"\r\n\r\n"
    assert (await _answers(service, start + field)).startswith(b"HTTP/1.1 200 ")


async def test_trailers_are_bounded_and_are_no_headers(aze: System, service: Service) -> None:
    await aze.site()
    body = json.dumps({"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}).encode()
    wire = wire_of(aze)
    key = aze.http.headers["authorization"]
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n"
    head = (
        f"PUT /v1/my/sites/central HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    small = await wire.raw(head + chunk + b"If-None-Match: *\r\n\r\n", "PUT")
    assert small.status == 200, "a trailer is not taken for a precondition"
    await wire.close()
    for trailers in (b"X-Long: " + b"y" * 100_000, b"X-Many: 0123456789\r\n" * 5_000):
        answer = await _answers(service, head + chunk + trailers)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]


async def test_requests_that_come_in_a_heap_are_answered_in_their_order(service: Service) -> None:
    heap = b"".join(
        f"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-Id: heap-{n:06}\r\n\r\n".encode()
        for n in range(2_000)
    )
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reader, writer = await opened(service.url)
    reading = asyncio.create_task(rest(reader))
    writer.write(heap + last)
    await writer.drain()
    answers = await reading
    writer.close()
    ids = [part[:6] for part in answers.split(b"x-request-id: heap-")[1:]]
    assert ids == [f"{n:06}".encode() for n in range(2_000)]
    assert answers.count(b"HTTP/1.1 200 OK") == 2_001


async def test_what_is_too_large_behind_a_request_does_not_stand_amid_its_answer(
    service: Service,
) -> None:
    good = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = await _answers(service, good + good + b"GET /" + b"x" * 100_000)
    assert answers.count(b"HTTP/1.1 200 OK") in (1, 2)
    assert answers.rstrip().endswith(b"}")
    if b"431" not in answers:
        assert b"connection: close" in answers


def test_heads_and_heaps_cost_no_memory(postgres: EmbeddedPostgres, scratch: Path) -> None:
    url = make_database(postgres, "heads")
    with running(scratch / "heads.log", KOMEK_DATABASE_URL=url) as service:

        def peak() -> int:
            status = Path(f"/proc/{service.process.pid}/status").read_text()
            return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1])

        address = ("127.0.0.1", httpx.URL(service.url).port or 0)
        before = peak()
        endless = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * _MEGABYTE
        heap = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 7_000
        with contextlib.ExitStack() as stack:
            for n in range(80):
                sender = stack.enter_context(socket.create_connection(address))
                sender.settimeout(0.2)
                with contextlib.suppress(OSError):
                    sender.sendall(heap if n % 2 else endless)
            grown = peak() - before
        assert grown < 30_000, f"{grown} kB for heads of callers whom nobody knows"
        assert httpx.get(f"{service.url}/livez").status_code == 200
