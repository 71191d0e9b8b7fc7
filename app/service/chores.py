"""What the service does by itself, in every worker: each chore may run in any number of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Something to do to one object after the other, each in a transaction of its own.

    `find` finds one that is not to be passed over, None when nothing is left; `end` does it. One
    that cannot be ended holds up no other.
    """

    name: str
    every: float
    find: Callable[[AsyncConnection, Sequence[UUID]], Awaitable[UUID | None]]
    end: Callable[[AsyncConnection, UUID], Awaitable[None]]


async def _forget_answers(tx: AsyncConnection) -> int:
    return await idempotency.forget(tx, clock.now() - timedelta(days=idempotency.KEPT_DAYS))


CHORES = (
    OneByOne("expire_offers", 1.0, offers.find_due, offers.expire),
    OneByOne("expire_orphans", 900.0, offers.find_orphan, offers.expire),
    Chore("forget_answers", 600.0, _forget_answers),
    OneByOne("erase_manifests", 600.0, manifests.find_due, manifests.erase),
    Chore("forget_deliveries", 600.0, webhooks.forget_old),
)

_AGAIN = 600.0
"""Seconds after which what could not be ended is tried again."""
_MOST_STUCK = 1000
_TOLD_EVERY = 5.0
_TRANSIENT = frozenset({"busy", "database_unavailable", "stopping"})


class _Stuck:
    """What a chore could not end in this process: since when, and when it is tried again."""

    def __init__(self, chore: str) -> None:
        self._chore = chore
        self._found: dict[UUID, tuple[float, float]] = {}

    def passed_over(self) -> list[UUID]:
        """What is not to be tried now."""
        now = monotonic()
        return [thing for thing, (_, again) in self._found.items() if again > now]

    def note(self, thing: UUID) -> bool:
        """Note one that could not be ended; False where there are too many to pass over."""
        now = monotonic()
        since, _ = self._found.get(thing, (now, now))
        if thing not in self._found and len(self._found) >= _MOST_STUCK:
            return False
        self._found[thing] = (since, now + _AGAIN * chance.between(0.8, 1.2))
        return True

    def ended(self, *, all_but: Sequence[UUID]) -> None:
        """Forget what is not stuck any more: nothing is left to do but what was passed over."""
        self._found = {thing: self._found[thing] for thing in all_but if thing in self._found}

    def tell(self) -> None:
        """Bring the metrics up to date."""
        oldest = min((since for since, _ in self._found.values()), default=None)
        age = 0.0 if oldest is None else monotonic() - oldest
        metrics.STUCK.labels(self._chore).set(len(self._found))
        metrics.STUCK_SECONDS.labels(self._chore).set(age)


async def count_pool(database: Database, callers: Callers) -> None:
    """Keep the figures of this process's pool fresh, whichever worker tells them."""
    while True:
        metrics.count_pool(database, callers)
        await asyncio.sleep(1)


async def run(database: Database, chore: Chore | OneByOne) -> None:
    """Do a chore until cancelled. What goes wrong is logged, counted and tried again later."""
    stuck = _Stuck(chore.name)
    while True:
        goes_on = await _round(database, chore, stuck)
        stuck.tell()
        if goes_on:
            continue
        # Workers that started together must not look together for ever.
        ends = monotonic() + chore.every * chance.between(0.8, 1.2)
        while (left := ends - monotonic()) > 0:
            await asyncio.sleep(min(left, _TOLD_EVERY))
            stuck.tell()


async def _round(database: Database, chore: Chore | OneByOne, stuck: _Stuck) -> bool:
    """Do a part of a chore; False when nothing is left to do for now."""
    thing: UUID | None = None
    try:
        async with database.transaction() as tx:
            if isinstance(chore, Chore):
                done = await chore.do(tx)
            else:
                passed_over = stuck.passed_over()
                thing = await chore.find(tx, passed_over)
                if thing is None:
                    stuck.ended(all_but=passed_over)
                    return False
                await chore.end(tx, thing)
                done = 1
    except AppError as error:
        if thing is None or error.code in _TRANSIENT:
            log.warning("chore_put_off", chore=chore.name, code=error.code)
            return False
        return _failed(chore.name, thing, stuck)
    except Exception:
        # A chore that dies silently would let offers reserve stock for ever.
        return _failed(chore.name, thing, stuck)
    if done:
        log.info("chore_done", chore=chore.name, count=done)
    return bool(done)


def _failed(chore: str, thing: UUID | None, stuck: _Stuck) -> bool:
    """Tell of a failure; True where it is of one object, so that the others may follow at once."""
    log.exception("chore_failed", chore=chore, object=str(thing) if thing else None)
    metrics.FAILURES.labels(chore).inc()
    return thing is not None and stuck.note(thing)
