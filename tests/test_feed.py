"""The feed: everything that happened, in one order, exactly once, and checkable by everybody."""

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import rfc8785
from sqlalchemy import text

from app.db import Database
from app.ledger.actions import Actor, Fact, record
from app.ledger.sealing import LOCK
from tests.conftest import Enrol, Service, serving_on
from tests.elsewhere import superuser
from tests.world import Json, System, done, fresh, from_lot, from_pool, goods, people

WRITERS, EVENTS = 24, 5000


async def _head(system: System) -> int:
    return int(done(await system.get("/v1/events/head"))["seq"])


async def _until_told(system: System, after: int, *subjects: str) -> list[Json]:
    """The feed, once it tells of all of these; bounded by the test's own patience."""
    async with asyncio.timeout(20):
        while True:
            events = await system.events(after)
            told = {e["subject"]["id"] for e in events if e["subject"]}
            if told >= set(subjects):
                return events
            await asyncio.sleep(0.01)


class _Rollback(Exception):
    pass


async def test_a_reader_that_polls_while_24_write_misses_none_of_5000_events(
    service: Service, aze: System
) -> None:
    after = first = await _head(aze)
    many = Database(service.database.url, replace(service.settings, pool_size=WRITERS))
    written: list[str] = []
    undone: set[str] = set()
    busy = asyncio.Event()

    async def write(writer: int) -> None:
        choice = random.Random(writer)
        count = EVENTS // WRITERS + (writer < EVENTS % WRITERS)
        while count:
            size = min(count, choice.choice((1, 1, 1, 2, 5)))
            ids = [str(uuid4()) for _ in range(size)]
            fails = choice.random() < 0.1
            try:
                async with many.transaction() as tx:
                    await tx.execute(text("SELECT pg_current_xact_id()"))
                    for subject in ids:
                        await record(
                            tx, Actor("AZE", None), Fact("test.noted", subject, {"writer": writer})
                        )
                        if choice.random() < 0.05:
                            # Its number is drawn; others commit meanwhile with larger ones.
                            await asyncio.sleep(choice.random() * 0.05)
                    if fails:
                        raise _Rollback
            except _Rollback:
                undone.update(ids)
                continue
            written.extend(ids)
            count -= size

    seen: list[Json] = []

    async def read() -> None:
        nonlocal after
        while True:
            last = busy.is_set()
            page = done(await aze.get("/v1/events", after=after, limit=200))["items"]
            seen.extend(page)
            after = page[-1]["seq"] if page else after
            told = sum(e["type"] == "test.noted" for e in seen)
            if last and not page and told >= EVENTS:
                return

    async with asyncio.timeout(120):
        reader = asyncio.create_task(read())
        await asyncio.gather(*(write(n) for n in range(WRITERS)))
        busy.set()
        await reader
    await many.close()
    assert [e["seq"] for e in seen] == list(range(first + 1, first + 1 + len(seen)))
    told = [e["subject"]["id"] for e in seen if e["type"] == "test.noted"]
    assert len(told) == len(set(told)) == EVENTS
    assert set(told) == set(written)
    assert not undone & set(told)
    order = {subject: n for n, subject in enumerate(told)}
    of: dict[str, int] = {
        e["subject"]["id"]: e["data"]["writer"] for e in seen if e["data"] and "writer" in e["data"]
    }
    for writer in range(WRITERS):
        own = [order[s] for s in written if of[s] == writer]
        assert own == sorted(own), "what one writer did first comes first"


async def test_a_promise_never_comes_before_what_made_it_possible(tur: System, aze: System) -> None:
    after = await _head(tur)
    request = await tur.request(goods(10_000))

    async def chain() -> list[str]:
        lot = await aze.lot(10)
        offer = await aze.offer(request, from_lot(request, lot, 5))
        await tur.accept(offer)
        consignment = await aze.consign(offer, 5)
        await aze.move("consignments", consignment, "dispatch")
        done(await tur.receive(consignment, 5))
        lot_id, offer_id, journey = lot["id"], offer["id"], consignment["id"]
        return [
            f"stock.published {lot_id}", f"offer.proposed {offer_id}", f"offer.accepted {offer_id}",
            f"consignment.planned {journey}", f"consignment.dispatched {journey}",
            f"consignment.received {journey}", f"offer.completed {offer_id}",
        ]  # fmt: skip

    chains = await asyncio.gather(*(chain() for _ in range(40)))
    events = await _until_told(tur, after, *(c[-1].split()[1] for c in chains))
    last = {c[-1] for c in chains}
    async with asyncio.timeout(20):
        while not last <= {f"{e['type']} {e['subject']['id']}" for e in events if e["subject"]}:
            events = await tur.events(after)
    place = {f"{e['type']} {e['subject']['id']}": e["seq"] for e in events if e["subject"]}
    for steps in [[f"request.opened {request['id']}", *c] for c in chains]:
        assert (order := [place[step] for step in steps]) == sorted(order)


async def test_a_transaction_left_open_neither_stalls_the_feed_nor_loses_its_record(
    service: Service, aze: System
) -> None:
    after = await _head(aze)
    database = service.database
    quick, late, later = uuid4(), uuid4(), uuid4()

    async def noted(tx: Any, subject: UUID) -> None:
        await record(tx, Actor("AZE", None), Fact("test.noted", subject, {}))

    async with database.transaction() as slow:
        async with database.transaction() as fast:
            # The slow one has the larger transaction id and the smaller number: it is not among
            # the running ones that the snapshot of a look knows of, once the fast one is through.
            await fast.execute(text("SELECT pg_current_xact_id()"))
            await slow.execute(text("SELECT pg_current_xact_id()"))
            await noted(slow, late)
            await noted(fast, quick)
        await _until_told(aze, after, str(quick))
        for _ in range(5):
            lot = await aze.lot(1)
            await _until_told(aze, after, lot["id"])
        # The sealer has looked many times since, and must not believe that it saw everything.
        for _ in range(5):
            await asyncio.sleep(0.06)
    async with database.transaction() as tx:
        await tx.execute(text("SELECT pg_current_xact_id()"))
        await noted(tx, later)
    events = await _until_told(aze, after, str(quick), str(late), str(later))
    told = [e["subject"]["id"] for e in events if e["subject"]]
    assert told.index(str(quick)) < told.index(str(late)) < told.index(str(later))
    assert [e["seq"] for e in events] == list(range(after + 1, after + 1 + len(events)))


async def test_when_a_sealer_dies_another_goes_on(
    service: Service, alone: Any, aze: System
) -> None:
    after = await _head(aze)
    connection = await superuser(service.database.url)
    noted: list[str] = []
    try:
        async with serving_on(alone()) as second:
            other = httpx.AsyncClient(base_url=second.url, headers=dict(aze.http.headers))
            twin = System("AZE", other)
            for system in (aze, twin, aze, twin):
                writing = [asyncio.create_task(s.lot(1)) for s in (aze, twin) for _ in range(10)]
                died = await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database d "
                    "ON d.oid = database WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
                    "AND d.datname = current_database() AND (classid::bigint << 32 | objid::bigint)"
                    " = $1",
                    LOCK,
                )
                assert died == 1, "one process seals, and it is this one that dies"
                noted += [lot["id"] for lot in await asyncio.gather(*writing)]
                await _until_told(system, after, *noted)
            await other.aclose()
        # The second service ends altogether, perhaps as the sealer.
        noted.append((await aze.lot(1))["id"])
        events = await _until_told(aze, after, *noted)
    finally:
        await connection.close()
    assert [e["seq"] for e in events] == list(range(after + 1, after + 1 + len(events)))
    for lot in noted:
        assert [e["type"] for e in events if e["subject"] and e["subject"]["id"] == lot] == [
            "stock.published"
        ]


def _checked(events: Sequence[Json], previous: str) -> str:
    """Recompute the chain from the envelopes alone, and each commitment that can be opened."""
    for event in events:
        seq = event["seq"].to_bytes(8, "big")
        link = bytes.fromhex(previous) + seq + bytes.fromhex(event["commitment"])
        assert event["previous_hash"] == previous
        assert event["hash"] == hashlib.sha256(link).hexdigest()
        previous = event["hash"]
        if event["type"] == "sealed":
            hidden = ("id", "at", "society", "subject", "data", "salt")
            assert [event[name] for name in hidden] == [None] * 6
            assert "private" not in event
            continue
        parts = ("id", "type", "at", "society", "subject", "data")
        content = rfc8785.dumps({name: event[name] for name in parts})
        opened = bytes.fromhex(event["salt"]) + content
        assert event["commitment"] == hashlib.sha256(opened).hexdigest()
        if event.get("private"):
            sealed = rfc8785.dumps(event["private"]["content"])
            digest = hashlib.sha256(bytes.fromhex(event["private"]["salt"]) + sealed)
            assert event["data"]["private_commitment"] == digest.hexdigest()
    return previous


async def test_every_member_can_check_the_whole_chain_and_sees_only_what_is_its_own(
    enrol: Enrol, tur: System, aze: System, kgz: System, uzb: System
) -> None:
    secret = fresh("geheim-warehouse")
    hidden = await aze.lot(987_654_321, ref=secret, keep_back=123_454_321, visible_to=["KGZ"])
    lot = await aze.lot(765_432_567, keep_back=432_101_234)
    pool = await aze.pool(97_531)
    request = await tur.request(goods(10), people(5))
    lines = [from_lot(request, lot, 10), from_pool(request, pool, 2, line=1)]
    offer = await aze.offer(request, *lines)
    await tur.accept(offer)
    deployment = await aze.deploy(offer, 2, line=1)
    person = {"name": "Leyla Confidential", "role": "medic"}
    path = f"/v1/deployments/{deployment['id']}/manifest"
    named = await aze.put(path, {"people": [person]})
    assert named.status_code in (200, 201), named.text
    await aze.consign(offer, 10)
    await _until_told(aze, 0, deployment["id"])
    async with asyncio.timeout(20):
        while not await aze.events(type="deployment.manifest_sealed"):
            pass
    head = done(await aze.get("/v1/events/head"))
    feeds = {}
    for system in (tur, aze, kgz, uzb):
        feed = [e for e in await system.events() if e["seq"] <= head["seq"]]
        assert [e["seq"] for e in feed] == list(range(1, head["seq"] + 1))
        assert _checked(feed, "0" * 64) == head["hash"]
        feeds[system.society] = feed

    def types(society: str, subject: str) -> set[str]:
        return {e["type"] for e in feeds[society] if e["subject"] and e["subject"]["id"] == subject}

    assert types("KGZ", hidden["id"]) == types("AZE", hidden["id"]) == {"stock.published"}
    assert types("UZB", hidden["id"]) == types("TUR", hidden["id"]) == set()
    assert types("UZB", lot["id"]) == {"stock.published"}
    assert types("UZB", offer["id"]) == types("KGZ", offer["id"]) == set()
    assert types("TUR", offer["id"]) == {"offer.proposed", "offer.accepted"}
    assert types("UZB", deployment["id"]) == set()
    assert "deployment.manifest_sealed" in types("TUR", deployment["id"])
    for society in ("TUR", "KGZ", "UZB"):
        shown = str(feeds[society])
        for word in (secret, "987654321", "123454321", "765432567", "432101234", ": 97531"):
            assert word not in shown, (society, word)
    for feed in feeds.values():
        assert "Confidential" not in str(feed)
    own = next(e for e in feeds["AZE"] if e["subject"] and e["subject"]["id"] == hidden["id"])
    assert own["private"]["content"]["quantity"] == 987_654_321


async def test_a_reader_may_ask_for_some_types_alone(tur: System, aze: System, kgz: System) -> None:
    after = await _head(aze)
    lot = await aze.lot(10)
    request = await tur.request(goods(5))
    offer = await aze.offer(request, from_lot(request, lot, 5))
    await tur.accept(offer)
    wanted = "offer.proposed,offer.accepted"
    await _until_told(aze, after, offer["id"])
    async with asyncio.timeout(20):
        while len(events := await aze.events(after, type=wanted)) < 2:
            pass
    assert [e["type"] for e in events] == wanted.split(",")
    assert await kgz.events(after, type=wanted) == []
    assert await kgz.events(after, type="sealed.never") == []
    one = done(await aze.get("/v1/events", after=after, type=wanted, limit=1))
    cursor = done(await aze.get("/v1/events", cursor=one["next"], type=wanted, limit=1))
    assert one["items"] + cursor["items"] == events


@pytest.mark.parametrize("table", ["records", "seals"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET type = type", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
async def test_the_ledger_refuses_to_be_changed(
    service: Service, aze: System, table: str, change: str
) -> None:
    await aze.lot(1)
    connection = await superuser(service.database.url)
    try:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(change.format(table))
    finally:
        await connection.close()
