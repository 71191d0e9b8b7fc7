"""The stream tells each listener the feed as it happens, and whoever is cut off misses nothing."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from app.config import Settings
from app.ledger import streaming
from tests.conftest import Enrol, Service, make_key, serving_on
from tests.world import Json, System, done, from_lot, goods

Alone = Callable[..., Settings]


@dataclass
class Heard:
    """One server-sent event; `data` is None where it only moves the listener's place."""

    id: int | None
    event: str | None
    data: Json | None


async def listen(
    http: httpx.AsyncClient, last: int | None = None, **params: object
) -> AsyncGenerator[Heard, None]:
    """Events until the connection ends."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    wanted = {k.rstrip("_"): str(v) for k, v in params.items()}
    async with http.stream("GET", "/v1/events/stream", params=wanted, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            data = json.loads(fields["data"]) if "data" in fields else None
            place = int(fields["id"]) if "id" in fields else None
            yield Heard(place, fields.get("event"), data)
            fields = {}


async def heard_until(http: httpx.AsyncClient, seq: int, **params: object) -> list[Json]:
    """What a listener is told until it has reached a `seq`."""
    told: list[Json] = []
    async with asyncio.timeout(20), aclosing(listen(http, None, **params)) as events:
        async for heard in events:
            if heard.data is not None:
                assert heard.id == heard.data["seq"]
                assert heard.event == heard.data["type"]
                told.append(heard.data)
            if heard.id is not None and heard.id >= seq:
                break
    return told


async def head(system: System) -> int:
    """The last seq, when everything that was done is sealed."""
    marker = await system.site()
    body = {"name": f"Mark {random.random()}", "country": system.society, "lat": 1, "lon": 1}
    await system.put(f"/v1/my/sites/{marker}", body)
    site = done(await system.get(f"/v1/my/sites/{marker}"))
    async with asyncio.timeout(30):
        while True:
            seq: int = done(await system.get("/v1/events/head"))["seq"]
            events = await system.events(max(0, seq - 50), type="site.changed,site.opened")
            if any(e["data"].get("name") == site["name"] for e in events):
                return seq
            await asyncio.sleep(0.02)


async def test_a_listener_is_told_what_the_feed_says_and_not_a_word_more(
    tur: System, aze: System, kgz: System
) -> None:
    start = await head(tur)
    lot = await aze.lot(100, visible_to=["TUR"])
    request = await tur.request(goods(100))
    await tur.accept(await aze.offer(request, from_lot(request, lot, 60)))
    end = await head(aze)
    for system in (tur, aze, kgz):
        told = await heard_until(system.http, end, after=start)
        fed = [e for e in await system.events(start) if e["seq"] <= told[-1]["seq"]]
        assert told == fed
    assert "sealed" in {e["type"] for e in await heard_until(kgz.http, end, after=start)}


async def test_an_event_arrives_while_the_listener_waits(tur: System, aze: System) -> None:
    arrived: asyncio.Queue[Heard] = asyncio.Queue()

    async def wait() -> None:
        async for heard in listen(tur.http):
            await arrived.put(heard)

    listener = asyncio.create_task(wait())
    async with asyncio.timeout(30):
        first = await arrived.get()
        assert first.data is None, "the first sign of life tells where the listener stands"
        lot = await aze.lot(7)
        while True:
            heard = await arrived.get()
            if heard.data and heard.data["subject"] and heard.data["subject"]["id"] == lot["id"]:
                break
    listener.cancel()


async def test_a_listener_who_is_cut_off_at_random_misses_nothing_and_hears_nothing_twice(
    alone: Alone, aze: System
) -> None:
    start = await head(aze)

    async def publish() -> int:
        await asyncio.gather(*(aze.lot(n + 1) for n in range(150)))
        for n in range(50):
            await aze.lot(n + 1)
        return await head(aze)

    publishing = asyncio.create_task(publish())
    chance = random.Random(7)
    told: list[Json] = []
    place = start
    async with listening_to(alone(heartbeat=1.0), "TUR") as (http, _), asyncio.timeout(60):
        while not (publishing.done() and place >= publishing.result()):
            left = chance.randint(0, 25)
            async with aclosing(listen(http, last=place)) as events:
                async for heard in events:
                    if heard.data is not None:
                        told.append(heard.data)
                    place = heard.id if heard.id is not None else place
                    left -= 1
                    if left < 0 or (publishing.done() and place >= publishing.result()):
                        break
    seqs = [event["seq"] for event in told]
    assert seqs == list(range(start + 1, place + 1))


async def test_filters_leave_only_what_was_asked_for(tur: System, aze: System, uzb: System) -> None:
    start = await head(aze)
    lot = await aze.lot(100)
    request = await tur.request(goods(50))
    other = await tur.request(goods(50))
    await aze.offer(request, from_lot(request, lot, 10))
    await aze.offer(other, from_lot(other, lot, 10))
    end = await head(aze)
    emergency = request["emergency"]
    of_emergency = await heard_until(uzb.http, end, after=start, emergency=emergency)
    assert [e["type"] for e in of_emergency] == ["emergency.opened", "request.opened"]
    both = await heard_until(tur.http, end, after=start, emergency=emergency)
    assert [e["type"] for e in both][-1] == "offer.proposed"
    offers = await heard_until(tur.http, end, after=start, type="offer.proposed")
    assert {e["data"]["request"] for e in offers} == {request["id"], other["id"]}
    mine = await heard_until(aze.http, end, after=start, mine=True)
    assert {e["society"] for e in mine} == {"AZE"}
    assert mine == (await aze.events(start, mine=True))[: len(mine)]


async def test_a_listener_far_behind_the_window_catches_up_from_the_ledger(
    alone: Alone, aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_WINDOW", 5)
    monkeypatch.setattr(streaming, "_PAGE", 7)
    for n in range(30):
        await aze.lot(n + 1)
    end = await head(aze)
    async with listening_to(alone(), "AZE") as (http, _):
        told = await heard_until(http, end, after=max(0, end - 40))
        fed = await aze.events(max(0, end - 40))
        assert told == fed[: len(told)]
        assert told[-1]["seq"] >= end
        wanted = await heard_until(http, end, after=0, type="site.opened")
        assert wanted == [e for e in await aze.events(0, type="site.opened") if e["seq"] <= end]


@asynccontextmanager
async def listening_to(
    settings: Settings, society: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    """A service of its own, and a client of it with a key of its own."""
    async with serving_on(settings) as service:
        key = await make_key(service, society)
        async with httpx.AsyncClient(
            base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=20
        ) as http:
            yield http, service


async def test_a_quiet_stream_shows_that_it_lives(alone: Alone, kgz: System) -> None:
    end = await head(kgz)
    async with (
        listening_to(alone(heartbeat=1.0), "KGZ") as (http, _),
        asyncio.timeout(20),
        aclosing(listen(http, type="offer.expired", after=end)) as events,
    ):
        signs = [await anext(events) for _ in range(3)]
    assert [heard.data for heard in signs] == [None] * 3
    assert signs[-1].id is not None
    assert signs[-1].id > end, "its place moves on past what it did not want"


async def test_a_revoked_key_hears_no_more(alone: Alone, aze: System, enrol: Enrol) -> None:
    async with listening_to(alone(key_cache=0.0), "KAZ") as (http, _), asyncio.timeout(20):
        me = done(await http.get("/v1/me"))
        admin = await enrol("KAZ")
        heard: list[Heard] = []
        async with aclosing(listen(http)) as events:
            async for one in events:
                heard.append(one)
                if len(heard) == 1:
                    assert (await admin.http.delete(f"/v1/clients/{me['client']}")).is_success
                    await aze.lot(3)
        assert heard[-1].event == "problem"
        assert heard[-1].data is not None
        assert heard[-1].data["code"] == "unauthenticated"
        assert "stock.published" not in {h.event for h in heard}


async def test_a_stopping_service_ends_its_streams(alone: Alone) -> None:
    async with (
        listening_to(alone(), "UZB") as (http, service),
        asyncio.timeout(20),
        aclosing(listen(http)) as events,
    ):
        async for _ in events:
            service.app.state.listening.end()


async def test_a_place_that_is_none_is_refused(tur: System) -> None:
    for strange in ("x", "-1", "9" * 30, "1.5", ""):
        answer = await tur.http.get("/v1/events/stream", headers={"Last-Event-ID": strange})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "header/Last-Event-ID"
