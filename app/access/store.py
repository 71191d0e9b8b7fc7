"""Societies, clients and keys: tables and SQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata

societies = Table(
    "societies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    CheckConstraint("id ~ '^[A-Z]{3}$'", name="id"),
    CheckConstraint("role IN ('member', 'secretariat', 'observer')", name="role"),
)

clients = Table(
    "clients",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("society", Text, ForeignKey("societies.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("client", Uuid, ForeignKey("clients.id"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
)

_SOCIETY = "json_build_object('id', s.id, 'name', s.name, 'role', s.role)::text"

_PUT_SOCIETY = text("""
INSERT INTO societies (id, name, role) VALUES (:id, :name, :role)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role
RETURNING (xmax = 0)
""")


async def put_society(tx: AsyncConnection, society: str, name: str, role: str) -> bool:
    """Create or replace; True where it was created."""
    return bool((await tx.execute(_PUT_SOCIETY, _society_values(society, name, role))).scalar_one())


def _society_values(society: str, name: str, role: str) -> dict[str, str]:
    """The values of a society."""
    return {"id": society, "name": name, "role": role}


_SEED_SOCIETY = text("""
INSERT INTO societies (id, name, role) VALUES (:id, :name, :role)
ON CONFLICT (id) DO NOTHING RETURNING id
""")


async def seed_society(tx: AsyncConnection, society: str, name: str, role: str) -> bool:
    """Add a society that is not there yet; True where it was added."""
    row = await tx.execute(_SEED_SOCIETY, _society_values(society, name, role))
    return row.one_or_none() is not None


_SOCIETIES = text(f"""
SELECT p.id, p.doc FROM (
    SELECT s.id, {_SOCIETY} AS doc FROM societies s WHERE s.id > :after ORDER BY s.id LIMIT :limit
) p ORDER BY p.id
""")


async def list_societies(tx: AsyncConnection, after: str, limit: int) -> list[Any]:
    """(id, JSON) of the societies after one, in the order of their codes."""
    return list((await tx.execute(_SOCIETIES, {"after": after, "limit": limit})).all())


_CODES = text("SELECT id FROM societies ORDER BY id")


async def society_codes(tx: AsyncConnection) -> list[str]:
    """The codes of all societies."""
    return [row[0] for row in await tx.execute(_CODES)]


_SOCIETY_DOC = text(f"SELECT {_SOCIETY} FROM societies s WHERE s.id = :id")


async def society_doc(tx: AsyncConnection, society: str, *, lock: bool = False) -> str | None:
    """One society as JSON; with `lock`, nobody else changes it until this transaction ends."""
    if lock:
        await tx.execute(_LOCK_SOCIETY, {"id": society})
    return (await tx.execute(_SOCIETY_DOC, {"id": society})).scalar_one_or_none()


_LOCK_SOCIETY = text("SELECT id FROM societies WHERE id = :id FOR NO KEY UPDATE")
_NETWORK = 0x4B4F4D454B13


async def hold_network(tx: AsyncConnection) -> None:
    """Wait until nobody else changes a society, and keep it so until this transaction ends."""
    await tx.execute(select(func.pg_advisory_xact_lock(_NETWORK)))


async def secretariats(tx: AsyncConnection) -> set[str]:
    """The societies that are secretariat."""
    found = await tx.execute(select(societies.c.id).where(societies.c.role == "secretariat"))
    return set(found.scalars())


_SOCIETY_ROLE = text("SELECT role FROM societies WHERE id = :id")


async def society_role(tx: AsyncConnection, society: str) -> str | None:
    """The role of a society, None where there is none."""
    return (await tx.execute(_SOCIETY_ROLE, {"id": society})).scalar_one_or_none()


_IDENTIFY = text("""
SELECT c.id, c.name, c.society, c.scopes, s.role, k.expires_at
FROM keys k JOIN clients c ON c.id = k.client JOIN societies s ON s.id = c.society
WHERE k.digest = :digest AND c.revoked_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > :now)
""")


async def identify(tx: AsyncConnection, digest: bytes, now: datetime) -> Row[Any] | None:
    """Whose key this is, where it is valid."""
    return (await tx.execute(_IDENTIFY, {"digest": digest, "now": now})).one_or_none()


# Keys are shown by their prefix; an expired one no longer counts.
_CLIENT = """
json_build_object(
    'id', c.id, 'society', c.society, 'name', c.name, 'scopes', c.scopes,
    'created_at', c.created_at, 'revoked_at', c.revoked_at,
    'keys', coalesce((
        SELECT json_agg(json_build_object('prefix', k.prefix, 'created_at', k.created_at,
                                          'expires_at', k.expires_at) ORDER BY k.created_at)
        FROM keys k WHERE k.client = c.id AND (k.expires_at IS NULL OR k.expires_at > :now)
    ), '[]'::json))::text
"""

_CLIENTS = text(f"""
SELECT p.id, p.doc FROM (
    SELECT c.id, {_CLIENT} AS doc FROM clients c
    WHERE (CAST(:society AS text) IS NULL OR c.society = :society)
      AND (CAST(:after AS uuid) IS NULL OR c.id > :after)
    ORDER BY c.id LIMIT :limit
) p ORDER BY p.id
""")


async def list_clients(
    tx: AsyncConnection,
    society: str | None,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> list[Any]:
    """(id, JSON) of the clients of one society, or of all."""
    values = {"society": society, "after": after, "limit": limit, "now": now}
    return list((await tx.execute(_CLIENTS, values)).all())


_CLIENT_DOC = text(f"""
SELECT {_CLIENT} FROM clients c
WHERE c.id = :id AND (CAST(:society AS text) IS NULL OR c.society = :society)
""")


async def client_doc(
    tx: AsyncConnection, client: UUID, society: str | None, now: datetime
) -> str | None:
    """One client as JSON, where it is of that society (None: of any)."""
    values = {"id": client, "society": society, "now": now}
    return (await tx.execute(_CLIENT_DOC, values)).scalar_one_or_none()


_LOCK_CLIENT = text("""
SELECT society, revoked_at FROM clients
WHERE id = :id AND (CAST(:society AS text) IS NULL OR society = :society) FOR NO KEY UPDATE
""")


async def lock_client(tx: AsyncConnection, client: UUID, society: str | None) -> Row[Any] | None:
    """Hold a client: two rotations at once would leave three valid keys."""
    return (await tx.execute(_LOCK_CLIENT, {"id": client, "society": society})).one_or_none()


_ADD_CLIENT = text("""
INSERT INTO clients (id, society, name, scopes, created_at)
VALUES (:id, :society, :name, :scopes, :now)
""")


async def add_client(
    tx: AsyncConnection,
    client: UUID,
    society: str,
    name: str,
    scopes: list[str],
    now: datetime,
) -> None:
    """Add a client."""
    values = {
        "id": client,
        "society": society,
        "name": name,
        "scopes": scopes,
        "now": now,
    }
    await tx.execute(_ADD_CLIENT, values)


async def count_clients(tx: AsyncConnection, society: str) -> int:
    """How many clients of a society may call; nobody adds one until this transaction ends."""
    held = select(societies.c.id).where(societies.c.id == society)
    await tx.execute(held.with_for_update(key_share=True))
    live = select(func.count()).where(clients.c.society == society, clients.c.revoked_at.is_(None))
    return int((await tx.execute(live)).scalar_one())


_ADD_KEY = text("""
INSERT INTO keys (id, client, digest, prefix, created_at)
VALUES (:id, :client, :digest, :prefix, :now)
""")


async def add_key(
    tx: AsyncConnection,
    key_id: UUID,
    client: UUID,
    digest: bytes,
    prefix: str,
    now: datetime,
) -> None:
    """Add a key by its digest."""
    values = {
        "id": key_id,
        "client": client,
        "digest": digest,
        "prefix": prefix,
        "now": now,
    }
    await tx.execute(_ADD_KEY, values)


# The newest key lives on until the overlap ends, all older ones end now: two valid keys at most.
_END_KEYS = text("""
UPDATE keys SET expires_at = CASE
    WHEN id = (SELECT id FROM keys WHERE client = :client AND expires_at IS NULL
               ORDER BY created_at DESC, id DESC LIMIT 1)
    THEN CAST(:until AS timestamptz) ELSE CAST(:now AS timestamptz) END
WHERE client = :client AND (expires_at IS NULL OR expires_at > :now)
""")


async def end_keys(tx: AsyncConnection, client: UUID, until: datetime, now: datetime) -> None:
    """Let the present key of a client end at `until`, and any older one now."""
    await tx.execute(_END_KEYS, {"client": client, "until": until, "now": now})


_REVOKE = text("UPDATE clients SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL")


async def revoke(tx: AsyncConnection, client: UUID, now: datetime) -> None:
    """Revoke a client, with all of its keys."""
    await tx.execute(_REVOKE, {"id": client, "now": now})
