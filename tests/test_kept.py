"""What the exchange keeps for a time does not pile up: answers, and files that nobody reads."""

import asyncio
import gc
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.requests import ClientDisconnect

from app import pages
from app.config import Settings
from app.pages import FromFile
from app.service import serving
from tests.elsewhere import Exchange, exchange_of_its_own, scratch_database, superuser
from tests.world import System, done, fresh, from_lot, goods, refused


@pytest_asyncio.fixture(scope="module")
async def own(settings: Settings) -> AsyncIterator[Exchange]:
    """An exchange in which nobody else keeps an answer or holds a file."""
    async with exchange_of_its_own(settings) as exchange:
        yield exchange


async def _on_its_way(aze: System, tur: System) -> str:
    request = await tur.request(goods(10))
    offer = await tur.accept(await aze.offer(request, from_lot(request, await aze.lot(10), 10)))
    consignment = await aze.consign(offer, 10)
    await aze.move("consignments", consignment, "dispatch")
    return f"/v1/consignments/{consignment['id']}"


def _seen(n: int) -> dict[str, str]:
    return {"place": f"Milestone {n}", "at": f"2026-11-20T{n // 60:02}:{n % 60:02}:00Z"}


async def test_the_answers_of_many_checkpoints_do_not_grow_with_each(own: Exchange) -> None:
    aze, tur = await own.system("AZE"), await own.system("TUR")
    path = await _on_its_way(aze, tur)
    weights = "SELECT max(octet_length(body)) FROM idempotency_answers WHERE key LIKE $1"
    word = fresh("milestone")
    answers = []
    for start in (0, 52):
        for n in range(start, start + 52):
            key = f"{word}-{start}-{n}"
            answers.append(await aze.post(f"{path}/checkpoints", _seen(n), Idempotency_Key=key))
    first, second = [await own.value(weights, f"{word}-{start}-%") for start in (0, 52)]
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert second < first * 1.1
    # What is answered again is what was answered then.
    again = await aze.post(f"{path}/checkpoints", _seen(0), Idempotency_Key=f"{word}-0-0")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == answers[0].content
    shown = done(await tur.get(path))
    assert shown["checkpoint_count"] == 104
    assert [c["place"] for c in shown["checkpoints"]] == [f"Milestone {n}" for n in range(54, 104)]


async def test_every_checkpoint_is_listed_page_after_page(own: Exchange) -> None:
    aze, tur, kaz = await own.system("AZE"), await own.system("TUR"), await own.system("KAZ")
    path = await _on_its_way(aze, tur)
    # Reported late and twice at the same instant, as over a poor link.
    order = [3, 1, 2, 2, 0, 5, 4]
    for n in order:
        done(await aze.post(f"{path}/checkpoints", _seen(n)), 201)
    listed = [c async for c in tur.exchange.listed(f"{path}/checkpoints", limit=2)]
    assert [c["place"] for c in listed] == [f"Milestone {n}" for n in sorted(order, reverse=True)]
    assert listed == [c async for c in tur.exchange.checkpoints(path.rpartition("/")[2])]
    refused(await kaz.get(f"{path}/checkpoints"), 404, "not_found")
    for cursor in ("WyJ4IiwieCJd", "WyIyMDI2LTExLTIwVDAwOjAwOjAwIiwieCJd"):
        refused(await tur.get(f"{path}/checkpoints", cursor=cursor), 422, "invalid_input")


_FILLED = """
INSERT INTO idempotency_answers (client, key, call, status, headers, body, created_at)
SELECT gen_random_uuid(), n::text, ''::bytea, 201, '{}', repeat('x', 300)::bytea,
    timestamptz '2026-11-01' + $1 * interval '1 day' + n * interval '40 seconds'
FROM generate_series(1, 1000) n
"""
_OLD = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT client, key FROM idempotency_answers WHERE created_at < $1
ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED
"""


async def test_old_answers_are_found_without_reading_all_however_long_the_service_has_run(
    settings: Settings,
) -> None:
    async with scratch_database(settings) as url:
        await asyncio.to_thread(serving.migrate, url)
        connection = await superuser(url)
        try:
            # Only the vacuum of this test is to free pages.
            await connection.execute(
                "ALTER TABLE idempotency_answers SET (autovacuum_enabled = off)"
            )
            for day in range(30):
                await connection.execute(_FILLED, day)
                oldest = await connection.fetchval(
                    "SELECT timestamptz '2026-11-01' + $1 * interval '1 day'", day - 6
                )
                await connection.execute(
                    "DELETE FROM idempotency_answers WHERE created_at < $1", oldest
                )
                await connection.execute("VACUUM ANALYZE idempotency_answers")
            await connection.execute("SET enable_seqscan = off")
            plan = (await connection.fetchval(_OLD, oldest))[1:-1]
            size = await connection.fetchval(
                "SELECT pg_relation_size('idempotency_answers') / 8192"
            )
        finally:
            await connection.close()
    top = json.loads(plan)["Plan"]
    assert top["Actual Rows"] == 0
    assert size > 250
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 20


def _held() -> int:
    """How many files without a name this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).endswith(" (deleted)")
        except FileNotFoundError:
            continue
    return found


async def test_no_export_leaves_its_file_open(own: Exchange) -> None:
    aze = await own.system("AZE")
    await aze.lot(5)
    path = "/v1/my/stock/export"
    gc.disable()
    try:
        before = _held()
        tag = (await aze.get(path)).headers["ETag"]
        for _ in range(5):
            known = await aze.http.get(path, headers={"If-None-Match": tag})
            assert known.status_code == 304
            async with (
                httpx.AsyncClient(base_url=own.service.url, headers=aze.http.headers) as hasty,
                hasty.stream("GET", path),
            ):
                await hasty.head(path)
        async with asyncio.timeout(20):
            while _held() > before:
                await aze.get("/v1/me")
    finally:
        gc.enable()


def _answer(size: int) -> FromFile:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"x" * size)
    file.seek(0)
    return FromFile(file, "text/csv", {})


async def test_a_reader_that_stops_reading_loses_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TAKEN_WITHIN", 0.2)
    answer = _answer(100_000)
    sent = 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += 1
        if sent == 3:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    async with asyncio.timeout(20):
        with pytest.raises(ClientDisconnect):
            await answer(scope, receive, send)
    assert answer.file.closed


async def test_an_answer_that_is_never_sent_lets_its_file_go() -> None:
    gc.disable()
    try:
        answer = _answer(10)
        file = answer.file
        held = _held()
        del file
        with pytest.warns(ResourceWarning):
            del answer
        assert _held() == held - 1
    finally:
        gc.enable()
