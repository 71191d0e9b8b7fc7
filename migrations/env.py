"""How alembic reaches the database. The URL comes from the service (`serving.alembic_config`)."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import app.main  # noqa: F401  (importing every room fills the metadata)
from app import db

_LOCK = 0x4B4F4D454B00


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        # Copies of the service that start together migrate one after the other; and a migration
        # that waits for a lock makes everybody behind it wait too, so that it must give up soon.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        context.run_migrations()


async def _run() -> None:
    url = context.config.attributes["url"]

    async def open_connection() -> object:
        return await db.connect(url, {"application_name": "komek-migrate", "timezone": "UTC"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(_run())
