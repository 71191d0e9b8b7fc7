"""Lots by the hundred thousand: the SQL of an import and of an export."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.incoming import AUDIENCE, Tables, instant
from app.ledger.rules import Facts
from app.quantity import MOST

_COLUMNS = (
    "row", "refused", "id", "ref", "item", "site", "quantity", "pack", "keep_back", "lot_number",
    "expires_on", "unit_value", "currency", "visible_to", "as_of",
)  # fmt: skip

_MADE = (
    """
CREATE TEMPORARY TABLE incoming (
    row int, refused bool, id uuid, ref text, item text, site text, quantity bigint, pack text,
    keep_back bigint, lot_number text, expires_on date, unit_value numeric(14, 2), currency text,
    visible_to text[], as_of timestamptz
) ON COMMIT DROP""",
    """
CREATE TEMPORARY TABLE planned (
    row int, id uuid, lot uuid, gone bool, ref text, item text, site uuid, quantity bigint,
    keep_back bigint, lot_number text, expires_on date, unit_value numeric(14, 2), currency text,
    visible_to text[], as_of timestamptz, fault text
) ON COMMIT DROP""",
    """
CREATE TEMPORARY TABLE published (
    n bigint, row int, id uuid, ref text, item text, quantity bigint, keep_back bigint,
    reserved bigint, lot_number text, expires_on date, visible_to text[], as_of timestamptz,
    created bool, earlier bigint
) ON COMMIT DROP""",
    """
CREATE TEMPORARY TABLE shortfalls (
    n bigint, id uuid, item text, shortfall bigint, audience text[]
) ON COMMIT DROP""",
    """
CREATE TEMPORARY TABLE withdrawals (
    n bigint, id uuid, ref text, item text, visible_to text[]
) ON COMMIT DROP""",
)
tables = Tables("stock", _MADE, _COLUMNS)

# Goods that left a lot after it was counted are there no more. A count without a date is one of
# this moment, and nothing has left since. What was read and is sent back is no new count: an export
# can be imported again unchanged.
_STILL_THERE = """CASE WHEN l.as_of = {as_of} AND l.quantity = {counted} THEN l.quantity
    ELSE greatest(0, {counted} - coalesce((
        SELECT sum(g.quantity)::bigint FROM goods_issues g
        WHERE g.lot = l.id AND g.issued_at > {as_of}), 0)) END"""

# What an import changes: what is new, what differs, and what is at fault. `as_of` counts only
# where the file gives one: the same count again is a repeated call, and that changes nothing.
# `planned` holds what was counted; what has left since then is subtracted when it is written.
_PLAN = text(f"""
INSERT INTO planned
SELECT i.row, coalesce(l.id, i.id), l.id, coalesce(l.withdrawn, true), i.ref, i.item, s.id, x.base,
       i.keep_back, i.lot_number, i.expires_on, i.unit_value, i.currency, i.visible_to,
       i.as_of, x.fault
FROM incoming i
LEFT JOIN items t ON t.code = i.item
LEFT JOIN packs p ON p.item = i.item AND p.code = i.pack
LEFT JOIN sites s ON s.society = :society AND s.ref = i.site
LEFT JOIN lots l ON l.society = :society AND l.ref = i.ref
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.pack IS NULL THEN i.quantity
                ELSE least(i.quantity::numeric * p.quantity, {MOST} + 1)::bigint END AS base,
           CASE WHEN t.code IS NULL THEN 'item'
                WHEN i.pack IS NOT NULL AND p.code IS NULL THEN 'pack'
                WHEN i.pack IS NOT NULL AND i.quantity::numeric * p.quantity > {MOST}
                    THEN 'quantity'
                WHEN s.id IS NULL THEN 'site'
                WHEN i.visible_to IS NOT NULL
                    AND NOT i.visible_to <@ CAST(:societies AS text[]) THEN 'visible_to'
                WHEN l.reserved > 0 AND l.item <> i.item THEN 'reserved'
                WHEN i.as_of < l.as_of THEN 'stale' END AS fault
    OFFSET 0
) x
WHERE NOT i.refused AND (
    l.id IS NULL OR x.fault IS NOT NULL OR l.withdrawn
    OR (l.item, l.site, l.keep_back) <> (i.item, s.id, i.keep_back)
    OR l.quantity <> {_STILL_THERE.format(counted="x.base", as_of="i.as_of")}
    OR l.lot_number IS DISTINCT FROM i.lot_number OR l.expires_on IS DISTINCT FROM i.expires_on
    OR l.unit_value IS DISTINCT FROM i.unit_value OR l.currency IS DISTINCT FROM i.currency
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
    SELECT l.id FROM lots l
    WHERE l.id IN (SELECT lot FROM planned WHERE fault IS NULL AND lot IS NOT NULL)
       OR (:replace AND {_UNLISTED})
    ORDER BY l.id FOR NO KEY UPDATE
) held
""")


async def lock(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Hold the lots that will change: nobody promises from them until the import ends."""
    await tx.execute(_LOCK, values)


# Where another call changed a lot between the plan and the lock, its newest row decides.
_MERGE = text(f"""
WITH merged AS (
    MERGE INTO lots l USING (
        SELECT p.row, p.id, p.ref, p.item, p.site, p.keep_back, p.lot_number, p.expires_on,
               p.unit_value, p.currency, p.visible_to, p.as_of,
               {_STILL_THERE.format(counted="p.quantity", as_of="p.as_of")} AS quantity
        FROM planned p LEFT JOIN lots l ON l.id = p.id WHERE p.fault IS NULL
    ) p ON l.id = p.id
    WHEN MATCHED AND NOT (l.reserved > 0 AND l.item <> p.item)
        AND (p.as_of IS NULL OR p.as_of >= l.as_of) THEN UPDATE SET
        item = p.item, site = p.site, quantity = p.quantity, keep_back = p.keep_back,
        ceiling = greatest(p.quantity - p.keep_back, l.reserved), lot_number = p.lot_number,
        expires_on = p.expires_on, unit_value = p.unit_value, currency = p.currency,
        visible_to = p.visible_to, as_of = coalesce(p.as_of, greatest(:now, l.as_of)),
        updated_at = :now,
        withdrawn = false
    WHEN NOT MATCHED THEN INSERT (id, society, ref, item, site, quantity, keep_back, reserved,
        ceiling, lot_number, expires_on, unit_value, currency, visible_to, as_of, updated_at,
        withdrawn)
    VALUES (p.id, :society, p.ref, p.item, p.site, p.quantity, p.keep_back, 0,
        greatest(p.quantity - p.keep_back, 0), p.lot_number, p.expires_on, p.unit_value,
        p.currency, p.visible_to, coalesce(p.as_of, :now), :now, false)
    RETURNING p.row, new.id, new.ref, new.item, new.quantity, new.keep_back, new.reserved,
        new.lot_number, new.expires_on, new.visible_to, new.as_of,
        coalesce(old.withdrawn, true) AS created,
        greatest(0, coalesce(old.reserved - old.quantity, 0)) AS earlier
)
INSERT INTO published
SELECT row_number() OVER (ORDER BY row), row, id, ref, item, quantity, keep_back, reserved,
       lot_number, expires_on, visible_to, as_of, created, earlier
FROM merged
""")

_LEFT = text("""
SELECT p.row,
    CASE WHEN l.reserved > 0 AND l.item <> p.item THEN 'reserved' ELSE 'stale' END AS fault
FROM planned p JOIN lots l ON l.id = p.id
WHERE p.fault IS NULL AND (l.reserved > 0 AND l.item <> p.item OR p.as_of < l.as_of) ORDER BY p.row
""")

# No older count is taken from now on, so that nobody asks any more what left before this one.
_FORGET_ISSUES = text("""
DELETE FROM goods_issues g USING published b WHERE g.lot = b.id AND g.issued_at <= b.as_of
""")

_SHORTFALLS = text("""
INSERT INTO shortfalls
SELECT row_number() OVER (ORDER BY b.row), b.id, b.item, greatest(0, b.reserved - b.quantity),
       ARRAY(SELECT r.beneficiary FROM reservations r WHERE r.lot = b.id AND r.quantity > 0
             UNION SELECT CAST(:society AS text) ORDER BY 1)
FROM published b WHERE greatest(0, b.reserved - b.quantity) <> b.earlier
""")


async def merge(tx: AsyncConnection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Publish what is planned; (row, fault) of what another call made impossible meanwhile."""
    await tx.execute(_MERGE, values)
    await tx.execute(_FORGET_ISSUES)
    await tx.execute(_SHORTFALLS, values)
    return (await tx.execute(_LEFT)).all()


_WITHDRAW = text(f"""
WITH gone AS (
    UPDATE lots l SET withdrawn = true, quantity = 0, keep_back = 0, ceiling = 0, updated_at = :now
    WHERE {_UNLISTED} AND l.reserved = 0
    RETURNING l.id, l.ref, l.item, l.visible_to
)
INSERT INTO withdrawals
SELECT row_number() OVER (ORDER BY id), id, ref, item, visible_to FROM gone
""")
_WOULD_WITHDRAW = text(f"SELECT count(*) FROM lots l WHERE {_UNLISTED} AND l.reserved = 0")
_KEPT = text(
    f"SELECT l.ref, l.reserved FROM lots l WHERE {_UNLISTED} AND l.reserved > 0 ORDER BY l.ref"
)


async def withdraw(tx: AsyncConnection, values: Mapping[str, Any]) -> int:
    """Take off the exchange what is not listed and not promised; how many."""
    return (await tx.execute(_WITHDRAW, values)).rowcount


async def would_withdraw(tx: AsyncConnection, values: Mapping[str, Any]) -> int:
    """How many lots are neither listed nor promised."""
    return int((await tx.execute(_WOULD_WITHDRAW, values)).scalar_one())


async def kept(tx: AsyncConnection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """(ref, reserved) of what is not listed but promised."""
    return (await tx.execute(_KEPT, values)).all()


facts = (
    Facts(
        "stock.published",
        "published",
        data=(
            ("item", "text", "f.item"),
            ("available", "number", "greatest(0, f.quantity - f.keep_back - f.reserved)"),
            ("lot_number", "text", "f.lot_number"),
            ("expires_on", "word", "to_char(f.expires_on, 'YYYY-MM-DD')"),
            ("as_of", "word", instant("f.as_of")),
        ),
        private=(
            ("ref", "text", "f.ref"),
            ("quantity", "number", "f.quantity"),
            ("keep_back", "number", "f.keep_back"),
            ("reserved", "number", "f.reserved"),
        ),
        audience=AUDIENCE,
    ),
    Facts(
        "stock.shortfall",
        "shortfalls",
        data=(("item", "text", "f.item"), ("shortfall", "number", "f.shortfall")),
        audience="f.audience",
    ),
    Facts(
        "stock.withdrawn",
        "withdrawals",
        data=(("item", "text", "f.item"),),
        private=(
            ("ref", "text", "f.ref"),
            ("quantity", "number", "0"),
            ("keep_back", "number", "0"),
            ("reserved", "number", "0"),
        ),
        audience=AUDIENCE,
    ),
)
"""What the ledger is told of what was published, is short, and was withdrawn."""


EXPORT = f"""
SELECT l.ref, l.item, s.ref, l.quantity, NULL::text, l.keep_back, l.lot_number, l.expires_on,
       l.unit_value, l.currency, array_to_json(l.visible_to),
       {instant("l.as_of")}
FROM lots l JOIN sites s ON s.id = l.site
WHERE l.society = $1 AND NOT l.withdrawn ORDER BY l.id
"""

site_tables = Tables(
    "sites",
    (
        """
CREATE TEMPORARY TABLE incoming (
    row int, refused bool, id uuid, ref text, name text, country text, lat double precision,
    lon double precision, kind text
) ON COMMIT DROP""",
    ),
    ("row", "refused", "id", "ref", "name", "country", "lat", "lon", "kind"),
)

_DIFFERENT_SITES = text("""
SELECT i.row, coalesce(s.id, i.id) AS id, s.id IS NULL AS created, i.ref, i.name, i.country,
       i.lat, i.lon, i.kind
FROM incoming i LEFT JOIN sites s ON s.society = :society AND s.ref = i.ref
WHERE NOT i.refused AND (s.id IS NULL OR (s.name, s.country, s.lat, s.lon, s.kind)
                                      <> (i.name, i.country, i.lat, i.lon, i.kind))
ORDER BY i.ref
""")


async def different_sites(tx: AsyncConnection, society: str) -> Sequence[Row[Any]]:
    """Sites that are new or differ from what is published, in the order of their references."""
    return (await tx.execute(_DIFFERENT_SITES, {"society": society})).all()
