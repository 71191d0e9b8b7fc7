"""Hubs and legs: tables and SQL."""

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata

hubs = Table(
    "hubs",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
)

legs = Table(
    "legs",
    metadata,
    Column("code", Text, primary_key=True),
    Column("start_hub", Text, ForeignKey("hubs.code"), nullable=False, index=True),
    Column("end_hub", Text, ForeignKey("hubs.code"), nullable=False, index=True),
    Column("mode", Text, nullable=False),
    Column("hours", Float, nullable=False),
    Column("border_hours", Float, nullable=False),
    Column("cost_per_tonne", Float, nullable=False),
    Column("capacity_t", Float),
    # The months in which it can be used; null is all the year.
    Column("months", ARRAY(SmallInteger)),
    Column("closed", Boolean, nullable=False),
    Column("note", Text),
    CheckConstraint("mode IN ('road', 'air', 'rail', 'sea')", name="mode"),
    CheckConstraint("hours > 0 AND border_hours >= 0 AND cost_per_tonne >= 0", name="measures"),
    CheckConstraint("start_hub <> end_hub", name="ends"),
)

_HUB = """json_build_object('code', h.code, 'name', h.name, 'country', h.country, 'lat', h.lat,
    'lon', h.lon)::text"""
_LEG = """json_build_object('code', l.code, 'start', l.start_hub, 'end', l.end_hub, 'mode', l.mode,
    'hours', l.hours, 'border_hours', l.border_hours, 'cost_per_tonne', l.cost_per_tonne,
    'capacity_t', l.capacity_t, 'months', l.months, 'closed', l.closed, 'note', l.note)::text"""

_HUBS = text(
    f"SELECT h.code, {_HUB} FROM hubs h WHERE h.code > :after ORDER BY h.code LIMIT :limit"
)
_LEGS = text(
    f"SELECT l.code, {_LEG} FROM legs l WHERE l.code > :after ORDER BY l.code LIMIT :limit"
)


async def list_hubs(tx: AsyncConnection, after: str, limit: int) -> list[Any]:
    """(code, JSON) of hubs in the order of their codes."""
    return list((await tx.execute(_HUBS, {"after": after, "limit": limit})).all())


async def list_legs(tx: AsyncConnection, after: str, limit: int) -> list[Any]:
    """(code, JSON) of legs in the order of their codes."""
    return list((await tx.execute(_LEGS, {"after": after, "limit": limit})).all())


_HUB_DOC = text(f"SELECT {_HUB} FROM hubs h WHERE h.code = :code")
_LEG_DOC = text(f"SELECT {_LEG} FROM legs l WHERE l.code = :code")
_LOCK_HUB = text("SELECT code FROM hubs WHERE code = :code FOR UPDATE")
_LOCK_LEG = text("SELECT code FROM legs WHERE code = :code FOR UPDATE")


async def hub_doc(tx: AsyncConnection, code: str, *, lock: bool = False) -> str | None:
    """One hub as JSON; with `lock`, nobody else changes it until this transaction ends."""
    if lock:
        await tx.execute(_LOCK_HUB, {"code": code})
    return (await tx.execute(_HUB_DOC, {"code": code})).scalar_one_or_none()


async def leg_doc(tx: AsyncConnection, code: str, *, lock: bool = False) -> str | None:
    """One leg as JSON; with `lock`, nobody else changes it until this transaction ends."""
    if lock:
        await tx.execute(_LOCK_LEG, {"code": code})
    return (await tx.execute(_LEG_DOC, {"code": code})).scalar_one_or_none()


_PUT_HUB = text("""
INSERT INTO hubs (code, name, country, lat, lon) VALUES (:code, :name, :country, :lat, :lon)
ON CONFLICT (code) DO UPDATE SET name = excluded.name, country = excluded.country,
    lat = excluded.lat, lon = excluded.lon
RETURNING (xmax = 0)
""")

_PUT_LEG = text("""
INSERT INTO legs (code, start_hub, end_hub, mode, hours, border_hours, cost_per_tonne, capacity_t,
                  months, closed, note)
VALUES (:code, :start, :end, :mode, :hours, :border_hours, :cost_per_tonne, :capacity_t, :months,
        :closed, :note)
ON CONFLICT (code) DO UPDATE SET start_hub = excluded.start_hub, end_hub = excluded.end_hub,
    mode = excluded.mode, hours = excluded.hours, border_hours = excluded.border_hours,
    cost_per_tonne = excluded.cost_per_tonne, capacity_t = excluded.capacity_t,
    months = excluded.months, closed = excluded.closed, note = excluded.note
RETURNING (xmax = 0)
""")


async def put_hub(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Create or replace a hub; True where it was created."""
    return bool((await tx.execute(_PUT_HUB, values)).scalar_one())


async def put_leg(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Create or replace a leg; True where it was created."""
    return bool((await tx.execute(_PUT_LEG, values)).scalar_one())


_DROP_HUB = text("DELETE FROM hubs WHERE code = :code")
_DROP_LEG = text("DELETE FROM legs WHERE code = :code")


async def drop_hub(tx: AsyncConnection, code: str) -> None:
    """Delete a hub; a foreign key refuses where a leg ends at it."""
    await tx.execute(_DROP_HUB, {"code": code})


async def drop_leg(tx: AsyncConnection, code: str) -> None:
    """Delete a leg."""
    await tx.execute(_DROP_LEG, {"code": code})


_KNOWN_HUBS = text("SELECT code FROM hubs WHERE code = ANY(CAST(:codes AS text[])) FOR KEY SHARE")


async def known_hubs(tx: AsyncConnection, codes: list[str]) -> set[str]:
    """Which of these hubs there are; they stay until this transaction ends."""
    return {row[0] for row in await tx.execute(_KNOWN_HUBS, {"codes": codes})}


_ALL_HUBS = text("SELECT code, name, country, lat, lon FROM hubs ORDER BY code")
_ALL_LEGS = text("""
SELECT code, start_hub, end_hub, mode, hours, border_hours, cost_per_tonne, capacity_t, months,
       closed
FROM legs ORDER BY code
""")


async def all_hubs(tx: AsyncConnection) -> list[Row[Any]]:
    """Every hub."""
    return list((await tx.execute(_ALL_HUBS)).all())


async def all_legs(tx: AsyncConnection) -> list[Row[Any]]:
    """Every leg."""
    return list((await tx.execute(_ALL_LEGS)).all())
