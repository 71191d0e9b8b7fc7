"""The ledger's two append-only tables and the SQL that writes and reads them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    TextClause,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata
from app.ledger.rules import Filters

records = Table(
    "records",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Drawn when the record is written, which is after every lock of its transaction was taken:
    # of two transactions that stood in each other's way, the first to commit has the smaller n.
    Column("n", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("society", Text, nullable=False),
    Column("client", Uuid),
    # The emergency that the content names, for readers that follow one alone.
    Column("emergency", Uuid),
    # Canonical JSON, kept as the very text that the commitment covers.
    Column("content", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=False),
    # Who may see the content: society codes and `secretariat`; null is everybody.
    Column("audience", ARRAY(Text)),
    # What only the acting society may see; its own commitment stands in the content.
    Column("private", Text),
)

seals = Table(
    "seals",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("record", Uuid, ForeignKey("records.id"), nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("emergency", Uuid),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_seals_type_seq", "type", "seq"),
    Index(
        "ix_seals_emergency_seq",
        "emergency",
        "seq",
        postgresql_where=text("emergency IS NOT NULL"),
    ),
)

# Below the mark everything is sealed that ever will be. It only spares the sealer a look at the
# whole ledger when it starts; an old one costs time and nothing else.
sealing = Table(
    "sealing",
    metadata,
    Column("id", Boolean, primary_key=True),
    Column("mark", BigInteger, nullable=False),
    CheckConstraint("id", name="one"),
)

_APPEND = text("""
INSERT INTO records (id, type, at, society, client, emergency, content, salt, commitment, audience,
                     private)
SELECT f.id, f.type, f.at, f.society, f.client, f.emergency, f.content,
       decode(f.salt, 'hex'), decode(f.commitment, 'hex'), f.audience, f.private
FROM jsonb_to_recordset(CAST(:facts AS jsonb)) AS f(
    id uuid, type text, at timestamptz, society text, client uuid, emergency uuid, content text,
    salt text, commitment text, audience text[], private text)
""")


async def append(tx: AsyncConnection, facts: str) -> None:
    """Write records; `facts` is a JSON array, written in its order."""
    await tx.execute(_APPEND, {"facts": facts})


# The content is canonical JSON already: it is sent as it is, with the seal written around it.
_SHOWN = """
'{"seq":' || s.seq ||
CASE WHEN r.audience IS NULL OR r.audience && CAST(:eyes AS text[]) THEN
    ',"salt":"' || encode(r.salt, 'hex') || '",' ||
    CASE WHEN r.private IS NOT NULL AND r.society = :society
         THEN '"private":' || r.private || ',' ELSE '' END ||
    substr(r.content, 2, length(r.content) - 2)
ELSE ',"id"\\:null,"type":"sealed","at"\\:null,"society"\\:null,' ||
     '"subject"\\:null,"data"\\:null,"salt"\\:null'
END ||
',"commitment":"' || encode(r.commitment, 'hex') ||
'","hash":"' || encode(s.hash, 'hex') ||
'","previous_hash":"' || encode(s.previous_hash, 'hex') || '"}'
"""

_VISIBLE = "(r.audience IS NULL OR r.audience && CAST(:eyes AS text[]))"


def _wanted(types: bool, emergency: bool, mine: bool) -> str:
    """The condition of a page; only the filters asked for stand in it, so that indexes serve them.

    A reader who filters gets no sealed envelopes: what they are about is not told.
    """
    where = ["s.seq > :after"]
    if types or emergency or mine:
        where.append(_VISIBLE)
    if types:
        where.append("s.type = ANY(CAST(:types AS text[]))")
    if emergency:
        where.append("s.emergency = :emergency")
    if mine:
        where.append("(r.society = :society OR :society = ANY(r.audience))")
    return " AND ".join(where)


def _feed_values(
    society: str, eyes: Sequence[str], after: int, limit: int, filters: Filters
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "society": society,
        "eyes": list(eyes),
        "after": after,
        "limit": limit,
    }
    if filters.types:
        values["types"] = list(filters.types)
    if filters.emergency:
        values["emergency"] = filters.emergency
    return values


@cache
def _feed_statement(types: bool, emergency: bool, mine: bool) -> TextClause:
    return text(f"""
SELECT string_agg(p.doc, ',' ORDER BY p.seq), max(p.seq), count(*)
FROM (
    SELECT s.seq, {_SHOWN} AS doc
    FROM seals s JOIN records r ON r.id = s.record
    WHERE {_wanted(types, emergency, mine)} ORDER BY s.seq LIMIT :limit
) p
""")


async def feed(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> tuple[str | None, int | None, int]:
    """A page of sealed records as JSON text, its last seq, and how many they are."""
    values = _feed_values(society, eyes, after, limit, filters)
    statement = _feed_statement(bool(filters.types), bool(filters.emergency), filters.mine)
    row = (await tx.execute(statement, values)).one()
    return row[0], row[1], row[2]


@cache
def _told_statement(types: bool, emergency: bool, mine: bool) -> TextClause:
    return text(f"""
SELECT s.seq, CASE WHEN {_VISIBLE} THEN r.type ELSE 'sealed' END AS type, {_SHOWN} AS doc
FROM seals s JOIN records r ON r.id = s.record
WHERE {_wanted(types, emergency, mine)} ORDER BY s.seq LIMIT :limit
""")


async def told(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> list[Row[Any]]:
    """(seq, type, JSON) of sealed records, each as the reader sees it."""
    values = _feed_values(society, eyes, after, limit, filters)
    statement = _told_statement(bool(filters.types), bool(filters.emergency), filters.mine)
    return list((await tx.execute(statement, values)).all())


_SEALED = text("""
SELECT s.seq, r.type, r.emergency, r.society, r.audience, r.private, r.content,
       encode(r.salt, 'hex') AS salt, encode(r.commitment, 'hex') AS commitment,
       encode(s.hash, 'hex') AS hash, encode(s.previous_hash, 'hex') AS previous_hash
FROM seals s JOIN records r ON r.id = s.record
WHERE s.seq > :after ORDER BY s.seq LIMIT :limit
""")


async def sealed(tx: AsyncConnection, after: int, limit: int) -> list[Row[Any]]:
    """Sealed records with all that decides who may see them, for a process that shows them."""
    return list((await tx.execute(_SEALED, {"after": after, "limit": limit})).all())


_HEAD = text("SELECT seq, encode(hash, 'hex') FROM seals ORDER BY seq DESC LIMIT 1")


async def head(tx: AsyncConnection) -> tuple[int, str]:
    """The last seal's seq and hash; (0, 64 zeros) before the first."""
    row = (await tx.execute(_HEAD)).one_or_none()
    return (row[0], row[1]) if row else (0, "0" * 64)


_LAG = text("""
SELECT coalesce(extract(epoch FROM now() - min(at)), 0), count(*)
FROM (
    SELECT r.at FROM records r
    WHERE r.n > coalesce((SELECT mark FROM sealing), 0)
      AND NOT EXISTS (SELECT FROM seals s WHERE s.record = r.id)
    ORDER BY r.n LIMIT 10000
) waiting
""")


async def lag(tx: AsyncConnection) -> tuple[float, int]:
    """Age in seconds of the oldest record without a seal, and how many wait (10,000 at most)."""
    row = (await tx.execute(_LAG)).one()
    return float(row[0]), int(row[1])
