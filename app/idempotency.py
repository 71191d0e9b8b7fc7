"""A repeated call has one effect: the answer is kept in the transaction of the effect itself."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.db import Direct, Part, metadata
from app.errors import AppError, Fault
from app.pages import etag_of

KEPT_DAYS = 7
STORED = frozenset({200, 201, 202, 204, 404, 409, 410, 412})
"""Answers that are kept. A refused input (422) had no effect and its key stays free, so that a
corrected body may follow; what is transient (5xx, 408) must not be remembered at all."""

answers = Table(
    "idempotency_answers",
    metadata,
    Column("client", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("call", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("replays", Integer, nullable=False, server_default="0"),
    # Not BRIN: pages are used again once old answers are forgotten, so that after some weeks every
    # range of pages holds a new answer beside an old one, and finding the old ones reads them all.
    Index("ix_idempotency_answers_created_at", "created_at"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


class Overtaken(Exception):
    """Another call did the same at this moment: roll back and run again, on what it committed."""


def call_digest(method: str, path: str, body: bytes) -> bytes:
    """What makes two calls the same: method, path and the bytes of the body."""
    return hashlib.sha256(f"{method} {path}\n".encode() + body).digest()


# The lock comes before the look: a twin that is still running holds it, and trying (instead of
# waiting) lets this call answer 409 at once. Inserting first would wait for the twin's commit.
_BEGIN = Direct("""
WITH gate AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(
        hashtextextended(CAST(CAST(:client AS uuid) AS text) || :key, 7)) AS free
)
SELECT gate.free, a.call, a.status, a.headers, a.body
FROM gate LEFT JOIN idempotency_answers a
  ON a.client = CAST(:client AS uuid) AND a.key = :key
""")

# A replay writes too: a replay that only reads can confirm a commit that no standby has.
_COUNT = Direct("""
UPDATE idempotency_answers SET replays = replays + 1
WHERE client = CAST(:client AS uuid) AND key = :key
""")

_KEEP = Direct("""
INSERT INTO idempotency_answers (client, key, call, status, headers, body, created_at)
VALUES (:client, :key, :call, :status, :headers, :body, :now)
ON CONFLICT (client, key) DO NOTHING RETURNING 1
""")

_KEEP_CREATED = f"""
kept AS (
    INSERT INTO idempotency_answers (client, key, call, status, headers, body, created_at)
    SELECT CAST(:kept_client AS uuid), :kept_key, :kept_call, 201,
           json_build_object('content-type', 'application/json', 'etag', {etag_of("d.document")},
                             'location', CAST(:kept_location AS text)),
           convert_to(d.document, 'UTF8'), CAST(:kept_at AS timestamptz)
    FROM created d
    ON CONFLICT (client, key) DO NOTHING RETURNING 1
)"""

_FORGET = text("""
DELETE FROM idempotency_answers WHERE (client, key) IN (
    SELECT client, key FROM idempotency_answers WHERE created_at < :before
    ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


async def begin(tx: AsyncConnection, client: UUID, key: str, call: bytes) -> Answer | None:
    """The answer that this call got before, None where it is new.

    Raises 409 while a twin is running and 422 where the key belongs to another call.
    """
    row = await _BEGIN.first(tx, {"client": client, "key": key})
    if row["status"] is None:
        if not row["free"]:
            raise AppError(
                "idempotency_in_progress",
                "The first call with this key has not ended yet.",
                headers={"Retry-After": "1"},
            )
        return None
    if row["call"] != call:
        message = "This key was used for another call within the last 7 days."
        fault = Fault("header/Idempotency-Key", "reused", message)
        raise AppError("idempotency_key_reused", message, faults=[fault])
    await _COUNT.run(tx, {"client": client, "key": key})
    return Answer(row["status"], json.loads(row["headers"]), row["body"])


async def keep(tx: AsyncConnection, client: UUID, key: str, call: bytes, answer: Answer) -> None:
    """Keep an answer in the transaction of its effect.

    Raises Overtaken where a twin committed between our look and our lock; the caller rolls
    its own effect back and replays.
    """
    kept = await _KEEP.first(
        tx,
        {
            "client": client,
            "key": key,
            "call": call,
            "status": answer.status,
            "headers": json.dumps(answer.headers),
            "body": answer.body,
            "now": clock.now(),
        },
    )
    if kept is None:
        raise Overtaken


@dataclass(slots=True)
class Keeping:
    """The keeping of a call's answer, for the hottest route: in the statement of the effect itself.

    Whatever that statement holds is held for a round trip less until the COMMIT.
    """

    client: UUID
    key: str
    call: bytes
    is_done: bool = False

    def part(self, location: str) -> Part:
        """Keep 201 with the `document` that the part `created` of the statement makes."""
        values = {
            "kept_client": self.client,
            "kept_key": self.key,
            "kept_call": self.call,
            "kept_location": location,
            "kept_at": clock.now(),
        }
        return Part(_KEEP_CREATED, values, "EXISTS (SELECT FROM kept)")

    def confirm(self, is_kept: bool) -> None:
        """See what the part showed; raises Overtaken as `keep` does."""
        if not is_kept:
            raise Overtaken
        self.is_done = True


async def forget(tx: AsyncConnection, before: datetime) -> int:
    """Forget up to 1,000 answers older than `before`; returns how many."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount
