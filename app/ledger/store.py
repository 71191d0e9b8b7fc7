"""The ledger's two append-only tables and the SQL that writes and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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


LOOKED = 5000
"""At how many places of the chain a filtered page looks at most. Whoever asks for what they may not
see would otherwise have the whole ledger searched, page after page, for nothing."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Up to which seq a page tells everything that its reader wants; whether there may be more."""

    seq: int
    more: bool


def _page(filters: Filters) -> str:
    """The events of a page as one reader sees them, and the places that it looked at.

    The look is bounded by places or by what is shown, never by what matches: were it bounded by
    matches, hidden ones included, where it ends would tell of each sealed envelope whether it
    matches. For the same reason the filters ask the records, which are fetched at every place: by
    an index on the type the time would tell as much. A reader who filters gets no envelopes.
    """
    # OFFSET 0: left to itself, PostgreSQL looks through all records for those that match.
    columns = "type, society, emergency, content, salt, commitment, audience, private"
    fetched = f"LATERAL (SELECT {columns} FROM records WHERE id = s.record OFFSET 0) r"
    where = [_VISIBLE] if filters.any else ["true"]
    if filters.types:
        where.append("r.type = ANY(CAST(:types AS text[]))")
    if filters.emergency:
        where.append("r.emergency = :emergency")
    if filters.mine:
        where.append("(r.society = :society OR :society = ANY(r.audience))")
    return f"""
WITH looked AS MATERIALIZED (
    SELECT seq, record, hash, previous_hash FROM seals
    WHERE seq > :after ORDER BY seq LIMIT {LOOKED if filters.any else ":limit"}
), page AS MATERIALIZED (
    SELECT s.seq, CASE WHEN {_VISIBLE} THEN r.type ELSE 'sealed' END AS type, {_SHOWN} AS doc
    FROM looked s, {fetched}
    WHERE {" AND ".join(where)} ORDER BY s.seq LIMIT :limit
)"""


_ENDS = """
(SELECT count(*) FROM page) AS shown, (SELECT max(seq) FROM page) AS last_shown,
(SELECT count(*) FROM looked) AS looked, (SELECT max(seq) FROM looked) AS last_looked
"""


@lru_cache(100)
def _direct(statement: str) -> Direct:
    """A page by its text: there are as many as combinations of filters."""
    return Direct(statement)


def _values(
    society: str, eyes: Sequence[str], after: int, limit: int, filters: Filters
) -> dict[str, Any]:
    return {
        "society": society,
        "eyes": list(eyes),
        "after": after,
        "limit": limit,
        "types": list(filters.types or ()),
        "emergency": filters.emergency,
    }


def _reach(ends: Any, after: int, limit: int) -> Reach:
    if ends["shown"] == limit:
        return Reach(ends["last_shown"], True)
    return Reach(ends["last_looked"] or after, ends["looked"] == LOOKED)


async def feed(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> tuple[str | None, Reach]:
    """A page of sealed records as JSON text, and how far it reaches."""
    items = "(SELECT string_agg(doc, ',' ORDER BY seq) FROM page) AS items"
    statement = _direct(f"{_page(filters)} SELECT {items}, {_ENDS}")
    row = await statement.first(tx, _values(society, eyes, after, limit, filters))
    return row["items"], _reach(row, after, limit)


async def told(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: Filters,
) -> tuple[list[Any], Reach]:
    """(seq, type, JSON) of sealed records, each as the reader sees it; and how far they reach."""
    # One row that tells how far, beside each event or alone.
    statement = _direct(
        f"{_page(filters)}, ends AS (SELECT {_ENDS}) "
        "SELECT p.seq, p.type, p.doc, e.* FROM ends e LEFT JOIN page p ON true ORDER BY p.seq"
    )
    rows = await statement.rows(tx, _values(society, eyes, after, limit, filters))
    reach = _reach(rows[0], after, limit)
    return [row for row in rows if row["seq"] is not None], reach


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
