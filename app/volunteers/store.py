"""Pools and promises: tables and SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.db import metadata, require_all

pools = Table(
    "pools",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("skill", Text, ForeignKey("skills.code"), nullable=False),
    Column("languages", ARRAY(Text), nullable=False),
    Column("headcount", Integer, nullable=False),
    Column("available_from", DateTime(timezone=True), nullable=False),
    Column("available_until", DateTime(timezone=True), nullable=False),
    Column("notice_hours", Integer, nullable=False),
    Column("site", Uuid, ForeignKey("sites.id"), nullable=False, index=True),
    Column("visible_to", ARRAY(Text)),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    UniqueConstraint("society", "ref", name="uq_pools_society_ref"),
    CheckConstraint("headcount >= 0", name="headcount"),
    CheckConstraint("available_from < available_until", name="window"),
    Index("ix_pools_skill", "skill", "id", postgresql_where=text("NOT withdrawn")),
    Index("ix_pools_owner", "society", "id", postgresql_where=text("NOT withdrawn")),
)

promises = Table(
    "promises",
    metadata,
    # The offer line that holds it, or the deployment that the people are part of.
    Column("holder", Uuid, primary_key=True),
    Column("pool", Uuid, ForeignKey("pools.id"), nullable=False),
    Column("headcount", Integer, nullable=False),
    Column("from_at", DateTime(timezone=True), nullable=False),
    Column("until_at", DateTime(timezone=True), nullable=False),
    # They have left home and are not back: nobody can promise them, whatever was agreed.
    Column("away", Boolean, nullable=False, server_default=text("false")),
    Column("beneficiary", Text, nullable=False),
    CheckConstraint("headcount >= 0", name="headcount"),
    CheckConstraint("from_at < until_at", name="window"),
    Index("ix_promises_pool", "pool", "until_at", postgresql_where=text("headcount > 0")),
    Index("ix_promises_away", "pool", postgresql_where=text("away AND headcount > 0")),
)

# Whoever is away past the time that was agreed comes home nobody knows when: until then they count
# as away for ever (no instant of the exchange lies beyond 2099).
_OVERDUE = "p.away AND p.until_at <= :now"
_UNTIL = f"CASE WHEN {_OVERDUE} THEN timestamptz '2100-01-01 00:00:00Z' ELSE p.until_at END"

STANDING = "p.headcount > 0 AND (p.until_at > :now OR p.away)"
"""SQL of a promise (`p`) that is not over: its time has not passed, or its people are away."""


def peak(pool: str, start: str, end: str, *, without: str = "NULL") -> str:
    """SQL of the most people promised at any one instant of a window, seen from `:now`.

    Windows are half-open: whoever is promised until noon can be promised anew from noon on, so that
    of two steps at one instant the smaller, which is an end, counts first. `without` is a holder
    that is not counted.
    """
    return f"""coalesce((SELECT max(load.present) FROM (
        SELECT sum(step.by) OVER (ORDER BY step.at, step.by ROWS UNBOUNDED PRECEDING) AS present
        FROM promises p, LATERAL (VALUES (greatest(p.from_at, {start}), p.headcount),
                                         ({_UNTIL}, -p.headcount)) AS step(at, by)
        WHERE p.pool = {pool} AND p.headcount > 0 AND p.from_at < {end} AND {start} < {end}
          AND (p.until_at > {start} OR {_OVERDUE})
          AND p.holder IS DISTINCT FROM {without}
    ) load), 0)::int"""


def _beyond(pool: str, start: str) -> str:
    """SQL of the most people promised at any one instant from then on, as it was agreed."""
    return f"""coalesce((SELECT max(load.present) FROM (
        SELECT sum(step.by) OVER (ORDER BY step.at, step.by ROWS UNBOUNDED PRECEDING) AS present
        FROM promises p, LATERAL (VALUES (greatest(p.from_at, {start}), p.headcount),
                                         (p.until_at, -p.headcount)) AS step(at, by)
        WHERE p.pool = {pool} AND p.headcount > 0 AND p.until_at > {start}
    ) load), 0)::int"""


# Where the owner's window or headcount shrinks below what is promised, the difference is the
# shortfall: outside of the window nobody is available. Who is overdue was promised within it.
SHORTFALL = f"""greatest(0,
    {peak("l.id", ":now", "greatest(l.available_from, :now)")},
    {peak("l.id", "greatest(l.available_from, :now)", "l.available_until")} - l.headcount,
    {_beyond("l.id", "greatest(l.available_until, :now)")})"""

_OWN = f"""
json_build_object(
    'id', l.id, 'ref', l.ref, 'skill', l.skill, 'languages', l.languages,
    'headcount', l.headcount, 'available_from', l.available_from,
    'available_until', l.available_until, 'notice_hours', l.notice_hours, 'site', s.ref,
    'promised', x.promised, 'available', greatest(0, l.headcount - x.promised),
    'shortfall', {SHORTFALL},
    'visible_to', l.visible_to, 'as_of', l.as_of, 'updated_at', l.updated_at)::text
"""

_OWN_FROM = f"""FROM pools l JOIN sites s ON s.id = l.site, LATERAL (
    SELECT {peak("l.id", "greatest(l.available_from, :now)", "l.available_until")} AS promised) x
"""

_OWN_POOLS = text(f"""
SELECT l.id, {_OWN} {_OWN_FROM}
WHERE l.society = :society AND NOT l.withdrawn AND l.id > :after ORDER BY l.id LIMIT :limit
""")


async def list_own(
    tx: AsyncConnection, society: str, after: UUID, limit: int, now: datetime
) -> list[Any]:
    """(id, JSON) of a society's own pools."""
    values = {"society": society, "after": after, "limit": limit, "now": now}
    return list((await tx.execute(_OWN_POOLS, values)).all())


_OWN_POOL = text(f"""
SELECT {_OWN} {_OWN_FROM} WHERE l.society = :society AND l.ref = :ref AND NOT l.withdrawn
""")


async def own(tx: AsyncConnection, society: str, ref: str, now: datetime) -> str | None:
    """A society's own pool as JSON."""
    values = {"society": society, "ref": ref, "now": now}
    return (await tx.execute(_OWN_POOL, values)).scalar_one_or_none()


_SHOWN = """
json_build_object(
    'id', l.id, 'society', l.society, 'skill', l.skill, 'languages', l.languages,
    'available', greatest(0, l.headcount - x.promised),
    'available_from', l.available_from, 'available_until', l.available_until,
    'notice_hours', l.notice_hours,
    'site', json_build_object('name', s.name, 'country', s.country, 'lat', s.lat, 'lon', s.lon,
                              'kind', s.kind),
    'as_of', l.as_of)::text
"""
_VISIBLE = "(l.visible_to IS NULL OR l.society = :me OR :me = ANY(l.visible_to))"


def _shown_from(start: str, end: str) -> str:
    return f"""FROM pools l JOIN sites s ON s.id = l.site, LATERAL (
        SELECT {peak("l.id", start, end)} AS promised) x"""


async def find(
    tx: AsyncConnection,
    me: str,
    filters: dict[str, Any],
    start: datetime | None,
    end: datetime | None,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> list[Any]:
    """(id, JSON) of the network's pools that are there for the whole of the window asked."""
    values: dict[str, Any] = {"me": me, "limit": limit, "now": now}
    where = ["NOT l.withdrawn", _VISIBLE]
    conditions = {
        "skill": "l.skill = :skill",
        "society": "l.society = :society",
        "country": "s.country = :country",
        "language": ":language = ANY(l.languages)",
        "min_headcount": "l.headcount - x.promised >= :min_headcount",
    }
    for name, condition in conditions.items():
        if filters.get(name) is not None:
            where.append(condition)
            values[name] = filters[name]
    start_sql, end_sql = "greatest(l.available_from, :now)", "l.available_until"
    if start is not None:
        start_sql = "CAST(:start AS timestamptz)"
        where += ["l.available_from <= :start", "l.available_until > :start"]
        values["start"] = start
    if end is not None:
        end_sql = "CAST(:end AS timestamptz)"
        where += ["l.available_until >= :end", "l.available_from < :end"]
        values["end"] = end
    if after is not None:
        where.append("l.id > :after")
        values["after"] = after
    statement = (
        f"SELECT l.id, {_SHOWN} {_shown_from(start_sql, end_sql)} "
        f"WHERE {' AND '.join(where)} ORDER BY l.id LIMIT :limit"
    )
    return list((await tx.execute(text(statement), values)).all())


_POOL = text(f"""
SELECT {_SHOWN} {_shown_from("greatest(l.available_from, :now)", "l.available_until")}
WHERE l.id = :id AND NOT l.withdrawn AND {_VISIBLE}
""")


async def visible(tx: AsyncConnection, me: str, pool: UUID, now: datetime) -> str | None:
    """One pool as JSON, where the caller may see it."""
    return (await tx.execute(_POOL, {"id": pool, "me": me, "now": now})).scalar_one_or_none()


_LOCK_OWN = text("""
SELECT id, skill, languages, headcount, available_from, available_until, notice_hours, site,
       visible_to, as_of, withdrawn
FROM pools WHERE society = :society AND ref = :ref FOR NO KEY UPDATE
""")


async def lock_own(tx: AsyncConnection, society: str, ref: str) -> Row[Any] | None:
    """A pool, held: nobody promises people of it until this transaction ends."""
    return (await tx.execute(_LOCK_OWN, {"society": society, "ref": ref})).one_or_none()


_STANDING = text(f"""
SELECT {SHORTFALL} AS shortfall,
    EXISTS (SELECT FROM promises p WHERE p.pool = l.id AND {STANDING}) AS promised
FROM pools l WHERE l.id = :id
""")


async def standing(tx: AsyncConnection, pool: UUID, now: datetime) -> tuple[int, bool]:
    """(shortfall, whether anybody is promised from now on)."""
    row = (await tx.execute(_STANDING, {"id": pool, "now": now})).one()
    return int(row.shortfall), bool(row.promised)


_ADD = text("""
INSERT INTO pools (id, society, ref, skill, languages, headcount, available_from, available_until,
                   notice_hours, site, visible_to, as_of, updated_at, withdrawn)
VALUES (:id, :society, :ref, :skill, :languages, :headcount, :available_from, :available_until,
        :notice_hours, :site, :visible_to, :as_of, :now, false)
ON CONFLICT (society, ref) DO NOTHING RETURNING id
""")


async def add(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Add a pool; False where another call added one with this reference at this moment."""
    return (await tx.execute(_ADD, values)).one_or_none() is not None


_REPLACE = text("""
UPDATE pools SET skill = :skill, languages = :languages, headcount = :headcount,
    available_from = :available_from, available_until = :available_until,
    notice_hours = :notice_hours, site = :site, visible_to = :visible_to, as_of = :as_of,
    updated_at = :now, withdrawn = false
WHERE id = :id
""")


async def replace(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Replace what the owner publishes of a pool that is held; promises stay."""
    require_all((await tx.execute(_REPLACE, values)).rowcount, 1)


_WITHDRAW = text(
    "UPDATE pools SET withdrawn = true, headcount = 0, updated_at = :now WHERE id = :id"
)


async def withdraw(tx: AsyncConnection, pool: UUID, now: datetime) -> None:
    """Take a held pool without promises off the exchange; old offers still name it."""
    require_all((await tx.execute(_WITHDRAW, {"id": pool, "now": now})).rowcount, 1)


_BENEFICIARIES = text(f"""
SELECT DISTINCT p.beneficiary FROM promises p WHERE p.pool = :pool AND {STANDING}
""")


async def beneficiaries(tx: AsyncConnection, pool: UUID, now: datetime) -> list[str]:
    """To which societies people of a pool are promised."""
    return [row[0] for row in await tx.execute(_BENEFICIARIES, {"pool": pool, "now": now})]


_OFFERABLE = text("""
SELECT id, skill, languages, available_from, available_until FROM pools
WHERE id = ANY(CAST(:pools AS uuid[])) AND society = :society AND NOT withdrawn
""")


async def offerable(tx: AsyncConnection, society: str, asked: Sequence[UUID]) -> list[Row[Any]]:
    """Those of these pools that are the society's own."""
    return list((await tx.execute(_OFFERABLE, {"pools": list(asked), "society": society})).all())


# Not FOR UPDATE: an offer's lines refer to the pool by a foreign key, whose lock (KEY SHARE) their
# insertion takes before this. Two offers would hold it both and each wait for the other's.
_LOCK = text(
    "SELECT id FROM pools WHERE id = ANY(CAST(:pools AS uuid[])) ORDER BY id FOR NO KEY UPDATE"
)


async def lock(tx: AsyncConnection, wanted: Sequence[UUID]) -> None:
    """Hold pools, in the order of their ids.

    People over time cannot be counted in one row, so that no condition in an UPDATE can guard
    them: whoever promises holds the pool first, and looks in the next statement, which sees all
    that was committed before the lock was had.
    """
    await tx.execute(_LOCK, {"pools": sorted(set(wanted))})


def _free_in_window(without: str) -> str:
    load = peak("l.id", ":start", ":end", without=without)
    return f"""
CASE WHEN l.withdrawn OR l.available_from > :start OR l.available_until < :end THEN 0
     ELSE greatest(0, l.headcount - {load}) END
"""


_PROMISE = text(f"""
WITH room AS (
    SELECT {_free_in_window("NULL")} AS free FROM pools l
    WHERE l.id = :pool AND l.society = :society
), added AS (
    INSERT INTO promises (holder, pool, headcount, from_at, until_at, beneficiary)
    SELECT CAST(:holder AS uuid), CAST(:pool AS uuid), CAST(:headcount AS int),
           CAST(:start AS timestamptz), CAST(:end AS timestamptz), CAST(:beneficiary AS text)
    FROM room WHERE room.free >= CAST(:headcount AS int)
    RETURNING holder
)
SELECT room.free, EXISTS (SELECT FROM added) FROM room
""")


async def promise(tx: AsyncConnection, values: dict[str, Any]) -> tuple[int, bool]:
    """Promise people of a held pool: (how many were free, whether they are promised now)."""
    row = (await tx.execute(_PROMISE, values | {"now": clock.now()})).one()
    return int(row[0]), bool(row[1])


_FREE = text("""
UPDATE promises p SET headcount = p.headcount - t.headcount
FROM unnest(CAST(:holders AS uuid[]), CAST(:headcounts AS int[])) AS t(holder, headcount)
WHERE p.holder = t.holder RETURNING p.holder, p.pool, t.headcount
""")


async def free(
    tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]
) -> list[tuple[UUID, UUID, int]]:
    """Give people back: (holder, headcount) each; (pool, holder, freed)."""
    values = {"holders": [p[0] for p in parts], "headcounts": [p[1] for p in parts]}
    freed = [(r.pool, r.holder, r.headcount) for r in await tx.execute(_FREE, values)]
    require_all(len(freed), len(parts))
    return freed


_TRANSFER = text("""
WITH given AS (
    UPDATE promises SET headcount = headcount - :headcount WHERE holder = :giver
    RETURNING pool, from_at, until_at, beneficiary
), taken AS (
    INSERT INTO promises (holder, pool, headcount, from_at, until_at, beneficiary)
    SELECT CAST(:taker AS uuid), pool, CAST(:headcount AS int), from_at, until_at, beneficiary
    FROM given
    ON CONFLICT (holder) DO UPDATE SET headcount = promises.headcount + excluded.headcount
)
SELECT pool, from_at, until_at FROM given
""")


async def transfer(tx: AsyncConnection, giver: UUID, taker: UUID, headcount: int) -> Row[Any]:
    """Let another holder hold a part of a promise; (pool, from_at, until_at)."""
    values = {"giver": giver, "taker": taker, "headcount": headcount}
    return (await tx.execute(_TRANSFER, values)).one()


_PROMISED = text("SELECT pool, headcount, from_at, until_at FROM promises WHERE holder = :holder")


async def promised(tx: AsyncConnection, holder: UUID) -> Row[Any]:
    """What a holder holds."""
    return (await tx.execute(_PROMISED, {"holder": holder})).one()


_FREE_THEN = text(
    f"SELECT {_free_in_window('CAST(:holder AS uuid)')} FROM pools l WHERE l.id = :pool"
)


async def free_then(
    tx: AsyncConnection, pool: UUID, start: datetime, end: datetime, holder: UUID
) -> int:
    """How many people of a held pool are free for the whole of a window, but for the holder's."""
    values = {"pool": pool, "start": start, "end": end, "holder": holder, "now": clock.now()}
    return int((await tx.execute(_FREE_THEN, values)).scalar_one())


_PROLONG = text("UPDATE promises SET until_at = :until WHERE holder = :holder")


async def prolong(tx: AsyncConnection, holder: UUID, until: datetime) -> None:
    """Let a promise last longer."""
    require_all((await tx.execute(_PROLONG, {"holder": holder, "until": until})).rowcount, 1)


async def depart(tx: AsyncConnection, holder: UUID, now: datetime) -> None:
    """The people of a holder leave home: from now on they are away until they are given back."""
    left = (
        update(promises)
        .where(promises.c.holder == holder)
        .values(away=True, from_at=func.least(promises.c.from_at, now))
    )
    require_all((await tx.execute(left)).rowcount, 1)
