"""Receivers that fail: what is tried again, what rests, what is paused, and what it costs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.webhooks import rules
from tests.conftest import Service
from tests.receivers import (
    TAKEN,
    Received,
    answer,
    deliveries,
    delivering,
    eventually,
    progress,
    receiving,
    send_test,
    told,
)
from tests.world import Json, System, done, refused

MEGABYTE = 1 << 20


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def move_to(self, instant: str) -> None:
        self.now = datetime.fromisoformat(instant)


@pytest.fixture
def hands() -> Iterator[Hands]:
    moved = Hands()
    clock.set_source(lambda: moved.now)
    yield moved
    clock.set_source(None)


def tried(system: System, endpoint: Json, count: int) -> Callable[[], Awaitable[Json | None]]:
    """A look for the only delivery of an endpoint once it was tried so often."""

    async def look() -> Json | None:
        found = await deliveries(system, endpoint)
        return found[0] if found and len(found[0]["attempts"]) == count else None

    return look


async def status_of(system: System, endpoint: Json) -> Json:
    return done(await system.get(f"/v1/webhooks/{endpoint['id']}"))


async def test_a_failed_delivery_is_tried_again_by_the_schedule_and_then_the_endpoint_is_paused(
    service: Service, aze: System, kaz: System, hands: Hands
) -> None:
    hours = [5, 300] + [3600 * h for h in (0.5, 2, 5, 10, 14, 20, 24)]
    assert list(rules.SCHEDULE) == hours
    async with (
        receiving(answers=answer(500, b"out of order\0")) as receiver,
        told(aze, receiver, types=["webhook.test"]) as endpoint,
        delivering(service),
    ):
        await send_test(aze, endpoint)
        for number, wait in enumerate(hours, 1):
            delivery = await eventually(tried(aze, endpoint, number))
            assert delivery["status"] == "waiting"
            due = datetime.fromisoformat(delivery["next_attempt_at"])
            assert wait <= (due - hands.now).total_seconds() <= wait * 1.1
            assert (await progress(aze, endpoint))["failures_in_a_row"] == number
            hands.now = due - timedelta(seconds=1)
            await asyncio.sleep(0.1)
            assert len(receiver.received) == number
            hands.now = due
        delivery = await eventually(tried(aze, endpoint, 10))
        assert (delivery["status"], delivery["next_attempt_at"]) == ("exhausted", None)
        assert delivery["attempts"][0]["status"] == 500
        assert delivery["attempts"][0]["body"] == "out of order\ufffd"
        assert len(set(receiver.ids)) == 1
        assert len({r.headers["webhook-timestamp"] for r in receiver.received}) == 10
        stopped = await status_of(aze, endpoint)
        assert (stopped["status"], stopped["reason"]) == ("paused", "exhausted")
        refused(await aze.post(f"/v1/webhooks/{endpoint['id']}/test"), 409, "wrong_state")

        paused = await eventually(lambda: _told_of(aze, "webhook.paused", endpoint))
        assert paused["data"]["failures_in_a_row"] == 10
        seen = await kaz.events(paused["seq"] - 1)
        assert seen[0]["type"] == "sealed"

        receiver.answers = TAKEN
        await aze.lot(1)
        assert len(receiver.received) == 10
        resumed = done(await aze.post(f"/v1/webhooks/{endpoint['id']}/resume"))
        assert (resumed["status"], resumed["reason"]) == ("active", None)
        await receiver.count(11)
        assert len(set(receiver.ids)) == 1
        delivery = await eventually(tried(aze, endpoint, 11))
        assert delivery["status"] == "delivered"


async def _told_of(system: System, kind: str, endpoint: Json) -> Json | None:
    events = await system.events(type=kind)
    return next((e for e in events if e["subject"]["id"] == endpoint["id"]), None)


async def test_later_events_go_on_while_a_failed_one_waits(
    service: Service, aze: System, hands: Hands
) -> None:
    bad = {"id": ""}

    def refuse_one(received: Received, writer: asyncio.StreamWriter) -> None:
        bad["id"] = bad["id"] or received.id
        (answer(500) if received.id == bad["id"] else TAKEN)(received, writer)

    async with (
        receiving(answers=refuse_one) as receiver,
        told(aze, receiver, types=["stock.*"]) as endpoint,
        delivering(service),
    ):
        for quantity in (1, 2, 3):
            await aze.lot(quantity)
        await receiver.count(3)
        assert len(set(receiver.ids)) == 3
        waiting = (await eventually(lambda: _some(aze, endpoint, "waiting")))[0]
        assert waiting["id"] == bad["id"]
        bad["id"] = "none"
        hands.move_to(waiting["next_attempt_at"])
        assert (await receiver.count(4))[3].id == waiting["id"]
        assert len(await eventually(lambda: _some(aze, endpoint, "delivered", 3))) == 3
        assert (await progress(aze, endpoint))["failures_in_a_row"] == 0


async def _some(system: System, endpoint: Json, status: str, count: int = 1) -> list[Json] | None:
    found = await deliveries(system, endpoint, status=status)
    return found if len(found) >= count else None


async def test_410_disables_and_what_comes_meanwhile_is_sent_after_the_resumption(
    service: Service, aze: System
) -> None:
    async with (
        receiving(answers=answer(410)) as receiver,
        told(aze, receiver, types=["stock.*"]) as endpoint,
        delivering(service),
    ):
        lots = [(await aze.lot(1))["id"]]
        await receiver.count(1)
        await eventually(lambda: _told_of(aze, "webhook.disabled", endpoint))
        stopped = await status_of(aze, endpoint)
        assert (stopped["status"], stopped["reason"]) == ("disabled", "gone")
        lots += [(await aze.lot(n))["id"] for n in (2, 3)]
        await asyncio.sleep(0.2)
        assert len(receiver.received) == 1
        receiver.answers = TAKEN
        done(await aze.post(f"/v1/webhooks/{endpoint['id']}/resume"))
        await receiver.count(4)
        assert {r.event["subject"]["id"] for r in receiver.received[1:]} == set(lots)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_receiver_that_is_overloaded_rests_as_long_as_it_asks(
    service: Service, aze: System, hands: Hands, status: int
) -> None:
    async with (
        receiving(answers=answer(status, Retry_After="120")) as receiver,
        told(aze, receiver, types=["stock.*"]) as endpoint,
        delivering(service),
    ):
        for quantity in (1, 2, 3):
            await aze.lot(quantity)
        await eventually(lambda: _rests(aze, endpoint))
        rests = (await progress(aze, endpoint))["rests_until"]
        assert (datetime.fromisoformat(rests) - hands.now).total_seconds() == 120
        hands.move(119)
        await asyncio.sleep(0.2)
        assert len(receiver.received) == 1
        receiver.answers = TAKEN
        hands.move(1)
        await receiver.count(4)
        # What had its turn still to come goes first, and then what failed.
        seqs = [r.event["seq"] for r in receiver.received]
        assert seqs[3] == seqs[0] < seqs[1] < seqs[2]


async def _rests(system: System, endpoint: Json) -> bool:
    return (await progress(system, endpoint))["rests_until"] is not None


async def test_an_endpoint_that_fails_for_three_days_is_paused_and_nothing_is_lost(
    service: Service, aze: System, hands: Hands
) -> None:
    async with (
        receiving(answers=answer(500)) as receiver,
        told(aze, receiver, types=["stock.*"]) as endpoint,
        delivering(service),
    ):
        lots = [(await aze.lot(n + 1))["id"] for n in range(19)]
        await eventually(lambda: _failed(aze, endpoint, 1))
        hands.move(3 * 86_400)
        for count in range(2, 21):
            assert (await status_of(aze, endpoint))["status"] == "active"
            hands.move(61)
            await eventually(lambda n=count: _failed(aze, endpoint, n))  # type: ignore[misc]
        await eventually(lambda: _told_of(aze, "webhook.paused", endpoint))
        assert (await progress(aze, endpoint))["failures_in_a_row"] == 20
        assert (await status_of(aze, endpoint))["reason"] == "failing"
        lots += [(await aze.lot(n + 1))["id"] for n in range(3)]
        receiver.answers = TAKEN
        before = len(receiver.received)
        done(await aze.post(f"/v1/webhooks/{endpoint['id']}/resume"))
        await eventually(lambda: _some(aze, endpoint, "delivered", len(lots)))
        assert {r.event["subject"]["id"] for r in receiver.received[before:]} == set(lots)


async def _failed(system: System, endpoint: Json, count: int) -> bool:
    failures: int = (await progress(system, endpoint))["failures_in_a_row"]
    return failures >= count


async def test_a_redirect_is_not_followed_and_is_a_failure(service: Service, aze: System) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        for status in (301, 302, 307, 308):
            receiver.answers = answer(status, Location=elsewhere.url)
            async with told(aze, receiver, types=["webhook.test"]) as endpoint, delivering(service):
                await send_test(aze, endpoint)
                delivery = await eventually(tried(aze, endpoint, 1))
                assert delivery["status"] == "waiting"
                assert delivery["attempts"][0]["status"] == status
        assert elsewhere.connections == 0


async def test_an_answer_of_ten_gigabytes_costs_64_kilobytes_and_the_connection(
    service: Service, aze: System
) -> None:
    written = {"bytes": 0}
    ended = asyncio.Event()

    async def flood(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65_536))
                written["bytes"] += 65_536
                await writer.drain()
        finally:
            ended.set()

    async with (
        receiving(answers=flood) as receiver,
        told(aze, receiver, types=["webhook.test"]) as endpoint,
        delivering(service),
    ):
        await send_test(aze, endpoint)
        delivery = await eventually(tried(aze, endpoint, 1))
        async with asyncio.timeout(30):
            await ended.wait()
        assert delivery["attempts"][0]["status"] == 200
        assert len(delivery["attempts"][0]["body"]) <= 1000
        assert written["bytes"] < 32 * MEGABYTE


@pytest.mark.parametrize("place", ["head", "body", "nothing"])
async def test_a_slow_drip_costs_its_time_out_and_keeps_nobody_waiting(
    service: Service, aze: System, place: str
) -> None:
    async def drip(received: Received, writer: asyncio.StreamWriter) -> None:
        if place == "body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        if place == "head":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not writer.is_closing():
            if place != "nothing":
                writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with (
        receiving(answers=drip) as slow,
        receiving() as quick,
        told(aze, slow, types=["stock.*"]) as endpoint,
        told(aze, quick, types=["stock.*"]),
        delivering(service, seconds=0.5),
    ):
        await aze.lot(1)
        await quick.count(1)
        delivery = await eventually(tried(aze, endpoint, 1))
        attempt = delivery["attempts"][0]
        assert attempt["error"] == "no complete answer within 0.5 s"
        assert 450 <= attempt["milliseconds"] < 5000
        assert attempt["status"] == (200 if place == "body" else None)
        assert delivery["status"] == "waiting"


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZZ\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_is_not_http_is_a_failure_and_nothing_worse(
    service: Service, aze: System, said: bytes
) -> None:
    def say(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with (
        receiving(answers=say) as receiver,
        told(aze, receiver, types=["webhook.test"]) as endpoint,
        delivering(service, seconds=2),
    ):
        await send_test(aze, endpoint)
        delivery = await eventually(tried(aze, endpoint, 1))
        assert delivery["status"] == "waiting"
        assert delivery["attempts"][0]["error"]


async def test_where_nobody_listens_the_endpoint_rests_and_is_tried_again(
    service: Service, aze: System, hands: Hands
) -> None:
    async with receiving() as receiver:
        await receiver.die()
        async with told(aze, receiver, types=["webhook.test"]) as endpoint, delivering(service):
            await send_test(aze, endpoint)
            delivery = await eventually(tried(aze, endpoint, 1))
            assert delivery["attempts"][0]["error"].startswith("no connection")
            assert (await progress(aze, endpoint))["rests_until"] is not None
            await receiver.start()
            hands.move(6)
            delivery = await eventually(tried(aze, endpoint, 2))
            assert delivery["status"] == "delivered"


def test_the_rest_of_a_failing_endpoint_grows_and_is_bounded() -> None:
    silent, refusing = rules.Outcome(None, error="no connection"), rules.Outcome(500)
    assert [rules.rest(n, silent) for n in (1, 2, 3, 7, 500)] == [1, 2, 4, 60, 60]
    assert [rules.rest(n, refusing) for n in (1, 4, 5, 6, 500)] == [0, 0, 1, 2, 60]
    assert rules.rest(1, rules.Outcome(429, retry_after=0)) == 1
    assert rules.rest(1, rules.Outcome(503, retry_after=10**9)) == 3600
    assert rules.rest(1, rules.Outcome(500, retry_after=900)) == 0
    assert rules.rest(0, rules.Outcome(200)) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), (" 5 ", 5), (None, None), ("-1", None), ("1e3", None), ("٣", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 400, 999_999_999)],
)  # fmt: skip
def test_only_seconds_are_read_of_retry_after(value: str | None, seconds: float | None) -> None:
    assert rules.retry_after(value) == seconds
