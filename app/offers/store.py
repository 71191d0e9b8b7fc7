"""Offers and their lines: tables and SQL."""

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
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Part, metadata, require_all

offers = Table(
    "offers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("emergency", Uuid, ForeignKey("emergencies.id"), nullable=False),
    # Null: unsolicited.
    Column("request", Uuid, ForeignKey("requests.id")),
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("to_society", Text, ForeignKey("societies.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("eta", DateTime(timezone=True)),
    Column("message", Text),
    # The provider's own reference, and the digest of what was sent under it: the same call again,
    # without an Idempotency-Key, reserves nothing more.
    Column("ref", Text),
    Column("body_digest", LargeBinary),
    # What the parties should know of what is offered, as JSON.
    Column("warnings", JSONB, nullable=False, server_default=text("'[]'")),
    Column("reason", Text),
    # Who ended it: doing again what the same party did already is answered as it is.
    Column("ended_by", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        "status IN ('proposed', 'accepted', 'declined', 'withdrawn', 'expired', 'completed')",
        name="status",
    ),
    CheckConstraint("(ref IS NULL) = (body_digest IS NULL)", name="ref"),
    # Partial, so that an offer without a reference costs nothing more.
    Index(
        "uq_offers_society_ref",
        "society",
        "ref",
        unique=True,
        postgresql_where=text("ref IS NOT NULL"),
    ),
    Index("ix_offers_due", "expires_at", postgresql_where=text("status = 'proposed'")),
    Index("ix_offers_request", "request", "id"),
    Index("ix_offers_society", "society", "id"),
    Index("ix_offers_to_society", "to_society", "id"),
    # For the board: what was offered without being asked for.
    Index(
        "ix_offers_unsolicited",
        "emergency",
        postgresql_where=text("request IS NULL"),
    ),
    Index(
        "ix_offers_live",
        "status",
        postgresql_where=text("status IN ('proposed', 'accepted')"),
    ),
)

lines = Table(
    "offer_lines",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("offer", Uuid, ForeignKey("offers.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("request_line", Uuid, ForeignKey("request_lines.id")),
    Column("lot", Uuid, ForeignKey("lots.id")),
    Column("pool", Uuid, ForeignKey("pools.id")),
    Column("item", Text),
    Column("unit", Text),
    Column("skill", Text),
    Column("from_at", DateTime(timezone=True)),
    Column("until_at", DateTime(timezone=True)),
    # `ratio_quantity` of this stand for `ratio_per` of what the request line asks for.
    Column("ratio_quantity", BigInteger, nullable=False),
    Column("ratio_per", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False, server_default="0"),
    Column("planned", BigInteger, nullable=False, server_default="0"),
    Column("dispatched", BigInteger, nullable=False, server_default="0"),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("damaged", BigInteger, nullable=False, server_default="0"),
    Column("lost", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("offer", "position", name="uq_offer_lines_position"),
    CheckConstraint("(lot IS NULL) <> (pool IS NULL)", name="source"),
    CheckConstraint("accepted >= 0 AND accepted <= quantity", name="accepted"),
    CheckConstraint("planned >= 0 AND planned <= accepted", name="planned"),
    CheckConstraint("dispatched >= 0 AND dispatched <= planned", name="dispatched"),
    CheckConstraint(
        "received >= 0 AND damaged >= 0 AND lost >= 0 AND received + damaged + lost <= dispatched",
        name="received",
    ),
)

_LINE = """
CASE WHEN x.lot IS NOT NULL THEN json_build_object(
    'id', x.id, 'request_line', x.request_line, 'stock', x.lot, 'item', x.item, 'unit', x.unit,
    'quantity', x.quantity, 'accepted', x.accepted, 'planned', x.planned,
    'dispatched', x.dispatched, 'received', x.received, 'damaged', x.damaged, 'lost', x.lost)
ELSE json_build_object(
    'id', x.id, 'request_line', x.request_line, 'volunteers', x.pool, 'skill', x.skill,
    'from', x.from_at, 'until', x.until_at,
    'headcount', x.quantity, 'accepted', x.accepted, 'planned', x.planned,
    'dispatched', x.dispatched, 'received', x.received, 'damaged', x.damaged, 'lost', x.lost)
END
"""

_HEAD = """
'id', o.id, 'emergency', o.emergency, 'request', o.request, 'society', o.society,
'to', o.to_society, 'ref', o.ref, 'status', o.status, 'expires_at', o.expires_at, 'eta', o.eta,
'message', o.message, 'warnings', o.warnings, 'reason', o.reason, 'created_at', o.created_at,
'updated_at', o.updated_at
"""

_DOC = f"""json_build_object({_HEAD}, 'lines', (
    SELECT json_agg({_LINE} ORDER BY x.position) FROM offer_lines x WHERE x.offer = o.id
))::text"""

_ADD = f"""
o AS (
    INSERT INTO offers (id, emergency, request, society, to_society, status, expires_at, eta,
                        message, ref, body_digest, warnings, created_at, updated_at)
    VALUES (:id, :emergency, :request, :society, :to_society, 'proposed', :expires_at, :eta,
            :message, :ref, :body_digest, CAST(:warnings AS jsonb), :now, :now)
    RETURNING *
), x AS (
    INSERT INTO offer_lines (id, offer, position, request_line, lot, pool, item, unit, skill,
                             from_at, until_at, ratio_quantity, ratio_per, quantity)
    SELECT t.id, :id, t.position, t.request_line, t.lot, t.pool, t.item, t.unit, t.skill,
           t.from_at, t.until_at, t.ratio_quantity, t.ratio_per, t.quantity
    FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS t(
        id uuid, position int, request_line uuid, lot uuid, pool uuid, item text, unit text,
        skill text, from_at timestamptz, until_at timestamptz, ratio_quantity bigint,
        ratio_per bigint, quantity bigint)
    RETURNING *
), created AS MATERIALIZED (
    SELECT json_build_object({_HEAD}, 'lines', (
        SELECT json_agg({_LINE} ORDER BY x.position) FROM x))::text AS document
    FROM o
)"""


def add_part(values: dict[str, Any]) -> Part:
    """Add an offer (`o`) with its lines (a JSON array); it shows the offer as JSON (`created`)."""
    return Part(_ADD, values, "(SELECT document FROM created)")


async def hold_ref(tx: AsyncConnection, society: str, ref: str) -> None:
    """Let no other call of the society use this reference until the transaction ends.

    Two calls with one reference at once would both find it free; the second waits, and then finds
    what the first has made.
    """
    word = func.concat("offer ", society, " ", ref)
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(word, 12))))


async def by_ref(tx: AsyncConnection, society: str, ref: str) -> tuple[UUID, bytes] | None:
    """(id, digest of what was sent) of the offer that a society made under a reference."""
    made = select(offers.c.id, offers.c.body_digest).where(
        offers.c.society == society, offers.c.ref == ref
    )
    row = (await tx.execute(made)).one_or_none()
    return (row.id, row.body_digest) if row else None


_ONE = text(f"SELECT {_DOC} FROM offers o WHERE o.id = :id")


async def doc(tx: AsyncConnection, offer: UUID) -> str:
    """One offer as JSON."""
    return str((await tx.execute(_ONE, {"id": offer})).scalar_one())


_SEEN = text(f"""
SELECT {_DOC} FROM offers o
WHERE o.id = :id AND (:everything OR :me IN (o.society, o.to_society))
""")


async def seen(tx: AsyncConnection, offer: UUID, me: str, everything: bool) -> str | None:
    """One offer as JSON, where the caller may see it."""
    values = {"id": offer, "me": me, "everything": everything}
    return (await tx.execute(_SEEN, values)).scalar_one_or_none()


async def find(
    tx: AsyncConnection,
    *,
    me: str,
    everything: bool,
    side: str | None,
    request: UUID | None,
    status: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the offers that the caller may see, newest first."""
    values: dict[str, Any] = {"limit": limit}
    where = []
    if side is not None or not everything:
        values["me"] = me
        where.append(
            {
                "provider": "o.society = :me",
                "requester": "o.to_society = :me",
                None: "(o.society = :me OR o.to_society = :me)",
            }[side]
        )
    if request is not None:
        where.append("o.request = :request")
        values["request"] = request
    if status is not None:
        where.append("o.status = :status")
        values["status"] = status
    if after is not None:
        where.append("o.id < :after")
        values["after"] = after
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    statement = f"SELECT o.id, {_DOC} FROM offers o {condition}ORDER BY o.id DESC LIMIT :limit"
    return list((await tx.execute(text(statement), values)).all())


_LOCK = text("""
SELECT id, emergency, request, society, to_society, status, expires_at, reason, ended_by,
       updated_at
FROM offers WHERE id = :id FOR NO KEY UPDATE
""")


async def lock(tx: AsyncConnection, offer: UUID) -> Row[Any] | None:
    """An offer, held against other changes; its lines change only while it is held."""
    return (await tx.execute(_LOCK, {"id": offer})).one_or_none()


_LINES = text("""
SELECT id, position, request_line, lot, pool, item, skill, from_at, until_at, ratio_quantity,
       ratio_per, quantity, accepted, planned, dispatched, received, damaged, lost
FROM offer_lines WHERE offer = :offer ORDER BY position
""")


async def list_lines(tx: AsyncConnection, offer: UUID) -> list[Row[Any]]:
    """The lines of an offer in their order."""
    return list((await tx.execute(_LINES, {"offer": offer})).all())


_MOVE = text("""
UPDATE offers SET status = :status, reason = coalesce(:reason, reason),
    ended_by = coalesce(:ended_by, ended_by), updated_at = :now
WHERE id = :id AND status = :expected RETURNING id
""")


async def move(
    tx: AsyncConnection,
    offer: UUID,
    expected: str,
    status: str,
    now: datetime,
    *,
    reason: str | None = None,
    ended_by: str | None = None,
) -> None:
    """Move a held offer from the state that it is in to another."""
    values = {
        "id": offer, "expected": expected, "status": status, "now": now, "reason": reason,
        "ended_by": ended_by,
    }  # fmt: skip
    require_all(len((await tx.execute(_MOVE, values)).all()), 1)


_SET_ACCEPTED = text("""
UPDATE offer_lines l SET accepted = t.accepted
FROM unnest(CAST(:lines AS uuid[]), CAST(:accepted AS bigint[])) AS t(line, accepted)
WHERE l.id = t.line
""")


async def set_accepted(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> None:
    """Write down what is accepted of lines: (line, quantity)."""
    values = {"lines": [p[0] for p in parts], "accepted": [p[1] for p in parts]}
    require_all((await tx.execute(_SET_ACCEPTED, values)).rowcount, len(parts))


_ADD_FIGURES = text("""
UPDATE offer_lines l SET planned = l.planned + t.planned, dispatched = l.dispatched + t.dispatched,
    received = l.received + t.received, damaged = l.damaged + t.damaged, lost = l.lost + t.lost
FROM unnest(CAST(:lines AS uuid[]), CAST(:planned AS bigint[]), CAST(:dispatched AS bigint[]),
            CAST(:received AS bigint[]), CAST(:damaged AS bigint[]), CAST(:lost AS bigint[]))
    AS t(line, planned, dispatched, received, damaged, lost)
WHERE l.id = t.line
""")


async def add_figures(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add to the figures of lines of a held offer; each line is named once."""
    changed = (await tx.execute(_ADD_FIGURES, values)).rowcount
    require_all(changed, len(values["lines"]))


# SKIP LOCKED: the sweep may run in any number of workers, and an offer that is being accepted at
# this very moment is left to whoever holds it.
# One of the first hundred, whichever: an offer whose end always failed would otherwise be the first
# for ever, and all behind it would keep their stock.
_DUE = text("""
SELECT id FROM offers WHERE status = 'proposed' AND id IN (
    SELECT id FROM offers WHERE status = 'proposed' AND expires_at <= :now
        AND id <> ALL(CAST(:passed_over AS uuid[]))
    ORDER BY expires_at LIMIT 100)
ORDER BY random() LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")

_ORPHANED = text("""
SELECT o.id FROM offers o JOIN requests r ON r.id = o.request
WHERE r.status <> 'open' AND r.ended_at > :since AND o.status = 'proposed'
    AND o.id <> ALL(CAST(:passed_over AS uuid[]))
LIMIT 1 FOR NO KEY UPDATE OF o SKIP LOCKED
""")


async def due(tx: AsyncConnection, now: datetime, passed_over: Sequence[UUID] = ()) -> UUID | None:
    """One of the proposals whose time is over."""
    values = {"now": now, "passed_over": list(passed_over)}
    return (await tx.execute(_DUE, values)).scalar_one_or_none()


async def orphaned(
    tx: AsyncConnection, since: datetime, passed_over: Sequence[UUID] = ()
) -> UUID | None:
    """A proposal for a request that has ended since then."""
    values = {"since": since, "passed_over": list(passed_over)}
    return (await tx.execute(_ORPHANED, values)).scalar_one_or_none()


_COUNT = text("""
SELECT status, count(*) FROM offers WHERE status IN ('proposed', 'accepted') GROUP BY status
""")


async def count_live(tx: AsyncConnection) -> dict[str, int]:
    """How many offers are proposed and how many accepted."""
    return {row[0]: int(row[1]) for row in await tx.execute(_COUNT)}
