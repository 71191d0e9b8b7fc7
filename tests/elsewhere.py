"""An exchange of its own, on a database of its own: for what a test must break."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg
import httpx

from app import db
from app.config import Settings
from app.service import serving
from tests.conftest import Service, free_port, make_key, serving_on
from tests.world import System, fresh


def database_named(url: str, name: str) -> str:
    """The same server, another database."""
    return re.sub(r"/\w+\?", f"/{name}?", url)


async def superuser(url: str) -> asyncpg.Connection:
    """A connection that may do what the service never does."""
    connection: asyncpg.Connection = await db.connect(url, {"application_name": "komek-test"})
    return connection


@dataclass
class Exchange:
    """A service on a scratch database, and the systems that speak to it."""

    service: Service
    url: str
    systems: dict[str, System] = field(default_factory=dict)

    async def system(self, society: str) -> System:
        """A society's system."""
        if society not in self.systems:
            key = await make_key(self.service, society)
            http = httpx.AsyncClient(
                base_url=self.service.url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=60,
                limits=httpx.Limits(max_connections=64),
            )
            self.systems[society] = System(society, http)
        return self.systems[society]

    async def sql(self, *statements: str) -> None:
        """Change the database behind the service's back, with every trigger disabled."""
        connection = await superuser(self.url)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    async def value(self, query: str, *values: object) -> object:
        """One value."""
        connection = await superuser(self.url)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


@asynccontextmanager
async def scratch_database(settings: Settings, *, like: str = "template1") -> AsyncIterator[str]:
    """A database on the server of the tests, empty or a copy; dropped at the end."""
    assert settings.database_url is not None
    name = fresh("scratch").replace("-", "_")
    server = await superuser(settings.database_url)
    try:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield database_named(settings.database_url, name)
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@asynccontextmanager
async def exchange_of_its_own(settings: Settings) -> AsyncIterator[Exchange]:
    """A migrated and loaded scratch database with a service on it."""
    async with scratch_database(settings) as url:
        own = replace(settings, database_url=url, port=free_port())
        # In a thread: both start an event loop of their own.
        await asyncio.to_thread(serving.migrate, url)
        await serving.load(own, url)
        async with serving_on(own) as service:
            exchange = Exchange(service, url)
            try:
                yield exchange
            finally:
                for system in exchange.systems.values():
                    await system.http.aclose()
