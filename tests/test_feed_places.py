"""A filtered page ends where it stopped looking: it tells nothing of what is sealed."""

import asyncio
import random
from contextlib import aclosing
from uuid import UUID

import pytest

from app.ledger import store, streaming
from app.ledger.listening import Listening
from app.ledger.rules import Filters
from app.ledger.streaming import Reader, Stream
from tests.conftest import Service
from tests.world import Json, System, done

LOOKED = 10
UNSEEN = ("stock.published", "volunteers.published", "offer.proposed", "deployment.planned")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that look at few places, and a stream that reads them all from the database."""
    monkeypatch.setattr(store, "LOOKED", LOOKED)
    monkeypatch.setattr(streaming, "_WINDOW", 0)


async def _head(system: System) -> int:
    return int(done(await system.get("/v1/events/head"))["seq"])


async def _until(system: System, head: int) -> int:
    async with asyncio.timeout(20):
        while True:
            if (seq := await _head(system)) >= head:
                return seq
            await asyncio.sleep(0.01)


async def _sealed_from(aze: System, count: int = 40) -> tuple[int, int]:
    """Lots and people for others' eyes, in no order: between which places of the chain."""
    start = await _head(aze)
    chance = random.Random(count)
    for n in range(count):
        publish = aze.lot if chance.random() < 0.5 else aze.pool
        await publish(n + 1, visible_to=["KAZ"])
    return start, await _until(aze, start + count)


async def test_where_a_page_ends_tells_the_type_of_no_sealed_envelope(
    few: None, aze: System, uzb: System
) -> None:
    start, end = await _sealed_from(aze)
    for after in range(start, end - LOOKED, 3):
        pages = [
            done(await uzb.get("/v1/events", after=after, type=kind, limit=5)) for kind in UNSEEN
        ]
        assert pages == [pages[0]] * len(UNSEEN)
        assert (pages[0]["items"], pages[0]["reached"]) == ([], after + LOOKED)
        assert pages[0]["next"] is not None


async def test_where_the_stream_and_the_webhooks_go_on_tells_it_neither(
    few: None, service: Service, aze: System, uzb: System
) -> None:
    start, end = await _sealed_from(aze)
    assert service.settings.database_url is not None
    listening = Listening(service.settings.database_url)
    listening.seq = end
    stream, reader = (
        Stream(service.database, service.app.state.callers, listening),
        Reader("UZB", ("UZB",)),
    )
    wanted = [Filters(types=(kind,)) for kind in UNSEEN]
    wanted += [Filters(emergency=UUID(int=1)), Filters(mine=True)]
    for after in range(start, end, 7):
        ends = [await stream.page(reader, filters, after) for filters in wanted]
        assert ends == [([], min(after + LOOKED, end))] * len(wanted)


async def test_a_page_is_cut_where_enough_is_shown(few: None, aze: System, uzb: System) -> None:
    """What is shown is no secret: by it a page may end."""
    start = await _head(aze)
    lots = [await aze.lot(1) for _ in range(6)]
    await _until(aze, start + 6)
    page = done(await uzb.get("/v1/events", after=start, type="stock.published", limit=4))
    assert [e["subject"]["id"] for e in page["items"]] == [lot["id"] for lot in lots[:4]]
    assert page["reached"] == page["items"][-1]["seq"]
    rest = done(await uzb.get("/v1/events", cursor=page["next"], type="stock.published", limit=4))
    assert [e["subject"]["id"] for e in rest["items"]] == [lot["id"] for lot in lots[4:]]
    assert rest["next"] is None


async def test_who_polls_with_a_filter_goes_on_from_where_the_last_look_ended(
    few: None, aze: System, uzb: System
) -> None:
    start, _ = await _sealed_from(aze, 25)
    told: list[Json] = []
    place, looks = start, 0

    async def poll() -> None:
        nonlocal place, looks
        more = True
        while more:
            page = done(await uzb.get("/v1/events", after=place, type="stock.published"))
            told.extend(page["items"])
            assert page["reached"] > place or page["next"] is None
            place, more, looks = page["reached"], page["next"] is not None, looks + 1

    await poll()
    assert (told, place) == ([], await _head(uzb))
    seen, looks = await aze.lot(1), 0
    await _until(uzb, place + 1)
    await poll()
    assert [e["subject"]["id"] for e in told] == [seen["id"]]
    assert looks == 1, "what was looked through once is not looked through again"


async def test_a_follower_with_a_filter_passes_over_what_is_sealed(
    few: None, aze: System, uzb: System
) -> None:
    start, end = await _sealed_from(aze)
    seen = await aze.lot(1)
    places: list[int] = []
    async with asyncio.timeout(20):
        heard = uzb.exchange.listen(start, types=["stock.published"])
        async with aclosing(heard) as following:
            async for one in following:
                places.append(one.seq)
                if one.event is not None:
                    break
    assert one.event is not None
    assert one.event["subject"] is not None
    assert one.event["subject"]["id"] == seen["id"]
    assert places == sorted(set(places))
    assert len(places) <= (end - start) / LOOKED + 5, "each page is one step, and none comes again"
    assert [e["subject"]["id"] for e in await uzb.events(start, type="stock.published")] == [
        seen["id"]
    ]
