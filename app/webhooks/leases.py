"""The SQL of delivering: who serves an endpoint, what is due, and what came of it.

Leases count by the database's clock, since several machines share the endpoints; when to try again
counts by the exchange's own.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

_COLUMNS = """
w.id, w.society, w.types, w.emergency, w.mine, w.sealed, w.status, w.cursor, w.replay_after,
w.replay_until, w.due_at, w.rests_until, w.failures, w.failing_since,
(SELECT s.role FROM societies s WHERE s.id = w.society) AS role
"""

# Whoever waited longest comes first, so that slow receivers cannot keep the others from their turn.
_CLAIM = text(f"""
UPDATE webhooks w SET lease = :lease, leased_until = clock_timestamp() + :seconds * interval '1 s',
    served_at = clock_timestamp()
WHERE w.id IN (
    SELECT c.id FROM webhooks c
    WHERE c.status = 'active'
      AND (c.leased_until IS NULL OR c.leased_until < clock_timestamp())
      AND (c.rests_until IS NULL OR c.rests_until <= :now)
      AND (c.cursor < :head OR c.due_at <= :now OR c.replay_until IS NOT NULL)
    ORDER BY c.served_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
""")


async def claim(
    tx: AsyncConnection, *, lease: UUID, seconds: float, head: int, now: datetime, limit: int
) -> list[Row[Any]]:
    """Take endpoints that have something to do and that nobody serves; each for `seconds`."""
    values = {"lease": lease, "seconds": seconds, "head": head, "now": now, "limit": limit}
    return list((await tx.execute(_CLAIM, values)).all())


_DUE = text("""
SELECT seq, record, type, tries FROM webhook_deliveries
WHERE webhook = :id AND status = 'waiting' AND next_attempt_at <= :now
ORDER BY seq LIMIT :limit
""")


async def due(tx: AsyncConnection, webhook: UUID, now: datetime, limit: int) -> list[Row[Any]]:
    """Deliveries that are to be tried again now, in ledger order."""
    return list((await tx.execute(_DUE, {"id": webhook, "now": now, "limit": limit})).all())


_ADDRESSED = text("""
SELECT w.url, ARRAY(SELECT k.secret FROM webhook_secrets k
    WHERE k.webhook = w.id AND (k.expires_at IS NULL OR k.expires_at > :now)
    ORDER BY k.created_at DESC, k.id DESC) AS secrets
FROM webhooks w WHERE w.id = :id AND w.lease = :lease
""")


async def addressed(
    tx: AsyncConnection, webhook: UUID, lease: UUID, now: datetime
) -> Row[Any] | None:
    """Where an endpoint is and what signs for it; None where the lease is lost."""
    values = {"id": webhook, "lease": lease, "now": now}
    return (await tx.execute(_ADDRESSED, values)).one_or_none()


_HOLD = text(f"""
SELECT {_COLUMNS} FROM webhooks w WHERE w.id = :id AND w.lease = :lease FOR UPDATE
""")


async def hold(tx: AsyncConnection, webhook: UUID, lease: UUID) -> Row[Any] | None:
    """The endpoint as it is now, held; None where the lease is lost or the endpoint gone."""
    return (await tx.execute(_HOLD, {"id": webhook, "lease": lease})).one_or_none()


# The log of a delivery keeps its newest 30 attempts.
_NOTE = text("""
INSERT INTO webhook_deliveries AS d
    (webhook, seq, record, type, status, tries, attempts, next_attempt_at, updated_at)
SELECT :id, n.seq, n.record, n.type, n.status, n.tries, n.attempts, n.next_attempt_at, :now
FROM jsonb_to_recordset(CAST(:notes AS jsonb)) AS n(
    seq bigint, record uuid, type text, status text, tries smallint, attempts jsonb,
    next_attempt_at timestamptz)
ON CONFLICT (webhook, seq) DO UPDATE SET status = excluded.status, tries = excluded.tries,
    attempts = CASE WHEN jsonb_array_length(d.attempts) >= 30 THEN d.attempts - 0
                    ELSE d.attempts END || excluded.attempts,
    next_attempt_at = excluded.next_attempt_at, updated_at = excluded.updated_at
""")


async def note(
    tx: AsyncConnection, webhook: UUID, notes: list[dict[str, Any]], now: datetime
) -> None:
    """Write down what attempts came to; each `seq` once."""
    values = {"id": webhook, "notes": json.dumps(notes), "now": now}
    await tx.execute(_NOTE, values)


@dataclass(slots=True)
class Standing:
    """How an endpoint stands after a round."""

    status: str
    reason: str | None
    cursor: int
    replay_after: int | None
    replay_until: int | None
    failures: int
    failing_since: datetime | None
    last_success_at: datetime | None
    rests_until: datetime | None


_SETTLE = text("""
UPDATE webhooks SET cursor = :cursor, replay_after = :replay_after, replay_until = :replay_until,
    failures = :failures, failing_since = :failing_since,
    last_success_at = coalesce(:last_success_at, last_success_at), rests_until = :rests_until,
    since = CASE WHEN status = :status THEN since ELSE :now END,
    status = :status, reason = :reason,
    due_at = (SELECT min(next_attempt_at) FROM webhook_deliveries
              WHERE webhook = :id AND status = 'waiting'),
    lease = CASE WHEN :keep THEN lease END,
    leased_until = CASE WHEN :keep THEN clock_timestamp() + :seconds * interval '1 s' END
WHERE id = :id
RETURNING due_at
""")


async def settle(
    tx: AsyncConnection,
    webhook: UUID,
    standing: Standing,
    *,
    keep: bool,
    seconds: float,
    now: datetime,
) -> datetime | None:
    """Write how an endpoint stands, and go on with it (`keep`) or give it back; when it is due."""
    values = {
        "id": webhook,
        "status": standing.status,
        "reason": standing.reason,
        "cursor": standing.cursor,
        "replay_after": standing.replay_after,
        "replay_until": standing.replay_until,
        "failures": standing.failures,
        "failing_since": standing.failing_since,
        "last_success_at": standing.last_success_at,
        "rests_until": standing.rests_until,
        "keep": keep,
        "seconds": seconds,
        "now": now,
    }
    due_at: datetime | None = (await tx.execute(_SETTLE, values)).scalar_one()
    return due_at
