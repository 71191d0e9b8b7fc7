"""One PostgreSQL and one service for the whole run; the ledger is proved at its end."""

import asyncio
import contextlib
import itertools
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI

from app import clock
from app.access import actions as access
from app.config import Settings
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.ledger.actions import Actor
from app.ledger.verifying import verify
from app.main import create_app
from app.service import server, serving
from tests.contract import Document, the_document
from tests.world import System

MEMBERS = ("TUR", "AZE", "KAZ", "KGZ", "UZB")


LONGEST = (
    "test_bad_bodies.py", "test_image.py", "test_connector.py", "test_webhook_crashes.py",
    "test_never_twice.py", "test_hard_week.py", "test_plans.py", "test_stopping.py",
    "test_access_walk.py", "test_bad_parameters.py", "test_fuzz.py", "test_exercise.py",
)  # fmt: skip
"""The files that take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: at the end no worker is to wait for one of them.

    Cases of one test that were drawn from a set have another order in each process, and workers
    must have collected the same.
    """
    places = {name: n for n, name in enumerate(LONGEST)}
    tests = [list(cases) for _, cases in itertools.groupby(items, _test_of)]
    tests.sort(key=lambda cases: places.get(cases[0].path.name, len(places)))
    items[:] = [case for cases in tests for case in sorted(cases, key=lambda c: c.nodeid)]


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that the account of the embedded PostgreSQL may enter (pytest's own is closed)."""
    with tempfile.TemporaryDirectory(prefix="komek-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL 18."""
    embedded = EmbeddedPostgres(scratch / "data")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture(scope="session")
def settings(postgres: EmbeddedPostgres) -> Settings:
    """Settings of the service under test, on a database that is migrated and loaded."""
    os.environ.setdefault("KOMEK_LOG_LEVEL", "error")
    # Webhooks go to receivers on loopback; the services that their tests start deliver them.
    given = Settings(
        database_url=postgres.url,
        port=free_port(),
        key_cache=0.5,
        drain=0,
        webhook_allow_private=True,
        webhook_endpoints=0,
        log_level="error",
        # Hundreds of calls at once stand in line on a small machine; here none is to be sent away.
        pool_wait=60,
        limits=False,
    )
    serving.migrate(postgres.url)
    asyncio.run(serving.load(given, postgres.url))
    return given


def _own_ports() -> Iterator[int]:
    """Ports that this process tries, one after the other.

    Below those that the kernel gives to outgoing connections: between the choice of such a port and
    the moment when a service listens on it, any connection may take it. Workers that run side by
    side have parts of their own; other runs on the machine start somewhere else.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first, span = 12_000 + worker % 8 * 2_500, 2_500
    return (first + (os.getpid() * 7 + n) % span for n in itertools.count())


_PORTS = _own_ports()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@dataclass
class Service:
    """The running service."""

    app: FastAPI
    url: str
    settings: Settings

    @property
    def database(self) -> Database:
        """Its pool, for what a test must do behind its back."""
        database: Database = self.app.state.database
        return database


@asynccontextmanager
async def serving_on(settings: Settings) -> AsyncIterator[Service]:
    """The service within this process, so that tests can set its clock; spoken to by HTTP."""
    app = create_app(settings)
    options = server.options(settings) | {"loop": "auto", "lifespan": "on"}
    uvicorn_server = uvicorn.Server(uvicorn.Config(app, **options))
    running = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started:
        assert not running.done(), "the service did not start"
        await asyncio.sleep(0.01)
    try:
        yield Service(app, f"http://127.0.0.1:{settings.port}", settings)
    finally:
        uvicorn_server.should_exit = True
        await running


@pytest_asyncio.fixture(scope="session")
async def service(settings: Settings) -> AsyncIterator[Service]:
    """The service; when all tests have run, the ledger must prove everything that they did."""
    async with serving_on(settings) as running:
        yield running
    assert settings.database_url is not None
    report = await verify(settings.database_url)
    assert report.faults == []


Enrol = Callable[..., Awaitable[System]]


@pytest_asyncio.fixture
async def endpoints_closed(tur: System, aze: System) -> AsyncIterator[None]:
    """For tests that open endpoints at addresses of no system: nobody is to deliver there."""
    yield
    for system in (tur, aze):
        for endpoint in (await system.get("/v1/webhooks", limit=200)).json()["items"]:
            await system.http.delete(f"/v1/webhooks/{endpoint['id']}")


@pytest_asyncio.fixture(scope="session")
async def enrol(service: Service) -> AsyncIterator[Enrol]:
    """Make a system of a society, with a key of its own."""
    opened: list[httpx.AsyncClient] = []

    async def make(society: str, *scopes: str) -> System:
        key = await make_key(service, society, *scopes)
        http = httpx.AsyncClient(
            base_url=service.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            limits=httpx.Limits(max_connections=64),
        )
        opened.append(http)
        return System(society, http)

    yield make
    for http in opened:
        await http.aclose()


async def make_key(service: Service, society: str, *scopes: str) -> str:
    """A key of a new client."""
    async with service.database.transaction() as tx:
        _, key = await access.create_client(
            tx, Actor(society, None), society, "test", list(scopes or ["all"])
        )
    return key


@pytest_asyncio.fixture(scope="session")
async def tur(enrol: Enrol) -> System:
    """Türkiye's system; the society is the secretariat as well."""
    return await enrol("TUR")


@pytest_asyncio.fixture(scope="session")
async def aze(enrol: Enrol) -> System:
    """Azerbaijan's system."""
    return await enrol("AZE")


@pytest_asyncio.fixture(scope="session")
async def kaz(enrol: Enrol) -> System:
    """Kazakhstan's system."""
    return await enrol("KAZ")


@pytest_asyncio.fixture(scope="session")
async def kgz(enrol: Enrol) -> System:
    """Kyrgyzstan's system."""
    return await enrol("KGZ")


@pytest_asyncio.fixture(scope="session")
async def uzb(enrol: Enrol) -> System:
    """Uzbekistan's system."""
    return await enrol("UZB")


@pytest.fixture(scope="session")
def document() -> Document:
    """The OpenAPI document."""
    return the_document()


@pytest.fixture
def at() -> Iterator[Callable[[str], None]]:
    """Set the time for everything in this process; given back at the end."""

    def set_to(instant: str) -> None:
        moment = datetime.fromisoformat(instant)
        clock.set_source(lambda: moment)

    yield set_to
    clock.set_source(None)


@pytest.fixture(scope="session")
def alone(settings: Settings) -> Callable[..., Settings]:
    """Settings of a further service on the same database."""

    def make(**changes: object) -> Settings:
        return replace(settings, port=free_port(), **changes)  # type: ignore[arg-type]

    return make
