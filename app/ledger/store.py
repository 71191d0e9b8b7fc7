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
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Direct, Part, metadata
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
    # No foreign key: its check would lock the record's row, which is to say write to it, for
    # every seal. `verify` names a seal whose record is missing.
    Column("record", Uuid, nullable=False, unique=True),
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

_APPEND = """
INSERT INTO records (id, type, at, society, client, emergency, content, salt, commitment, audience,
                     private)
SELECT f.id, f.type, f.at, f.society, f.client, f.emergency, f.content,
       decode(f.salt, 'hex'), decode(f.commitment, 'hex'), f.audience, f.private
FROM {after}jsonb_to_recordset(CAST(:facts AS jsonb)) AS f(
    id uuid, type text, at timestamptz, society text, client uuid, emergency uuid, content text,
    salt text, commitment text, audience text[], private text)
WHERE pg_current_xact_id() IS NOT NULL
"""
# The condition is looked at before any number is drawn, and gives the transaction its id if it has
# none yet: the sealer knows by that id which numbers may still come (app/ledger/sealing.py).
_APPEND_ALONE = Direct(_APPEND.format(after=""))


async def append(tx: AsyncConnection, facts: str) -> None:
    """Write records; `facts` is a JSON array, written in its order."""
    await _APPEND_ALONE.run(tx, {"facts": facts})


def append_part(facts: str, after: str) -> Part:
    """Write records as a part of a statement, once the part `after` has done all its work.

    A record's number is drawn when it is written. Were it drawn while the statement still waits
    for a lot that another promise holds, it could be smaller than the number of the publication
    that the promise is made from.
    """
    done = f"(SELECT count(*) FROM {after}) AS done, "
    return Part(f"recorded AS ({_APPEND.format(after=done)})", {"facts": facts})


# The content is canonical JSON already: it is sent as it is, with the seal written around it.
_SHOWN = """
concat('{"seq":', s.seq,
    CASE WHEN r.audience IS NULL OR r.audience && CAST(:eyes AS text[]) THEN concat(
        ',"salt":"', encode(r.salt, 'hex'), '",',
        CASE WHEN r.private IS NOT NULL AND r.society = :society
             THEN concat('"private":', r.private, ',') END,
        substr(r.content, 2, length(r.content) - 2))
    ELSE ',"id"\\:null,"type":"sealed","at"\\:null,"society"\\:null,' ||
         '"subject"\\:null,"data"\\:null,"salt"\\:null' END,
    ',"commitment":"', encode(r.commitment, 'hex'),
    '","hash":"', encode(s.hash, 'hex'),
    '","previous_hash":"', encode(s.previous_hash, 'hex'), '"}')
"""

_VISIBLE = "(r.audience IS NULL OR r.audience && CAST(:eyes AS text[]))"


_LOOKED = 5000
"""How many seals a filtered page looks through at most. Whoever asks for what they may not see
would otherwise have the whole ledger searched, page after page, for nothing."""


def _wanted(types: bool, emergency: bool, mine: bool) -> tuple[str, str]:
    """(the seals to look through, which of their records to show).

    Only the filters asked for stand in it, so that indexes serve them. A reader who filters gets
    no sealed envelopes: what they are about is not told.
    """
    where = ["seq > :after"]
    if types:
        where.append("type = ANY(CAST(:types AS text[]))")
    if emergency:
        where.append("emergency = :emergency")
    shown = "true"
    if types or emergency or mine:
        shown = _VISIBLE
    if mine:
        shown += " AND (r.society = :society OR :society = ANY(r.audience))"
    bound = f"{_LOOKED}" if types or emergency or mine else ":limit"
    looked = f"""looked AS (
    SELECT seq, record, type, hash, previous_hash FROM seals
    WHERE {" AND ".join(where)} ORDER BY seq LIMIT {bound}
)"""
    return looked, shown


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


# `place` is the seq up to which nothing is left to show: the last that is shown where the page is
# full, else the last that was looked at.
@cache
def _feed_statement(types: bool, emergency: bool, mine: bool) -> Direct:
    looked, shown = _wanted(types, emergency, mine)
    return Direct(f"""
WITH {looked}, page AS (
    SELECT s.seq, {_SHOWN} AS doc
    FROM looked s JOIN records r ON r.id = s.record WHERE {shown} ORDER BY s.seq LIMIT :limit
)
SELECT (SELECT string_agg(doc, ',' ORDER BY seq) FROM page) AS items,
    (SELECT count(*) FROM page) AS shown, (SELECT max(seq) FROM page) AS last_shown,
    (SELECT count(*) FROM looked) AS looked, (SELECT max(seq) FROM looked) AS last_looked
""")


async def feed(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> tuple[str | None, int | None]:
    """A page of sealed records as JSON text, and the seq after which the next one begins.

    The latter is None where nothing more is sealed yet.
    """
    values = _feed_values(society, eyes, after, limit, filters)
    statement = _feed_statement(bool(filters.types), bool(filters.emergency), filters.mine)
    row = await statement.first(tx, values)
    if row["shown"] == limit:
        return row["items"], row["last_shown"]
    return row["items"], row["last_looked"] if row["looked"] == _LOOKED else None


@cache
def _told_statement(types: bool, emergency: bool, mine: bool) -> Direct:
    looked, shown = _wanted(types, emergency, mine)
    return Direct(f"""
WITH {looked}, page AS (
    SELECT s.seq, CASE WHEN {_VISIBLE} THEN r.type ELSE 'sealed' END AS type, {_SHOWN} AS doc
    FROM looked s JOIN records r ON r.id = s.record WHERE {shown} ORDER BY s.seq LIMIT :limit
)
SELECT seq, type, doc FROM page
UNION ALL SELECT max(seq), NULL, CAST(count(*) AS text) FROM looked
ORDER BY type NULLS LAST, seq
""")


async def told(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> tuple[list[Any], int | None]:
    """((seq, type, JSON) of sealed records, each as the reader sees it; where to go on).

    The latter is as in `feed`.
    """
    values = _feed_values(society, eyes, after, limit, filters)
    statement = _told_statement(bool(filters.types), bool(filters.emergency), filters.mine)
    *rows, looked = await statement.rows(tx, values)
    rows.sort(key=lambda row: int(row["seq"]))
    if len(rows) == limit:
        return rows, rows[-1]["seq"]
    return rows, looked["seq"] if int(looked["doc"]) == _LOOKED else None


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
