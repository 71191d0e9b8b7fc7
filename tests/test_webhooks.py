"""Webhooks: the society's own systems are told what happened, at least once, in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app.config import Settings
from app.webhooks import signing
from tests.conftest import serving_on
from tests.receivers import Received, Receiver, receiving
from tests.world import Json, System, done, from_lot, goods

Alone = Callable[..., Settings]


@asynccontextmanager
async def told(system: System, receiver: Receiver, **wanted: Any) -> AsyncIterator[Json]:
    """An endpoint of a society at a receiver; deleted at the end, so that no test disturbs another."""
    endpoint = done(await system.post("/v1/webhooks", {"url": receiver.url, **wanted}), 201)
    try:
        yield endpoint
    finally:
        await system.http.delete(f"/v1/webhooks/{endpoint['id']}")


def verified(received: Received, secret: str) -> Json:
    event: Json = Verifier(secret).verify(received.body, received.headers)
    return event


@pytest.fixture
async def delivering(service: Any, alone: Alone) -> AsyncIterator[None]:
    """A service that delivers."""
    async with serving_on(alone(webhook_endpoints=8, webhook_timeout=1.0)):
        yield


async def test_what_the_feed_shows_arrives_signed_and_in_order(
    delivering: None, tur: System, aze: System
) -> None:
    async with receiving() as receiver, told(aze, receiver) as endpoint:
        start = (await aze.get("/v1/events/head")).json()["seq"]
        lot = await aze.lot(500)
        request = await tur.request(goods(400))
        offer = await aze.offer(request, from_lot(request, lot, 300))
        await receiver.until(
            lambda: offer["id"] in {r.event["subject"]["id"] for r in receiver.received}
        )
        feed = [e for e in await aze.events(start - 1) if e["type"] != "sealed"]
        arrived = [verified(r, endpoint["secret"]) for r in receiver.received]
        assert arrived == [e for e in feed if e["seq"] >= arrived[0]["seq"]][: len(arrived)]
        assert [r.id for r in receiver.received] == [e["id"] for e in arrived]
        published = next(e for e in arrived if e["type"] == "stock.published")
        assert published["private"]["content"]["quantity"] == 500
        assert receiver.connections == 1
        assert all(r.headers["host"] == f"127.0.0.1:{receiver.port}" for r in receiver.received)


async def test_a_changed_body_or_another_secret_is_not_verified(
    delivering: None, aze: System
) -> None:
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
    delivering: None, aze: System, kaz: System
) -> None:
    async with receiving() as receiver, told(kaz, receiver) as endpoint:
        hidden = await aze.lot(500, visible_to=["TUR"])
        shown = await aze.lot(500)
        done(await kaz.post(f"/v1/webhooks/{endpoint['id']}/test"), 202)
        await receiver.until(
            lambda: any(r.event["type"] == "webhook.test" for r in receiver.received)
        )
        subjects = [r.event["subject"]["id"] for r in receiver.received]
        assert shown["id"] in subjects
        assert hidden["id"] not in subjects
        assert all(r.event["type"] != "sealed" for r in receiver.received)
        theirs = next(r.event for r in receiver.received if r.event["subject"]["id"] == shown["id"])
        assert "private" not in theirs
