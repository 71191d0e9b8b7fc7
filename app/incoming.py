"""The tables that every import makes for its transaction, and the SQL that is the same for all.

`incoming` holds the checked rows of the file, `planned` what differs from what is published, and
`published` what was written. Their other columns are the room's own (`merging.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Tables:
    """What an import of a kind makes: SQL of its tables, and the columns of `incoming` in the order
    in which checked rows are written."""

    kind: str
    made: tuple[str, ...]
    columns: tuple[str, ...]


# One import of a society after the other: two at once would only wait for each other's rows.
_TURN = text("""
SELECT pg_advisory_xact_lock(hashtextextended(
    CAST(:kind AS text) || ' import ' || CAST(:society AS text), 11))
""")


async def wait_turn(tx: AsyncConnection, tables: Tables, society: str) -> None:
    """Wait until no other import of this kind runs for the society."""
    await tx.execute(_TURN, {"kind": tables.kind, "society": society})


async def take(tx: AsyncConnection, tables: Tables, spool: IO[bytes]) -> None:
    """Make the tables, and bring checked rows into `incoming`."""
    for table in tables.made:
        await tx.execute(text(table))
    driver: Any = (await tx.get_raw_connection()).driver_connection
    await driver.copy_to_table("incoming", source=spool, columns=list(tables.columns))


_DATE = text("UPDATE incoming SET as_of = :as_of WHERE as_of IS NULL")


async def date(tx: AsyncConnection, as_of: datetime) -> None:
    """Say of the rows without a date of their own when they were counted."""
    await tx.execute(_DATE, {"as_of": as_of})


_DOUBLED = text("""
WITH doubled AS (
    SELECT ref, min(row) AS first FROM incoming GROUP BY ref HAVING count(*) > 1
)
UPDATE incoming i SET refused = true FROM doubled d
WHERE i.ref = d.ref AND i.row > d.first AND NOT i.refused
RETURNING i.row, d.first
""")


async def doubled(tx: AsyncConnection) -> Sequence[Row[Any]]:
    """(row, first row) of rows whose reference stands further up already; they are refused."""
    return (await tx.execute(_DOUBLED)).all()


_FAULTS = text("SELECT row, fault FROM planned WHERE fault IS NOT NULL ORDER BY row")


async def faults(tx: AsyncConnection) -> Sequence[Row[Any]]:
    """(row, fault) of planned rows that cannot be published."""
    return (await tx.execute(_FAULTS)).all()


_PLANNED = text("""
SELECT count(*) FILTER (WHERE gone) AS created, count(*) FILTER (WHERE NOT gone) AS changed
FROM planned WHERE fault IS NULL
""")
_PUBLISHED = text("""
SELECT count(*) FILTER (WHERE created) AS created, count(*) FILTER (WHERE NOT created) AS changed
FROM published
""")


async def planned(tx: AsyncConnection) -> tuple[int, int]:
    """How many would be created, and how many changed."""
    created, changed = (await tx.execute(_PLANNED)).one()
    return created, changed


async def published(tx: AsyncConnection) -> tuple[int, int]:
    """How many were created, and how many changed."""
    created, changed = (await tx.execute(_PUBLISHED)).one()
    return created, changed


async def give_back(tx: AsyncConnection, query: str, society: str, file: IO[bytes]) -> None:
    """The rows of a query on the society `$1`, from one snapshot, as CSV into a file."""
    driver: Any = (await tx.get_raw_connection()).driver_connection
    try:
        await driver.copy_from_query(query, society, output=file, format="csv")
    except BaseException:
        # Where the file could not take it, the rest of the answer is still on its way: the next
        # call on this connection would wait for ever.
        if tx.sync_connection is not None:
            tx.sync_connection.invalidate()
        raise


def instant(column: str) -> str:
    """SQL of an instant as the ledger and the exports write it."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


AUDIENCE = """CASE WHEN f.visible_to IS NULL THEN NULL ELSE
    ARRAY(SELECT unnest(f.visible_to) UNION SELECT CAST(:society AS text) ORDER BY 1) END"""
"""SQL of who may see the fact of a published row: its owner and those that it is visible to."""
