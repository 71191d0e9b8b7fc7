"""One society's calls, however many, do not make the others wait or the service unready."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access import rules, store
from app.access.actions import KeyRing
from app.config import Settings
from app.errors import AppError
from app.shares import Callers, Own
from tests.conftest import Service, make_key, serving_on
from tests.elsewhere import superuser
from tests.test_operations import eventually
from tests.world import Json, System, done, fresh, refused

Alone = Callable[..., Settings]
DOCS = Path(__file__).resolve().parent.parent / "docs"


async def system_of(service: Service, society: str, leaving: AsyncExitStack) -> System:
    http = httpx.AsyncClient(
        base_url=service.url,
        headers={"Authorization": f"Bearer {await make_key(service, society)}"},
        timeout=60,
        limits=httpx.Limits(max_connections=None),
    )
    return System(society, await leaving.enter_async_context(http))


@asynccontextmanager
async def two_systems(settings: Settings) -> AsyncIterator[tuple[Service, System, System]]:
    """A further service with limits of its own, and the systems of two societies on it."""
    async with serving_on(settings) as service, AsyncExitStack() as leaving:
        aze = await system_of(service, "AZE", leaving)
        yield service, aze, await system_of(service, "TUR", leaving)


@asynccontextmanager
async def locked(service: Service, lot: Json) -> AsyncIterator[None]:
    """Somebody's slow transaction holds the lot, behind the service's back."""
    connection = await superuser(service.database.url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM lots WHERE id = CAST($1::text AS uuid) FOR UPDATE", lot["id"]
            )
            yield
    finally:
        await connection.close()


def publishing(system: System, lot: Json, count: int) -> list[asyncio.Task[httpx.Response]]:
    """So many calls that all want the same lot."""
    path = f"/v1/my/stock/{lot['ref']}"
    bodies = [{"item": lot["item"], "site": "central", "quantity": 100 + n} for n in range(count)]
    return [asyncio.create_task(system.put(path, body)) for body in bodies]


async def test_two_hundred_calls_that_wait_for_a_lock_hold_up_nobody_else(alone: Alone) -> None:
    given = alone(limits=True, pool_size=8, lock_timeout=50, key_cache=0)
    async with two_systems(given) as (service, aze, tur):
        lot = await aze.lot(10, ref=fresh("held"))
        async with locked(service, lot):
            waiting = publishing(aze, lot, 200)
            await eventually(lambda: _waits(service, 190))
            # With a key that no worker remembers, so that the look-up is a part of it.
            for _ in range(3):
                async with asyncio.timeout(10):
                    done(await tur.get("/v1/me"))
                    await tur.lot(5)
                    done(await tur.get("/v1/stock"))
                    done(await tur.http.get("/readyz"))
                    assert (await tur.http.get("/metrics")).status_code == 200
            assert not any(call.done() for call in waiting), "AZE's own wait for their lock"
            metrics = (await tur.http.get("/metrics")).text
            assert "komek_waiting_calls 19" in metrics
        answers = await asyncio.gather(*waiting)
        assert Counter(a.status_code for a in answers) == {200: 200}
        assert service.app.state.callers.waiting() == 0


async def _waits(service: Service, least: int, most: int = 1 << 30) -> bool:
    waiting: int = service.app.state.callers.waiting()
    return least <= waiting <= most


async def test_who_hangs_up_leaves_the_queue(alone: Alone) -> None:
    given = alone(limits=True, pool_size=4, lock_timeout=50)
    async with two_systems(given) as (service, aze, tur):
        lot = await aze.lot(10, ref=fresh("left"))
        async with locked(service, lot):
            waiting = publishing(aze, lot, 40)
            reading = [asyncio.create_task(aze.get("/v1/stock")) for _ in range(40)]
            await eventually(lambda: _waits(service, 78))
            for call in waiting + reading:
                call.cancel()
            await asyncio.gather(*waiting, *reading, return_exceptions=True)
            await eventually(lambda: _waits(service, 0, 0))
            done(await tur.get("/v1/stock"))
        done(await aze.get(f"/v1/my/stock/{lot['ref']}"))


async def test_a_queue_that_is_full_is_told_at_once(alone: Alone) -> None:
    given = alone(limits=True, pool_size=4, lock_timeout=50, queue=5)
    async with two_systems(given) as (service, aze, tur):
        lot = await aze.lot(10, ref=fresh("full"))
        async with locked(service, lot):
            waiting = publishing(aze, lot, 7)
            await eventually(lambda: _waits(service, 5))
            answer = await aze.get("/v1/stock")
            refused(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) >= 1
            done(await tur.get("/v1/stock"))
        assert {a.status_code for a in await asyncio.gather(*waiting)} == {200}


async def test_a_worker_has_as_many_connections_as_the_manual_says(alone: Alone) -> None:
    given = alone(limits=True, pool_size=3)
    watch = await superuser(given.database_url or "")
    name = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'komek%'"
    before = await watch.fetchval(name)
    async with two_systems(given) as (_, aze, tur):
        for system in (aze, tur):
            calls = [system.get("/v1/stock") for _ in range(20)]
            assert {a.status_code for a in await asyncio.gather(*calls)} == {200}
        opened = await watch.fetchval(name) - before
    await watch.close()
    besides = Own.CONNECTIONS + 2
    assert opened <= given.pool_size + besides
    assert f"(`KOMEK_POOL_SIZE` + {besides})" in (DOCS / "operations.md").read_text("utf-8")


async def test_a_society_that_calls_too_often_is_told_and_the_others_are_not(
    alone: Alone,
) -> None:
    async with two_systems(alone(limits=True, calls_per_second=1)) as (_, aze, tur):
        answers = [await aze.get("/v1/me") for _ in range(10)]
        assert {a.status_code for a in answers} == {200}
        assert {a.headers["ratelimit-policy"] for a in answers} == {'"calls";q=10;w=10'}
        left = [int(a.headers["ratelimit"].removeprefix('"calls";r=').partition(";")[0])
                for a in answers]  # fmt: skip
        assert left[0] == 9
        assert left == sorted(left, reverse=True)
        burst = await asyncio.gather(*(aze.get("/v1/stock") for _ in range(20)))
        told = [a for a in burst if a.status_code == 429]
        assert len(told) >= 10
        refused(told[0], 429, "rate_limited")
        assert int(told[0].headers["retry-after"]) >= 1
        assert told[0].headers["ratelimit"].startswith('"calls";r=0;t=')
        done(await tur.get("/v1/stock"))
        stranger = await aze.http.get("/v1/me", headers={"Authorization": "Bearer nobody"})
        assert "ratelimit" not in stranger.headers
        # A slot is free again soon, and a client that obeys `Retry-After` gets on.
        await asyncio.sleep(float(told[0].headers["retry-after"]) + 0.1)
        done(await aze.get("/v1/stock"))


async def test_limits_can_be_switched_off_for_measurements(service: Service, aze: System) -> None:
    assert not service.settings.limits
    answer = await aze.get("/v1/me")
    assert "ratelimit" not in answer.headers
    assert "ratelimit-policy" not in answer.headers


async def test_a_society_listens_so_often_at_once(alone: Alone) -> None:
    async with two_systems(alone(limits=True, streams=2)) as (_, aze, tur):
        async with AsyncExitStack() as open_streams:
            for _ in range(2):
                stream = await open_streams.enter_async_context(
                    aze.http.stream("GET", "/v1/events/stream")
                )
                assert stream.status_code == 200
            answer = await aze.get("/v1/events/stream")
            refused(answer, 429, "rate_limited")
            assert "streams" in answer.json()["detail"]
            async with tur.http.stream("GET", "/v1/events/stream") as stream:
                assert stream.status_code == 200

        async def free() -> bool:
            async with aze.http.stream("GET", "/v1/events/stream") as stream:
                return stream.status_code == 200

        await eventually(free)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"KOMEK_LIMITS": "maybe"}, "KOMEK_LIMITS"),
        ({"KOMEK_LOCK_TIMEOUT": "10"}, "KOMEK_LOCK_TIMEOUT"),
        ({"KOMEK_POOL_WAIT": "4"}, "KOMEK_POOL_WAIT"),
        ({"KOMEK_QUEUE": "0"}, "KOMEK_QUEUE"),
    ],
)
def test_settings_under_which_one_could_hold_up_all_are_refused(
    given: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Settings.from_env(given)


def test_waits_for_locks_end_before_waits_for_connections() -> None:
    usual = Settings.from_env({})
    assert usual.lock_timeout < usual.pool_wait
    assert usual.limits
    assert not Settings.from_env({"KOMEK_LIMITS": "off"}).limits


async def test_hundreds_of_calls_with_one_key_look_it_up_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another society's look-up stands behind them whenever the key is forgotten."""
    header = f"Bearer {await make_key(service, 'AZE')}"
    asked = store.identify
    looks = 0

    async def identify(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return await asked(*given)

    monkeypatch.setattr(store, "identify", identify)
    ring = KeyRing(service.database, 0)
    hung_up = [asyncio.create_task(ring.identify(header)) for _ in range(20)]
    staying = [asyncio.create_task(ring.identify(header)) for _ in range(180)]
    await asyncio.sleep(0)
    for call in hung_up:
        call.cancel()
    assert {caller.society for caller in await asyncio.gather(*staying)} == {"AZE"}
    assert looks == 1
    await asyncio.gather(*hung_up, return_exceptions=True)
    assert (await ring.identify(header)).society == "AZE"
    assert looks == 2, "it is asked again where nothing is remembered"
    unknown = "Bearer " + rules.make_key(bytes(24))
    refusals = await asyncio.gather(
        *(ring.identify(unknown) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(r, AppError) and r.status_code == 401 for r in refusals)


async def test_an_import_that_takes_long_is_not_counted_with_a_societys_other_calls(
    alone: Alone,
) -> None:
    async with two_systems(alone(limits=True, pool_size=4)) as (service, aze, tur):
        lot = await aze.lot(10, ref=fresh("imported"))
        table = f"ref,item,site,quantity\n{lot['ref']},{lot['item']},central,25\n"
        headers = {"Content-Type": "text/csv"}
        callers = service.app.state.callers
        async with locked(service, lot):
            importing = asyncio.create_task(
                aze.http.post("/v1/my/stock/import", content=table, headers=headers)
            )
            await eventually(lambda: _holds(callers, "AZE imports"))
            # One place is free for its other calls, whatever the import waits for.
            for system in (aze, tur):
                async with asyncio.timeout(10):
                    done(await system.get("/v1/stock"))
            assert not importing.done()
        assert done(await importing)["changed"] == 1


async def _holds(callers: Callers, party: str) -> bool:
    return callers.held(party) == 1
