"""After an outage one call at most pays for it, whichever pool it was in."""

import asyncio
from dataclasses import replace

import pytest

from app.config import Settings
from app.db import Database
from app.errors import AppError
from app.outages import Outage
from tests.elsewhere import superuser


async def test_what_one_pool_learns_of_an_outage_all_pools_know(settings: Settings) -> None:
    assert settings.database_url is not None
    outage, given = Outage(), replace(settings, pool_size=3)
    probes, callers = (Database(settings.database_url, given, outage) for _ in range(2))
    backends: set[int] = set()

    async def write(database: Database, all_here: asyncio.Barrier) -> None:
        async with database.transaction() as tx:
            row = await tx.exec_driver_sql("SELECT pg_backend_pid()")
            backends.add(row.scalar_one())
            await all_here.wait()

    async def all_write(database: Database) -> None:
        all_here = asyncio.Barrier(3)
        await asyncio.gather(*(write(database, all_here) for _ in range(3)))

    for database in (probes, callers):
        await all_write(database)
    assert len(backends) == 6
    watch = await superuser(settings.database_url)
    await watch.execute("SELECT pg_terminate_backend(unnest($1::int[]), 5000)", list(backends))
    await watch.close()
    with pytest.raises(AppError) as refusal:
        async with probes.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")
    assert refusal.value.code == "database_unavailable"
    for database in (callers, probes):
        await all_write(database)
        await database.close()
    assert len(backends) == 12
