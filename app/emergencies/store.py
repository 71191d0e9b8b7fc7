"""Emergencies: table and SQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    select,
    text,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata

emergencies = Table(
    "emergencies",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Who reported it, or took it over; it and the secretariat may close it.
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hazard", Text, nullable=False),
    Column("glide", Text),
    Column("country", Text, nullable=False),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("started_on", Date, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('open', 'closed')", name="status"),
    # Among open ones alone: a number that is registered in error comes free when it is closed.
    Index(
        "uq_emergencies_glide",
        "glide",
        unique=True,
        postgresql_where=text("status = 'open'"),
    ),
    Index("ix_emergencies_open", "id", postgresql_where=text("status = 'open'")),
)

_DOC = """json_build_object(
    'id', e.id, 'society', e.society, 'name', e.name, 'hazard', e.hazard, 'glide', e.glide,
    'country', e.country, 'lat', e.lat, 'lon', e.lon, 'started_on', e.started_on,
    'status', e.status, 'created_at', e.created_at, 'closed_at', e.closed_at)::text"""

_ADD = text("""
INSERT INTO emergencies (id, society, name, hazard, glide, country, lat, lon, started_on, status,
                         created_at)
VALUES (:id, :society, :name, :hazard, :glide, :country, :lat, :lon, :started_on, 'open', :now)
""")


async def add(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add an open emergency."""
    await tx.execute(_ADD, values)


_ONE = text(f"SELECT {_DOC} FROM emergencies e WHERE e.id = :id")


async def doc(tx: AsyncConnection, emergency: UUID) -> str | None:
    """One emergency as JSON."""
    return (await tx.execute(_ONE, {"id": emergency})).scalar_one_or_none()


async def find(
    tx: AsyncConnection, filters: dict[str, Any], after: UUID | None, limit: int
) -> list[Any]:
    """(id, JSON) of emergencies, newest first; `filters` are columns with the value wanted."""
    values = {name: value for name, value in filters.items() if value is not None}
    where = [f"e.{name} = :{name}" for name in values]
    if after is not None:
        where.append("e.id < :after")
        values["after"] = after
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    statement = f"SELECT e.id, {_DOC} FROM emergencies e {condition}ORDER BY e.id DESC LIMIT :limit"
    return list((await tx.execute(text(statement), values | {"limit": limit})).all())


_SHARE = text("SELECT status FROM emergencies WHERE id = :id FOR SHARE")


async def share(tx: AsyncConnection, emergency: UUID) -> str | None:
    """The state of an emergency, kept from being closed while this transaction runs."""
    return (await tx.execute(_SHARE, {"id": emergency})).scalar_one_or_none()


async def lock(tx: AsyncConnection, emergency: UUID) -> Row[*tuple[Any, ...]] | None:
    """An emergency, held."""
    e = emergencies.c
    held = select(e.id, e.society, e.status, e.country, e.glide).where(e.id == emergency)
    return (await tx.execute(held.with_for_update(key_share=True))).one_or_none()


_CLOSE = text("UPDATE emergencies SET status = 'closed', closed_at = :now WHERE id = :id")


async def close(tx: AsyncConnection, emergency: UUID, now: datetime) -> None:
    """Close a held emergency."""
    await tx.execute(_CLOSE, {"id": emergency, "now": now})


async def give_to(tx: AsyncConnection, emergency: UUID, society: str) -> None:
    """Make a held emergency another society's."""
    given = update(emergencies).where(emergencies.c.id == emergency).values(society=society)
    await tx.execute(given)
