"""Publish and withdraw pools; promise, free, transfer and extend people over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, counts, ids
from app.access.actions import Caller
from app.calls import Precondition
from app.catalogue import actions as catalogue
from app.errors import AppError, Fault, missing, unknown
from app.idempotency import Overtaken
from app.ledger.actions import Fact, record
from app.stock import actions as stock
from app.volunteers import store

Moves = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Pool:
    """What an owner publishes of a pool: how many people, what they can do, and when."""

    skill: str
    languages: list[str]
    headcount: int
    available_from: datetime
    available_until: datetime
    notice_hours: int
    site: str
    visible_to: list[str] | None
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """People of a pool that a holder (an offer line) asks for, from `start` until `end`."""

    holder: UUID
    pool: UUID
    headcount: int
    start: datetime
    end: datetime
    line: int
    """Its place in the caller's input, for the error that names it."""


@dataclass(frozen=True, slots=True)
class Offerable:
    """A pool of the provider's own, as an offer needs it."""

    skill: str
    languages: tuple[str, ...]
    available_from: datetime
    available_until: datetime


async def publish(
    tx: AsyncConnection,
    caller: Caller,
    ref: str,
    pool: Pool,
    precondition: Precondition,
) -> tuple[bool, str]:
    """Create or replace a pool by the owner's reference; (created, JSON of the owner's view).

    The owner's count is the truth: fewer people than are promised, or a shorter window, is
    accepted, stops new promises and tells both parties (`volunteers.shortfall`).
    """
    if not await catalogue.skill_exists(tx, pool.skill):
        raise unknown("/skill", "skill")
    site = await stock.site_id(tx, caller.society, pool.site, "/site")
    visible_to = await stock.check_visible_to(tx, pool.visible_to)
    now = clock.now()
    before = await store.lock_own(tx, caller.society, ref)
    if precondition.asked:
        precondition.check(await store.own(tx, caller.society, ref, now))
    earlier, promised = await store.standing(tx, before.id, now) if before else (0, False)
    if before and promised and before.skill != pool.skill:
        raise AppError("pool_reserved", "The skill of a pool with promised people cannot change.")
    values: dict[str, Any] = {
        "id": before.id if before else ids.new_id(),
        "skill": pool.skill,
        "languages": sorted(set(pool.languages)),
        "headcount": pool.headcount,
        "available_from": pool.available_from,
        "available_until": pool.available_until,
        "notice_hours": pool.notice_hours,
        "site": site,
        "visible_to": visible_to,
        "as_of": counts.moment(pool.as_of, before.as_of if before else None, now),
        "now": now,
    }
    created = before is None or before.withdrawn
    if before is None:
        if not await store.add(tx, values | {"society": caller.society, "ref": ref}):
            # Two first publications of one reference at once: the other one is committed now.
            raise Overtaken
    elif _changes(before, values, dated=pool.as_of is not None):
        await store.replace(tx, values)
    else:
        return False, await show_own(tx, caller, ref)
    facts = [_published(caller, ref, values)]
    shortfall, _ = await store.standing(tx, values["id"], now)
    if shortfall != earlier:
        parties = await store.beneficiaries(tx, values["id"], now)
        facts.append(
            Fact(
                "volunteers.shortfall",
                values["id"],
                {"skill": pool.skill, "shortfall": shortfall},
                audience=sorted({caller.society, *parties}),
            )
        )
    await record(tx, caller.actor, *facts)
    return created, await show_own(tx, caller, ref)


_COMPARED = (
    "skill", "languages", "headcount", "available_from", "available_until", "notice_hours", "site",
    "visible_to",
)  # fmt: skip


def _changes(before: Any, values: Mapping[str, Any], *, dated: bool) -> bool:
    # Where no date is given, the same count again is a repeated call, and that changes nothing.
    compared = (*_COMPARED, "as_of") if dated else _COMPARED
    return before.withdrawn or any(getattr(before, name) != values[name] for name in compared)


def _published(caller: Caller, ref: str, values: Mapping[str, Any]) -> Fact:
    return Fact(
        "volunteers.published",
        values["id"],
        {
            "skill": values["skill"],
            "languages": values["languages"],
            "available_from": clock.text(values["available_from"]),
            "available_until": clock.text(values["available_until"]),
            "as_of": clock.text(values["as_of"]),
        },
        audience=_audience(caller.society, values["visible_to"]),
        private={"ref": ref, "headcount": values["headcount"]},
    )


def _audience(society: str, visible_to: Sequence[str] | None) -> list[str] | None:
    return None if visible_to is None else sorted({society, *visible_to})


async def withdraw(
    tx: AsyncConnection, caller: Caller, ref: str, precondition: Precondition
) -> None:
    """Take a pool off the exchange; refused while people of it are promised."""
    now = clock.now()
    before = await store.lock_own(tx, caller.society, ref)
    if before is None or before.withdrawn:
        raise missing("pool")
    if precondition.asked:
        precondition.check(await store.own(tx, caller.society, ref, now))
    _, promised = await store.standing(tx, before.id, now)
    if promised:
        raise AppError("pool_reserved", "People of this pool are promised.")
    await store.withdraw(tx, before.id, now)
    await record(
        tx,
        caller.actor,
        Fact(
            "volunteers.withdrawn",
            before.id,
            {"skill": before.skill},
            audience=_audience(caller.society, before.visible_to),
            private={"ref": ref, "headcount": 0},
        ),
    )


async def show_own(tx: AsyncConnection, caller: Caller, ref: str) -> str:
    """The owner's view of a pool; 404 where there is none."""
    doc = await store.own(tx, caller.society, ref, clock.now())
    if doc is None:
        raise missing("pool")
    return doc


async def list_own(tx: AsyncConnection, caller: Caller, after: UUID, limit: int) -> list[Any]:
    """(id, JSON) of the caller's pools, as their owner sees them."""
    return await store.list_own(tx, caller.society, after, limit, clock.now())


async def show(tx: AsyncConnection, caller: Caller, pool: UUID) -> str:
    """The network's view of a pool; 404 where the caller may not see it."""
    doc = await store.visible(tx, caller.society, pool, clock.now())
    if doc is None:
        raise missing("pool")
    return doc


async def find(
    tx: AsyncConnection,
    caller: Caller,
    filters: dict[str, Any],
    start: datetime | None,
    end: datetime | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the network's pools, with what is available for the window asked."""
    return await store.find(tx, caller.society, filters, start, end, after, limit, clock.now())


async def offerable(
    tx: AsyncConnection, society: str, pools: Sequence[UUID]
) -> dict[UUID, Offerable]:
    """Those of these pools that the society may offer: its own."""
    return {
        row.id: Offerable(row.skill, tuple(row.languages), row.available_from, row.available_until)
        for row in await store.offerable(tx, society, pools)
    }


async def promise(
    tx: AsyncConnection, society: str, beneficiary: str, held: Sequence[Held]
) -> Moves:
    """Promise people for the whole of their windows, all or none; the moves for the ledger.

    Raises 409 `insufficient_volunteers` with each line at fault; the caller's transaction then
    rolls back whatever the other lines had taken.
    """
    await store.lock(tx, [part.pool for part in held])
    short: list[tuple[Held, int]] = []
    for part in held:
        free, promised = await store.promise(
            tx,
            {
                "holder": part.holder,
                "pool": part.pool,
                "society": society,
                "headcount": part.headcount,
                "start": part.start,
                "end": part.end,
                "beneficiary": beneficiary,
            },
        )
        if not promised:
            short.append((part, free))
    if short:
        raise AppError(
            "insufficient_volunteers",
            "Not enough people are available for the whole window; nobody was promised.",
            faults=[
                Fault(
                    f"/lines/{part.line}/headcount",
                    "insufficient_volunteers",
                    f"{free} are available from {clock.text(part.start)} "
                    f"until {clock.text(part.end)}.",
                )
                for part, free in short
            ],
            extra={
                "lines": [
                    {
                        "line": part.line,
                        "volunteers": str(part.pool),
                        "offered": part.headcount,
                        "available": free,
                    }
                    for part, free in short
                ]
            },
        )
    return [(f"pool:{part.pool}", f"promise:{part.holder}", part.headcount) for part in held]


async def free(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Give people back whom holders no longer promise: (holder, headcount) each."""
    given = [(holder, headcount) for holder, headcount in parts if headcount]
    if not given:
        return []
    freed = await store.free(tx, given)
    return [
        (f"pool:{pool}", f"promise:{holder}", -headcount)
        for pool, holder, headcount in sorted(freed)
    ]


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when people are promised."""

    start: datetime
    end: datetime


async def transfer(
    tx: AsyncConnection, giver: UUID, taker: UUID, headcount: int
) -> tuple[Window, Moves]:
    """Let another holder hold a part of a promise: a deployment that of its offer line, and back.

    The same people stay promised for the same time, so that nothing has to be free.
    """
    row = await store.transfer(tx, giver, taker, headcount)
    moves = [
        (f"pool:{row.pool}", f"promise:{giver}", -headcount),
        (f"pool:{row.pool}", f"promise:{taker}", headcount),
    ]
    return Window(row.from_at, row.until_at), moves


async def depart(tx: AsyncConnection, holder: UUID) -> None:
    """The people of a holder leave home. They are away until `free` gives them back."""
    held = await store.promised(tx, holder)
    # Who leaves early, or comes home late, takes room that a promise at this moment may count on.
    await store.lock(tx, [held.pool])
    await store.depart(tx, holder, clock.now())


async def extend(tx: AsyncConnection, holder: UUID, until: datetime) -> None:
    """Promise the people of a holder for longer; 409 where they are not free for that time."""
    held = await store.promised(tx, holder)
    await store.lock(tx, [held.pool])
    if until > held.until_at:
        available = await store.free_then(tx, held.pool, held.until_at, until, holder)
        if available < held.headcount:
            raise AppError(
                "insufficient_volunteers",
                "The pool has not enough people for the longer time.",
                extra={"lines": [{"line": 0, "offered": held.headcount, "available": available}]},
            )
    await store.prolong(tx, holder, until)
