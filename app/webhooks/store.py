"""Endpoints, their secrets and deliveries: tables, and the SQL of managing them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("society", Text, ForeignKey("societies.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("description", Text),
    # What it wants: null is everything that the society may see.
    Column("types", ARRAY(Text)),
    Column("emergency", Uuid),
    Column("mine", Boolean, nullable=False),
    # Whether what the society may not see comes as an envelope, or not at all.
    Column("sealed", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # The place in the ledger: everything up to it was tried, or was not wanted.
    Column("cursor", BigInteger, nullable=False),
    # The range that is sent once more, while there is one.
    Column("replay_after", BigInteger),
    Column("replay_until", BigInteger),
    # When the first of the waiting deliveries is to be tried again.
    Column("due_at", DateTime(timezone=True)),
    Column("rests_until", DateTime(timezone=True)),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", DateTime(timezone=True)),
    Column("last_success_at", DateTime(timezone=True)),
    # Who delivers now, and until when nobody else may; by the database's clock.
    Column("lease", Uuid),
    Column("leased_until", DateTime(timezone=True)),
    Column("served_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('active', 'paused', 'disabled')", name="status"),
    CheckConstraint("(replay_after IS NULL) = (replay_until IS NULL)", name="replay"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("webhook", Uuid, ForeignKey("webhooks.id"), nullable=False, index=True),
    # As it is: a signature needs the secret itself (docs/decisions/0020-webhooks.md).
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook", Uuid, ForeignKey("webhooks.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # The `webhook-id` of every attempt: the ledger's record; of an envelope, what stands for it.
    Column("record", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    # Failed attempts of the present schedule.
    Column("tries", SmallInteger, nullable=False),
    Column("attempts", JSONB, nullable=False),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False, index=True),
    CheckConstraint("status IN ('waiting', 'delivered', 'exhausted')", name="status"),
    Index("uq_webhook_deliveries_record", "webhook", "record", unique=True),
    Index(
        "ix_webhook_deliveries_open",
        "webhook",
        "next_attempt_at",
        postgresql_where=text("status <> 'delivered'"),
    ),
)

_DOC = """
json_build_object(
    'id', w.id, 'url', w.url, 'description', w.description, 'types', w.types,
    'emergency', w.emergency, 'mine', w.mine, 'sealed', w.sealed,
    'status', w.status, 'reason', w.reason, 'since', w.since, 'created_at', w.created_at,
    'secrets', (SELECT coalesce(json_agg(json_build_object(
            'created_at', s.created_at, 'expires_at', s.expires_at) ORDER BY s.created_at), '[]')
        FROM webhook_secrets s
        WHERE s.webhook = w.id AND (s.expires_at IS NULL OR s.expires_at > :now)))::text
"""

_ONE = text(f"SELECT {_DOC} FROM webhooks w WHERE w.id = :id AND w.society = :society")


async def doc(tx: AsyncConnection, webhook: UUID, society: str, now: datetime) -> str | None:
    """One endpoint of a society as JSON."""
    values = {"id": webhook, "society": society, "now": now}
    return (await tx.execute(_ONE, values)).scalar_one_or_none()


_LIST = text(f"""
SELECT p.id, p.doc FROM (
    SELECT w.id, {_DOC} AS doc FROM webhooks w
    WHERE w.society = :society AND (CAST(:after AS uuid) IS NULL OR w.id > :after)
    ORDER BY w.id LIMIT :limit
) p ORDER BY p.id
""")


async def find(
    tx: AsyncConnection, society: str, after: UUID | None, limit: int, now: datetime
) -> list[Any]:
    """(id, JSON) of a society's endpoints, oldest first."""
    values = {"society": society, "after": after, "limit": limit, "now": now}
    return list((await tx.execute(_LIST, values)).all())


_COUNT = text("SELECT count(*) FROM webhooks WHERE society = :society")


async def count(tx: AsyncConnection, society: str) -> int:
    """How many endpoints a society has."""
    return int((await tx.execute(_COUNT, {"society": society})).scalar_one())


_ADD = text("""
INSERT INTO webhooks (id, society, url, description, types, emergency, mine, sealed, status, since,
                      created_at, cursor)
VALUES (:id, :society, :url, :description, :types, :emergency, :mine, :sealed, 'active', :now, :now,
        :cursor)
""")


async def add(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add an endpoint."""
    await tx.execute(_ADD, values)


_LOCK = text("""
SELECT id, url, description, types, emergency, mine, sealed, status, cursor, replay_until
FROM webhooks WHERE id = :id AND society = :society FOR UPDATE
""")


async def lock(tx: AsyncConnection, webhook: UUID, society: str) -> Row[Any] | None:
    """Hold an endpoint of a society: neither another call nor the deliverer changes it."""
    return (await tx.execute(_LOCK, {"id": webhook, "society": society})).one_or_none()


_CHANGE = text("""
UPDATE webhooks SET url = :url, description = :description, types = :types,
    emergency = :emergency, mine = :mine, sealed = :sealed
WHERE id = :id
""")


async def change(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Replace what an endpoint is."""
    await tx.execute(_CHANGE, values)


_FORGET_DELIVERIES = text("DELETE FROM webhook_deliveries WHERE webhook = :id")
_FORGET_SECRETS = text("DELETE FROM webhook_secrets WHERE webhook = :id")
_DELETE = text("DELETE FROM webhooks WHERE id = :id")


async def delete(tx: AsyncConnection, webhook: UUID) -> None:
    """Remove an endpoint with its secrets and deliveries; what it was told stays in the ledger."""
    for statement in (_FORGET_DELIVERIES, _FORGET_SECRETS, _DELETE):
        await tx.execute(statement, {"id": webhook})


_ADD_SECRET = text("""
INSERT INTO webhook_secrets (id, webhook, secret, created_at)
VALUES (:id, :webhook, :secret, :now)
""")


async def add_secret(
    tx: AsyncConnection, secret_id: UUID, webhook: UUID, secret: bytes, now: datetime
) -> None:
    """Add a secret; it signs from now on."""
    values = {"id": secret_id, "webhook": webhook, "secret": secret, "now": now}
    await tx.execute(_ADD_SECRET, values)


# The newest secret signs along until the overlap ends, all older ones are gone: two at most.
_END_SECRETS = text("""
WITH newest AS (
    SELECT id FROM webhook_secrets WHERE webhook = :webhook
    ORDER BY created_at DESC, id DESC LIMIT 1
), gone AS (
    DELETE FROM webhook_secrets WHERE webhook = :webhook AND id NOT IN (SELECT id FROM newest)
)
UPDATE webhook_secrets SET expires_at = :until WHERE id IN (SELECT id FROM newest)
""")


async def end_secrets(tx: AsyncConnection, webhook: UUID, until: datetime) -> None:
    """Let the present secret end at `until`, and forget the older ones."""
    await tx.execute(_END_SECRETS, {"webhook": webhook, "until": until})


_RESUME = text("""
UPDATE webhooks SET status = 'active', reason = NULL, since = :now, failures = 0,
    failing_since = NULL, rests_until = NULL, due_at = :now
WHERE id = :id
""")

# What had been given up is tried again, too: otherwise a pause would lose it.
_REVIVE = text("""
UPDATE webhook_deliveries SET status = 'waiting', tries = 0, next_attempt_at = :now
WHERE webhook = :id AND status <> 'delivered'
""")


async def resume(tx: AsyncConnection, webhook: UUID, now: datetime) -> None:
    """Deliver again, beginning now; every open delivery gets a fresh schedule."""
    await tx.execute(_RESUME, {"id": webhook, "now": now})
    await tx.execute(_REVIVE, {"id": webhook, "now": now})


_REPLAY = text("""
UPDATE webhooks SET replay_after = :after, replay_until = :until, rests_until = NULL
WHERE id = :id
""")


async def replay_range(tx: AsyncConnection, webhook: UUID, after: int, until: int) -> None:
    """Send a range once more."""
    await tx.execute(_REPLAY, {"id": webhook, "after": after, "until": until})


_REPLAY_ONE = text("""
WITH again AS (
    UPDATE webhook_deliveries SET status = 'waiting', tries = 0, next_attempt_at = :now
    WHERE webhook = :id AND record = :record RETURNING seq
)
UPDATE webhooks SET due_at = :now, rests_until = NULL
WHERE id = :id AND EXISTS (SELECT FROM again) RETURNING (SELECT seq FROM again)
""")


async def replay_one(tx: AsyncConnection, webhook: UUID, record: UUID, now: datetime) -> int | None:
    """Send one delivery once more; its `seq`, None where there is no such delivery."""
    values = {"id": webhook, "record": record, "now": now}
    return (await tx.execute(_REPLAY_ONE, values)).scalar_one_or_none()


_PROGRESS = text("""
SELECT json_build_object(
    'cursor', w.cursor, 'behind', greatest(0, :head - w.cursor),
    'waiting', (SELECT count(*) FROM webhook_deliveries d
                WHERE d.webhook = w.id AND d.status = 'waiting'),
    'exhausted', (SELECT count(*) FROM webhook_deliveries d
                  WHERE d.webhook = w.id AND d.status = 'exhausted'),
    'replaying', CASE WHEN w.replay_until IS NOT NULL THEN json_build_object(
        'after', w.replay_after, 'until', w.replay_until) END,
    'failures_in_a_row', w.failures, 'failing_since', w.failing_since,
    'last_success_at', w.last_success_at, 'next_attempt_at', w.due_at,
    'rests_until', CASE WHEN w.rests_until > :now THEN w.rests_until END)::text
FROM webhooks w WHERE w.id = :id AND w.society = :society
""")


async def progress(
    tx: AsyncConnection, webhook: UUID, society: str, head: int, now: datetime
) -> str | None:
    """How far an endpoint is, as JSON."""
    values = {"id": webhook, "society": society, "head": head, "now": now}
    return (await tx.execute(_PROGRESS, values)).scalar_one_or_none()


_DELIVERY = """
json_build_object(
    'id', d.record, 'seq', d.seq, 'type', d.type, 'status', d.status, 'attempts', d.attempts,
    'next_attempt_at', d.next_attempt_at, 'updated_at', d.updated_at)::text
"""

_DELIVERIES = text(f"""
SELECT p.seq, p.doc FROM (
    SELECT d.seq, {_DELIVERY} AS doc FROM webhook_deliveries d
    WHERE d.webhook = :id
      AND (CAST(:before AS bigint) IS NULL OR d.seq < :before)
      AND (CAST(:status AS text) IS NULL OR d.status = :status)
      AND (CAST(:types AS text[]) IS NULL OR d.type = ANY(CAST(:types AS text[])))
    ORDER BY d.seq DESC LIMIT :limit
) p ORDER BY p.seq DESC
""")


async def deliveries(
    tx: AsyncConnection,
    webhook: UUID,
    *,
    status: str | None,
    types: Sequence[str] | None,
    before: int | None,
    limit: int,
) -> list[Any]:
    """(seq, JSON) of an endpoint's deliveries, newest first."""
    values = {
        "id": webhook,
        "status": status,
        "types": list(types) if types is not None else None,
        "before": before,
        "limit": limit,
    }
    return list((await tx.execute(_DELIVERIES, values)).all())


_DELIVERY_DOC = text(f"""
SELECT {_DELIVERY} FROM webhook_deliveries d WHERE d.webhook = :id AND d.record = :record
""")


async def delivery_doc(tx: AsyncConnection, webhook: UUID, record: UUID) -> str | None:
    """One delivery as JSON."""
    return (await tx.execute(_DELIVERY_DOC, {"id": webhook, "record": record})).scalar_one_or_none()


_STANDING = text("""
SELECT status, count(*) AS endpoints, max(greatest(0, :head - cursor)) AS behind
FROM webhooks GROUP BY status
""")


async def standing(tx: AsyncConnection, head: int) -> list[Row[Any]]:
    """(status, endpoints, behind): how many there are, and how far the last one is from `head`."""
    return list((await tx.execute(_STANDING, {"head": head})).all())


_PRUNE = text("""
DELETE FROM webhook_deliveries WHERE (webhook, seq) IN (
    SELECT webhook, seq FROM webhook_deliveries
    WHERE updated_at < :before AND status = 'delivered'
    ORDER BY updated_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


async def prune(tx: AsyncConnection, before: datetime) -> int:
    """Forget up to 1,000 deliveries that ended well before `before`; how many."""
    return (await tx.execute(_PRUNE, {"before": before})).rowcount
