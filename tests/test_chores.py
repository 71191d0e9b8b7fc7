"""What cannot be ended is told to the operator, and holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from app.service import chores
from tests.elsewhere import Exchange, exchange_of_its_own
from tests.world import fresh, from_lot, from_pool, goods, people


@pytest_asyncio.fixture(scope="module")
async def own(settings: Settings) -> AsyncIterator[Exchange]:
    """An exchange in which something can be planted that no call would leave behind."""
    async with exchange_of_its_own(settings) as exchange:
        yield exchange


@asynccontextmanager
async def _doing(own: Exchange, kind: str) -> AsyncIterator[str]:
    """Do a chore more often than the service does, under a name of its own."""
    chore = next(c for c in chores.CHORES if c.name == kind)
    name = fresh(kind).replace("-", "_")
    task = asyncio.create_task(
        chores.run(own.service.database, replace(chore, name=name, every=0.1))
    )
    try:
        yield name
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _told(own: Exchange, figure: str, chore: str) -> float | None:
    async with httpx.AsyncClient(base_url=own.service.url) as http:
        text = (await http.get("/metrics")).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == figure and sample.labels.get("chore") == chore:
                return sample.value
    return None


async def _offers(own: Exchange) -> tuple[str, list[str], str]:
    """(request, offers on it, the lot): 6 proposals of 10."""
    aze, tur = await own.system("AZE"), await own.system("TUR")
    request = await tur.request(goods(100))
    lot = await aze.lot(60)
    offers = [await aze.offer(request, from_lot(request, lot, 10)) for _ in range(6)]
    return request["id"], [offer["id"] for offer in offers], lot["id"]


async def _due_offers(own: Exchange) -> tuple[list[str], str, str]:
    _, offers, _ = await _offers(own)
    listed = ",".join(f"'{offer}'" for offer in offers)
    return offers, "offers", f"UPDATE offers SET expires_at = now() WHERE id IN ({listed})"


async def _orphans(own: Exchange) -> tuple[list[str], str, str]:
    request, offers, _ = await _offers(own)
    ended = "UPDATE requests SET status = 'closed', ended_at = now() - interval '2 days'"
    return offers, "offers", f"{ended} WHERE id = '{request}'"


async def _manifests(own: Exchange) -> tuple[list[str], str, str]:
    aze, tur = await own.system("AZE"), await own.system("TUR")
    request = await tur.request(people(6))
    offer = await aze.offer(request, from_pool(request, await aze.pool(6), 6))
    await tur.accept(offer)
    found = []
    for _ in range(6):
        deployment = await aze.deploy(offer, 1)
        path = f"/v1/deployments/{deployment['id']}/manifest"
        assert (await aze.put(path, {"people": [{"name": "Example"}]})).status_code == 201
        await aze.move("deployments", deployment, "cancel", {"reason": "Snow."})
        found.append(deployment["id"])
    listed = ",".join(f"'{deployment}'" for deployment in found)
    ended = f"UPDATE deployments SET ended_at = now() - interval '40 days' WHERE id IN ({listed})"
    return found, "manifests", ended


KINDS = {
    "expire_offers": (_due_offers, "id", "status <> 'expired'"),
    "expire_orphans": (_orphans, "id", "status <> 'expired'"),
    "erase_manifests": (_manifests, "deployment", "erased_at IS NULL"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_one_that_cannot_be_ended_is_told_and_holds_up_no_other(
    own: Exchange, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "_AGAIN", 0.5)
    make, column, still = KINDS[kind]
    things, table, due = await make(own)
    bad = things[0]
    listed = ",".join(f"'{thing}'" for thing in things)
    left = f"SELECT count(*) FROM {table} WHERE {column} IN ({listed}) AND {still}"
    await own.sql(
        f"ALTER TABLE {table} ADD CONSTRAINT planted CHECK ({column} <> '{bad}' OR {still})", due
    )
    async with _doing(own, kind) as chore:
        async with asyncio.timeout(30):
            while await own.value(left) != 1 or await _told(own, "komek_chore_stuck", chore) != 1:
                pass
            while not await _told(own, "komek_chore_stuck_seconds", chore):
                pass
        assert (await _told(own, "komek_chore_failures_total", chore) or 0) >= 1
        assert await own.value(f"SELECT count(*) FROM {table} WHERE {column} = '{bad}' AND {still}")
        # Once it is mended it is ended as the others were, and nothing is told any more.
        await own.sql(f"ALTER TABLE {table} DROP CONSTRAINT planted")
        async with asyncio.timeout(30):
            while await own.value(left) or await _told(own, "komek_chore_stuck", chore):
                pass
        assert await _told(own, "komek_chore_stuck_seconds", chore) == 0


async def test_a_chore_that_fails_as_a_whole_is_counted(own: Exchange) -> None:
    await own.sql("ALTER TABLE idempotency_answers RENAME COLUMN created_at TO made_at")
    try:
        async with _doing(own, "forget_answers") as chore, asyncio.timeout(30):
            while not await _told(own, "komek_chore_failures_total", chore):
                pass
    finally:
        await own.sql("ALTER TABLE idempotency_answers RENAME COLUMN made_at TO created_at")
    assert await _told(own, "komek_chore_stuck", chore) == 0
