"""Whatever is killed, the receiver ends with exactly the ledger, once repeats are dropped by id."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import httpx
import pytest

from app import clock, ids
from app.config import Settings
from app.ledger.actions import Actor, Fact, record
from tests.conftest import Service, free_port, serving_on
from tests.receivers import (
    TAKEN,
    Received,
    Receiver,
    answer,
    deliveries,
    delivering,
    eventually,
    progress,
    receiving,
    told,
)
from tests.world import Json, System, done

ROOT = Path(__file__).resolve().parent.parent
_SERVE = "from app.cli import main; main()"

LONG = os.environ.get("KOMEK_HYPOTHESIS") == "long"
EVENTS = 10_000 if LONG else 3_000

Alone = Callable[..., Settings]


async def happen(service: Service, count: int, *, by: int = 50) -> list[str]:
    """Let so many things happen in Kyrgyzstan; the ids of their subjects, in order."""
    subjects = [ids.new_id() for _ in range(count)]
    actor = Actor("KGZ", None)
    for n in range(0, count, by):
        facts = [
            Fact("site.closed", s, {"ref": "tent"}, audience=["KGZ"]) for s in subjects[n : n + by]
        ]
        async with service.database.transaction() as tx:
            await record(tx, actor, *facts)
        await asyncio.sleep(0)
    return [str(s) for s in subjects]


def without_repeats(receiver: Receiver) -> dict[str, Json]:
    """What a receiver that keeps the rules has: each `webhook-id` once."""
    kept: dict[str, Json] = {}
    for received in receiver.received:
        assert kept.setdefault(received.id, received.event) == received.event
    return kept


async def the_ledger(system: System, after: int) -> list[Json]:
    return await system.events(after, type="site.closed")


@pytest.fixture
def hurrying() -> Iterator[None]:
    """A clock on which a second is a twentieth of one, so that waits are short."""
    began, start = monotonic(), datetime.now(UTC)
    clock.set_source(lambda: start + timedelta(seconds=(monotonic() - began) * 20))
    yield
    clock.set_source(None)


async def test_several_services_share_the_work_and_none_does_it_twice(
    service: Service, kgz: System, alone: Alone
) -> None:
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving()) for _ in range(6)]
        for receiver in receivers:
            await stack.enter_async_context(told(kgz, receiver, types=["site.closed"]))
        for _ in range(3):
            given = alone(webhook_endpoints=4, webhook_timeout=5.0)
            await stack.enter_async_context(serving_on(given))
        subjects = await happen(service, 300, by=7)
        for receiver in receivers:
            await receiver.count(300)
        await asyncio.sleep(0.3)
        for receiver in receivers:
            assert [r.event["subject"]["id"] for r in receiver.received] == subjects


async def test_a_receiver_killed_and_restarted_at_random_ends_with_exactly_the_ledger(
    service: Service, kgz: System, hurrying: None
) -> None:
    head = done(await kgz.get("/v1/events/head"))["seq"]
    dice = random.Random(random.getrandbits(32) if LONG else 8)

    def moody(received: Received, writer: asyncio.StreamWriter) -> None:
        roll = dice.random()
        if roll < 0.004:
            # Handled, and the answer lost.
            writer.transport.abort()
        elif roll < 0.008:
            answer(500)(received, writer)
        else:
            TAKEN(received, writer)

    async with (
        receiving(answers=moody) as receiver,
        told(kgz, receiver, types=["site.closed"]) as endpoint,
        delivering(service, seconds=2),
    ):
        happening = asyncio.create_task(happen(service, EVENTS))
        deaths = 0
        while not happening.done() or len(set(receiver.ids)) < EVENTS - 100:
            await asyncio.sleep(dice.uniform(0.1, 0.6))
            await receiver.die()
            deaths += 1
            await asyncio.sleep(dice.uniform(0, 0.2))
            await receiver.start()
            assert deaths < 1000
        await happening
        await eventually(lambda: _all_delivered(kgz, endpoint), 300)
        assert deaths >= 3
        kept = without_repeats(receiver)
        expected = await the_ledger(kgz, head)
        assert sorted(kept.values(), key=lambda e: e["seq"]) == expected
        assert len(expected) == EVENTS
        assert len(receiver.received) > EVENTS, "nothing was repeated: the test has tested nothing"


async def _all_delivered(system: System, endpoint: Json) -> bool:
    now = await progress(system, endpoint)
    return bool(now["waiting"] == 0 and now["behind"] == 0)


@asynccontextmanager
async def child(settings: Settings, folder: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A real `komek serve`, on the database of the tests; killed at the end, if it still runs."""
    assert settings.database_url is not None
    port = free_port()
    env = os.environ | {
        "KOMEK_DATABASE_URL": settings.database_url,
        "KOMEK_DATA_DIR": str(folder),
        "KOMEK_PORT": str(port),
        "KOMEK_WEBHOOK_ALLOW_PRIVATE": "1",
        "KOMEK_WEBHOOK_TIMEOUT": "1",
        "KOMEK_LOG_LEVEL": "error",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen([sys.executable, "-c", _SERVE, "serve"], env=env)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient() as http:

            async def ready() -> bool:
                assert process.poll() is None
                try:
                    answered = await http.get(f"http://127.0.0.1:{port}/readyz")
                except httpx.TransportError:
                    return False
                return answered.status_code == 200

            await eventually(ready, 30)
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def test_a_service_killed_in_the_middle_loses_nothing(
    service: Service, settings: Settings, kgz: System, scratch: Path
) -> None:
    head = done(await kgz.get("/v1/events/head"))["seq"]
    async with receiving() as receiver, told(kgz, receiver, types=["site.closed"]) as endpoint:
        subjects = await happen(service, 1500)
        async with child(settings, scratch / "killed") as process:
            await receiver.count(300)
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)
        sent = len(receiver.received)
        assert sent < 1500, "it was killed too late to show anything"
        # The lease of the dead one runs out, and this one goes on.
        async with delivering(service):
            await eventually(lambda: _all_delivered(kgz, endpoint), 60)
        kept = without_repeats(receiver)
        assert [e["subject"]["id"] for e in kept.values()] == subjects
        assert list(kept.values()) == await the_ledger(kgz, head)
        # What was sent and not noted came once more, and no more than that.
        repeats = Counter(receiver.ids)
        assert max(repeats.values()) <= 2
        assert len(receiver.received) - 1500 <= 100
        assert len(await deliveries(kgz, endpoint, limit="1")) == 1


async def test_a_service_that_is_stopped_finishes_what_it_sends_and_repeats_nothing(
    service: Service, kgz: System
) -> None:
    async with receiving() as receiver, told(kgz, receiver, types=["site.closed"]) as endpoint:
        subjects = await happen(service, 400)
        for enough in (50, 150, 250):
            async with delivering(service):
                await receiver.count(enough)
        async with delivering(service):
            await eventually(lambda: _all_delivered(kgz, endpoint))
        assert [r.event["subject"]["id"] for r in receiver.received] == subjects
