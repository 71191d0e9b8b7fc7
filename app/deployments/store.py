"""Deployments and their manifests: tables and SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata, require_all

deployments = Table(
    "deployments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("offer", Uuid, ForeignKey("offers.id"), nullable=False),
    Column("offer_line", Uuid, ForeignKey("offer_lines.id"), nullable=False, index=True),
    Column("society", Text, nullable=False),
    Column("to_society", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("headcount", Integer, nullable=False),
    Column("from_at", DateTime(timezone=True), nullable=False),
    Column("until_at", DateTime(timezone=True), nullable=False),
    Column("eta", DateTime(timezone=True)),
    Column("reason", Text),
    # An extension that one party asked for and the other has not answered yet.
    Column("extension_until", DateTime(timezone=True)),
    Column("extension_by", Text),
    Column("extension_reason", Text),
    # How the last one was answered and by whom: the same answer again is no conflict.
    Column("answer", Text),
    Column("answered_by", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("mobilised_at", DateTime(timezone=True)),
    Column("arrived_at", DateTime(timezone=True)),
    Column("released_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint(
        "status IN ('planned', 'mobilised', 'deployed', 'released', 'returned', 'cancelled')",
        name="status",
    ),
    CheckConstraint("headcount > 0", name="headcount"),
    CheckConstraint("from_at < until_at", name="window"),
    CheckConstraint("answer IN ('accepted', 'declined')", name="answer"),
    CheckConstraint("(extension_until IS NULL) = (extension_by IS NULL)", name="extension"),
    Index("ix_deployments_offer", "offer"),
    Index("ix_deployments_society", "society", "id"),
    Index("ix_deployments_to_society", "to_society", "id"),
)

# The only table with personal data. Kept apart, so that nothing else ever reads it; the ledger
# holds a commitment that means nothing once the salt is gone.
manifests = Table(
    "manifests",
    metadata,
    Column("deployment", Uuid, ForeignKey("deployments.id"), primary_key=True),
    Column("content", Text),
    Column("salt", LargeBinary),
    Column("commitment", LargeBinary, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("erased_at", DateTime(timezone=True)),
    CheckConstraint(
        "(erased_at IS NULL) = (content IS NOT NULL) AND (content IS NULL) = (salt IS NULL)",
        name="erased",
    ),
    Index("ix_manifests_kept", "deployment", postgresql_where=text("erased_at IS NULL")),
)

_DOC = """json_build_object(
    'id', d.id, 'offer', d.offer, 'offer_line', d.offer_line, 'society', d.society,
    'to', d.to_society, 'status', d.status, 'skill', o.skill, 'headcount', d.headcount,
    'from', d.from_at, 'until', d.until_at, 'eta', d.eta, 'reason', d.reason,
    'extension', CASE WHEN d.extension_until IS NULL THEN NULL ELSE json_build_object(
        'until', d.extension_until, 'asked_by', d.extension_by, 'reason', d.extension_reason) END,
    'manifest', (SELECT CASE WHEN m.erased_at IS NULL THEN 'sealed' ELSE 'erased' END
                 FROM manifests m WHERE m.deployment = d.id),
    'created_at', d.created_at, 'mobilised_at', d.mobilised_at, 'arrived_at', d.arrived_at,
    'released_at', d.released_at, 'ended_at', d.ended_at)::text"""
_FROM = "FROM deployments d JOIN offer_lines o ON o.id = d.offer_line"

_ONE = text(f"SELECT {_DOC} {_FROM} WHERE d.id = :id")


async def doc(tx: AsyncConnection, deployment: UUID) -> str:
    """One deployment as JSON."""
    return str((await tx.execute(_ONE, {"id": deployment})).scalar_one())


_SEEN = text(f"""
SELECT {_DOC} {_FROM} WHERE d.id = :id AND (:everything OR :me IN (d.society, d.to_society))
""")


async def seen(tx: AsyncConnection, deployment: UUID, me: str, everything: bool) -> str | None:
    """One deployment as JSON, where the caller may see it."""
    values = {"id": deployment, "me": me, "everything": everything}
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
    """(id, JSON) of the deployments that the caller may see, newest first."""
    values: dict[str, Any] = {"limit": limit}
    where = []
    if not everything:
        where.append("(d.society = :me OR d.to_society = :me)")
        values["me"] = me
    if offer is not None:
        where.append("d.offer = :offer")
        values["offer"] = offer
    if status is not None:
        where.append("d.status = :status")
        values["status"] = status
    if after is not None:
        where.append("d.id < :after")
        values["after"] = after
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    statement = f"SELECT d.id, {_DOC} {_FROM} {condition}ORDER BY d.id DESC LIMIT :limit"
    return list((await tx.execute(text(statement), values)).all())


_ADD = text("""
INSERT INTO deployments (id, offer, offer_line, society, to_society, status, headcount, from_at,
                         until_at, eta, created_at)
VALUES (:id, :offer, :offer_line, :society, :to_society, 'planned', :headcount, :from_at,
        :until_at, :eta, :now)
""")


async def add(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Add a planned deployment."""
    await tx.execute(_ADD, values)


_OFFER_OF = text("SELECT offer FROM deployments WHERE id = :id")


async def offer_of(tx: AsyncConnection, deployment: UUID) -> UUID | None:
    """The offer of a deployment: it never changes, so that it may be read before it is held."""
    return (await tx.execute(_OFFER_OF, {"id": deployment})).scalar_one_or_none()


_LOCK = text("""
SELECT id, offer, offer_line, society, to_society, status, headcount, from_at, until_at,
       extension_until, extension_by, answer, answered_by
FROM deployments WHERE id = :id FOR NO KEY UPDATE
""")


async def lock(tx: AsyncConnection, deployment: UUID) -> Row[Any]:
    """A deployment, held; its offer must be held already."""
    return (await tx.execute(_LOCK, {"id": deployment})).one()


_MOVE = text("""
UPDATE deployments SET status = :status, reason = coalesce(:reason, reason),
    mobilised_at = CASE WHEN :status = 'mobilised' THEN :now ELSE mobilised_at END,
    arrived_at = CASE WHEN :status = 'deployed' THEN :now ELSE arrived_at END,
    released_at = CASE WHEN :status = 'released' THEN :now ELSE released_at END,
    ended_at = CASE WHEN :status IN ('returned', 'cancelled') THEN :now ELSE ended_at END,
    extension_until = CASE WHEN :status IN ('mobilised', 'deployed') THEN extension_until END,
    extension_by = CASE WHEN :status IN ('mobilised', 'deployed') THEN extension_by END,
    extension_reason = CASE WHEN :status IN ('mobilised', 'deployed') THEN extension_reason END
WHERE id = :id
""")


async def move(
    tx: AsyncConnection,
    deployment: UUID,
    status: str,
    now: datetime,
    reason: str | None,
) -> None:
    """Move a held deployment into another state; a question that it leaves behind is dropped."""
    values = {"id": deployment, "status": status, "now": now, "reason": reason}
    require_all((await tx.execute(_MOVE, values)).rowcount, 1)


_ASK = text("""
UPDATE deployments SET extension_until = :until, extension_by = :society,
    extension_reason = :reason, answer = NULL, answered_by = NULL
WHERE id = :id
""")


async def ask(
    tx: AsyncConnection,
    deployment: UUID,
    until: datetime,
    society: str,
    reason: str | None,
) -> None:
    """Write down that a party asks for more time."""
    values = {"id": deployment, "until": until, "society": society, "reason": reason}
    require_all((await tx.execute(_ASK, values)).rowcount, 1)


_ANSWER = text("""
UPDATE deployments SET answer = :answer, answered_by = :society,
    until_at = CASE WHEN :answer = 'accepted' THEN extension_until ELSE until_at END,
    extension_until = NULL, extension_by = NULL, extension_reason = NULL
WHERE id = :id
""")


async def answer(tx: AsyncConnection, deployment: UUID, answered: str, society: str) -> None:
    """Answer what a party asked for; where it is `accepted`, the deployment lasts longer."""
    values = {"id": deployment, "answer": answered, "society": society}
    require_all((await tx.execute(_ANSWER, values)).rowcount, 1)


_PLANNED = text("""
SELECT id, offer_line, headcount FROM deployments
WHERE offer = :offer AND status = 'planned' ORDER BY id FOR NO KEY UPDATE
""")


async def planned(tx: AsyncConnection, offer: UUID) -> list[Row[Any]]:
    """The deployments of a held offer that have not left."""
    return list((await tx.execute(_PLANNED, {"offer": offer})).all())


_PUT_MANIFEST = text("""
INSERT INTO manifests (deployment, content, salt, commitment, updated_at)
VALUES (:deployment, :content, :salt, :commitment, :now)
ON CONFLICT (deployment) DO UPDATE SET content = excluded.content, salt = excluded.salt,
    commitment = excluded.commitment, updated_at = excluded.updated_at
RETURNING (xmax = 0)
""")


async def put_manifest(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Create or replace the manifest of a held deployment; True where it was created."""
    return bool((await tx.execute(_PUT_MANIFEST, values)).scalar_one())


# `people` is written by the exchange itself from what it checked: JSON as it stands.
_MANIFEST = text("""
SELECT json_build_object('deployment', m.deployment, 'people', m.content::json,
    'salt', encode(m.salt, 'hex'), 'commitment', encode(m.commitment, 'hex'),
    'updated_at', m.updated_at)::text AS doc, m.erased_at
FROM manifests m JOIN deployments d ON d.id = m.deployment
WHERE m.deployment = :id AND :me IN (d.society, d.to_society)
""")


async def manifest(tx: AsyncConnection, deployment: UUID, me: str) -> Row[Any] | None:
    """(JSON, erased_at) of a manifest, for a party of the deployment."""
    return (await tx.execute(_MANIFEST, {"id": deployment, "me": me})).one_or_none()


# SKIP LOCKED: the sweep may run in any number of workers.
_TO_ERASE = text("""
SELECT m.deployment FROM manifests m JOIN deployments d ON d.id = m.deployment
WHERE m.erased_at IS NULL
    AND (coalesce(d.ended_at, d.until_at) <= :ended_before OR d.until_at <= :until_before)
    AND m.deployment <> ALL(CAST(:passed_over AS uuid[]))
ORDER BY d.until_at LIMIT 1 FOR NO KEY UPDATE OF m SKIP LOCKED
""")

_ERASE = text("""
UPDATE manifests SET content = NULL, salt = NULL, erased_at = :now
WHERE deployment = :deployment AND erased_at IS NULL
RETURNING deployment, encode(commitment, 'hex') AS commitment,
    (SELECT d.society FROM deployments d WHERE d.id = deployment) AS society,
    (SELECT d.to_society FROM deployments d WHERE d.id = deployment) AS to_society,
    (SELECT o.emergency FROM deployments d JOIN offers o ON o.id = d.offer
     WHERE d.id = deployment) AS emergency
""")


async def to_erase(
    tx: AsyncConnection,
    ended_before: datetime,
    until_before: datetime,
    passed_over: Sequence[UUID],
) -> UUID | None:
    """A deployment that is over and whose manifest is still there.

    `ended_before` is for the end that was told, or else the one that was agreed; `until_before`
    for the one that was agreed, whatever was told.
    """
    values = {
        "ended_before": ended_before,
        "until_before": until_before,
        "passed_over": list(passed_over),
    }
    return (await tx.execute(_TO_ERASE, values)).scalar_one_or_none()


async def erase(tx: AsyncConnection, deployment: UUID, now: datetime) -> Row[Any] | None:
    """Erase a manifest, salt and all; None where it is erased already."""
    values = {"deployment": deployment, "now": now}
    return (await tx.execute(_ERASE, values)).one_or_none()
