"""What the service bears: bodies, slowness, crowds, locks and callers who leave."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import server
from tests.conftest import Service, make_key, serving_on
from tests.processes import make_database, running
from tests.test_operations import eventually
from tests.world import System, done, fresh, refused

Alone = Callable[..., Settings]


@asynccontextmanager
async def a_system_of(settings: Settings) -> AsyncIterator[tuple[Service, System]]:
    """A further service with other limits, and Azerbaijan's system on it."""
    async with serving_on(settings) as service:
        key = await make_key(service, "AZE")
        http = httpx.AsyncClient(
            base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        async with http:
            yield service, System("AZE", http)


async def opened(url: str, *lines: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection on which the beginning of a request was sent."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side closes; it must."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(
    service: Service, aze: System
) -> None:
    limit = service.settings.body_limit
    large = b'{"name": "' + b"x" * limit + b'"}'

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    for content in (large, parts()):
        answer = await aze.http.put(
            "/v1/my/sites/large", content=content, headers={"content-type": "application/json"}
        )
        refused(answer, 413, "body_too_large")
        assert answer.headers["connection"] == "close"
    assert (await aze.get("/v1/my/sites/large")).status_code == 404


def test_a_huge_body_costs_no_memory(postgres: EmbeddedPostgres, scratch: Path) -> None:
    url = make_database(postgres, "memory")
    with running(scratch / "memory.log", KOMEK_DATABASE_URL=url) as service:

        def peak() -> int:
            status = Path(f"/proc/{service.process.pid}/status").read_text()
            return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1])

        before = peak()
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        address = ("127.0.0.1", httpx.URL(service.url).port or 0)
        for path in ("/v1/offers", "/nowhere", "/v1/me"):
            with socket.create_connection(address) as sender:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                sender.sendall(head.encode())
                sent = 0
                try:
                    while sent < 200_000_000:
                        sender.sendall(chunk)
                        sent += 65536
                except OSError:
                    pass
            assert sent < 20_000_000, f"{path} swallowed {sent} bytes"
        assert peak() - before < 40_000, "kilobytes"
        assert httpx.get(f"{service.url}/readyz").status_code == 200


async def test_a_head_that_trickles_is_cut_off(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_WITHIN", 0.5)
    async with serving_on(alone()) as service:
        silent = [await opened(service.url) for _ in range(20)]
        slow = [
            await opened(service.url, "GET /livez HTTP/1.1", "Host: x", "X-") for _ in range(20)
        ]

        async def trickle(writer: asyncio.StreamWriter) -> None:
            while not writer.is_closing():
                writer.write(b"a")
                await asyncio.sleep(0.05)

        trickling = [asyncio.create_task(trickle(writer)) for _, writer in slow]
        for reader, writer in silent + slow:
            assert await rest(reader) == b""
            writer.close()
        await asyncio.gather(*trickling, return_exceptions=True)


@pytest.mark.parametrize("path", ["/v1/my/sites/slow", "/nowhere"])
@pytest.mark.parametrize("known", [True, False])
async def test_a_body_that_trickles_is_cut_off_whatever_the_answer_is(
    alone: Alone, path: str, known: bool
) -> None:
    async with a_system_of(alone(body_timeout=0.5)) as (service, aze):
        key = aze.http.headers["authorization"] if known else "Bearer nobody"
        head = (
            f"PUT {path} HTTP/1.1", "Host: x", f"Authorization: {key}",
            "Content-Type: application/json", "Content-Length: 1000", "", "{",
        )  # fmt: skip
        reader, writer = await opened(service.url, *head)

        async def trickle() -> None:
            while not writer.is_closing():
                writer.write(b" ")
                await asyncio.sleep(0.1)

        task = asyncio.create_task(trickle())
        async with asyncio.timeout(30):
            answer = await reader.readuntil(b"\r\n\r\n")
        await rest(reader)
        status = {(True, True): 408, (False, True): 401}.get((known, path.startswith("/v1")), 404)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
        assert b"connection: close" in answer.lower()
        writer.close()
        task.cancel()


async def test_an_answer_that_does_not_need_the_body_keeps_the_connection(
    service: Service,
) -> None:
    reader, writer = await opened(
        service.url, "PUT /v1/my/sites/x HTTP/1.1", "Host: x", "Content-Length: 2", "", ""
    )
    await asyncio.sleep(0)
    writer.write(b"{}" + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answers = await rest(reader)
    assert answers.startswith(b"HTTP/1.1 401 ")
    assert b"HTTP/1.1 200 OK" in answers
    writer.close()


async def test_a_crowd_is_told_to_come_again_and_the_pool_recovers(alone: Alone) -> None:
    async with a_system_of(alone(pool_size=2, pool_wait=0.3)) as (service, aze):
        done(await aze.get("/v1/me"))
        async with service.database.transaction(), service.database.transaction():
            answer = await aze.get("/v1/stock")
            refused(answer, 503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        done(await aze.get("/v1/stock"))


async def test_a_lock_that_does_not_come_free_in_time_is_told(alone: Alone) -> None:
    async with a_system_of(alone(lock_timeout=0.3)) as (service, aze):
        lot = await aze.lot(10, ref=fresh("locked"))
        body = {"item": lot["item"], "site": "central", "quantity": 11}
        path = f"/v1/my/stock/{lot['ref']}"
        async with service.database.transaction() as tx:
            await tx.execute(
                text("SELECT FROM lots WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": lot["id"]}
            )
            answer = await aze.put(path, body)
            refused(answer, 503, "busy")
            assert "retry-after" in answer.headers
        assert done(await aze.put(path, body))["quantity"] == 11


async def test_callers_who_leave_take_no_connection_with_them(alone: Alone) -> None:
    async with a_system_of(alone(pool_size=4)) as (service, aze):
        lot = await aze.lot(10, ref=fresh("left"))
        key = aze.http.headers["authorization"]
        body = '{"item": "' + lot["item"] + '", "site": "central", "quantity": 12}'
        put = (
            f"PUT /v1/my/stock/{lot['ref']} HTTP/1.1", "Host: x", f"Authorization: {key}",
            "Content-Type: application/json", f"Content-Length: {len(body)}", "",
        )  # fmt: skip
        pool = service.database.engine.pool

        async def checked_out(most: int) -> bool:
            return int(pool.checkedout()) <= most  # type: ignore[attr-defined]

        async with service.database.transaction() as tx:
            await tx.execute(
                text("SELECT FROM lots WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": lot["id"]}
            )
            for n in range(100):
                # Some wait for the lock, some for a connection, some have not sent everything.
                _, writer = await opened(service.url, *put, body if n % 3 else "")
                writer.transport.abort()
        await eventually(lambda: checked_out(0))
        assert done(await aze.get("/v1/me"))["society"] == "AZE"
        await asyncio.gather(*(aze.get("/v1/stock") for _ in range(20)))
        await eventually(lambda: checked_out(0))
