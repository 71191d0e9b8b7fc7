"""What is acknowledged is committed, whatever was cancelled or failed before."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from app.config import Settings
from app.db import Database
from tests.conftest import Service


async def test_what_follows_a_transaction_that_was_cancelled_is_committed(
    service: Service, settings: Settings
) -> None:
    assert settings.database_url is not None
    # One connection, so that each call gets the one that was just cancelled.
    database = Database(settings.database_url, replace(settings, pool_size=1))

    async def write() -> str:
        async with database.transaction() as tx:
            row = await tx.exec_driver_sql("SELECT pg_current_xact_id()::text")
            xact: str = row.scalar_one()
        return xact

    acknowledged = [await write()]
    for rounds in range(60):
        cancelled = asyncio.create_task(write())
        # At each step of the way: before BEGIN, while it is under way, within, and at COMMIT.
        for _ in range(rounds % 30):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        acknowledged.append(await write())
    await database.close()
    async with service.database.reading() as connection:
        for xact in acknowledged:
            status = await connection.exec_driver_sql(
                f"SELECT pg_xact_status('{xact}'::xid8)",
            )
            assert status.scalar_one() == "committed"


async def test_a_transaction_with_a_failure_that_was_passed_over_is_not_acknowledged(
    service: Service,
) -> None:
    with pytest.raises(RuntimeError, match="nothing was committed"):
        async with service.database.transaction() as tx:
            with contextlib.suppress(Exception):
                await tx.exec_driver_sql("SELECT 1 / 0")
