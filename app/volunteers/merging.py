"""Pools by the sheet: the SQL of an import and of an export."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.incoming import AUDIENCE, Tables, instant
from app.ledger.rules import Facts
from app.volunteers.store import SHORTFALL, STANDING, peak

_COLUMNS = (
    "row", "refused", "id", "ref", "skill", "languages", "headcount", "available_from",
    "available_until", "notice_hours", "site", "visible_to", "as_of",
)  # fmt: skip

_FIELDS = """languages text[], headcount int, available_from timestamptz,
    available_until timestamptz, notice_hours int"""

_MADE = (
    f"""
CREATE TEMPORARY TABLE incoming (
    row int, refused bool, id uuid, ref text, skill text, {_FIELDS}, site text, visible_to text[],
    as_of timestamptz
) ON COMMIT DROP""",
    f"""
CREATE TEMPORARY TABLE planned (
    row int, id uuid, pool uuid, gone bool, ref text, skill text, {_FIELDS}, site uuid,
    visible_to text[], as_of timestamptz, fault text
) ON COMMIT DROP""",
    f"""
CREATE TEMPORARY TABLE published (
    n bigint, row int, id uuid, ref text, skill text, {_FIELDS}, visible_to text[],
    as_of timestamptz, created bool
) ON COMMIT DROP""",
    "CREATE TEMPORARY TABLE standings (id uuid, shortfall int) ON COMMIT DROP",
    """
CREATE TEMPORARY TABLE shortfalls (
    n bigint, id uuid, skill text, shortfall int, audience text[]
) ON COMMIT DROP""",
    """
CREATE TEMPORARY TABLE withdrawals (
    n bigint, id uuid, ref text, skill text, visible_to text[]
) ON COMMIT DROP""",
)
tables = Tables("volunteers", _MADE, _COLUMNS)

_PROMISED = f"EXISTS (SELECT FROM promises p WHERE p.pool = l.id AND {STANDING})"

# What an import changes: what is new, what differs, and what is at fault. `as_of` counts only
# where the file gives one: the same count again is a repeated call, and that changes nothing.
_PLAN = text(f"""
INSERT INTO planned
SELECT i.row, coalesce(l.id, i.id), l.id, coalesce(l.withdrawn, true), i.ref, i.skill, i.languages,
       i.headcount, i.available_from, i.available_until, i.notice_hours, s.id, i.visible_to,
       i.as_of, x.fault
FROM incoming i
LEFT JOIN skills t ON t.code = i.skill
LEFT JOIN sites s ON s.society = :society AND s.ref = i.site
LEFT JOIN pools l ON l.society = :society AND l.ref = i.ref
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.code IS NULL THEN 'skill'
                WHEN s.id IS NULL THEN 'site'
                WHEN i.visible_to IS NOT NULL
                    AND NOT i.visible_to <@ CAST(:societies AS text[]) THEN 'visible_to'
                WHEN l.skill <> i.skill AND {_PROMISED} THEN 'promised'
                WHEN i.as_of < l.as_of THEN 'stale' END AS fault
    OFFSET 0
) x
WHERE NOT i.refused AND (
    l.id IS NULL OR x.fault IS NOT NULL OR l.withdrawn
    OR (l.skill, l.languages, l.headcount, l.available_from, l.available_until, l.notice_hours,
        l.site) <> (i.skill, i.languages, i.headcount, i.available_from, i.available_until,
                    i.notice_hours, s.id)
    OR l.visible_to IS DISTINCT FROM i.visible_to OR l.as_of <> i.as_of)
""")


async def plan(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Compare with what is published: what is new, what differs, what is at fault."""
    await tx.execute(_PLAN, values)


_UNLISTED = """
l.society = :society AND NOT l.withdrawn
AND NOT EXISTS (SELECT FROM incoming i WHERE i.ref = l.ref)
"""

# Locked in the order of their ids, as offers lock them; what does not change is not locked.
_LOCK = text(f"""
SELECT count(*) FROM (
    SELECT l.id FROM pools l
    WHERE l.id IN (SELECT pool FROM planned WHERE fault IS NULL AND pool IS NOT NULL)
       OR (:replace AND {_UNLISTED})
    ORDER BY l.id FOR NO KEY UPDATE
) held
""")


async def lock(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Hold the pools that will change: nobody promises people of them until the import ends."""
    await tx.execute(_LOCK, values)


_STANDINGS = text(f"""
INSERT INTO standings
SELECT l.id, {SHORTFALL} FROM pools l
WHERE l.id IN (SELECT pool FROM planned WHERE fault IS NULL) AND {_PROMISED}
""")

# Where another call changed a pool between the plan and the lock, its newest row decides.
_MERGE = text(f"""
WITH merged AS (
    MERGE INTO pools l USING (SELECT * FROM planned WHERE fault IS NULL) n ON l.id = n.id
    WHEN MATCHED AND NOT (l.skill <> n.skill AND {_PROMISED})
        AND (n.as_of IS NULL OR n.as_of >= l.as_of) THEN UPDATE SET
        skill = n.skill, languages = n.languages, headcount = n.headcount,
        available_from = n.available_from, available_until = n.available_until,
        notice_hours = n.notice_hours, site = n.site, visible_to = n.visible_to,
        as_of = coalesce(n.as_of, greatest(:now, l.as_of)), updated_at = :now, withdrawn = false
    WHEN NOT MATCHED THEN INSERT (id, society, ref, skill, languages, headcount, available_from,
        available_until, notice_hours, site, visible_to, as_of, updated_at, withdrawn)
    VALUES (n.id, :society, n.ref, n.skill, n.languages, n.headcount, n.available_from,
        n.available_until, n.notice_hours, n.site, n.visible_to, coalesce(n.as_of, :now), :now,
        false)
    RETURNING n.row, new.id, new.ref, new.skill, new.languages, new.headcount, new.available_from,
        new.available_until, new.notice_hours, new.visible_to, new.as_of,
        coalesce(old.withdrawn, true) AS created
)
INSERT INTO published SELECT row_number() OVER (ORDER BY row), * FROM merged
""")

_LEFT = text(f"""
SELECT n.row, CASE WHEN n.as_of < l.as_of THEN 'stale' ELSE 'promised' END AS fault
FROM planned n JOIN pools l ON l.id = n.id
WHERE n.fault IS NULL AND (n.as_of < l.as_of OR l.skill <> n.skill AND {_PROMISED}) ORDER BY n.row
""")

_SHORTFALLS = text(f"""
INSERT INTO shortfalls
SELECT row_number() OVER (ORDER BY x.row), x.id, x.skill, x.shortfall,
       ARRAY(SELECT p.beneficiary FROM promises p
             WHERE p.pool = x.id AND {STANDING}
             UNION SELECT CAST(:society AS text) ORDER BY 1)
FROM (
    SELECT b.row, l.id, l.skill, {SHORTFALL} AS shortfall, coalesce(e.shortfall, 0) AS earlier
    FROM published b JOIN pools l ON l.id = b.id LEFT JOIN standings e ON e.id = l.id
    WHERE {_PROMISED}
) x WHERE x.shortfall <> x.earlier
""")


async def merge(tx: AsyncConnection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Publish what is planned; (row, fault) of what another call made impossible meanwhile."""
    await tx.execute(_STANDINGS, values)
    await tx.execute(_MERGE, values)
    await tx.execute(_SHORTFALLS, values)
    return (await tx.execute(_LEFT, values)).all()


_WITHDRAW = text(f"""
WITH gone AS (
    UPDATE pools l SET withdrawn = true, headcount = 0, updated_at = :now
    WHERE {_UNLISTED} AND NOT {_PROMISED}
    RETURNING l.id, l.ref, l.skill, l.visible_to
)
INSERT INTO withdrawals
SELECT row_number() OVER (ORDER BY id), id, ref, skill, visible_to FROM gone
""")
_WOULD_WITHDRAW = text(f"SELECT count(*) FROM pools l WHERE {_UNLISTED} AND NOT {_PROMISED}")
_KEPT = text(f"""
SELECT l.ref, {peak("l.id", ":now", "'infinity'::timestamptz")} FROM pools l
WHERE {_UNLISTED} AND {_PROMISED} ORDER BY l.ref
""")


async def withdraw(tx: AsyncConnection, values: Mapping[str, Any]) -> int:
    """Take off the exchange what is not listed and not promised; how many."""
    return (await tx.execute(_WITHDRAW, values)).rowcount


async def would_withdraw(tx: AsyncConnection, values: Mapping[str, Any]) -> int:
    """How many pools are neither listed nor promised."""
    return int((await tx.execute(_WOULD_WITHDRAW, values)).scalar_one())


async def kept(tx: AsyncConnection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """(ref, promised) of what is not listed but promised."""
    return (await tx.execute(_KEPT, values)).all()


facts = (
    Facts(
        "volunteers.published",
        "published",
        data=(
            ("skill", "text", "f.skill"),
            ("languages", "list", "f.languages"),
            ("available_from", "word", instant("f.available_from")),
            ("available_until", "word", instant("f.available_until")),
            ("as_of", "word", instant("f.as_of")),
        ),
        private=(("ref", "text", "f.ref"), ("headcount", "number", "f.headcount")),
        audience=AUDIENCE,
    ),
    Facts(
        "volunteers.shortfall",
        "shortfalls",
        data=(("skill", "text", "f.skill"), ("shortfall", "number", "f.shortfall")),
        audience="f.audience",
    ),
    Facts(
        "volunteers.withdrawn",
        "withdrawals",
        data=(("skill", "text", "f.skill"),),
        private=(("ref", "text", "f.ref"), ("headcount", "number", "0")),
        audience=AUDIENCE,
    ),
)
"""What the ledger is told of what was published, is short, and was withdrawn."""


EXPORT = f"""
SELECT l.ref, l.skill, array_to_json(l.languages), l.headcount, {instant("l.available_from")},
       {instant("l.available_until")}, l.notice_hours, s.ref, array_to_json(l.visible_to),
       {instant("l.as_of")}
FROM pools l JOIN sites s ON s.id = l.site
WHERE l.society = $1 AND NOT l.withdrawn ORDER BY l.id
"""
