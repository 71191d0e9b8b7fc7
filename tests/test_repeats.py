"""Every call can be repeated, every object told by its tag, every list walked to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, idempotency
from app.config import Settings
from app.errors import AppError
from app.service import chores
from app.stock import reserving as stock
from tests.conftest import Enrol, Service
from tests.elsewhere import Exchange, exchange_of_its_own
from tests.sweep import expire_due
from tests.world import Json, System, done, fresh, from_lot, from_pool, goods, people, refused

QUAKE: Json = {
    "name": "Quake", "hazard": "earthquake", "country": "TUR", "lat": 37.5, "lon": 36.9,
    "started_on": "2023-02-06",
}  # fmt: skip


def _same(first: httpx.Response, again: httpx.Response) -> None:
    """The very answer, marked as a repeated one."""
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for header in ("Location", "ETag", "Content-Type"):
        assert again.headers.get(header) == first.headers.get(header), header
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers


async def test_a_repeated_call_is_answered_again_and_has_one_effect(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer, key = from_lot(request, lot, 10), str(uuid4())
    first = await aze.propose(request, offer, Idempotency_Key=key)
    assert first.status_code == 201
    assert first.headers["Location"] == f"/v1/offers/{first.json()['id']}"
    await tur.accept(first.json())
    for _ in range(3):
        _same(first, await aze.propose(request, offer, Idempotency_Key=key))
    assert (await aze.own_lot(lot))["reserved"] == 10
    path, key = f"/v1/requests/{request['id']}", str(uuid4())
    headers = {"Idempotency-Key": key}
    changed = await tur.http.patch(path, json={"title": "Once"}, headers=headers)
    done(await tur.http.patch(path, json={"title": "Then this"}))
    _same(changed, await tur.http.patch(path, json={"title": "Once"}, headers=headers))
    assert (await tur.own_request(request))["title"] == "Then this"


async def test_an_offer_that_a_twin_overtook_is_taken_back_and_answered_as_the_twin_was(
    tur: System, aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    body = {
        "request": request["id"],
        "lines": [from_lot(request, lot, 10)],
        "message": "İlk çadırlar, одеяла, \U0001f3d5",
    }
    key, look = str(uuid4()), idempotency.begin
    twins: list[Any] = []

    async def look_before_the_twin(tx: AsyncConnection, *call: Any) -> Any:
        if twins:
            return await look(tx, *call)
        twins.append(None)
        twins[0] = await aze.post("/v1/offers", body, Idempotency_Key=key)
        return None

    monkeypatch.setattr(idempotency, "begin", look_before_the_twin)
    overtaken = await aze.post("/v1/offers", body, Idempotency_Key=key)
    assert twins[0].status_code == 201
    _same(twins[0], overtaken)
    assert (await aze.own_lot(lot))["reserved"] == 10


async def test_a_key_belongs_to_one_call(tur: System, aze: System) -> None:
    key = str(uuid4())
    done(await tur.post("/v1/emergencies", QUAKE, Idempotency_Key=key), 201)
    other = await tur.post("/v1/emergencies", QUAKE | {"name": "Other"}, Idempotency_Key=key)
    refused(other, 422, "idempotency_key_reused")
    elsewhere = await tur.post(f"/v1/emergencies/{uuid4()}/close", Idempotency_Key=key)
    refused(elsewhere, 422, "idempotency_key_reused")


async def test_the_keys_of_different_clients_never_meet(
    enrol: Enrol, tur: System, aze: System
) -> None:
    key, twin = str(uuid4()), await enrol("TUR")
    answers = [
        await s.post("/v1/emergencies", QUAKE, Idempotency_Key=key) for s in (tur, twin, aze)
    ]
    assert [a.status_code for a in answers] == [201] * 3
    assert len({a.json()["id"] for a in answers}) == 3


async def test_a_refusal_is_remembered_and_a_bad_input_is_not(tur: System, aze: System) -> None:
    lot = await aze.lot(5)
    request = await tur.request(goods(100))
    key = str(uuid4())
    first = await aze.propose(request, from_lot(request, lot, 6), Idempotency_Key=key)
    refused(first, 409, "insufficient_stock")
    await aze.lot(50, ref=lot["ref"])
    _same(first, await aze.propose(request, from_lot(request, lot, 6), Idempotency_Key=key))
    assert (await aze.own_lot(lot))["reserved"] == 0
    key = str(uuid4())
    bad = await aze.propose(request, from_lot(request, lot, 0), Idempotency_Key=key)
    refused(bad, 422, "invalid_input")
    done(await aze.propose(request, from_lot(request, lot, 1), Idempotency_Key=key), 201)


@pytest.mark.parametrize(
    "error", [AppError("busy", "Later.", headers={"Retry-After": "1"}), RuntimeError("a defect")]
)
async def test_a_failure_of_ours_is_not_remembered(
    tur: System, aze: System, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lot = await aze.lot(5)
    request = await tur.request(goods(100))
    key = str(uuid4())

    async def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(stock, "reserve", fail)
        answer = await aze.propose(request, from_lot(request, lot, 2), Idempotency_Key=key)
        assert answer.status_code in (500, 503)
    done(await aze.propose(request, from_lot(request, lot, 2), Idempotency_Key=key), 201)
    assert (await aze.own_lot(lot))["reserved"] == 2


async def test_concurrent_twins_have_one_effect_and_none_is_left_without_an_answer(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(1000)
    request = await tur.request(goods(1000))
    for _ in range(5):
        key, line = str(uuid4()), from_lot(request, lot, 1)
        before = (await aze.own_lot(lot))["reserved"]
        answers = await asyncio.gather(
            *(aze.propose(request, line, Idempotency_Key=key) for _ in range(16))
        )
        made = [a for a in answers if a.status_code == 201]
        assert len({a.content for a in made}) == 1
        assert sum("Idempotency-Replayed" not in a.headers for a in made) == 1
        for waiting in (a for a in answers if a.status_code != 201):
            refused(waiting, 409, "idempotency_in_progress")
            assert int(waiting.headers["Retry-After"]) >= 1
        assert (await aze.own_lot(lot))["reserved"] == before + 1


async def test_while_the_first_call_runs_its_twin_is_told_so_at_once(
    tur: System, aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = await aze.lot(10)
    request = await tur.request(goods(10))
    entered, go_on = asyncio.Event(), asyncio.Event()
    reserve = stock.reserve

    async def slow(*values: Any) -> Any:
        entered.set()
        await go_on.wait()
        return await reserve(*values)

    monkeypatch.setattr(stock, "reserve", slow)
    key, line = str(uuid4()), from_lot(request, lot, 1)
    first = asyncio.create_task(aze.propose(request, line, Idempotency_Key=key))
    await entered.wait()
    twin = await aze.propose(request, line, Idempotency_Key=key)
    refused(twin, 409, "idempotency_in_progress")
    assert twin.headers["Retry-After"]
    go_on.set()
    _same(await first, await aze.propose(request, line, Idempotency_Key=key))


async def test_the_key_of_a_new_client_is_shown_once_and_stored_nowhere(
    service: Service, tur: System
) -> None:
    body, key = {"name": "ERP", "scopes": ["read"]}, str(uuid4())
    first = await tur.post("/v1/clients", body, Idempotency_Key=key)
    secret = done(first, 201)["key"]
    again = await tur.post("/v1/clients", body, Idempotency_Key=key)
    assert again.json() == first.json() | {"key": None}
    assert again.headers["Idempotency-Replayed"] == "true"
    path, key = f"/v1/clients/{first.json()['id']}/rotate", str(uuid4())
    rotated = done(await tur.post(path, Idempotency_Key=key))["key"]
    assert rotated not in (None, secret)
    assert done(await tur.post(path, Idempotency_Key=key))["key"] is None
    async with service.database.reading() as connection:
        kept = await connection.exec_driver_sql("SELECT body FROM idempotency_answers")
        bodies = b"".join(bytes(row[0]) for row in kept)
    assert secret.encode() not in bodies
    assert rotated.encode() not in bodies


async def test_answers_are_kept_for_seven_days(service: Service, tur: System) -> None:
    key = str(uuid4())
    first = await tur.post("/v1/emergencies", QUAKE, Idempotency_Key=key)
    forget = next(c for c in chores.CHORES if c.name == "forget_answers")
    assert isinstance(forget, chores.Chore)

    async def after(time: timedelta) -> httpx.Response:
        now = datetime.now(UTC) + time
        clock.set_source(lambda: now)
        try:
            async with service.database.transaction() as tx:
                while await forget.do(tx):
                    pass
        finally:
            clock.set_source(None)
        return await tur.post("/v1/emergencies", QUAKE, Idempotency_Key=key)

    kept = timedelta(days=idempotency.KEPT_DAYS)
    assert kept == timedelta(days=7)
    _same(first, await after(kept - timedelta(minutes=1)))
    forgotten = await after(kept + timedelta(minutes=1))
    assert done(forgotten, 201)["id"] != first.json()["id"]


# Tags and lists, on an exchange where nobody else writes.


@pytest_asyncio.fixture(scope="module")
async def own(settings: Settings) -> AsyncIterator[Exchange]:
    async with exchange_of_its_own(settings) as exchange:
        yield exchange


async def _everything(own: Exchange) -> tuple[System, System, dict[str, Json]]:
    """One of each: an object of every kind that has an address."""
    tur, aze = await own.system("TUR"), await own.system("AZE")
    lot, pool = await aze.lot(100), await aze.pool(10)
    request = await tur.request(goods(50), people(5))
    lines = [from_lot(request, lot, 10), from_pool(request, pool, 2, line=1)]
    proposed = await aze.offer(request, *lines)
    offer = await aze.offer(request, *lines)
    await tur.accept(offer)
    things = {
        "lot": lot, "pool": pool, "request": request, "proposed": proposed, "offer": offer,
        "consignment": await aze.consign(offer, 5), "deployment": await aze.deploy(offer, 1, 1),
        "emergency": await tur.emergency(),
    }  # fmt: skip
    path = f"/v1/deployments/{things['deployment']['id']}/manifest"
    done(await aze.put(path, {"people": [{"name": "A", "role": "medic"}]}), 201)
    return tur, aze, things


def _addresses(things: dict[str, Json]) -> list[str]:
    at = {name: thing["id"] for name, thing in things.items()}
    return [
        "/v1/items/HSHEBLANPHT1", "/v1/skills/usar", "/v1/my/sites/central",
        f"/v1/my/stock/{things['lot']['ref']}", f"/v1/my/volunteers/{things['pool']['ref']}",
        f"/v1/stock/{at['lot']}", f"/v1/volunteers/{at['pool']}",
        f"/v1/emergencies/{at['emergency']}", f"/v1/requests/{at['request']}",
        f"/v1/offers/{at['offer']}", f"/v1/consignments/{at['consignment']}",
        f"/v1/deployments/{at['deployment']}", f"/v1/deployments/{at['deployment']}/manifest",
    ]  # fmt: skip


async def test_whoever_has_the_present_object_is_not_sent_it_again(own: Exchange) -> None:
    _, aze, things = await _everything(own)
    for path in _addresses(things):
        answer = await aze.get(path)
        tag = answer.headers["ETag"]
        assert tag.startswith('"') and tag.endswith('"'), "a strong tag"
        for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            unchanged = await aze.http.get(path, headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content) == (304, b""), (path, known)
            assert unchanged.headers["ETag"] == tag
        other = await aze.http.get(path, headers={"If-None-Match": '"other"'})
        assert other.content == done_bytes(answer)


def done_bytes(answer: httpx.Response) -> bytes:
    done(answer)
    return answer.content


async def test_whoever_has_an_old_object_changes_nothing(own: Exchange) -> None:
    tur, aze, things = await _everything(own)
    at = {name: thing["id"] for name, thing in things.items()}
    lot, pool = things["lot"], things["pool"]
    item = done(await tur.get("/v1/items/HSHEBLANPHT1"))
    skill = done(await tur.get("/v1/skills/usar"))
    put_item = {k: v for k, v in item.items() if k not in ("code", "name")}
    put_skill = {k: v for k, v in skill.items() if k not in ("code", "name")}
    site = {"name": "New", "country": "AZE", "lat": 40.0, "lon": 49.0}
    stock_body = {"item": lot["item"], "site": "central", "quantity": 99}
    shown = ("skill", "languages", "available_from", "available_until", "notice_hours", "site")
    pool_body = {k: pool[k] for k in shown} | {"headcount": 9}
    manifest = {"people": [{"name": "B", "role": "medic"}]}
    calls: list[tuple[System, str, str, str, Json | None]] = [
        (tur, "PUT", "/v1/items/HSHEBLANPHT1", "", put_item),
        (tur, "PUT", "/v1/skills/usar", "", put_skill),
        (aze, "PUT", "/v1/my/sites/central", "", site),
        (aze, "PUT", f"/v1/my/stock/{lot['ref']}", "", stock_body),
        (aze, "PUT", f"/v1/my/volunteers/{pool['ref']}", "", pool_body),
        (aze, "PUT", f"/v1/deployments/{at['deployment']}/manifest", "", manifest),
        (tur, "PATCH", f"/v1/requests/{at['request']}", "", {"title": "New"}),
        (tur, "POST", f"/v1/offers/{at['proposed']}", "/accept", None),
        (tur, "POST", f"/v1/offers/{at['offer']}", "/release", None),
        (aze, "POST", f"/v1/consignments/{at['consignment']}", "/dispatch", None),
        (aze, "POST", f"/v1/deployments/{at['deployment']}", "/mobilise", None),
        (tur, "POST", f"/v1/emergencies/{at['emergency']}", "/close", None),
        (tur, "POST", f"/v1/requests/{at['request']}", "/close", None),
    ]
    # The order matters: a release would cancel the journeys that are planned.
    for system, method, path, verb, body in sorted(calls, key=lambda c: c[3] == "/release"):
        before = await system.get(path)
        tag = before.headers["ETag"]
        for stale in ('"stale"', f"W/{tag}"):
            answer = await system.http.request(
                method, path + verb, json=body, headers={"If-Match": stale}
            )
            refused(answer, 412, "precondition_failed")
        unwanted = await system.http.request(
            method, path + verb, json=body, headers={"If-None-Match": "*"}
        )
        refused(unwanted, 412, "precondition_failed")
        assert (await system.get(path)).content == before.content
        present = await system.http.request(
            method, path + verb, json=body, headers={"If-Match": f'"stale", {tag}'}
        )
        assert present.status_code == 200, (path, verb, present.text)
        after = await system.get(path)
        assert after.headers["ETag"] == present.headers["ETag"], (path, verb)
        assert after.content == present.content
    for path in (f"/v1/my/stock/{fresh('gone')}", f"/v1/my/volunteers/{fresh('gone')}"):
        body = stock_body if "stock" in path else pool_body
        absent = await aze.http.put(path, json=body, headers={"If-Match": "*"})
        refused(absent, 412, "precondition_failed")
        first = await aze.http.put(path, json=body, headers={"If-None-Match": "*"})
        assert first.status_code == 201
        second = await aze.http.put(path, json=body, headers={"If-None-Match": "*"})
        refused(second, 412, "precondition_failed")
        gone = await aze.http.delete(path, headers={"If-Match": '"stale"'})
        refused(gone, 412, "precondition_failed")
        gone = await aze.http.delete(path, headers={"If-Match": first.headers["ETag"]})
        assert gone.status_code == 204


async def test_of_many_who_change_the_same_object_by_its_tag_one_wins(own: Exchange) -> None:
    aze = await own.system("AZE")
    lot = await aze.lot(1)
    path = f"/v1/my/stock/{lot['ref']}"
    tag = (await aze.get(path)).headers["ETag"]
    bodies = [{"item": lot["item"], "site": "central", "quantity": 10 + n} for n in range(16)]
    answers = await asyncio.gather(
        *(aze.http.put(path, json=body, headers={"If-Match": tag}) for body in bodies)
    )
    assert sorted(a.status_code for a in answers) == [200] + [412] * 15


Add = Callable[[], Awaitable[object]]


async def test_every_list_is_walked_to_its_end_while_it_grows(own: Exchange) -> None:
    tur, aze, _ = await _everything(own)
    for _ in range(3):
        await _everything(own)
    request = await tur.request(goods(100), people(100))
    lot, pool = await aze.lot(1000), await aze.pool(1000)

    async def client() -> None:
        body = {"name": "More", "scopes": ["read"]}
        done(await tur.post("/v1/clients", body), 201)

    async def society() -> None:
        code = "".join(chr(65 + (int(fresh("s")[2:]) // 26**n) % 26) for n in range(2))
        body = {"name": "Guest", "role": "observer"}
        done(await tur.put(f"/v1/societies/X{code}", body), 201)

    async def item() -> None:
        body = {"category": "housing", "unit": "piece", "names": {"en": "More"}}
        answer = await tur.put(f"/v1/items/{fresh('XMORE').upper().replace('-', '')}", body)
        assert answer.status_code == 201, answer.text

    async def skill() -> None:
        answer = await tur.put(f"/v1/skills/{fresh('more')}", {"names": {"en": "More"}})
        assert answer.status_code == 201, answer.text

    async def offer() -> Json:
        lines = [from_lot(request, lot, 2), from_pool(request, pool, 2, line=1)]
        return await aze.offer(request, *lines)

    async def journey() -> None:
        made = await offer()
        await tur.accept(made, allow_surplus=True)
        await aze.consign(made, 1)
        await aze.deploy(made, 1, line=1)

    lists: list[tuple[System, str, str, Add]] = [
        (tur, "/v1/societies", "id", society),
        (tur, "/v1/clients", "id", client),
        (tur, "/v1/items", "code", item),
        (tur, "/v1/skills", "code", skill),
        (aze, "/v1/my/sites", "ref", lambda: aze.site(fresh("site"))),
        (aze, "/v1/my/stock", "id", lambda: aze.lot(5)),
        (aze, "/v1/my/volunteers", "id", lambda: aze.pool(5)),
        (tur, "/v1/stock", "id", lambda: aze.lot(5)),
        (tur, "/v1/stock?item=HSHEBLANPHT1&society=AZE&min_available=1", "id", lambda: aze.lot(5)),
        (tur, "/v1/stock?near=40.4,49.9", "id", lambda: aze.lot(5)),
        (tur, "/v1/volunteers?skill=usar", "id", lambda: aze.pool(5)),
        (tur, "/v1/emergencies", "id", tur.emergency),
        (tur, "/v1/requests", "id", lambda: tur.request(goods(1))),
        (tur, "/v1/requests?status=open&society=TUR", "id", lambda: tur.request(goods(1))),
        (aze, "/v1/offers", "id", offer),
        (aze, f"/v1/offers?request={request['id']}&as=provider", "id", offer),
        (aze, "/v1/consignments", "id", journey),
        (aze, "/v1/deployments", "id", journey),
        (aze, "/v1/events", "seq", lambda: aze.lot(5)),
    ]
    for _ in range(4):
        await journey()
        await client()
        await aze.site(fresh("site"))
    for system, path, name, add in lists:
        before = set(await _walked(system, path, name, 200))
        assert len(before) > 3, path
        for limit in (1, 2, 3):
            walked = await _walked(system, path, name, limit, add)
            assert len(walked) == len(set(walked)), f"{path}: something came twice"
            assert before <= set(walked), f"{path}: something was missed"


async def _walked(
    system: System, path: str, name: str, limit: int, add: Add | None = None
) -> list[Any]:
    """Follow the list by its links; something is added after the first pages."""
    separator = "&" if "?" in path else "?"
    following: str | None = f"{path}{separator}limit={limit}"
    found: list[Any] = []
    pages = 0
    while following is not None:
        answer = await system.http.get(following)
        page = done(answer)
        assert len(page["items"]) <= limit
        found += [thing[name] for thing in page["items"]]
        if page["next"] is None:
            assert "Link" not in answer.headers
            following = None
        else:
            assert len(page["items"]) == limit
            link = answer.headers["Link"]
            assert link.endswith('>; rel="next"')
            following = link[1:].partition(">")[0]
            query = parse_qs(urlsplit(following).query)
            assert query["cursor"] == [page["next"]]
            assert query["limit"] == [str(limit)]
        pages += 1
        if add is not None and pages in (1, 3):
            await add()
    return found


async def test_an_offer_that_was_swept_is_not_answered_from_memory(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(10)
    request = await tur.request(goods(10))
    soon = datetime.now(UTC) + timedelta(hours=1)
    body = {
        "request": request["id"],
        "lines": [from_lot(request, lot, 5)],
        "expires_at": soon.isoformat(),
    }
    offer = done(await aze.post("/v1/offers", body), 201)
    tag = (await aze.get(f"/v1/offers/{offer['id']}")).headers["ETag"]
    clock.set_source(lambda: soon + timedelta(seconds=1))
    try:
        async with asyncio.timeout(30):
            while (await aze.see_offer(offer))["status"] == "proposed":
                async with service.database.transaction() as tx:
                    await expire_due(tx)
    finally:
        clock.set_source(None)
    seen = await aze.http.get(f"/v1/offers/{offer['id']}", headers={"If-None-Match": tag})
    assert done(seen)["status"] == "expired"
