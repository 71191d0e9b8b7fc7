"""verify: the ledger alone proves every figure, and names whatever is wrong."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from app.config import Settings
from app.db import Database
from app.ledger.actions import Actor, Fact, record
from app.ledger.verifying import Report, verify
from app.service import serving
from tests.conftest import Service, free_port, serving_on
from tests.elsewhere import Exchange, scratch_database, superuser
from tests.world import System, done, from_lot, from_pool, goods, people

ROOT = Path(__file__).resolve().parent.parent


@pytest_asyncio.fixture(scope="module")
async def played(settings: Settings) -> AsyncIterator[str]:
    """A database in which a whole story happened, every record of it sealed, no service on it."""
    async with scratch_database(settings) as url:
        own = replace(settings, database_url=url, port=free_port())
        await asyncio.to_thread(serving.migrate, url)
        await serving.load(own, url)
        async with serving_on(own) as service:
            exchange = Exchange(service, url)
            try:
                await _story(exchange)
            finally:
                for system in exchange.systems.values():
                    await system.http.aclose()
        yield url


async def _story(exchange: Exchange) -> None:
    tur, aze = await exchange.system("TUR"), await exchange.system("AZE")
    lot = await aze.lot(500, keep_back=50)
    pool = await aze.pool(20)
    request = await tur.request(goods(400), people(10))
    lines = [from_lot(request, lot, 300), from_pool(request, pool, 8, line=1)]
    offer = await aze.offer(request, *lines)
    await tur.accept(offer)
    consignment = await aze.consign(offer, 200)
    await aze.move("consignments", consignment, "dispatch")
    done(await tur.receive(consignment, 190, 7, 3))
    deployment = await aze.deploy(offer, 5, line=1)
    await aze.move("deployments", deployment, "mobilise")
    await aze.offer(request, from_lot(request, lot, 60))
    waiting = (
        "SELECT count(*) FROM records r LEFT JOIN seals s ON s.record = r.id WHERE s.seq IS NULL"
    )
    async with asyncio.timeout(20):
        while await exchange.value(waiting):
            pass


@asynccontextmanager
async def _copy(settings: Settings, played: str) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """A copy to tamper with, as a superuser who turns every trigger and foreign key off."""
    async with scratch_database(settings, like=make_url(played).database or "") as url:
        connection = await superuser(url)
        try:
            await connection.execute("SET session_replication_role = replica")
            yield url, connection
        finally:
            await connection.close()


async def _seq(connection: asyncpg.Connection, kind: str) -> int:
    return int(await connection.fetchval("SELECT min(seq) FROM seals WHERE type = $1", kind))


async def test_a_story_that_nobody_touched_is_proved(played: str) -> None:
    report = await verify(played)
    assert report.faults == []
    assert report.records == report.sealed > 40
    assert report.balances > 20
    assert report.head[0] == report.sealed
    assert (await verify(played, report.head)).faults == []


COMMITTED = "the content is not the one that was committed to"
COLUMNS = "the record's columns differ from its content"
PRIVATE = "the private part is not the one that was committed to"
CHAIN = "hash does not follow from the previous hash, seq and commitment"
OF = "WHERE id = (SELECT record FROM seals WHERE seq = {seq})"
RECORD_TAMPERING = {
    "content": (
        f"UPDATE records SET content = replace(content, 'Winter', 'Summer') {OF}", COMMITTED
    ),
    "move": (
        f"UPDATE records SET content = replace(content, '\"by\":400', '\"by\":401') {OF}", COMMITTED
    ),
    "salt": (f"UPDATE records SET salt = sha256(salt) {OF}", COMMITTED),
    "commitment": (f"UPDATE records SET commitment = sha256(commitment) {OF}", CHAIN),
    "consistent commitment": (
        "UPDATE records SET content = replace(content, 'Winter', 'Summer'), commitment = "
        f"sha256(salt || convert_to(replace(content, 'Winter', 'Summer'), 'UTF8')) {OF}",
        CHAIN,
    ),
    "type": (f"UPDATE records SET type = 'request.closed' {OF}", COLUMNS),
    "sealed type": ("UPDATE seals SET type = 'request.closed' WHERE seq = {seq}", COLUMNS),
    "society": (f"UPDATE records SET society = 'UZB' {OF}", COLUMNS),
    "client": (f"UPDATE records SET client = NULL {OF}", COLUMNS),
    "time": (f"UPDATE records SET at = at - interval '1 second' {OF}", COLUMNS),
    "deleted record": (f"DELETE FROM records {OF}", "the record of this seal is missing"),
    "hash": ("UPDATE seals SET hash = sha256(hash) WHERE seq = {seq}", CHAIN),
    "previous hash": (
        "UPDATE seals SET previous_hash = sha256(hash) WHERE seq = {seq}",
        "previous_hash is not the hash of the seal before",
    ),
    "order": (
        "UPDATE seals SET record = (SELECT o.record FROM seals o "
        "WHERE o.seq = CASE seals.seq WHEN {seq} THEN {seq} + 1 ELSE {seq} END) "
        "WHERE seq IN ({seq}, {seq} + 1)",
        CHAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", RECORD_TAMPERING)
async def test_the_first_record_that_was_tampered_with_is_named(
    settings: Settings, played: str, what: str
) -> None:
    statement, fault = RECORD_TAMPERING[what]
    async with _copy(settings, played) as (url, connection):
        if what == "order":
            await connection.execute("ALTER TABLE seals DROP CONSTRAINT uq_seals_record")
        seq = await _seq(connection, "request.opened")
        assert (await connection.execute(statement.format(seq=seq))).split()[-1] in ("1", "2")
        # A later fault does not hide the first one, nor the first a later one.
        await connection.execute(
            "UPDATE records SET content = '{}' WHERE id = "
            "(SELECT record FROM seals ORDER BY seq DESC LIMIT 1)"
        )
        last = await connection.fetchval("SELECT max(seq) FROM seals")
        faults = (await verify(url)).faults
        assert faults[0] == f"seq {seq}: {fault}"
        also = [f"seq {seq + 1}: {CHAIN}"] if what == "order" else []
        assert faults[1 : len(also) + 2] == [*also, f"seq {last}: {COMMITTED}"]


@pytest.mark.parametrize("private", ["replace(private, '500', '600')", "NULL"])
async def test_a_private_part_that_was_changed_or_taken_away_is_named(
    settings: Settings, played: str, private: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        seq = await _seq(connection, "stock.published")
        await connection.execute(f"UPDATE records SET private = {private} {OF.format(seq=seq)}")
        assert (await verify(url)).faults[0] == f"seq {seq}: {PRIVATE}"


async def test_a_seal_that_was_taken_away_is_missed(settings: Settings, played: str) -> None:
    async with _copy(settings, played) as (url, connection):
        seq = await _seq(connection, "offer.proposed")
        await connection.execute("DELETE FROM seals WHERE seq = $1", seq)
        assert (await verify(url)).faults[0] == f"seq {seq + 1}: seq {seq} is missing"


async def test_a_record_that_waits_for_its_seal_is_checked_too(
    settings: Settings, played: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        last = await connection.fetchval("DELETE FROM seals WHERE seq = "
            "(SELECT max(seq) FROM seals) RETURNING record")  # fmt: skip
        assert (await verify(url)).faults == []
        await connection.execute(
            "UPDATE records SET content = replace(content, '60', '61') WHERE id = $1", last
        )
        assert (await verify(url)).faults[0] == f"record {last} (not sealed yet): {COMMITTED}"


BALANCES = [
    ("lots", "reserved"), ("lots", "quantity"), ("reservations", "quantity"),
    ("request_lines", "requested"), ("request_lines", "accepted"), ("pledges", "offered"),
    ("pledges", "dispatched"), ("pledges", "received"), ("pledges", "damaged"), ("pledges", "lost"),
    ("offer_lines", "quantity"), ("offer_lines", "accepted"), ("offer_lines", "planned"),
    ("offer_lines", "dispatched"), ("offer_lines", "received"), ("offer_lines", "damaged"),
    ("offer_lines", "lost"), ("promises", "headcount"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "figure"), BALANCES)
async def test_a_figure_that_the_ledger_does_not_tell_is_named(
    settings: Settings, played: str, table: str, figure: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        for name in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::regclass",
            table,
        ):
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name[0]}")
        await connection.execute(
            f"UPDATE {table} SET {figure} = {figure} + 1 "
            f"WHERE ctid = (SELECT ctid FROM {table} ORDER BY {figure} DESC LIMIT 1)"
        )
        faults = (await verify(url)).faults
        assert len(faults) == 1
        figure = {"reservations": "reserved", "promises": "promise:"}.get(table, figure)
        assert faults[0].startswith(figure)
        assert "the ledger adds up to" in faults[0]


async def test_a_row_that_vanished_is_missed(settings: Settings, played: str) -> None:
    async with _copy(settings, played) as (url, connection):
        await connection.execute("DELETE FROM lots")
        faults = (await verify(url)).faults
        assert any(f.startswith("quantity of lot:") and f.endswith("no such row") for f in faults)


def _chained(previous: bytes, seq: int, commitment: bytes) -> bytes:
    return hashlib.sha256(previous + seq.to_bytes(8, "big") + commitment).digest()


async def test_a_chain_that_was_written_anew_is_betrayed_by_a_head_that_somebody_kept(
    settings: Settings, played: str
) -> None:
    kept = (await verify(played)).head
    async with _copy(settings, played) as (url, connection):
        middle = await _seq(connection, "request.opened")
        old = await connection.fetchval(
            "SELECT encode(hash, 'hex') FROM seals WHERE seq = $1", middle
        )
        gone = await _seq(connection, "site.opened")
        await connection.execute(f"DELETE FROM records {OF.format(seq=gone)}")
        await connection.execute("DELETE FROM seals WHERE seq = $1", gone)
        rest = await connection.fetch(
            "SELECT s.record, r.commitment FROM seals s "
            "JOIN records r ON r.id = s.record ORDER BY seq"
        )
        previous = bytes(32)
        for seq, row in enumerate(rest, 1):
            link = _chained(previous, seq, row["commitment"])
            await connection.execute(
                "UPDATE seals SET seq = $2, previous_hash = $3, hash = $4 WHERE record = $1",
                row["record"], seq, previous, link,
            )  # fmt: skip
            previous = link
        assert gone < middle
        assert (await verify(url)).faults == [], "by itself it is without a fault"
        assert (await verify(url, (middle, old))).faults == [
            f"seq {middle}: the chain is not the one whose head was kept"
        ]
        assert (await verify(url, kept)).faults == [
            f"seq {kept[0]}: the head that was kept is not there; the ledger ends at {kept[0] - 1}"
        ]


FORGERIES: dict[str, tuple[list[tuple[str, int]], str]] = {
    "lot": ([("reserved", 10_000)], "more is promised of {} than its owner published"),
    "offer_line": ([("accepted", 1000)], "accepted of {} exceeds quantity"),
    "line": ([("received", 1000)], "received + damaged + lost of {} exceeds dispatched"),
}


@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_record_that_tells_the_impossible_is_named_though_its_seal_is_right(
    settings: Settings, played: str, kind: str
) -> None:
    moves, fault = FORGERIES[kind]
    table = {"lot": "lots", "offer_line": "offer_lines", "line": "request_lines"}[kind]
    async with _copy(settings, played) as (url, connection):
        account = f"{kind}:{await connection.fetchval(f'SELECT id FROM {table} LIMIT 1')}"
        database = Database(url, settings)
        async with database.transaction() as tx:
            told = [(account, figure, by) for figure, by in moves]
            await record(tx, Actor("AZE", None), Fact("test.noted", uuid4(), {}, moves=told))
        await database.close()
        last: UUID = await connection.fetchval("SELECT id FROM records ORDER BY n DESC LIMIT 1")
        faults = (await verify(url)).faults
        assert faults[0] == f"record {last} (not sealed yet): {fault.format(account)}"
        assert f"of {account}: the ledger adds up to" in faults[-1]


async def test_every_fault_is_named_and_not_the_first_alone(
    settings: Settings, played: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        seqs = {
            kind: await _seq(connection, kind)
            for kind in (
                "society.admitted", "skill.catalogued", "site.opened", "stock.published",
                "volunteers.published", "emergency.opened", "request.opened", "offer.proposed",
                "deployment.planned",
            )
        }  # fmt: skip
        of = {kind: OF.format(seq=seq) for kind, seq in seqs.items()}
        for table in ("lots", "offer_lines"):
            for name in await connection.fetch(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::regclass",
                table,
            ):
                await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name[0]}")
        for statement in (
            f"UPDATE records SET salt = sha256(salt) {of['society.admitted']}",
            f"UPDATE seals SET hash = sha256(hash) WHERE seq = {seqs['skill.catalogued']}",
            f"UPDATE records SET society = 'UZB' {of['site.opened']}",
            f"UPDATE records SET private = NULL {of['stock.published']}",
            f"UPDATE records SET private = '{{}}' {of['volunteers.published']}",
            f"DELETE FROM records {of['emergency.opened']}",
            f"UPDATE seals SET previous_hash = sha256(hash) WHERE seq = {seqs['request.opened']}",
            f"DELETE FROM seals WHERE seq = {seqs['offer.proposed']}",
            f"UPDATE records SET content = 'nothing' {of['deployment.planned']}",
            "UPDATE lots SET reserved = reserved + 7",
            "UPDATE offer_lines SET received = received + 3 WHERE received > 0",
        ):
            assert (await connection.execute(statement)).split()[-1] == "1", statement
        account = f"lot:{uuid4()}"
        database = Database(url, settings)
        async with database.transaction() as tx:
            # A count without the part that tells it, as no call records it.
            await record(tx, Actor("AZE", None), Fact("stock.published", account[4:], {}))
            below = ((account, "reserved", -1),)
            await record(tx, Actor("AZE", None), Fact("test.noted", account, {}, moves=below))
        await database.close()
        last = await connection.fetch("SELECT id FROM records ORDER BY n DESC LIMIT 2")
        negative, uncounted = (row[0] for row in last)
        report = await verify(url)
        expected = {
            f"seq {seqs['society.admitted']}: {COMMITTED}",
            f"seq {seqs['skill.catalogued']}: {CHAIN}",
            f"seq {seqs['site.opened']}: {COLUMNS}",
            f"seq {seqs['stock.published']}: {PRIVATE}",
            f"seq {seqs['volunteers.published']}: {PRIVATE}",
            f"seq {seqs['emergency.opened']}: the record of this seal is missing",
            f"seq {seqs['request.opened']}: previous_hash is not the hash of the seal before",
            f"seq {seqs['offer.proposed'] + 1}: seq {seqs['offer.proposed']} is missing",
            f"seq {seqs['deployment.planned']}: the content cannot be read",
            f"record {uncounted} (not sealed yet): "
            "the private part, which tells what the owner counted, is missing",
            f"record {negative} (not sealed yet): reserved of {account} falls below zero",
            f"reserved of {account}: the ledger adds up to -1, no such row",
        }
        assert expected - set(report.faults) == set()
        assert any(f.startswith("reserved of lot:") and "says 167" in f for f in report.faults)
        assert any(f.startswith("received of offer_line:") for f in report.faults)
        places = [int(f.split(":")[0][4:]) for f in report.faults if f.startswith("seq ")]
        assert places == sorted(places)
        assert report.further == 0


async def test_losses_that_the_ledger_does_not_know_of_reopen_no_need_unseen(
    settings: Settings, played: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        told = await connection.fetchrow(
            "UPDATE request_lines SET losses = losses + 1 "
            "WHERE accepted > losses RETURNING id, losses"
        )
        assert told is not None
        report = await verify(url)
        assert (
            f"losses of line:{told['id']}: the ledger adds up to {told['losses'] - 1}, "
            f"the table says {told['losses']}" in report.faults
        )


async def test_of_very_many_faults_the_first_are_named_and_the_others_counted(
    settings: Settings, played: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        await connection.execute("UPDATE records SET salt = sha256(salt)")
        report = await verify(url)
        assert len(report.faults) == 100
        assert report.further == report.records - 100
        assert report.faults[0] == f"seq 1: {COMMITTED}"
        told = await asyncio.to_thread(_komek, url, "verify")
        assert told.returncode == 1
        assert f"and {report.further} more" in told.stderr


_MANY = 40_000
_GROWN = """
WITH made AS MATERIALIZED (
    SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS lot, sha256(n::text::bytea) AS salt
    FROM generate_series(1, $1) n
), told AS MATERIALIZED (
    SELECT *, '{"keep_back":0,"quantity":5}' AS counted, (
        -- What came and went again, of accounts of its own.
        SELECT string_agg(format(',{"account":"%s:%s","by":%s,"figure":"offered"}', k, id, by), '')
        FROM generate_series(1, 3) k, (VALUES (1), (-1)) v(by)
    ) AS passing
    FROM made
), written AS MATERIALIZED (
    SELECT *, format(
        '{"at":"2026-11-24T08:00:00.000000Z","data":{"actor":"exchange","moves":[{"account":"lot:%s"'
        ',"by":2,"figure":"reserved"}%s],"private_commitment":"%s"},"id":"%s","society":"AZE",'
        '"subject":{"id":"%s","type":"stock"},"type":"stock.published"}',
        lot, passing, encode(sha256(salt || counted::bytea), 'hex'), id, lot) AS content
    FROM told
), recorded AS (
    INSERT INTO records (id, type, at, society, content, salt, commitment, private)
    SELECT id, 'stock.published', '2026-11-24T08:00:00Z', 'AZE', content, salt,
        sha256(salt || content::bytea),
        format('{"content":%s,"salt":"%s"}', counted, encode(salt, 'hex'))
    FROM written ORDER BY n
), published AS (
    INSERT INTO lots (id, society, ref, item, site, quantity, keep_back, reserved, ceiling, as_of,
        updated_at, withdrawn)
    SELECT lot, 'AZE', 'grown-' || n, (SELECT min(code) FROM items), (SELECT id FROM sites LIMIT 1),
        5, 0, 2, 5, now(), now(), false
    FROM written
)
INSERT INTO reservations (holder, lot, quantity, beneficiary) SELECT id, lot, 2, 'TUR' FROM written
"""
_WEIGHED = """
import asyncio, pathlib, sys
from app.ledger.verifying import verify
def peak():
    # Not `ru_maxrss`, which begins with what the process that started this one had.
    told = pathlib.Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) // 1024
before = peak()
report = asyncio.run(verify(sys.argv[1]))
print(report.records, len(report.faults), peak() - before)
"""


async def test_the_proof_needs_no_more_memory_for_a_ledger_of_years(
    settings: Settings, played: str
) -> None:
    async with _copy(settings, played) as (url, connection):
        await connection.execute(_GROWN, _MANY)
        weighed = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", _WEIGHED, url], cwd=ROOT, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        records, faults, megabytes = map(int, weighed.stdout.split())
        assert (records > _MANY, faults) == (True, 0)
        assert megabytes < 25, megabytes


def _komek(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments],
        env=os.environ | {"KOMEK_DATABASE_URL": url, "COLUMNS": "300"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_command_tells_the_head_and_exits_1_on_a_fault(
    settings: Settings, played: str
) -> None:
    told = await asyncio.to_thread(_komek, played, "verify")
    assert told.returncode == 0, told.stderr
    head = told.stdout.split("head ")[1].strip()
    assert "balances add up" in told.stdout
    again = await asyncio.to_thread(_komek, played, "verify", "--head", head)
    assert again.returncode == 0
    other = head.split(":")[0] + ":" + "0" * 64
    betrayed = await asyncio.to_thread(_komek, played, "verify", "--head", other)
    assert betrayed.returncode == 1
    assert "the chain is not the one whose head was kept" in betrayed.stderr
    malformed = await asyncio.to_thread(_komek, played, "verify", "--head", "12:zz")
    assert malformed.returncode == 2
    async with _copy(settings, played) as (url, connection):
        seq = await _seq(connection, "offer.accepted")
        await connection.execute(f"UPDATE records SET salt = sha256(salt) {OF.format(seq=seq)}")
        fault = await asyncio.to_thread(_komek, url, "verify")
        assert fault.returncode == 1
        assert f"seq {seq}: {COMMITTED}" in fault.stderr


async def test_the_proof_holds_while_the_service_writes(
    service: Service, tur: System, aze: System
) -> None:
    reports: list[Report] = []
    stop = asyncio.Event()
    request = await tur.request(goods(10_000))

    async def write() -> None:
        while not stop.is_set():
            lot = await aze.lot(10)
            offer = await aze.offer(request, from_lot(request, lot, 5))
            await tur.accept(offer)
            await aze.move("offers", offer, "withdraw")

    async def prove() -> None:
        try:
            while len({r.records for r in reports}) < 5:
                reports.append(await verify(service.database.url))
        finally:
            stop.set()

    await asyncio.gather(prove(), *(write() for _ in range(6)))
    assert [r.faults for r in reports if r.faults] == []
