"""A foreign society walks every route with ids that are not its own: nothing leaks, nothing moves.

Kazakhstan helps Kyrgyzstan with what only the two may see. Uzbekistan, a member with every scope,
and an observer try each route with the ids of all of that, and with ids of nothing at all: the two
must not be told apart, whether they stand in a path, a body, a filter or a cursor.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from sqlalchemy import text

from app.pages import write_cursor
from tests.conftest import Enrol, Service
from tests.described import Contract
from tests.stage import NOWHERE
from tests.test_access_routes import ENDLESS, every_route
from tests.world import FROM, UNTIL, Json, System, done, from_lot, from_pool, goods, people

COUNT, FLOOR, HEADS = 987_001, 87_003, 76_501
NAME, BATCH, PLACE, MESSAGE = "Zqsecret Person", "zqsecret-batch", "zqsecret-site", "zqsecret-word"
REF = "zqsecret-ref"


@dataclass
class Secret:
    """What the two societies share, and what of it nobody else may find anywhere."""

    ids: dict[str, str]
    """By the first part of the path that takes them."""
    inner: dict[str, str]
    """Lines and the like, which bodies name."""
    request: Json
    emergency: str

    @property
    def words(self) -> list[str]:
        """What must not occur in any answer to others."""
        return [
            *self.ids.values(),
            *self.inner.values(),
            *(str(n) for n in (COUNT, FLOOR, HEADS, COUNT - FLOOR)),
            NAME, BATCH, PLACE, MESSAGE, REF,
        ]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def secret(enrol: Enrol, kaz: System, kgz: System) -> Secret:
    await kaz.site(PLACE)
    await kaz.put(
        f"/v1/my/sites/{PLACE}", {"name": PLACE, "country": "KAZ", "lat": 43.2, "lon": 76.9}
    )
    seen: Json = {"visible_to": ["KGZ"], "site": PLACE}
    lot = await kaz.lot(COUNT, ref=REF, keep_back=FLOOR, lot_number=BATCH, **seen)
    pool = await kaz.pool(HEADS, ref=REF, **seen)
    request = await kgz.request(goods(500), people(50))
    proposed = await kaz.offer(
        request, from_lot(request, lot, 20), from_pool(request, pool, 20, line=1)
    )
    body = {
        "request": request["id"],
        "lines": [from_lot(request, lot, 300), from_pool(request, pool, 30, line=1)],
        "message": MESSAGE,
    }
    offer = done(await kaz.post("/v1/offers", body), 201)
    await kgz.accept(offer)
    await kaz.consign(offer, 40)
    consignment = await kaz.consign(offer, 30)
    await kaz.move("consignments", consignment, "dispatch")
    deployment = await kaz.deploy(offer, 7, line=1)
    manifest = {"people": [{"name": NAME, "document": MESSAGE}]}
    done(await kaz.put(f"/v1/deployments/{deployment['id']}/manifest", manifest), 201)
    await kaz.move("deployments", deployment, "mobilise")
    more = {"until": "2097-03-01T00:00:00Z", "reason": MESSAGE}
    await kgz.move("deployments", deployment, "extension", more)
    client = done(await kaz.post("/v1/clients", {"name": MESSAGE, "scopes": ["read"]}), 201)
    return Secret(
        ids={
            "stock": lot["id"],
            "volunteers": pool["id"],
            "offers": offer["id"],
            "consignments": consignment["id"],
            "deployments": deployment["id"],
            "clients": client["id"],
        },
        inner={
            "proposed": proposed["id"],
            "line": offer["lines"][0]["id"],
            "crew": offer["lines"][1]["id"],
            "packed": consignment["lines"][0]["id"],
        },
        request=request,
        emergency=request["emergency"],
    )


@pytest_asyncio.fixture(scope="module")
async def strangers(enrol: Enrol, tur: System) -> list[System]:
    observing = {"name": "Observing Society", "role": "observer"}
    assert (await tur.put("/v1/societies/TKM", observing)).is_success
    return [await enrol("UZB"), await enrol("TKM")]


BODIES: dict[str, Json] = {
    "POST /v1/clients/{id}/rotate": {"overlap_hours": 0},
    "POST /v1/consignments/{id}/checkpoints": {"place": "P", "at": FROM},
    "POST /v1/consignments/{id}/receive": {"lines": [{"line": "@packed", "received": 30}]},
    "POST /v1/deployments/{id}/extension": {"until": "2027-06-01T00:00:00Z"},
    "PUT /v1/deployments/{id}/manifest": {"people": [{"name": "Somebody Else"}]},
    "POST /v1/offers/{id}/accept": {"lines": [{"line": "@line", "quantity": 1}]},
}
"""Bodies that are in order; a route without one here needs none."""


def _private_calls(secret: Secret) -> Iterator[tuple[str, str, Json | None, str]]:
    """(method, path template, body, id) of every route that takes the id of something private."""
    for name in every_route():
        method, path = name.split(" ")
        kind = path.removeprefix("/v1/").partition("/")[0]
        if "{id}" not in path or kind not in secret.ids:
            continue
        named = json.dumps(BODIES.get(name))
        for word, value in secret.inner.items():
            named = named.replace(f"@{word}", value)
        yield method, path, json.loads(named), secret.ids[kind]
        if kind == "offers":
            yield method, path, json.loads(named), secret.inner["proposed"]


async def test_what_is_not_theirs_to_see_answers_as_if_it_were_not_there(
    service: Service, secret: Secret, strangers: list[System]
) -> None:
    before = await _everything(service)
    told, tried = [], 0
    for system in strangers:
        for method, path, body, real in _private_calls(secret):
            tried += 1
            there, nothing = [
                await system.http.request(method, path.format(id=x), json=body)
                for x in (real, NOWHERE)
            ]
            if _as_seen(there, real) != _as_seen(nothing, NOWHERE):
                told.append(f"{system.society} {method} {path}: {there.text} / {nothing.text}")
            if there.status_code not in (403, 404):
                told.append(f"{system.society} {method} {path}: {there.status_code}")
    assert told == []
    assert tried > 50
    assert await _everything(service) == before, "something moved"


async def test_what_a_body_names_of_others_is_as_unknown_as_nothing(
    service: Service, secret: Secret, strangers: list[System]
) -> None:
    uzb = strangers[0]
    asked, crew = (line["id"] for line in secret.request["lines"])
    own = await uzb.request(goods(10))
    mine = await uzb.lot(10)
    before = await _everything(service)
    line = {"request_line": asked, "stock": mine["id"], "quantity": 1}
    heads = {"request_line": crew, "volunteers": "@", "headcount": 1}
    lot = {"item": "HSHEBLANPHT1", "quantity": 1}
    pool = {
        "skill": "usar", "headcount": 1, "available_from": FROM, "available_until": UNTIL,
    }  # fmt: skip
    packed = [{"offer_line": secret.inner["line"], "quantity": 1}]

    def offer(to: str, line: Json) -> Json:
        return {"request": to, "lines": [line]}

    theirs = secret.request["id"]
    cases: list[tuple[str, str, Json, str]] = [
        ("POST", "/v1/offers", offer(theirs, line | {"stock": "@"}), secret.ids["stock"]),
        ("POST", "/v1/offers", offer(theirs, heads), secret.ids["volunteers"]),
        ("POST", "/v1/offers", offer(own["id"], line | {"request_line": "@"}), asked),
        (
            "POST", "/v1/consignments", {"offer": "@", "lines": packed, "mode": "road"},
            secret.ids["offers"],
        ),
        (
            "POST", "/v1/deployments",
            {"offer": "@", "offer_line": secret.inner["crew"], "headcount": 1},
            secret.ids["offers"],
        ),
        ("PUT", "/v1/my/stock/mine", lot | {"site": "@"}, PLACE),
        ("PUT", "/v1/my/volunteers/mine", pool | {"site": "@"}, PLACE),
        ("PATCH", f"/v1/requests/{own['id']}", {"lines": [{"id": "@", "quantity": 1}]}, asked),
        ("POST", "/v1/clients", {"society": "@", "name": "Theirs", "scopes": ["all"]}, "KAZ"),
    ]  # fmt: skip
    for method, path, body, real in cases:
        nothing = {"KAZ": "ZZZ", PLACE: "no-such-site"}.get(real, NOWHERE)
        answers = [
            await uzb.http.request(
                method, path, json=json.loads(json.dumps(body).replace('"@"', f'"{word}"'))
            )
            for word in (real, nothing)
        ]
        assert _as_seen(answers[0], real) == _as_seen(answers[1], nothing), (path, answers[0].text)
        assert answers[0].status_code in (403, 404, 422), (path, answers[0].text)
    assert await _everything(service) == before, "something moved"


async def test_what_everybody_may_read_is_changed_by_its_owner_alone(
    service: Service, secret: Secret, strangers: list[System]
) -> None:
    before = await _everything(service)
    line = secret.request["lines"][0]["id"]
    for system in strangers:
        for method, path, body in (
            ("PATCH", f"/v1/requests/{secret.request['id']}", {"title": "Ours"}),
            (
                "PATCH",
                f"/v1/requests/{secret.request['id']}",
                {"lines": [{"id": line, "quantity": 1}]},
            ),
            ("POST", f"/v1/requests/{secret.request['id']}/close", None),
            ("POST", f"/v1/requests/{secret.request['id']}/cancel", None),
            ("POST", f"/v1/emergencies/{secret.emergency}/close", None),
            ("POST", f"/v1/emergencies/{secret.emergency}/take-over", None),
            ("PUT", "/v1/societies/KAZ", {"name": "Ours", "role": "observer"}),
            ("PUT", "/v1/items/HSHEBLANPHT1", {"name": "Ours", "unit": "piece"}),
            ("PUT", "/v1/skills/usar", {"name": "Ours"}),
        ):
            answer = await system.http.request(method, path, json=body)
            assert answer.status_code == 403, (system.society, path, answer.text)
    assert await _everything(service) == before, "something moved"


async def test_ones_own_references_are_never_anothers(
    service: Service, secret: Secret, kaz: System, strangers: list[System]
) -> None:
    owned = [await kaz.get(f"/v1/my/{kind}/{ref}") for kind, ref in _REFS]
    for system in strangers:
        for kind, ref in _REFS:
            for method in ("GET", "DELETE"):
                there, nothing = [
                    await system.http.request(method, f"/v1/my/{kind}/{r}") for r in (ref, "none")
                ]
                assert _as_seen(there, ref) == _as_seen(nothing, "none")
                assert there.status_code in (403, 404)
    # A member may use the very same references for objects of its own.
    uzb = strangers[0]
    await uzb.site(PLACE)
    await uzb.lot(1, ref=REF, site=PLACE)
    await uzb.pool(1, ref=REF, site=PLACE)
    assert [(await kaz.get(f"/v1/my/{k}/{r}")).content for k, r in _REFS] == [
        o.content for o in owned
    ]
    for kind, ref in reversed(_REFS):
        await uzb.http.delete(f"/v1/my/{kind}/{ref}")


_REFS = (("sites", PLACE), ("stock", REF), ("volunteers", REF))


async def test_no_filter_and_no_cursor_finds_what_is_not_theirs(
    secret: Secret, strangers: list[System]
) -> None:
    contract = Contract((await strangers[0].get("/openapi.json")).json())
    real = {*secret.ids.values(), secret.inner["proposed"]}
    for system in strangers:
        for operation in contract.operations():
            lists = operation.method == "GET" and "limit" in operation.names("query")
            if not lists or operation.name in ENDLESS:
                continue
            for name in operation.names("query"):
                if name in ("limit", "after", "mine", "substitutes"):
                    continue
                for word in real:
                    there, nothing = [
                        await system.get(operation.path, **{f"{name}_": _as(name, w)})
                        for w in (word, NOWHERE)
                    ]
                    found = [a.json().get("items") for a in (there, nothing)]
                    if name == "cursor":
                        # Another place in one's own list, but nothing of others.
                        assert not _leaks(there, secret, system), (operation.name, there.text)
                    else:
                        assert there.status_code == nothing.status_code
                        assert found[0] == found[1], (operation.name, name)


def _as(name: str, word: str) -> str:
    return write_cursor(word) if name == "cursor" else word


async def test_no_answer_holds_what_is_not_theirs(secret: Secret, strangers: list[System]) -> None:
    read = 0
    for system in strangers:
        for path in _public(secret):
            answer = await system.http.get(path)
            while True:
                assert answer.status_code in (200, 403, 404), (path, answer.text)
                assert not _leaks(answer, secret, system), (system.society, path)
                read += 1
                is_json = "json" in answer.headers["content-type"]
                following = answer.json().get("next") if is_json else None
                if following is None:
                    break
                separator = "&" if "?" in path else "?"
                answer = await system.http.get(f"{path}{separator}cursor={following}")
    assert read > 30


def _public(secret: Secret) -> list[str]:
    request, emergency = secret.request["id"], secret.emergency
    fixed = [
        f"/v1/requests/{request}",
        f"/v1/requests/{request}/matches",
        "/v1/routes?from=43.2,76.9&from_country=KAZ&to=42.8,74.6&to_country=KGZ",
        f"/v1/emergencies/{emergency}",
        f"/v1/emergencies/{emergency}/board",
        f"/v1/emergencies/{emergency}/board?format=csv",
        "/v1/stock?limit=200&society=KAZ",
        "/v1/stock?limit=200&near=43.2,76.9&within_km=1",
        "/v1/volunteers?limit=200&society=KAZ",
        f"/v1/events?limit=200&emergency={emergency}",
        "/v1/events?limit=200&type=lot.published,stock.published,offer.proposed,offer.accepted",
        "/metrics",
        "/openapi.json",
    ]
    lists = [
        name.split(" ")[1] + ("" if name.endswith("/export") else "?limit=200")
        for name in every_route()
        if name.startswith("GET ") and "{" not in name and name not in ENDLESS | {"GET /v1/routes"}
    ]
    single = ("/v1/me", "/v1/events/head")
    return fixed + [p for p in lists if not p.startswith(single)] + list(single)


def _leaks(answer: httpx.Response, secret: Secret, system: System) -> list[str]:
    # What Uzbekistan once named so itself, in the test of references above, is its own.
    own = (REF, PLACE) if system.society == "UZB" else ()
    return [w for w in secret.words if w not in own and _stands_in(w, answer.text)]


def _stands_in(word: str, text_: str) -> bool:
    """A number as a whole, for its digits may stand within any other, or in a hash, by chance."""
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text_) is not None


async def test_even_the_other_party_never_sees_the_owners_count_and_floor(
    secret: Secret, kgz: System
) -> None:
    lot = done(await kgz.get(f"/v1/stock/{secret.ids['stock']}"))
    assert not {"quantity", "keep_back", "reserved", "shortfall", "ref"} & lot.keys()
    pool = done(await kgz.get(f"/v1/volunteers/{secret.ids['volunteers']}"))
    assert not {"headcount", "promised", "shortfall", "ref"} & pool.keys()
    for answer in (lot, pool, await kgz.events(0)):
        shown = json.dumps(answer)
        for word in (str(COUNT), str(FLOOR), str(HEADS), NAME, REF):
            assert not _stands_in(word, shown), word


async def test_the_secretariat_reads_no_manifest_and_no_owners_count(
    secret: Secret, tur: System
) -> None:
    there = await tur.get(f"/v1/deployments/{secret.ids['deployments']}/manifest")
    nothing = await tur.get(f"/v1/deployments/{NOWHERE}/manifest")
    assert there.status_code == nothing.status_code == 404
    assert (await tur.get(f"/v1/stock/{secret.ids['stock']}")).status_code == 404
    feed = json.dumps(await tur.events(0))
    for word in (str(COUNT), str(FLOOR), str(HEADS), NAME):
        assert not _stands_in(word, feed), word


def _as_seen(answer: httpx.Response, word: str) -> tuple[int, Any]:
    """An answer without what differs from call to call, and without the id that was asked for."""
    try:
        body = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    body.pop("request_id", None)
    return answer.status_code, json.loads(json.dumps(body).replace(word, "@"))


async def _everything(service: Service) -> dict[str, Any]:
    """A digest of every table, but for seals (which follow by themselves) and kept answers."""
    async with service.database.reading() as connection:
        names = await connection.execute(
            text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
                "AND table_name NOT IN ('seals', 'idempotency_answers', 'alembic_version')"
            )
        )
        digests = {}
        for (name,) in names.all():
            digest = "md5(coalesce(string_agg(t::text, '' ORDER BY t::text), ''))"
            row = await connection.execute(text(f"SELECT {digest} FROM {name} t"))
            digests[name] = row.scalar_one()
    return digests
