"""Consignments, their lines and checkpoints: tables and SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
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
    text,
)
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata, require_all

consignments = Table(
    "consignments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("offer", Uuid, ForeignKey("offers.id"), nullable=False),
    Column("society", Text, nullable=False),
    Column("to_society", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("carrier", Text),
    Column("waybill", Text),
    Column("eta", DateTime(timezone=True)),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("dispatched_at", DateTime(timezone=True)),
    Column("arrived_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint(
        "status IN ('planned', 'dispatched', 'arrived', 'received', 'cancelled', 'lost')",
        name="status",
    ),
    CheckConstraint("mode IN ('road', 'air', 'rail', 'sea')", name="mode"),
    Index("ix_consignments_offer", "offer"),
    Index("ix_consignments_society", "society", "id"),
    Index("ix_consignments_to_society", "to_society", "id"),
)

lines = Table(
    "consignment_lines",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("consignment", Uuid, ForeignKey("consignments.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("offer_line", Uuid, ForeignKey("offer_lines.id"), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("damaged", BigInteger, nullable=False, server_default="0"),
    Column("missing", BigInteger, nullable=False, server_default="0"),
    Column("note", Text),
    UniqueConstraint("consignment", "position", name="uq_consignment_lines_position"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint(
        "received >= 0 AND damaged >= 0 AND missing >= 0 "
        "AND received + damaged + missing <= quantity",
        name="received",
    ),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("consignment", Uuid, ForeignKey("consignments.id"), nullable=False),
    Column("place", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("note", Text),
    Index("ix_checkpoints_consignment_at", "consignment", "at", "id"),
)

SHOWN = 50
"""So many checkpoints stand in a consignment, the latest ones; all of them have a list of their
own. Otherwise each report would be answered with all before it, and each answer is kept."""

_CHECKPOINT = "json_build_object('place', p.place, 'at', p.at, 'note', p.note)"

_DOC = f"""json_build_object(
    'id', c.id, 'offer', c.offer, 'society', c.society, 'to', c.to_society, 'status', c.status,
    'mode', c.mode, 'carrier', c.carrier, 'waybill', c.waybill, 'eta', c.eta, 'reason', c.reason,
    'created_at', c.created_at, 'dispatched_at', c.dispatched_at, 'arrived_at', c.arrived_at,
    'ended_at', c.ended_at,
    'lines', (
        SELECT json_agg(json_build_object(
            'id', x.id, 'offer_line', x.offer_line, 'item', o.item, 'unit', o.unit,
            'quantity', x.quantity, 'received', x.received, 'damaged', x.damaged,
            'missing', x.missing, 'note', x.note) ORDER BY x.position)
        FROM consignment_lines x JOIN offer_lines o ON o.id = x.offer_line
        WHERE x.consignment = c.id),
    'checkpoint_count', (SELECT count(*) FROM checkpoints p WHERE p.consignment = c.id),
    'checkpoints', coalesce((
        SELECT json_agg({_CHECKPOINT} ORDER BY p.at, p.id)
        FROM (
            SELECT id, place, at, note FROM checkpoints WHERE consignment = c.id
            ORDER BY at DESC, id DESC LIMIT {SHOWN}
        ) p), '[]'::json))::text"""

_ONE = text(f"SELECT {_DOC} FROM consignments c WHERE c.id = :id")


async def doc(tx: AsyncConnection, consignment: UUID) -> str:
    """One consignment as JSON."""
    return str((await tx.execute(_ONE, {"id": consignment})).scalar_one())


_SEEN = text(f"""
SELECT {_DOC} FROM consignments c
WHERE c.id = :id AND (:everything OR :me IN (c.society, c.to_society))
""")


async def seen(tx: AsyncConnection, consignment: UUID, me: str, everything: bool) -> str | None:
    """One consignment as JSON, where the caller may see it."""
    values = {"id": consignment, "me": me, "everything": everything}
    return (await tx.execute(_SEEN, values)).scalar_one_or_none()


async def find(
    tx: AsyncConnection,
    *,
    me: str,
    everything: bool,
    offer: UUID | None,
    status: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the consignments that the caller may see, newest first."""
    values: dict[str, Any] = {"limit": limit}
    where = []
    if not everything:
        where.append("(c.society = :me OR c.to_society = :me)")
        values["me"] = me
    if offer is not None:
        where.append("c.offer = :offer")
        values["offer"] = offer
    if status is not None:
        where.append("c.status = :status")
        values["status"] = status
    if after is not None:
        where.append("c.id < :after")
        values["after"] = after
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    statement = (
        f"SELECT c.id, {_DOC} FROM consignments c {condition}ORDER BY c.id DESC LIMIT :limit"
    )
    return list((await tx.execute(text(statement), values)).all())


_ADD = text("""
INSERT INTO consignments (id, offer, society, to_society, status, mode, carrier, waybill, eta,
                          created_at)
VALUES (:id, :offer, :society, :to_society, 'planned', :mode, :carrier, :waybill, :eta, :now)
""")

_ADD_LINE = text("""
INSERT INTO consignment_lines (id, consignment, position, offer_line, quantity)
VALUES (:id, :consignment, :position, :offer_line, :quantity)
""")


async def add(tx: AsyncConnection, values: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Add a planned consignment with its lines."""
    await tx.execute(_ADD, values)
    await tx.execute(_ADD_LINE, list(rows))


_OFFER_OF = text("SELECT offer FROM consignments WHERE id = :id")


async def offer_of(tx: AsyncConnection, consignment: UUID) -> UUID | None:
    """The offer of a consignment: it never changes, so that it may be read before it is held."""
    return (await tx.execute(_OFFER_OF, {"id": consignment})).scalar_one_or_none()


_LOCK = text("SELECT id, offer, status FROM consignments WHERE id = :id FOR NO KEY UPDATE")


async def lock(tx: AsyncConnection, consignment: UUID) -> Row[Any]:
    """A consignment, held; its offer must be held already."""
    return (await tx.execute(_LOCK, {"id": consignment})).one()


_LINES = text("""
SELECT id, offer_line, quantity, received, damaged, missing, note FROM consignment_lines
WHERE consignment = :consignment ORDER BY position
""")


async def list_lines(tx: AsyncConnection, consignment: UUID) -> list[Row[Any]]:
    """The lines of a consignment in their order."""
    return list((await tx.execute(_LINES, {"consignment": consignment})).all())


_MOVE = text("""
UPDATE consignments SET status = :status, reason = coalesce(:reason, reason),
    dispatched_at = CASE WHEN :status = 'dispatched' THEN :now ELSE dispatched_at END,
    arrived_at = CASE WHEN :status IN ('arrived', 'received') THEN coalesce(arrived_at, :now)
                 ELSE arrived_at END,
    ended_at = CASE WHEN :status IN ('received', 'lost', 'cancelled') THEN :now ELSE ended_at END
WHERE id = :id
""")


async def move(
    tx: AsyncConnection,
    consignment: UUID,
    status: str,
    now: datetime,
    reason: str | None,
) -> None:
    """Move a held consignment into another state."""
    values = {"id": consignment, "status": status, "now": now, "reason": reason}
    require_all((await tx.execute(_MOVE, values)).rowcount, 1)


_COUNT = text("""
UPDATE consignment_lines l SET received = t.received, damaged = t.damaged, missing = t.missing,
    note = t.note
FROM unnest(CAST(:id AS uuid[]), CAST(:received AS bigint[]), CAST(:damaged AS bigint[]),
            CAST(:missing AS bigint[]), CAST(:note AS text[]))
    AS t(id, received, damaged, missing, note)
WHERE l.id = t.id
""")


async def count(tx: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Write down what was found of each line; each is named once."""
    columns = ("id", "received", "damaged", "missing", "note")
    values = {name: [row[name] for row in rows] for name in columns}
    require_all((await tx.execute(_COUNT, values)).rowcount, len(rows))


_ADD_CHECKPOINT = text("""
INSERT INTO checkpoints (id, consignment, place, at, note)
VALUES (:id, :consignment, :place, :at, :note)
""")


async def add_checkpoint(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add a checkpoint."""
    await tx.execute(_ADD_CHECKPOINT, values)


_CHECKPOINTS = text(f"""
SELECT p.at, p.id, {_CHECKPOINT}::text FROM checkpoints p
WHERE p.consignment = :consignment
ORDER BY p.at DESC, p.id DESC LIMIT :limit
""")
_EARLIER_CHECKPOINTS = text(f"""
SELECT p.at, p.id, {_CHECKPOINT}::text FROM checkpoints p
WHERE p.consignment = :consignment AND (p.at, p.id) < (:at, :id)
ORDER BY p.at DESC, p.id DESC LIMIT :limit
""")


async def list_checkpoints(
    tx: AsyncConnection, consignment: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Row[Any]]:
    """(at, id, JSON) of the checkpoints of a consignment, the latest first."""
    values: dict[str, Any] = {"consignment": consignment, "limit": limit}
    if before is None:
        return list((await tx.execute(_CHECKPOINTS, values)).all())
    values |= {"at": before[0], "id": before[1]}
    return list((await tx.execute(_EARLIER_CHECKPOINTS, values)).all())


_PLANNED = text("""
SELECT id FROM consignments WHERE offer = :offer AND status = 'planned'
ORDER BY id FOR NO KEY UPDATE
""")


async def planned(tx: AsyncConnection, offer: UUID) -> list[UUID]:
    """The consignments of a held offer that have not left."""
    return [row[0] for row in await tx.execute(_PLANNED, {"offer": offer})]
