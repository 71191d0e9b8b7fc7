"""What a caller may not see changes no byte of what any route answers to them.

Azerbaijan, Kazakhstan and Kyrgyzstan publish for each other alone, plan journeys between them, and
keep house. Uzbekistan, an observer and the secretariat ask every route that reads, and every
question, before and after: the answers are the same, the errors, ETags and cursors too.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app import clock
from app.calls import Question
from app.config import Settings
from app.main import routes
from tests.elsewhere import Exchange, exchange_of_its_own
from tests.stage import ENDPOINT, NOWHERE
from tests.test_matches import PLACES, SOON, depot, item, lot, planned
from tests.world import (
    AVAILABLE,
    BLANKET,
    TENT,
    UNTIL,
    WOOL_BLANKET,
    Json,
    System,
    done,
    from_lot,
    from_pool,
    goods,
    people,
    refused,
)

HIDDEN_BLANKETS = 7_777
AT = "2026-12-01T06:00:00Z"


async def test_what_another_may_see_cannot_be_read_from_what_a_plan_leaves_for_oneself(
    tur: System, aze: System, kaz: System, kgz: System, uzb: System
) -> None:
    """With the others' hidden stock in it, the plan would say to ±1 how much of it there is."""
    code = await item(tur)
    await lot(aze, 10_000, code)
    emergency = await tur.emergency()
    wanted: Json = {"emergency": emergency["id"], "needed_by": SOON}
    await kgz.request(goods(10_000, code), priority="critical", **wanted)
    await uzb.request(goods(10_000, code), priority="normal", **wanted)
    before = await planned(uzb, emergency)
    assert before["summary"]["covered"] == {"critical": 0, "high": 0, "normal": 0}
    await lot(kaz, HIDDEN_BLANKETS, code, visible_to=["KGZ"])
    assert await planned(uzb, emergency) == before
    await lot(kaz, 500, code, visible_to=["KGZ", "UZB"])
    assert (await planned(uzb, emergency))["summary"]["covered"]["normal"] == 500


async def test_who_else_may_see_a_lot_is_told_by_no_plan_of_a_member(
    tur: System, aze: System, kaz: System, kgz: System, uzb: System
) -> None:
    code = await item(tur)
    emergency = await tur.emergency()
    wanted: Json = {"emergency": emergency["id"], "needed_by": SOON}
    await kgz.request(goods(100, code), priority="critical", **wanted)
    await uzb.request(goods(100, code), priority="normal", **wanted)
    await lot(aze, 40, code)
    shared: Json = {"item": code, "site": await depot(kaz), "quantity": 60}

    async def told(*eyes: str) -> Json:
        await kaz.put("/v1/my/stock/whose", shared | {"visible_to": list(eyes)})
        return await planned(uzb, emergency)

    assert [site["available"] for site in await _found(uzb, code)] == [40]
    before = await told("UZB")
    assert [site["available"] for site in await _found(uzb, code)] == [40, 60]
    assert await told("UZB", "KGZ") == before


async def _found(system: System, code: str) -> list[Json]:
    found: list[Json] = done(await system.get("/v1/stock", item=code))["items"]
    return found


async def test_who_agrees_to_a_longer_deployment_is_not_told_how_many_its_sender_has_free(
    tur: System, kgz: System, uzb: System
) -> None:
    pool = await kgz.pool(12, "shelter", visible_to=[])

    async def deployed(asker: System, headcount: int, start: str, end: str) -> Json:
        request = await asker.request(people(headcount, "shelter", start, end))
        offer = await asker.accept(await kgz.offer(request, from_pool(request, pool, headcount)))
        return await kgz.deploy(offer, headcount)

    first = await deployed(tur, 5, "2097-01-10T00:00:00Z", "2097-01-24T00:00:00Z")
    await deployed(uzb, 9, "2097-01-24T00:00:00Z", "2097-02-24T00:00:00Z")
    path = f"/v1/deployments/{first['id']}/extension"
    until = {"until": "2097-02-01T00:00:00Z"}
    done(await kgz.post(path, until))
    told = refused(await tur.post(f"{path}/accept"), 409, "insufficient_volunteers")
    assert "lines" not in told
    assert "errors" not in told
    assert not set("3579") & set(told["detail"]), "neither how many are free nor how many are not"
    done(await tur.post(f"{path}/decline"))
    done(await tur.post(path, until))
    own = refused(await kgz.post(f"{path}/accept"), 409, "insufficient_volunteers")
    assert own["lines"] == [{"line": 0, "offered": 5, "available": 3}]


@dataclass
class Stranger:
    """Somebody who may not see, and the ids of what they may."""

    system: System
    ids: dict[str, list[str]]
    refs: dict[str, list[str]]
    questions: dict[str, list[Json]]


@dataclass
class World:
    """Three societies that share things, and three who look on."""

    exchange: Exchange
    systems: dict[str, System]
    strangers: list[Stranger]
    promised: Json
    offer: Json
    consignment: Json
    deployment: Json
    counts: dict[str, int] = field(default_factory=dict)

    def number(self, word: str) -> str:
        self.counts[word] = self.counts.get(word, 0) + 1
        return f"{word}-{self.counts[word]}"


PLACE = {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3}


@pytest_asyncio.fixture(scope="module")
async def world(settings: Settings) -> AsyncIterator[World]:
    async with exchange_of_its_own(settings) as exchange:
        tur = await exchange.system("TUR")
        done(await tur.put("/v1/societies/TKM", {"name": "Observing", "role": "observer"}), 201)
        names = ("TUR", "AZE", "KAZ", "KGZ", "UZB", "TKM")
        yield await _built(exchange, {name: await exchange.system(name) for name in names})


async def _built(exchange: Exchange, systems: dict[str, System]) -> World:
    tur, aze, kaz, kgz, uzb, tkm = systems.values()
    for system in (aze, kaz, kgz, uzb, tur):
        lat, lon = PLACES[system.society]
        site = {"name": "Depot", "country": system.society, "lat": lat, "lon": lon}
        assert (await system.put("/v1/my/sites/depot", site)).is_success
    depot: Json = {"site": "depot"}
    seen_lot = await aze.lot(5_000, **depot)
    await aze.lot(300, WOOL_BLANKET, **depot)
    await kaz.lot(700, keep_back=50, **depot)
    own_lot = await uzb.lot(400, TENT, **depot)
    await tur.lot(40, **depot)
    seen_pool = await aze.pool(80, **depot)
    await kaz.pool(30, "shelter", **depot)
    own_pool = await uzb.pool(20, **depot)
    emergency = (await tur.emergency())["id"]
    wanted: Json = {"emergency": emergency, "needed_by": UNTIL}
    asked = await kgz.request(
        goods(9_000, accept_substitutes=True), people(90), priority="critical", **wanted
    )
    own = await uzb.request(goods(4_000, accept_substitutes=True), people(30), **wanted)
    urs = await tur.request(goods(2_000), goods(500, TENT), priority="normal", **wanted)
    theirs_lot = await aze.lot(1_000, visible_to=["KGZ"], **depot)
    theirs_pool = await aze.pool(60, visible_to=["KGZ"], **depot)
    lines = from_lot(asked, theirs_lot, 600), from_pool(asked, theirs_pool, 40, line=1)
    offer = await kgz.accept(await aze.offer(asked, *lines))
    consignment = await aze.consign(offer, 20)
    await aze.move("consignments", consignment, "dispatch")
    deployment = await aze.deploy(offer, 5, line=1)
    await aze.move("deployments", deployment, "mobilise")
    await aze.move("deployments", deployment, "arrive")
    gift = await uzb.accept(
        await aze.offer(own, from_lot(own, seen_lot, 100), from_pool(own, seen_pool, 10, line=1))
    )
    parcel, team = await aze.consign(gift, 30), await aze.deploy(gift, 3, line=1)
    clients = {
        s.society: done(await s.post("/v1/clients", {"name": "ERP", "scopes": ["read"]}), 201)["id"]
        for s in (uzb, tur, tkm, aze)
    }
    hooks = {
        s.society: done(await s.post("/v1/webhooks", {"url": ENDPOINT}), 201)["id"]
        for s in (uzb, tur, tkm, aze)
    }
    theirs = {
        "stock": theirs_lot["id"], "volunteers": theirs_pool["id"], "offers": offer["id"],
        "consignments": consignment["id"], "deployments": deployment["id"],
        "clients": clients["AZE"], "webhooks": hooks["AZE"],
    }  # fmt: skip

    def stranger(system: System, request: Json, refs: dict[str, list[str]]) -> Stranger:
        own_things = {"offers": gift, "consignments": parcel, "deployments": team}
        ids = {
            "stock": [seen_lot["id"]], "volunteers": [seen_pool["id"]],
            "emergencies": [emergency], "requests": [request["id"], asked["id"]],
            "clients": [clients[system.society]], "webhooks": [hooks[system.society]],
        } | {kind: [one["id"]] for kind, one in own_things.items()}  # fmt: skip
        for kind in ids:
            ids[kind] += [theirs.get(kind, NOWHERE), NOWHERE]
        return Stranger(system, ids, refs, _questions(request, own_lot, own_pool, emergency))

    for system in systems.values():
        # That answers are as documented is held elsewhere, and costs more than all the rest here.
        system.http.event_hooks["response"].clear()
    return World(
        exchange,
        systems,
        [
            stranger(
                uzb,
                own,
                {"sites": ["depot"], "stock": [own_lot["ref"]], "volunteers": [own_pool["ref"]]},
            ),
            stranger(tkm, own, {}),
            stranger(tur, urs, {"sites": ["depot"]}),
        ],
        theirs_lot,
        offer,
        consignment,
        deployment,
    )


def _questions(request: Json, lot: Json, pool: Json, emergency: str) -> dict[str, list[Json]]:
    near = {
        "society": "KAZ", "item": BLANKET, "quantity": 50, "place": "Aktau", "country": "KAZ",
        "lat": 43.65, "lon": 51.16,
    }  # fmt: skip
    asked: Json = {"place": PLACE, "people": 6_000, "at": AT}
    return {
        "POST /v1/emergencies/{id}/plan": [
            {"at": AT},
            {"at": AT, "max_consignments": 2, "time_limit": 5},
            {"at": AT, "count_proposed": True, "leave_out": ["KAZ"]},
            {"at": AT, "requests": [request["id"]], "what_if": {"lots": [near]}},
            {"at": AT, "latest_arrival": "2026-12-02T06:00:00Z"},
        ],
        "POST /v1/preparedness": [
            asked,
            asked | {"needs": [{"item": BLANKET, "per_person": 2}], "within_hours": 30},
        ],
        "POST /v1/offers/screening": [
            {
                "emergency": emergency, "to": to,
                "lines": [
                    {"stock": lot["id"], "quantity": 1},
                    {"volunteers": pool["id"], "headcount": 1},
                ],
            }
            for to in ("KGZ", "AZE")
        ],
    }  # fmt: skip


QUERIES: dict[str, list[str]] = {
    "/v1/stock": [
        f"limit=1&item={BLANKET}", "limit=1&society=AZE", "country=AZE&limit=1",
        "min_available=600", "expires_after=2027-01-01&limit=1", f"item={BLANKET}&substitutes=true",
        "near=40.4,49.8&limit=1", "near=40.4,49.8&within_km=2000&limit=1",
    ],
    "/v1/volunteers": [
        "limit=1&skill=usar", "society=AZE&limit=1", "min_headcount=25", "language=tr&limit=1",
        "from=2097-01-10T00:00:00Z&until=2097-01-24T00:00:00Z&limit=1",
    ],
    "/v1/requests": ["limit=1", "society=KGZ", "status=open&priority=critical"],
    "/v1/emergencies": ["limit=1"],
    "/v1/emergencies/{id}/board": ["format=csv"],
    "/v1/offers": ["limit=1", "as=requester", "as=provider", "status=accepted"],
    "/v1/consignments": ["limit=1", "status=planned"],
    "/v1/deployments": ["limit=1", "status=planned"],
    "/v1/clients": ["limit=1"],
    "/v1/my/stock": ["limit=1"],
    "/v1/my/stock/export": ["format=ndjson"],
    "/v1/my/volunteers/export": ["format=ndjson"],
    "/v1/events": [
        "limit=3&type=stock.published,offer.accepted,deployment.planned", "limit=3&mine=true",
        "limit=2&type=consignment.planned", "type=volunteers.published&mine=true",
    ],
    "/v1/items/{code}/conversion": ["quantity=20&pack=bale-20"],
    "/v1/routes": ["from=43.65,51.16&from_country=KAZ&to=37.49,37.3&to_country=TUR"],
}  # fmt: skip
"""Beside the whole list: what narrows it, in pages so small that there are cursors."""
CODES = {"items": BLANKET, "skills": "usar", "hubs": "AKTAU", "legs": "sea-aktau-baku"}
LISTS = {
    f"/v1/{name}" for name in ("items", "skills", "hubs", "legs", "events", "event-types", "offers")
}
"""So long that they are read in long pages."""
OTHERWISE = {
    # Everybody's feed has an envelope for each record, so that everybody can check the chain: that
    # something happened is no secret. What the envelopes hold is compared by way of the feed.
    "GET /v1/events/head",
    # Has no end; it is the feed (tests/test_stream.py).
    "GET /v1/events/stream",
}
_SAID = ("content-type", "etag", "link", "location", "retry-after")


class Answers(dict[str, Any]):
    """Every answer to one stranger, by the call."""


async def _ask(world: World, stranger: Stranger, until: int) -> Answers:
    """Everything that a stranger can read or ask, the feed up to a `seq`."""
    found = Answers()
    for route in routes():
        for method in sorted(route.methods or ()):
            name = f"{method} {route.path}"
            if name in OTHERWISE:
                continue
            if method == "GET":
                for path in _paths(stranger, route.path):
                    for query in ["", *QUERIES.get(route.path, [])]:
                        await _read(found, stranger, path, query, until)
            elif isinstance(route, Question):
                for path in _paths(stranger, route.path):
                    for n, body in enumerate(stranger.questions[name]):
                        answer = await stranger.system.post(path, body)
                        found[f"{method} {path} {n}"] = _as_said(answer)
    return found


def _paths(stranger: Stranger, template: str) -> list[str]:
    parts = template.removeprefix("/v1/my/").removeprefix("/v1/").split("/")
    if "{id}" in template:
        return [template.replace("{id}", one) for one in stranger.ids[parts[0]]]
    if "{ref}" in template:
        return [template.format(ref=one) for one in [*stranger.refs.get(parts[0], []), "unseen-1"]]
    return [template.format(code=CODES.get(parts[0], ""))]


async def _read(found: Answers, who: Stranger, path: str, query: str, until: int) -> None:
    call = f"GET {path}?{query}"
    following: str | None = f"{path}?{query or 'limit=200'}" if path in LISTS else call[4:]
    pages = 0
    while following is not None:
        answer = await who.system.http.get(following)
        following = answer.links.get("next", {}).get("url")
        if path == "/v1/events" and answer.is_success:
            # Where its pages end depends on how long the chain is, which everybody sees.
            found.setdefault(call, []).extend(_up_to(answer.json(), until))
        else:
            found[f"{call} page {pages}"] = _as_said(answer)
        pages += 1
        assert pages < 200, call


def _as_said(answer: httpx.Response) -> Any:
    headers = {name: answer.headers.get(name) for name in _SAID}
    if headers["content-type"] == "application/problem+json":
        problem = answer.json()
        # Each refusal has a number of its own, for the operator's log.
        assert problem.pop("request_id")
        return answer.status_code, headers, json.dumps(problem)
    text = answer.text
    if answer.url.path.endswith("/progress") and answer.is_success:
        # How far the chain is beyond the place of an endpoint: everybody sees its head.
        progress = answer.json()
        progress.pop("behind")
        text, headers["etag"] = json.dumps(progress), None
    return answer.status_code, headers, text


def _up_to(page: Json, until: int) -> list[Json]:
    """A page of the feed as it was; what came since has envelopes alone."""
    later = [event for event in page["items"] if event["seq"] > until]
    assert {event["type"] for event in later} <= {"sealed"}, later
    return [event for event in page["items"] if event["seq"] <= until]


Act = Callable[[World, random.Random], Awaitable[str]]


def _eyes(chance: random.Random) -> list[str]:
    return chance.choice([["KGZ"], ["KAZ", "KGZ"], ["KAZ"], []])


async def _publish_lot(world: World, chance: random.Random) -> str:
    system = world.systems[chance.choice(["AZE", "KAZ"])]
    quantity = chance.choice([1, 350, 7_777, 400_000])
    body = {
        "item": chance.choice([BLANKET, BLANKET, WOOL_BLANKET, TENT]),
        "site": chance.choice(["depot", "unseen-1"]), "quantity": quantity,
        "keep_back": chance.choice([0, quantity // 2, quantity]), "visible_to": _eyes(chance),
        "expires_on": chance.choice([None, "2026-12-05", "2027-01-20", "2029-01-01"]),
    }  # fmt: skip
    ref = f"unseen-{chance.randint(1, 6)}"
    assert (await system.put(f"/v1/my/stock/{ref}", body)).is_success
    return f"{system.society} published {ref}: {body}"


async def _publish_pool(world: World, chance: random.Random) -> str:
    system = world.systems[chance.choice(["AZE", "KAZ"])]
    body = {
        "skill": chance.choice(["usar", "shelter"]), "languages": ["tr"],
        "headcount": chance.choice([1, 25, 5_000]), "site": "unseen-1",
        "available_from": AVAILABLE[0], "available_until": AVAILABLE[1],
        "notice_hours": chance.choice([1, 48]), "visible_to": _eyes(chance),
    }  # fmt: skip
    ref = f"unseen-{chance.randint(1, 6)}"
    assert (await system.put(f"/v1/my/volunteers/{ref}", body)).is_success
    return f"{system.society} published people {ref}: {body}"


async def _recount(world: World, chance: random.Random) -> str:
    """Also below what is promised of it, which both parties are told."""
    count = chance.choice([10, 700, 90_000])
    body = {"item": BLANKET, "site": "depot", "quantity": count, "visible_to": ["KGZ"]}
    path = f"/v1/my/stock/{world.promised['ref']}"
    done(await world.systems["AZE"].put(path, body))
    return f"AZE counted {count} of what it promised"


async def _withdraw(world: World, chance: random.Random) -> str:
    system = world.systems[chance.choice(["AZE", "KAZ"])]
    path = f"/v1/my/{chance.choice(['stock', 'volunteers'])}/unseen-{chance.randint(1, 6)}"
    answer = await system.http.delete(path)
    return f"{system.society} withdrew {path}: {answer.status_code}"


async def _move_site(world: World, chance: random.Random) -> str:
    system = world.systems[chance.choice(["AZE", "KAZ"])]
    ref = chance.choice(["unseen-1", world.number("unseen-site")])
    lat = chance.choice([40.4, 43.2, 37.5])
    body = {"name": f"Store {ref}", "country": system.society, "lat": lat, "lon": 49.9}
    assert (await system.put(f"/v1/my/sites/{ref}", body)).is_success
    return f"{system.society} moved {ref} to {lat}"


async def _keep_house(world: World, chance: random.Random) -> str:
    system = world.systems["AZE"]
    url = f"https://erp.redcrescent.example/{world.number('hook')}"
    done(await system.post("/v1/webhooks", {"url": url, "types": ["offer.*"]}), 201)
    return "AZE opened an endpoint"


UNPUBLISHED: tuple[Act, ...] = (
    _publish_lot, _publish_lot, _publish_lot, _publish_pool, _publish_pool, _withdraw, _move_site,
    _recount, _keep_house,
)  # fmt: skip


async def _send(world: World, chance: random.Random) -> str:
    aze = world.systems["AZE"]
    consignment = await aze.consign(world.offer, 1)
    if chance.random() < 0.5:
        await aze.move("consignments", consignment, "cancel", {"reason": "Unseen."})
    return "AZE planned a consignment"


async def _pass(world: World, chance: random.Random) -> str:
    body = {"place": world.number("Border"), "at": "2026-11-20T00:00:00Z"}
    path = f"/v1/consignments/{world.consignment['id']}/checkpoints"
    done(await world.systems["AZE"].post(path, body), 201)
    return "AZE's consignment passed a place"


async def _deploy(world: World, chance: random.Random) -> str:
    aze = world.systems["AZE"]
    deployment = await aze.deploy(world.offer, 1, line=1)
    manifest = {"people": [{"name": world.number("Person")}]}
    done(await aze.put(f"/v1/deployments/{deployment['id']}/manifest", manifest), 201)
    await aze.move("deployments", deployment, "cancel", {"reason": "Unseen."})
    return "AZE planned people"


async def _prolong(world: World, chance: random.Random) -> str:
    body = {"until": f"2097-03-{chance.randint(10, 28)}T00:00:00Z"}
    await world.systems["KGZ"].move("deployments", world.deployment, "extension", body)
    await world.systems["AZE"].move("deployments", world.deployment, "extension/decline", None)
    return "KGZ asked for longer"


async def _open_client(world: World, chance: random.Random) -> str:
    body = {"name": world.number("System"), "scopes": ["read"]}
    done(await world.systems["AZE"].post("/v1/clients", body), 201)
    return "AZE opened a client"


BETWEEN_TWO: tuple[Act, ...] = (_send, _pass, _deploy, _prolong, _open_client)


@pytest.mark.parametrize(
    "acts, strangers",
    [(UNPUBLISHED, ("UZB", "TKM", "TUR")), (UNPUBLISHED + BETWEEN_TWO, ("UZB", "TKM"))],
    ids=["what is published for others", "what two others do"],
)
async def test_what_a_caller_may_not_see_changes_no_answer_of_any_route(
    world: World, acts: tuple[Act, ...], strangers: tuple[str, ...]
) -> None:
    chance = random.Random(len(acts))
    watching = [s for s in world.strangers if s.system.society in strangers]
    for society in ("AZE", "KAZ"):
        site = {"name": "Store", "country": society, "lat": 40.4, "lon": 49.9}
        assert (await world.systems[society].put("/v1/my/sites/unseen-1", site)).is_success
    await _sealed(world)
    until = int(done(await watching[0].system.get("/v1/events/head"))["seq"])
    # When an answer is drawn up stands in it; so all are drawn up at one instant.
    instant = clock.now()
    before = await _at(instant, world, watching, until)
    happened = [await act(world, chance) for act in acts for _ in range(3)]
    happened += [await chance.choice(acts)(world, chance) for _ in range(10)]
    await _sealed(world)
    after = await _at(instant, world, watching, until)
    for who, was, now in zip(watching, before, after, strict=True):
        assert len(was) > 100
        changed = [call for call in was | now if was.get(call) != now.get(call)]
        told = [f"{call}: {was.get(call)} / {now.get(call)}" for call in changed[:3]]
        assert changed == [], "\n".join([who.system.society, *happened, *told])


async def _sealed(world: World) -> None:
    """Until the ledger has a seal for every record."""
    unsealed = (
        "SELECT count(*) FROM records r WHERE NOT EXISTS (SELECT FROM seals WHERE record = r.id)"
    )
    async with asyncio.timeout(20):
        while True:
            if not await world.exchange.value(unsealed):
                return
            await asyncio.sleep(0.02)


async def _at(
    instant: datetime, world: World, watching: list[Stranger], until: int
) -> list[Answers]:
    clock.set_source(lambda: instant)
    try:
        return [await _ask(world, who, until) for who in watching]
    finally:
        clock.set_source(None)


def test_every_question_that_is_sent_is_asked() -> None:
    sent = {f"POST {r.path}" for r in routes() if isinstance(r, Question) and r.methods == {"POST"}}
    assert sent == set(_questions({"id": ""}, {"id": ""}, {"id": ""}, ""))
