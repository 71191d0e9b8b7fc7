"""Webhooks: the society's own systems are told what happened, at least once, in order."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app import clock
from app.webhooks import signing
from tests.conftest import Enrol, Service
from tests.receivers import (
    Received,
    Receiver,
    deliveries,
    delivering,
    eventually,
    progress,
    receiving,
    send_test,
    told,
)
from tests.world import Json, System, done, fresh, from_lot, goods, refused

NOWHERE = "https://erp.redcrescent.example/komek"
NOBODY = "01935f92-1b2e-7f00-8d10-2a3b4c5d6e7f"


@pytest.fixture
async def at_work(service: Service) -> AsyncIterator[None]:
    """Somebody delivers."""
    async with delivering(service):
        yield


def verified(received: Received, secret: str) -> Json:
    event: Json = Verifier(secret).verify(received.body, received.headers)
    return event


def types_of(receiver: Receiver) -> list[str]:
    return [r.event["type"] for r in receiver.received]


async def all_sent(system: System, endpoint: Json, receiver: Receiver) -> None:
    """Wait until everything until now is sent: a test event comes behind it."""
    await send_test(system, endpoint)
    await receiver.until(lambda: "webhook.test" in types_of(receiver))


async def test_what_the_feed_shows_arrives_signed_and_in_order(
    at_work: None, tur: System, aze: System
) -> None:
    async with receiving() as receiver, told(aze, receiver) as endpoint:
        lot = await aze.lot(500)
        request = await tur.request(goods(400))
        await aze.offer(request, from_lot(request, lot, 300))
        await all_sent(aze, endpoint, receiver)
        arrived = [verified(r, endpoint["secret"]) for r in receiver.received]
        feed = [e for e in await aze.events(arrived[0]["seq"] - 1) if e["type"] != "sealed"]
        assert arrived == feed
        assert {"stock.published", "request.opened", "offer.proposed"} < set(types_of(receiver))
        assert [r.id for r in receiver.received] == [e["id"] for e in arrived]
        published = next(e for e in arrived if e["type"] == "stock.published")
        assert published["private"]["content"]["quantity"] == 500
        assert receiver.connections == 1
        assert receiver.received[0].headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_changed_body_or_another_secret_is_not_verified(at_work: None, aze: System) -> None:
    async with receiving() as receiver, told(aze, receiver) as endpoint:
        await aze.lot(5)
        received = (await receiver.count(1))[0]
        verified(received, endpoint["secret"])
        with pytest.raises(WebhookVerificationError):
            verified(received, signing.shown(bytes(32)))
        received.body = received.body.replace(b"AZE", b"KAZ")
        with pytest.raises(WebhookVerificationError):
            verified(received, endpoint["secret"])


async def test_what_a_society_may_not_see_is_never_sent(
    at_work: None, aze: System, kaz: System
) -> None:
    async with receiving() as receiver, told(kaz, receiver) as endpoint:
        hidden = await aze.lot(500, visible_to=["TUR"])
        shown = await aze.lot(500)
        await all_sent(kaz, endpoint, receiver)
        subjects = {r.event["subject"]["id"]: r.event for r in receiver.received}
        assert hidden["id"] not in subjects
        assert "private" not in subjects[shown["id"]]
        assert "sealed" not in types_of(receiver)
        assert not any(hidden["id"].encode() in r.body for r in receiver.received)


async def test_who_asks_for_envelopes_gets_the_whole_chain_and_not_a_word_more(
    at_work: None, aze: System, kaz: System
) -> None:
    async with receiving() as receiver, told(kaz, receiver, sealed=True) as endpoint:
        hidden = await aze.lot(500, visible_to=["TUR"])
        await all_sent(kaz, endpoint, receiver)
        arrived = [verified(r, endpoint["secret"]) for r in receiver.received]
        assert arrived == (await kaz.events(arrived[0]["seq"] - 1))[: len(arrived)]
        for before, after in pairwise(arrived):
            assert after["seq"] == before["seq"] + 1
            assert after["previous_hash"] == before["hash"]
        assert "sealed" in types_of(receiver)
        assert not any(hidden["id"].encode() in r.body for r in receiver.received)
        # The ids of envelopes tell nothing that the envelope does not tell.
        for r in receiver.received:
            committed = str(UUID(r.event["commitment"][:32]))
            assert r.id == (r.event["id"] or committed)
        listed = await eventually(lambda: _delivered(kaz, endpoint, len(arrived)))
        assert {d["id"] for d in listed} == set(receiver.ids)
        envelope = next(r.id for r in receiver.received if r.event["type"] == "sealed")
        path = f"/v1/webhooks/{endpoint['id']}"
        done(await kaz.post(f"{path}/deliveries/{envelope}/replay"), 202)
        await receiver.until(lambda: receiver.ids.count(envelope) == 2)
        answer = await kaz.http.patch(path, json={"mine": True})
        assert refused(answer, 422, "invalid_input")["errors"][0]["pointer"] == "/sealed"


async def test_an_endpoint_gets_what_it_asked_for_and_nothing_else(
    at_work: None, tur: System, aze: System
) -> None:
    emergency = await tur.emergency()
    other = await tur.emergency()
    # An endpoint is told what is sealed after it was opened: both must be before.
    await eventually(lambda: _has_begun(aze, other))
    async with (
        receiving() as some,
        receiving() as one,
        receiving() as own,
        told(aze, some, types=["offer.*", "stock.shortfall"]) as few,
        told(aze, one, emergency=emergency["id"]) as followed,
        told(aze, own, mine=True) as mine,
    ):
        lot = await aze.lot(500)
        request = await tur.request(goods(400), emergency=emergency["id"])
        await tur.request(goods(400), emergency=other["id"])
        offer = await aze.offer(request, from_lot(request, lot, 300))
        await tur.accept(offer)
        for endpoint, receiver in ((few, some), (followed, one), (mine, own)):
            await all_sent(aze, endpoint, receiver)
        assert types_of(some) == ["offer.proposed", "offer.accepted", "webhook.test"]
        assert types_of(one) == [
            "request.opened", "offer.proposed", "offer.accepted", "webhook.test",
        ]  # fmt: skip
        assert "request.opened" not in types_of(own)
        assert {"stock.published", "offer.proposed", "offer.accepted"} < set(types_of(own))
        # Each gets its own test and not those of the others.
        for receiver in (some, one, own):
            assert types_of(receiver).count("webhook.test") == 1


async def _has_begun(system: System, emergency: Json) -> list[Json]:
    return await system.events(emergency=emergency["id"])


async def test_an_endpoint_begins_where_it_was_told_to(at_work: None, uzb: System) -> None:
    lots = [await uzb.lot(n) for n in (1, 2, 3)]
    mine = await eventually(lambda: _published(uzb, [lot["id"] for lot in lots]))
    async with receiving() as receiver, told(uzb, receiver, **{"from": mine[0]["seq"]}) as endpoint:
        await all_sent(uzb, endpoint, receiver)
        arrived = [r.event["seq"] for r in receiver.received]
        assert mine[0]["seq"] not in arrived
        assert {mine[1]["seq"], mine[2]["seq"]} < set(arrived)
    beyond = {"url": NOWHERE, "from": mine[-1]["seq"] + 1_000_000}
    problem = refused(await uzb.post("/v1/webhooks", beyond), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "/from"


async def _published(system: System, lots: list[str]) -> list[Json] | None:
    events = await system.events(type="stock.published", mine=True)
    found = [e for e in events if e["subject"]["id"] in lots]
    return found if len(found) == len(lots) else None


async def test_during_a_rotation_both_secrets_sign_and_then_the_new_one_alone(
    at_work: None, aze: System
) -> None:
    async with receiving() as receiver, told(aze, receiver, types=["webhook.test"]) as endpoint:
        path = f"/v1/webhooks/{endpoint['id']}"
        rotated = done(await aze.post(f"{path}/rotate", {"overlap_hours": 2}))
        assert rotated["secret"] != endpoint["secret"]
        assert [s["expires_at"] is None for s in rotated["secrets"]] == [False, True]
        await send_test(aze, endpoint)
        both = (await receiver.count(1))[0]
        assert verified(both, endpoint["secret"]) == verified(both, rotated["secret"])
        later = datetime.now(UTC) + timedelta(hours=2, minutes=1)
        clock.set_source(lambda: later)
        try:
            await send_test(aze, endpoint)
            alone = (await receiver.count(2))[1]
        finally:
            clock.set_source(None)
        assert len(alone.headers["webhook-signature"].split(" ")) == 1
        assert len(both.headers["webhook-signature"].split(" ")) == 2
        third = done(await aze.post(f"{path}/rotate", {"overlap_hours": 0}))
        await send_test(aze, endpoint)
        newest = (await receiver.count(3))[2]
        verified(newest, third["secret"])
        with pytest.raises(WebhookVerificationError):
            verified(newest, rotated["secret"])


async def test_a_secret_is_shown_once_and_stands_in_no_log_and_no_record(
    at_work: None, service: Service, kgz: System, capfd: pytest.CaptureFixture[str]
) -> None:
    body = {"url": "https://erp.redcrescent.example/komek?token=t0psecret"}
    key = fresh("key")
    first = done(await kgz.post("/v1/webhooks", body, Idempotency_Key=key), 201)
    assert first["secret"].startswith("whsec_")
    path = f"/v1/webhooks/{first['id']}"
    again = await kgz.post("/v1/webhooks", body, Idempotency_Key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert done(again, 201) == first | {"secret": None}
    rotated = done(await kgz.post(f"{path}/rotate"))
    shown = [
        (await kgz.get(path)).text,
        (await kgz.get("/v1/webhooks")).text,
        (await kgz.http.patch(path, json={"mine": True})).text,
        (await kgz.post(f"{path}/resume")).text,
        (await kgz.get(f"{path}/progress")).text,
        str(await kgz.events(mine=True)),
    ]
    assert (await kgz.http.delete(path)).status_code == 204
    logged = capfd.readouterr()
    shown += [logged.out, logged.err, str(await kgz.events(mine=True))]
    for secret in (first["secret"], rotated["secret"]):
        assert not any(secret in text or secret[6:30] in text for text in shown)
    assert "t0psecret" not in shown[-1]
    assert "t0psecret" not in logged.err
    async with service.database.reading() as connection:
        kept = await connection.exec_driver_sql("SELECT body FROM idempotency_answers")
        assert not any(first["secret"].encode() in bytes(row[0]) for row in kept)


async def test_an_endpoint_of_another_society_is_not_there(
    tur: System, aze: System, kaz: System
) -> None:
    endpoint = done(await aze.post("/v1/webhooks", {"url": NOWHERE}), 201)
    path = f"/v1/webhooks/{endpoint['id']}"
    # Not even for the secretariat.
    for stranger in (kaz, tur):
        answers = [
            await stranger.get(path),
            await stranger.http.patch(path, json={"mine": True}),
            await stranger.http.delete(path),
            await stranger.get(f"{path}/progress"),
            await stranger.get(f"{path}/deliveries"),
            await stranger.post(f"{path}/deliveries/{NOBODY}/replay"),
            *[await stranger.post(f"{path}/{verb}") for verb in ("rotate", "test", "resume")],
            await stranger.post(f"{path}/replay", {"after": 0}),
        ]
        for answer in answers:
            refused(answer, 404, "not_found")
        listed = done(await stranger.get("/v1/webhooks"))["items"]
        assert endpoint["id"] not in [e["id"] for e in listed]
    assert done(await aze.get(path))["mine"] is False
    assert (await aze.http.delete(path)).status_code == 204


async def test_only_an_admin_manages_endpoints_and_an_observer_may_have_some(
    tur: System, enrol: Enrol
) -> None:
    reader = await enrol("AZE", "read")
    refused(await reader.get("/v1/webhooks"), 403, "scope_missing")
    refused(await reader.post("/v1/webhooks", {"url": NOWHERE}), 403, "scope_missing")
    society = {"name": "Red Crescent Society of Turkmenistan", "role": "observer"}
    assert (await tur.put("/v1/societies/TKM", society)).status_code in (200, 201)
    observer = await enrol("TKM", "read", "admin")
    endpoint = done(await observer.post("/v1/webhooks", {"url": NOWHERE}), 201)
    assert (await observer.http.delete(f"/v1/webhooks/{endpoint['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": "ftp://erp.redcrescent.example"}, "/url"),
        ({"url": "https://"}, "/url"),
        ({"url": "https://user:word@erp.redcrescent.example"}, "/url"),
        ({"url": "https://erp.redcrescent.example/#part"}, "/url"),
        ({"url": "https://erp.redcrescent.example:99999/"}, "/url"),
        ({"url": "https://[::1/"}, "/url"),
        ({"url": "https://köme.example/"}, "/url"),
        ({"url": "https://a.example/" + "x" * 3000}, "/url"),
        ({"url": "https://a.example/a b"}, "/url"),
        ({"url": NOWHERE, "types": []}, "/types"),
        ({"url": NOWHERE, "types": ["offer"]}, "/types/0"),
        ({"url": NOWHERE, "types": ["offer.proposed", "offer.eaten"]}, "/types/1"),
        ({"url": NOWHERE, "types": ["nothing.*"]}, "/types/0"),
        ({"url": NOWHERE, "emergency": NOBODY}, "/emergency"),
        ({"url": NOWHERE, "mine": 1}, "/mine"),
        ({"url": NOWHERE, "sealed": "yes"}, "/sealed"),
        ({"url": NOWHERE, "sealed": True, "types": ["offer.*"]}, "/sealed"),
        ({"url": NOWHERE, "from": -1}, "/from"),
        ({"url": NOWHERE, "from": "then"}, "/from"),
        ({"url": NOWHERE, "from": 2**63}, "/from"),
        ({"url": NOWHERE, "secret": "whsec_mine"}, "/secret"),
    ],
)
async def test_what_is_no_endpoint_is_refused_by_field(
    aze: System, body: Json, pointer: str
) -> None:
    answer = await aze.post("/v1/webhooks", body)
    problem = done(answer, 422)
    assert [e["pointer"] for e in problem["errors"]] == [pointer], problem


async def test_an_endpoint_is_changed_only_as_it_was_read(aze: System) -> None:
    opened = await aze.post("/v1/webhooks", {"url": NOWHERE, "types": ["offer.*"]})
    path = f"/v1/webhooks/{done(opened, 201)['id']}"
    read = await aze.get(path)
    assert opened.headers["etag"] == read.headers["etag"], "the secret is no part of it"
    fresh_tag = {"If-Match": read.headers["etag"]}
    changed = await aze.http.patch(path, json={"types": None}, headers=fresh_tag)
    assert done(changed) == done(read) | {"types": None}
    stale = await aze.http.patch(path, json={"mine": True}, headers=fresh_tag)
    refused(stale, 412, "precondition_failed")
    refused(await aze.http.delete(path, headers=fresh_tag), 412, "precondition_failed")
    for body in ({"url": None}, {"url": "gopher://a.example"}, {"from": 0}):
        assert (await aze.http.patch(path, json=body)).status_code == 422
    assert (await aze.http.delete(path)).status_code == 204
    refused(await aze.get(path), 404, "not_found")


async def test_a_society_has_at_most_twenty_endpoints(enrol: Enrol, tur: System) -> None:
    society = {"name": "Red Crescent Society of Tajikistan", "role": "member"}
    assert (await tur.put("/v1/societies/TJK", society)).status_code in (200, 201)
    tjk = await enrol("TJK")
    opened = [done(await tjk.post("/v1/webhooks", {"url": NOWHERE}), 201) for _ in range(20)]
    refused(await tjk.post("/v1/webhooks", {"url": NOWHERE}), 409, "conflict")
    for endpoint in opened:
        assert (await tjk.http.delete(f"/v1/webhooks/{endpoint['id']}")).status_code == 204


async def test_what_was_delivered_is_sent_once_more_on_demand_under_the_same_id(
    at_work: None, aze: System
) -> None:
    async with receiving() as receiver, told(aze, receiver, types=["stock.*"]) as endpoint:
        path = f"/v1/webhooks/{endpoint['id']}"
        for quantity in (1, 2, 3):
            await aze.lot(quantity)
        sent = [r.event for r in await receiver.count(3)]
        listed = await eventually(lambda: _delivered(aze, endpoint, 3))
        assert [d["seq"] for d in listed] == [e["seq"] for e in reversed(sent)]
        assert listed[0]["attempts"][0]["status"] == 204
        one = sent[1]["id"]
        done(await aze.post(f"{path}/deliveries/{one}/replay"), 202)
        assert (await receiver.count(4))[3].event == sent[1]
        await eventually(lambda: _attempts(aze, endpoint, one, 2))
        done(await aze.post(f"{path}/replay", {"after": sent[0]["seq"]}), 202)
        assert [r.event for r in (await receiver.count(6))[4:]] == sent[1:]
        await eventually(lambda: _settled(aze, endpoint))
        body = {"after": sent[0]["seq"] - 1, "until": sent[0]["seq"]}
        done(await aze.post(f"{path}/replay", body), 202)
        assert (await receiver.count(7))[6].event == sent[0]
        assert receiver.ids[3:] == [sent[1]["id"], sent[1]["id"], sent[2]["id"], sent[0]["id"]]
        refused(await aze.post(f"{path}/deliveries/{NOBODY}/replay"), 404, "not_found")
        await eventually(lambda: _replayed(aze, endpoint, 3))


async def _replayed(system: System, endpoint: Json, count: int) -> bool:
    events = await system.events(type="webhook.replayed")
    return len([e for e in events if e["subject"]["id"] == endpoint["id"]]) == count


async def _delivered(system: System, endpoint: Json, count: int) -> list[Json] | None:
    found = await deliveries(system, endpoint, status="delivered")
    return found if len(found) >= count else None


async def _attempts(system: System, endpoint: Json, delivery: str, count: int) -> bool:
    found = {d["id"]: d for d in await deliveries(system, endpoint)}
    return len(found[delivery]["attempts"]) == count


async def _settled(system: System, endpoint: Json) -> bool:
    return (await progress(system, endpoint))["replaying"] is None


async def test_deliveries_are_listed_by_page_status_and_type(at_work: None, aze: System) -> None:
    async with receiving() as receiver, told(aze, receiver) as endpoint:
        for quantity in range(1, 6):
            await aze.lot(quantity)
        await all_sent(aze, endpoint, receiver)
        await eventually(lambda: _delivered(aze, endpoint, len(receiver.received)))
        path = f"/v1/webhooks/{endpoint['id']}/deliveries"
        first = done(await aze.get(path, limit=2, type="stock.*"))
        second = done(await aze.get(path, limit=10, type="stock.*", cursor=first["next"]))
        assert second["next"] is None
        seqs = [d["seq"] for d in first["items"] + second["items"]]
        assert seqs == sorted(seqs, reverse=True)
        assert len(seqs) == 5
        assert done(await aze.get(path, status="waiting"))["items"] == []
        assert (await aze.get(path, status="eaten")).status_code == 422
        assert (await aze.get(path, cursor="x")).status_code == 422
