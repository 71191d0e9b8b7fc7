"""The logs: structured, joined by request ids, without keys and without names of people."""

import asyncio
import contextlib
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog

from app.embedded import EmbeddedPostgres
from app.service import logs
from tests.processes import Running, make_client, make_database, run_sql, running
from tests.world import BLANKET, System, done, from_pool, people, refused

NAME = "Aygün Example-Person"
SECRET = "very-private-note"


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> str:
    return make_database(postgres, "logs")


@pytest.fixture(scope="module")
def child(url: str, scratch: Path) -> Iterator[Running]:
    """A service that logs all that it logs by default."""
    with running(scratch / "logs.log", KOMEK_DATABASE_URL=url, KOMEK_LOG_LEVEL="info") as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(child: Running, url: str) -> AsyncIterator[tuple[System, System]]:
    """Türkiye's and Azerbaijan's systems."""
    opened = []
    for society in ("TUR", "AZE"):
        headers = {"Authorization": f"Bearer {await make_client(url, society)}"}
        opened.append(httpx.AsyncClient(base_url=child.url, headers=headers, timeout=60))
    yield System("TUR", opened[0]), System("AZE", opened[1])
    for http in opened:
        await http.aclose()


def lines(service: Running) -> list[dict[str, Any]]:
    """Every line of the log, each of which must be a JSON object."""
    return [json.loads(line) for line in service.lines().splitlines()]


async def told_of(service: Running, request_id: str) -> list[dict[str, Any]]:
    """What the log tells of a request; the last of it is written after the answer has left."""
    async with asyncio.timeout(20):
        while True:
            told = [line for line in lines(service) if line.get("request_id") == request_id]
            if any(line["event"] == "request" for line in told):
                return told
            await asyncio.sleep(0.02)


async def test_every_line_is_json_and_tells_of_a_request_by_its_id(
    child: Running, two: tuple[System, System]
) -> None:
    _, aze = two
    answer = await aze.http.get("/v1/me", headers={"X-Request-Id": "order-4711.a"})
    assert answer.headers["x-request-id"] == "order-4711.a"
    told = await told_of(child, "order-4711.a")
    assert len(told) == 1
    wanted = {"event": "request", "method": "GET", "route": "/v1/me", "status": 200}
    assert wanted.items() <= told[0].items()
    assert told[0]["society"] == "AZE"
    assert {"timestamp", "level", "milliseconds", "client"} <= told[0].keys()


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "with space 123", 'a"b{}<script>', "ключ-1234567"]
)
async def test_a_request_id_that_is_no_plain_word_is_replaced(
    child: Running, two: tuple[System, System], given: str
) -> None:
    answer = await two[1].http.get("/v1/me", headers={b"X-Request-Id": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert given not in child.lines()


async def test_problems_name_the_request(child: Running, two: tuple[System, System]) -> None:
    answer = await two[1].http.get("/v1/stock/x", headers={"X-Request-Id": "problem-1234"})
    assert answer.json()["request_id"] == "problem-1234"


@pytest.mark.parametrize("path", ["/v1/offers", "/v1/my/stock/import"])
async def test_a_caller_whose_link_breaks_while_it_sends_is_no_error_of_ours(
    child: Running, two: tuple[System, System], path: str
) -> None:
    address = httpx.URL(child.url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    name = f"cut-{path.count('/')}-123456"
    key = two[1].http.headers["authorization"]
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nX-Request-Id: {name}\r\n"
        'Content-Type: text/csv\r\nContent-Length: 100\r\n\r\n{"request":'.encode()
    )
    await writer.drain()
    writer.close()
    told = await told_of(child, name)
    assert [(line["event"], line["status"]) for line in told] == [("request", 499)]
    # Whatever would be told of it besides was told before the next request.
    done(await two[1].get("/v1/me"))
    assert "ClientDisconnect" not in child.lines()


async def test_an_error_of_ours_is_told_without_names_bodies_or_keys(
    child: Running, two: tuple[System, System], url: str, postgres: EmbeddedPostgres
) -> None:
    tur, aze = two
    request = await tur.request(people(5), notes=SECRET)
    offer = await aze.offer(request, from_pool(request, await aze.pool(5), 5))
    await tur.accept(offer)
    deployment = await aze.deploy(offer, 5)
    path = f"/v1/deployments/{deployment['id']}/manifest"
    manifest = {"people": [{"name": NAME, "role": "medic", "languages": ["az"]}]}
    done(await aze.put(path, manifest), 201)
    # The database refuses the row and quotes it; nothing in the code foresees this constraint.
    strange = "ADD CONSTRAINT strange CHECK (false) NOT VALID"
    await asyncio.to_thread(run_sql, url, f"ALTER TABLE manifests {strange}", "SELECT 1")
    try:
        answer = await aze.put(path, manifest, X_Request_Id="broken-123456")
    finally:
        drop = "ALTER TABLE manifests DROP CONSTRAINT strange"
        await asyncio.to_thread(run_sql, url, drop, "SELECT 1")
    refused(answer, 500, "internal_error")
    assert "strange" not in answer.text
    lines_of_it = await told_of(child, "broken-123456")
    told = next(line for line in lines_of_it if line["event"] == "internal_error")
    assert "CheckViolation" in json.dumps(told["exception"]), "the operator learns what it was"
    malformed = await aze.http.put(
        path, content=f'{{"people": "{NAME}"', headers={"content-type": "application/json"}
    )
    refused(malformed, 422, "malformed_json")
    refused(await aze.put(path, {"people": [{"name": [NAME]}]}), 422, "invalid_input")
    forged = aze.http.headers["authorization"][:-1] + "0"
    await aze.http.get("/v1/me", headers={"Authorization": forged})
    await aze.http.get("/v1/stock", params={"item": SECRET})
    log = child.lines()
    for secret in ("Example-Person", "Ayg", SECRET):
        assert secret not in log
    for system in two:
        key = system.http.headers["authorization"].removeprefix("Bearer ")
        assert key not in log
        assert key[12:] not in log
    assert forged.removeprefix("Bearer ") not in log
    # The database keeps a log too, in the operator's hands as well.
    history = (postgres.cluster / "server.log").read_text(encoding="utf-8", errors="replace")
    assert "violates check constraint" in history
    assert "Example-Person" not in history
    assert "Failing row" not in history


@pytest.mark.parametrize(
    ("path", "media"),
    [("/v1/offers", "application/json"), ("/v1/my/stock/import", "text/csv")],
)
async def test_a_caller_who_breaks_off_is_no_fault_of_the_service(
    child: Running, two: tuple[System, System], path: str, media: str
) -> None:
    aze = two[1]
    site = await aze.site()
    name = f"broken-off-{media.replace('/', '.')}"
    _, writer = await asyncio.open_connection("127.0.0.1", aze.http.base_url.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: exchange\r\nX-Request-Id: {name}\r\n"
        f"Authorization: {aze.http.headers['Authorization']}\r\n"
        f"Content-Type: {media}\r\nContent-Length: 100000\r\n\r\n"
    )
    table = f"ref,item,site,quantity\nbroken-off,{BLANKET},{site},5\n"
    writer.write((head + table).encode())
    await writer.drain()
    writer.close()
    told = await told_of(child, name)
    assert [(line["event"], line["level"]) for line in told] == [("request", "info")]
    assert told[0]["status"] == 499, "what nginx calls a client who closed the request"
    refused(await aze.get("/v1/my/stock/broken-off"), 404, "not_found")


def test_a_line_goes_to_standard_error_as_it_is_now_not_as_it_was_at_the_first_line() -> None:
    configured = structlog.get_config()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logs.configure("info")
        log = structlog.get_logger()
        closed = io.StringIO()
        with contextlib.redirect_stderr(closed):
            log.info("first")
        closed.close()
        now = io.StringIO()
        with contextlib.redirect_stderr(now):
            log.info("second")
            logging.getLogger("other").warning("third")
        told = [json.loads(line)["event"] for line in now.getvalue().splitlines()]
        assert told == ["second", "third"]
    finally:
        structlog.configure(**configured)
        root.handlers[:] = handlers
        root.setLevel(level)
