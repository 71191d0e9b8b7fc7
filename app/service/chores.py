"""What the service does by itself, in every worker: each chore may run in any number of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import chance, clock, idempotency
from app.db import Database
from app.deployments import manifests
from app.errors import AppError
from app.offers import actions as offers
from app.service import metrics
from app.shares import Callers
from app.webhooks import actions as webhooks

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again; it tells how much it did, 0 when nothing is left."""

    name: str
    every: float
    do: Callable[[AsyncConnection], Awaitable[int]]


async def _forget_answers(tx: AsyncConnection) -> int:
    return await idempotency.forget(tx, clock.now() - timedelta(days=idempotency.KEPT_DAYS))


CHORES = (
    Chore("expire_offers", 1.0, offers.expire_due),
    Chore("expire_orphans", 900.0, offers.expire_orphans),
    Chore("forget_answers", 600.0, _forget_answers),
    Chore("erase_manifests", 600.0, manifests.erase_due),
    Chore("forget_deliveries", 600.0, webhooks.forget_old),
)


async def count_pool(database: Database, callers: Callers) -> None:
    """Keep the figures of this process's pool fresh, whichever worker tells them."""
    while True:
        metrics.count_pool(database, callers)
        await asyncio.sleep(1)


async def run(database: Database, chore: Chore) -> None:
    """Do a chore until cancelled. What goes wrong is logged and tried again later."""
    while True:
        try:
            async with database.transaction() as tx:
                done = await chore.do(tx)
        except AppError as error:
            log.warning("chore_put_off", chore=chore.name, code=error.code)
            done = 0
        except Exception:
            # A chore that dies silently would let offers reserve stock for ever.
            log.exception("chore_failed", chore=chore.name)
            done = 0
        if done:
            log.info("chore_done", chore=chore.name, count=done)
        else:
            # Workers that started together must not look together for ever.
            await asyncio.sleep(chore.every * chance.between(0.8, 1.2))
