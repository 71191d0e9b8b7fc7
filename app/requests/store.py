"""Requests and their lines: tables and SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Part, metadata

requests = Table(
    "requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("emergency", Uuid, ForeignKey("emergencies.id"), nullable=False),
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("ref", Text),
    Column("title", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("needed_by", DateTime(timezone=True), nullable=False),
    Column("place", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("notes", Text),
    Column("status", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    UniqueConstraint("society", "ref", name="uq_requests_society_ref"),
    CheckConstraint("status IN ('open', 'closed', 'cancelled')", name="status"),
    CheckConstraint("priority IN ('critical', 'high', 'normal')", name="priority"),
    Index("ix_requests_emergency", "emergency", "id"),
    Index("ix_requests_open", "id", postgresql_where=text("status = 'open'")),
    Index("ix_requests_ended", "ended_at", postgresql_where=text("status <> 'open'")),
    Index("ix_requests_society_id", "society", "id"),
)

lines = Table(
    "request_lines",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request", Uuid, ForeignKey("requests.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("item", Text, ForeignKey("items.code")),
    Column("accept_substitutes", Boolean, nullable=False),
    Column("skill", Text, ForeignKey("skills.code")),
    Column("from_at", DateTime(timezone=True)),
    Column("until_at", DateTime(timezone=True)),
    Column("languages", ARRAY(Text), nullable=False),
    Column("requested", BigInteger, nullable=False),
    # The guarded figure: every other one is the sum of the line's pledges.
    Column("accepted", BigInteger, nullable=False, server_default="0"),
    # What the requester agreed to beyond `requested`.
    Column("surplus", BigInteger, nullable=False, server_default="0"),
    # Lost or damaged of what is accepted: it serves nobody, and the need is open again.
    Column("losses", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("request", "position", name="uq_request_lines_position"),
    CheckConstraint("kind IN ('stock', 'volunteers')", name="kind"),
    CheckConstraint(
        "losses >= 0 AND accepted >= losses AND accepted - losses <= requested + surplus",
        name="accepted",
    ),
)

# `complete` when every line has at least what was requested; `none` when no line has anything.
_PROGRESS = """CASE WHEN bool_and({figure} >= x.requested) THEN 'complete'
    WHEN bool_or({figure} > 0) THEN 'partial' ELSE 'none' END"""

_LINE_DOC = """
CASE WHEN x.kind = 'stock' THEN json_build_object(
    'id', x.id, 'kind', x.kind, 'item', x.item, 'unit', x.unit, 'quantity', x.requested,
    'accept_substitutes', x.accept_substitutes,
    'requested', x.requested, 'offered', x.offered, 'accepted', x.accepted,
    'dispatched', x.dispatched, 'received', x.received, 'damaged', x.damaged, 'lost', x.lost,
    'outstanding', greatest(0, x.requested - x.accepted + x.losses))
ELSE json_build_object(
    'id', x.id, 'kind', x.kind, 'skill', x.skill, 'headcount', x.requested,
    'from', x.from_at, 'until', x.until_at, 'languages', x.languages,
    'requested', x.requested, 'offered', x.offered, 'accepted', x.accepted,
    'dispatched', x.dispatched, 'received', x.received, 'damaged', x.damaged, 'lost', x.lost,
    'outstanding', greatest(0, x.requested - x.accepted + x.losses))
END
"""

_DOC = f"""
(SELECT json_build_object(
    'id', r.id, 'emergency', r.emergency, 'society', r.society, 'ref', r.ref, 'title', r.title,
    'priority', r.priority, 'needed_by', r.needed_by,
    'destination', json_build_object('name', r.place, 'country', r.country, 'lat', r.lat,
                                     'lon', r.lon),
    'status', r.status,
    'progress', json_build_object(
        'offered', {_PROGRESS.format(figure="x.offered - x.losses")},
        'accepted', {_PROGRESS.format(figure="x.accepted - x.losses")},
        'dispatched', {_PROGRESS.format(figure="x.dispatched - x.losses")},
        'received', {_PROGRESS.format(figure="x.received")}),
    'lines', json_agg({_LINE_DOC} ORDER BY x.position),
    'notes', r.notes, 'created_at', r.created_at, 'updated_at', r.updated_at,
    'ended_at', r.ended_at)::text
FROM (
    SELECT l.id, l.position, l.kind, l.item, i.unit, l.accept_substitutes, l.skill, l.from_at,
        l.until_at, l.languages, l.requested, l.accepted, l.losses,
        coalesce(sum(p.offered), 0) AS offered, coalesce(sum(p.dispatched), 0) AS dispatched,
        coalesce(sum(p.received), 0) AS received, coalesce(sum(p.damaged), 0) AS damaged,
        coalesce(sum(p.lost), 0) AS lost
    FROM request_lines l LEFT JOIN items i ON i.code = l.item
    LEFT JOIN pledges p ON p.line = l.id
    WHERE l.request = r.id GROUP BY l.id, i.unit
) x)
"""

_ONE = text(f"SELECT {_DOC} FROM requests r WHERE r.id = :id")


async def doc(tx: AsyncConnection, request: UUID) -> str | None:
    """One request with its lines and figures, as JSON."""
    return (await tx.execute(_ONE, {"id": request})).scalar_one_or_none()


async def find(
    tx: AsyncConnection,
    *,
    status: str | None,
    emergency: UUID | None,
    society: str | None,
    priority: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of requests, newest first; only the filters asked for stand in the statement."""
    filters = {
        "status": status, "emergency": emergency, "society": society, "priority": priority,
    }  # fmt: skip
    where = [f"r.{name} = :{name}" for name, value in filters.items() if value is not None]
    values: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    if after is not None:
        where.append("r.id < :after")
        values["after"] = after
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    statement = f"SELECT r.id, {_DOC} FROM requests r {condition}ORDER BY r.id DESC LIMIT :limit"
    return list((await tx.execute(text(statement), values | {"limit": limit})).all())


_ADD = text("""
INSERT INTO requests (id, emergency, society, ref, title, priority, needed_by, place, country, lat,
                      lon, notes, status, created_at, updated_at)
VALUES (:id, :emergency, :society, :ref, :title, :priority, :needed_by, :place, :country, :lat,
        :lon, :notes, 'open', :now, :now)
""")


async def add(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add a request."""
    await tx.execute(_ADD, values)


_ADD_LINE = text("""
INSERT INTO request_lines (id, request, position, kind, item, accept_substitutes, skill, from_at,
                           until_at, languages, requested)
VALUES (:id, :request, :position, :kind, :item, :accept_substitutes, :skill, :from_at, :until_at,
        :languages, :requested)
""")


async def add_lines(tx: AsyncConnection, values: list[dict[str, Any]]) -> None:
    """Add lines to a request."""
    await tx.execute(_ADD_LINE, values)


_LOCK = text("""
SELECT id, emergency, society, status, title, priority, needed_by, place, country, lat, lon, notes
FROM requests WHERE id = :id FOR NO KEY UPDATE
""")

_SHARE = text("SELECT id, society, emergency, status FROM requests WHERE id = :id FOR SHARE")


async def lock(tx: AsyncConnection, request: UUID) -> Row[Any] | None:
    """A request, held against other changes."""
    return (await tx.execute(_LOCK, {"id": request})).one_or_none()


async def share(tx: AsyncConnection, request: UUID) -> Row[Any] | None:
    """A request, kept from ending while this transaction runs."""
    return (await tx.execute(_SHARE, {"id": request})).one_or_none()


_CHANGE = text("""
UPDATE requests SET title = :title, priority = :priority, needed_by = :needed_by, place = :place,
    country = :country, lat = :lat, lon = :lon, notes = :notes, updated_at = :now
WHERE id = :id
""")


async def change(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Change what a held request says."""
    await tx.execute(_CHANGE, values)


_RESIZE = text("""
UPDATE request_lines SET requested = :requested,
    surplus = least(surplus, greatest(0, accepted - losses - :requested)),
    accept_substitutes = coalesce(:accept_substitutes, accept_substitutes)
WHERE id = :id AND request = :request
  AND (accepted - losses <= :requested OR :requested >= requested)
RETURNING new.requested - old.requested
""")


async def resize(tx: AsyncConnection, values: dict[str, Any]) -> int | None:
    """Ask for more or less; the difference, or None where more than that is accepted already."""
    return (await tx.execute(_RESIZE, values)).scalar_one_or_none()


_LINES = text("""
SELECT id, position, kind, item, accept_substitutes, skill, from_at, until_at, languages,
       requested, accepted, losses
FROM request_lines WHERE request = :request ORDER BY position
""")


async def list_lines(tx: AsyncConnection, request: UUID) -> list[Row[Any]]:
    """The lines of a request in their order."""
    return list((await tx.execute(_LINES, {"request": request})).all())


async def open_lines(tx: AsyncConnection, emergency: UUID, society: str) -> int:
    """How many lines a society's open requests in an emergency have, those that this transaction
    added among them. No other call of the society adds any until it ends."""
    name = f"lines of {society} in {emergency}"
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    counted = (
        select(func.count())
        .select_from(lines.join(requests, requests.c.id == lines.c.request))
        .where(
            requests.c.emergency == emergency,
            requests.c.society == society,
            requests.c.status == "open",
        )
    )
    return int((await tx.execute(counted)).scalar_one())


_END = text("""
UPDATE requests SET status = :status, ended_at = :now, updated_at = :now WHERE id = :id
""")


async def end(tx: AsyncConnection, request: UUID, status: str, now: Any) -> None:
    """Close or cancel a held request."""
    await tx.execute(_END, {"id": request, "status": status, "now": now})


_ASKED = """
asked AS (
    SELECT r.society, r.emergency, r.status, (
        SELECT json_agg(json_build_object(
            'id', l.id, 'kind', l.kind, 'item', l.item, 'accept_substitutes', l.accept_substitutes,
            'skill', l.skill, 'from', l.from_at, 'until', l.until_at))
        FROM request_lines l
        WHERE l.request = r.id AND l.id = ANY(CAST(:asked_lines AS uuid[]))) AS lines
    FROM requests r WHERE r.id = :asked_request
)"""


def asked_part(request: UUID, wanted: Sequence[UUID]) -> Part:
    """A request with those of these lines that are its own, as JSON; null where there is none."""
    return Part(
        _ASKED,
        {"asked_request": request, "asked_lines": wanted},
        "(SELECT row_to_json(asked)::text FROM asked)",
    )
