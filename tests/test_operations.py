"""Is it alive, is it ready, how does it do: what an operator asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import serving
from tests.conftest import Service, make_key, serving_on
from tests.processes import make_database, running
from tests.world import System, done, from_lot, goods, refused

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """What `/metrics` shows, read by Prometheus's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def metrics(url: str) -> Samples:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def count(found: Samples, **labels: str) -> float:
    """How many requests there were with these labels."""
    return sum(
        value
        for (name, given), value in found.items()
        if name == "komek_request_seconds_count" and labels.items() <= dict(given).items()
    )


async def eventually(holds: Callable[[], Awaitable[bool]], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not await holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def test_it_is_alive_and_ready(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.url) as http:
        assert done(await http.get("/livez")) == {"status": "alive"}
        assert done(await http.get("/readyz")) == {"status": "ready"}


async def test_durations_are_told_by_route_template(service: Service, aze: System) -> None:
    before = await metrics(service.url)
    lot = await aze.lot(5)
    for _ in range(3):
        await aze.get(f"/v1/stock/{lot['id']}")
    after = await metrics(service.url)
    told = {"method": "GET", "route": "/v1/stock/{id}", "status": "200"}
    found = [dict(k[1]).get("route", "") for k in after if k[0] == "komek_request_seconds_count"]
    assert any("{" in route for route in found)
    assert not [route for route in found if lot["id"] in route]
    route = next(r for r in found if r.startswith("/v1/stock/{"))
    told["route"] = route
    assert count(after, **told) - count(before, **told) == 3


async def test_no_caller_can_make_time_series_without_end(service: Service, aze: System) -> None:
    await aze.http.request("GET", "/warm/up")
    before = await metrics(service.url)
    for n in range(20):
        await aze.http.request("GET", f"/no/such/path-{n}")
        await aze.http.request("PROPFIND", f"/v1/me-{n}")
    for method in ("PROPFIND", "LOCK", "MKCOL", "REPORT", "SEARCH"):
        await aze.http.request(method, "/v1/me")
    await aze.http.request("BOGUS", "/v1/me")
    after = await metrics(service.url)
    fresh = {
        tuple(sorted(dict(k[1]).items())) for k in after if k[0] == "komek_request_seconds_count"
    } - {tuple(sorted(dict(k[1]).items())) for k in before}
    assert len(fresh) <= 3, fresh
    methods = {dict(k[1])["method"] for k in after if k[0] == "komek_request_seconds_count"}
    assert "PROPFIND" not in methods
    assert count(after, route="unmatched") - count(before, route="unmatched") >= 40


async def test_open_offers_are_told_by_state(service: Service, tur: System, aze: System) -> None:
    def offers(found: Samples, state: str) -> float:
        return found.get(("komek_offers", (("state", state),)), 0)

    before = await metrics(service.url)
    request = await tur.request(goods(10))
    offer = await aze.offer(request, from_lot(request, await aze.lot(10), 10))
    between = await metrics(service.url)
    assert offers(between, "proposed") - offers(before, "proposed") == 1
    await tur.accept(offer)
    after = await metrics(service.url)
    assert offers(after, "proposed") == offers(before, "proposed")
    assert offers(after, "accepted") - offers(before, "accepted") == 1


async def test_endpoints_that_nobody_serves_are_told_by_their_lag(
    service: Service, kgz: System
) -> None:
    def active(found: Samples) -> float:
        return found["komek_webhooks", (("status", "active"),)]

    before = await metrics(service.url)
    body = {"url": "https://erp.redcrescent.example/komek", "from": 0}
    endpoint = (await kgz.post("/v1/webhooks", body)).json()
    between = await metrics(service.url)
    assert active(between) - active(before) == 1
    assert between["komek_webhook_lag_events", ()] >= 1
    await kgz.http.delete(f"/v1/webhooks/{endpoint['id']}")
    assert active(await metrics(service.url)) == active(before)


async def test_the_ledgers_lag_and_the_pool_are_told(service: Service, aze: System) -> None:
    await aze.lot(1)

    async def sealed() -> bool:
        return (await metrics(service.url))["komek_ledger_unsealed_records", ()] == 0

    await eventually(sealed)
    found = await metrics(service.url)
    assert found["komek_database_up", ()] == 1
    assert found["komek_ledger_lag_seconds", ()] == 0
    async with service.database.transaction(), service.database.transaction():
        held = await metrics(service.url)
    assert held["komek_pool_connections", (("state", "in_use"),)] >= 2


@pytest.fixture
def own(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """A database of the test's own, which it may stop."""
    postgres = EmbeddedPostgres(scratch / "restarting")
    postgres.start()
    yield postgres
    postgres.stop()


async def test_when_the_database_goes_and_comes_the_service_recovers_by_itself(
    own: EmbeddedPostgres, settings: Settings, alone: Callable[..., Settings]
) -> None:
    await asyncio.to_thread(serving.migrate, own.url)
    given = alone(database_url=own.url, pool_wait=1.0, key_cache=0.0)
    await serving.load(given, own.url)
    async with serving_on(given) as service:
        key = await make_key(service, "AZE")
        http = httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {key}"})
        async with http:
            aze = System("AZE", http)
            await aze.lot(10, ref="before")
            await asyncio.to_thread(own.stop)
            problem = refused(await http.get("/readyz"), 503, "database_unavailable")
            assert problem["title"]
            answer = await http.get("/v1/me")
            refused(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            refused(await aze.put("/v1/my/stock/x", {}), 503, "database_unavailable")
            assert (await http.get("/livez")).status_code == 200
            assert (await metrics(service.url))["komek_database_up", ()] == 0
            await asyncio.to_thread(own.start)

            async def ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await eventually(ready)
            lot = await aze.lot(20, ref="after")

            async def sealed() -> bool:
                subjects = [event["subject"] for event in await aze.events()]
                return any(subject and subject["id"] == lot["id"] for subject in subjects)

            await eventually(sealed)
            assert (await metrics(service.url))["komek_database_up", ()] == 1


def test_the_figures_of_several_workers_are_summed(
    postgres: EmbeddedPostgres, scratch: Path
) -> None:
    url = make_database(postgres, "workers")
    log = scratch / "workers.log"
    with running(log, KOMEK_DATABASE_URL=url, KOMEK_WORKERS="2") as service:
        for _ in range(40):
            httpx.get(f"{service.url}/v1/me")
        seen = [samples(httpx.get(f"{service.url}/metrics").text) for _ in range(6)]
        assert {count(found, route="/v1/me", status="401") for found in seen} == {40}
        for found in seen:
            assert found["komek_database_up", ()] == 1
            assert ("komek_pool_connections", (("state", "idle"),)) in found
        assert service.stop() == 0
