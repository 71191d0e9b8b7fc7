"""serve: find or start the database, migrate it, load what comes with the service, and listen."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog
import uvicorn
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import embedded
from app.access import actions as access
from app.catalogue import actions as catalogue
from app.config import Settings
from app.db import Database
from app.service import server, signals
from app.transport import actions as transport

log = structlog.get_logger()
T = TypeVar("T")

_SEEDING = 0x4B4F4D454B02


def alembic_config(url: str) -> Config:
    """Where the migrations are, and the database that they are for."""
    config = Config()
    migrations = Path(__file__).resolve().parent.parent.parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    config.attributes["url"] = url
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision, `head` being the newest and `base` nothing at all."""
    config = alembic_config(url)
    if revision == "base":
        command.downgrade(config, "base")
    else:
        command.upgrade(config, revision)


async def load(settings: Settings, url: str) -> None:
    """Load the five societies and the catalogue, as far as they are not there yet."""
    database = Database(url, settings)
    try:
        async with database.transaction() as tx:
            # Copies of the service that start together load one after the other.
            await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _SEEDING})
            await access.admit_founders(tx)
            added = await catalogue.load_catalogue(tx, _secretariat())
            added += await transport.load_network(tx, _secretariat())
        if added:
            log.info("catalogue_loaded", entries=added)
    finally:
        await database.close()


def _secretariat() -> str:
    return next(code for code, _, role in access.SOCIETIES if role == "secretariat")


@contextlib.contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The database of the settings; the embedded one is started where it does not run yet."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    try:
        postgres = embedded.EmbeddedPostgres(settings.data_dir)
    except OSError as error:
        raise embedded.EmbeddedRefused(f"KOMEK_DATA_DIR cannot be used: {error}") from error
    try:
        # A program that starts the server and is interrupted leaves one behind that nobody knows
        # of yet. Starting and stopping are bounded in time.
        with signals.held():
            postgres.start()
        yield postgres.url
    finally:
        with signals.held():
            postgres.stop()


def in_transaction(settings: Settings, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do something in the database of the settings, in one transaction; the service may run."""

    async def run(url: str) -> T:
        database = Database(url, settings)
        try:
            async with database.transaction() as tx:
                return await do(tx)
        finally:
            await database.close()

    with database_url(settings) as url:
        return asyncio.run(run(url))


def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT; the embedded database ends with it."""
    with (
        signals.Leaving() as leaving,
        database_url(settings) as url,
        _metrics_folder(settings),
        # Uvicorn takes the signals over and raises them again once it has stopped, for whoever
        # started it: that is this block.
        leaving.heard(),
    ):
        migrate(url)
        asyncio.run(load(settings, url))
        os.environ["KOMEK_DATABASE_URL"] = url
        log.info("listening", host=settings.host, port=settings.port, workers=settings.workers)
        _listen(replace(settings, database_url=url))


def _listen(settings: Settings) -> None:
    # The factory is named and not called: every worker makes its own application, and reads the
    # settings from the environment.
    uvicorn.run(
        "app.main:create_app", factory=True, workers=settings.workers, **server.options(settings)
    )


@contextlib.contextmanager
def _metrics_folder(settings: Settings) -> Iterator[None]:
    if settings.workers == 1:
        yield
        return
    # Of this service alone: several may run in one data directory, or in none that can be written.
    # Apart from the files of imports, where it can be: counters are mapped into memory, and where
    # their disk is full a worker ends by SIGBUS at its next count.
    with tempfile.TemporaryDirectory(
        prefix="komek-metrics-", dir=settings.metrics_dir, ignore_cleanup_errors=True
    ) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            # Whoever reads it after this would look for a folder that is gone.
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
