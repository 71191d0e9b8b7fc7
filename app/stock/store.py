"""Sites, lots and reservations: tables and SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app import ids
from app.db import Direct, Part, metadata, require_all

sites = Table(
    "sites",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("kind", Text, nullable=False),
    UniqueConstraint("society", "ref", name="uq_sites_society_ref"),
)

lots = Table(
    "lots",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("society", Text, ForeignKey("societies.id"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("item", Text, ForeignKey("items.code"), nullable=False),
    Column("site", Uuid, ForeignKey("sites.id"), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("keep_back", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    # The most that may be reserved until the owner publishes again: the CHECK behind the guard.
    Column("ceiling", BigInteger, nullable=False),
    Column("lot_number", Text),
    Column("expires_on", Date),
    Column("unit_value", Numeric(14, 2)),
    Column("currency", Text),
    Column("visible_to", ARRAY(Text)),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    UniqueConstraint("society", "ref", name="uq_lots_society_ref"),
    CheckConstraint("quantity >= 0 AND keep_back >= 0 AND reserved >= 0", name="counts"),
    CheckConstraint("reserved <= ceiling", name="ceiling"),
    Index("ix_lots_item", "item", "id", postgresql_where=text("NOT withdrawn")),
    Index("ix_lots_owner", "society", "id", postgresql_where=text("NOT withdrawn")),
    # Not partial: a site may only be deleted where no lot, not even a withdrawn one, names it.
    Index("ix_lots_site", "site", "item", "id"),
    Index("ix_lots_all", "id", postgresql_where=text("NOT withdrawn")),
)

reservations = Table(
    "reservations",
    metadata,
    # The offer line that holds it.
    Column("holder", Uuid, primary_key=True),
    Column("lot", Uuid, ForeignKey("lots.id"), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("beneficiary", Text, nullable=False),
    CheckConstraint("quantity >= 0", name="quantity"),
    Index("ix_reservations_lot", "lot", postgresql_where=text("quantity > 0")),
)

goods_issues = Table(
    "goods_issues",
    metadata,
    # What left a lot, and when. A count tells what was there at its `as_of`, and may arrive later:
    # what left in between is subtracted. Kept until a newer count stands.
    Column("id", Uuid, primary_key=True),
    Column("lot", Uuid, ForeignKey("lots.id"), nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
    Index("ix_goods_issues_lot", "lot", "issued_at"),
)

SITE_DOC = """json_build_object('ref', s.ref, 'name', s.name, 'country', s.country,
    'lat', s.lat, 'lon', s.lon, 'kind', s.kind)"""

# The owner's view of a lot.
_OWN = """
json_build_object(
    'id', l.id, 'ref', l.ref, 'item', l.item, 'unit', i.unit, 'site', s.ref,
    'quantity', l.quantity, 'keep_back', l.keep_back, 'reserved', l.reserved,
    'available', greatest(0, l.quantity - l.keep_back - l.reserved),
    'shortfall', greatest(0, l.reserved - l.quantity),
    'lot_number', l.lot_number, 'expires_on', l.expires_on, 'unit_value', l.unit_value,
    'currency', l.currency, 'visible_to', l.visible_to, 'as_of', l.as_of,
    'updated_at', l.updated_at)::text
"""

_FROM = "FROM lots l JOIN items i ON i.code = l.item JOIN sites s ON s.id = l.site"

_SITE = text(
    f"SELECT s.id, {SITE_DOC}::text FROM sites s WHERE s.society = :society AND s.ref = :ref"
)
_LOCK_SITE = text("SELECT id FROM sites WHERE society = :society AND ref = :ref FOR UPDATE")


async def site(
    tx: AsyncConnection, society: str, ref: str, *, lock: bool = False
) -> tuple[UUID, str] | None:
    """(id, JSON) of a society's site."""
    values = {"society": society, "ref": ref}
    if lock:
        await tx.execute(_LOCK_SITE, values)
    row = (await tx.execute(_SITE, values)).one_or_none()
    return (row[0], row[1]) if row else None


_SITES = text(f"""
SELECT s.ref, {SITE_DOC}::text FROM sites s
WHERE s.society = :society AND s.ref > :after ORDER BY s.ref LIMIT :limit
""")


async def list_sites(tx: AsyncConnection, society: str, after: str, limit: int) -> list[Any]:
    """(ref, JSON) of a society's sites in the order of their references."""
    values = {"society": society, "after": after, "limit": limit}
    return list((await tx.execute(_SITES, values)).all())


_PUT_SITE = text("""
INSERT INTO sites (id, society, ref, name, country, lat, lon, kind)
VALUES (:id, :society, :ref, :name, :country, :lat, :lon, :kind)
ON CONFLICT (society, ref) DO UPDATE SET name = excluded.name, country = excluded.country,
    lat = excluded.lat, lon = excluded.lon, kind = excluded.kind
RETURNING id, (xmax = 0) AS created
""")


async def put_site(tx: AsyncConnection, values: dict[str, Any]) -> Row[Any]:
    """Create or replace a site; (id, created)."""
    return (await tx.execute(_PUT_SITE, values)).one()


_DELETE_SITE = text("DELETE FROM sites WHERE id = :id")


async def delete_site(tx: AsyncConnection, site_id: UUID) -> None:
    """Delete a site; a foreign key refuses where something was published at it."""
    await tx.execute(_DELETE_SITE, {"id": site_id})


_OWN_LOTS = text(f"""
SELECT l.id, {_OWN} {_FROM}
WHERE l.society = :society AND NOT l.withdrawn AND l.id > :after ORDER BY l.id LIMIT :limit
""")


async def list_own_lots(tx: AsyncConnection, society: str, after: UUID, limit: int) -> list[Any]:
    """(id, JSON) of a society's own lots."""
    values = {"society": society, "after": after, "limit": limit}
    return list((await tx.execute(_OWN_LOTS, values)).all())


_OWN_LOT = text(f"""
SELECT {_OWN} {_FROM} WHERE l.society = :society AND l.ref = :ref AND NOT l.withdrawn
""")


async def own_lot(tx: AsyncConnection, society: str, ref: str) -> str | None:
    """A society's own lot as JSON."""
    values = {"society": society, "ref": ref}
    return (await tx.execute(_OWN_LOT, values)).scalar_one_or_none()


_LOCK_LOT = text("""
SELECT id, item, site, quantity, keep_back, reserved, lot_number, expires_on, unit_value, currency,
       visible_to, as_of, withdrawn
FROM lots WHERE society = :society AND ref = :ref FOR NO KEY UPDATE
""")


async def lock_lot(tx: AsyncConnection, society: str, ref: str) -> Row[Any] | None:
    """A lot, held: nobody promises from it until this transaction ends."""
    return (await tx.execute(_LOCK_LOT, {"society": society, "ref": ref})).one_or_none()


_ADD_LOT = text("""
INSERT INTO lots (id, society, ref, item, site, quantity, keep_back, reserved, ceiling, lot_number,
                  expires_on, unit_value, currency, visible_to, as_of, updated_at, withdrawn)
VALUES (:id, :society, :ref, :item, :site, :quantity, :keep_back, 0, :ceiling, :lot_number,
        :expires_on, :unit_value, :currency, :visible_to, :as_of, :now, false)
ON CONFLICT (society, ref) DO NOTHING RETURNING id
""")


async def add_lot(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Add a lot; False where another call added one with this reference at this moment."""
    return (await tx.execute(_ADD_LOT, values)).one_or_none() is not None


_REPLACE_LOT = text("""
UPDATE lots SET item = :item, site = :site, quantity = :quantity, keep_back = :keep_back,
    ceiling = :ceiling, lot_number = :lot_number, expires_on = :expires_on,
    unit_value = :unit_value, currency = :currency, visible_to = :visible_to, as_of = :as_of,
    updated_at = :now, withdrawn = false
WHERE id = :id
""")


async def replace_lot(tx: AsyncConnection, values: dict[str, Any]) -> None:
    """Replace what the owner publishes of a lot that is held; reservations stay."""
    require_all((await tx.execute(_REPLACE_LOT, values)).rowcount, 1)
    # No older count is taken from now on, so that nobody asks any more what left before this one.
    await tx.execute(
        delete(goods_issues).where(
            goods_issues.c.lot == values["id"], goods_issues.c.issued_at <= values["as_of"]
        )
    )


async def issued_after(tx: AsyncConnection, lot: UUID, moment: datetime) -> int:
    """What left a held lot after a moment, in base units."""
    left = goods_issues.c
    total = select(func.coalesce(func.sum(left.quantity), 0)).where(
        left.lot == lot, left.issued_at > moment
    )
    return int((await tx.execute(total)).scalar_one())


_WITHDRAW_LOT = text("""
UPDATE lots SET withdrawn = true, quantity = 0, keep_back = 0, ceiling = 0, updated_at = :now
WHERE id = :id
""")


async def withdraw_lot(tx: AsyncConnection, lot: UUID, now: datetime) -> None:
    """Take a held lot without reservations off the exchange; old offers still name it."""
    require_all((await tx.execute(_WITHDRAW_LOT, {"id": lot, "now": now})).rowcount, 1)


# Offers of one lot stand in a queue before its row. At the row itself they would all wait for the
# one that holds it and all wake at its COMMIT, each to find another ahead: with 16 of them
# PostgreSQL spent 70 % more on an offer. The queue is for speed alone, and is joined before any row
# of a lot is held, so that nobody in it is waited for by somebody ahead of it.
_QUEUE = "pg_advisory_xact_lock(hashtextextended(CAST(t.lot AS text), 8))"

# Not FOR UPDATE: an offer's lines refer to the lot by a foreign key, whose lock (KEY SHARE) their
# insertion takes before this. Two offers would hold it both and each wait for the other's.
_LOCK_IN_ORDER = Direct(f"""
WITH queue AS MATERIALIZED (
    SELECT count({_QUEUE}) AS joined FROM unnest(CAST(:lots AS uuid[])) AS t(lot)
)
SELECT l.id FROM queue, lots l WHERE l.id = ANY(CAST(:lots AS uuid[])) AND queue.joined > 0
ORDER BY l.id FOR NO KEY UPDATE OF l
""")

# The promise. The condition stands in the UPDATE itself: PostgreSQL evaluates it again on the
# newest row after waiting for a competitor, so that two takers can never both have the last piece
# (reading first and writing then granted 300 of a stock of 100).
_RESERVE = f"""
asked AS MATERIALIZED (
    SELECT t.*, {_QUEUE} FROM unnest(CAST(:lots AS uuid[]), CAST(:lot_quantities AS bigint[]))
        AS t(lot, quantity)
), taken AS (
    UPDATE lots l SET reserved = l.reserved + asked.quantity
    FROM asked
    WHERE l.id = asked.lot AND l.society = CAST(:owner AS text) AND NOT l.withdrawn
      AND l.reserved + asked.quantity <= l.quantity - l.keep_back
    RETURNING l.id
), held AS (
    INSERT INTO reservations (holder, lot, quantity, beneficiary)
    SELECT h.holder, h.lot, h.quantity, CAST(:beneficiary AS text)
    FROM unnest(CAST(:holders AS uuid[]), CAST(:held_lots AS uuid[]),
                CAST(:held_quantities AS bigint[])) AS h(holder, lot, quantity)
)"""


async def hold_in_order(tx: AsyncConnection, wanted: Sequence[UUID]) -> None:
    """Lock several lots in the order of their ids.

    Otherwise two offers that name the same lots in another order would wait for each other.
    """
    if len(wanted) > 1:
        await _LOCK_IN_ORDER.run(tx, {"lots": sorted(wanted)})


def reserve_part(
    society: str,
    beneficiary: str,
    wanted: dict[UUID, int],
    held: Sequence[tuple[UUID, UUID, int]],
) -> Part:
    """Promise from lots (`taken`); shows those that could. `held`: (holder, lot, quantity)."""
    lots_in_order = sorted(wanted)
    return Part(
        _RESERVE,
        {
            "lots": lots_in_order,
            "lot_quantities": [wanted[lot] for lot in lots_in_order],
            "owner": society,
            "beneficiary": beneficiary,
            "holders": [h[0] for h in held],
            "held_lots": [h[1] for h in held],
            "held_quantities": [h[2] for h in held],
        },
        "(SELECT array_agg(id) FROM taken)",
    )


_AVAILABLE = text("""
SELECT id, greatest(0, quantity - keep_back - reserved) FROM lots
WHERE id = ANY(CAST(:lots AS uuid[])) AND society = :society AND NOT withdrawn
""")


async def available(tx: AsyncConnection, society: str, asked: Sequence[UUID]) -> dict[UUID, int]:
    """What each of a society's own lots can still promise."""
    rows = await tx.execute(_AVAILABLE, {"lots": list(asked), "society": society})
    return {row[0]: int(row[1]) for row in rows}


_FREE = text("""
WITH freed AS (
    UPDATE reservations r SET quantity = r.quantity - t.quantity
    FROM unnest(CAST(:holders AS uuid[]), CAST(:quantities AS bigint[])) AS t(holder, quantity)
    WHERE r.holder = t.holder RETURNING r.lot, t.quantity
), per_lot AS (
    SELECT lot, sum(quantity)::bigint AS quantity FROM freed GROUP BY lot
)
UPDATE lots l SET reserved = l.reserved - p.quantity FROM per_lot p WHERE l.id = p.lot
RETURNING l.id, p.quantity
""")

_LOCK_HOLDERS = text("""
SELECT l.id FROM lots l JOIN reservations r ON r.lot = l.id
WHERE r.holder = ANY(CAST(:holders AS uuid[])) ORDER BY l.id FOR NO KEY UPDATE OF l
""")


async def hold_lots_of(tx: AsyncConnection, holders: Sequence[UUID]) -> None:
    """Hold the lots of holders in the order of their ids; one alone needs no order."""
    if len(holders) > 1:
        await tx.execute(_LOCK_HOLDERS, {"holders": list(holders)})


async def free(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Give back what holders hold: (holder, quantity) each, once; returns (lot, freed)."""
    holders = [holder for holder, _ in parts]
    await hold_lots_of(tx, holders)
    rows = await tx.execute(
        _FREE, {"holders": holders, "quantities": [quantity for _, quantity in parts]}
    )
    freed = [(row[0], int(row[1])) for row in rows]
    require_all(sum(quantity for _, quantity in freed), sum(quantity for _, quantity in parts))
    return freed


# What leaves is no longer promised and no longer there. More than the owner's count cannot leave:
# the count is the truth, and whoever sends more has to publish what was found. The condition stands
# in the UPDATE, so that it is held against the newest row.
_ISSUE = text("""
WITH sent AS (
    UPDATE reservations r SET quantity = r.quantity - t.quantity
    FROM unnest(CAST(:holders AS uuid[]), CAST(:quantities AS bigint[])) AS t(holder, quantity)
    WHERE r.holder = t.holder RETURNING r.lot, t.quantity
), per_lot AS (
    SELECT lot, sum(quantity)::bigint AS quantity FROM sent GROUP BY lot
), issued AS (
    UPDATE lots l SET reserved = l.reserved - p.quantity, ceiling = l.ceiling - p.quantity,
        quantity = l.quantity - p.quantity
    FROM per_lot p WHERE l.id = p.lot AND l.quantity >= p.quantity
    RETURNING l.id, l.as_of
)
SELECT p.lot, p.quantity, i.as_of FROM per_lot p LEFT JOIN issued i ON i.id = p.lot
""")
_TICK = timedelta(microseconds=1)


async def issue(
    tx: AsyncConnection, parts: Sequence[tuple[UUID, int]], now: datetime
) -> tuple[list[tuple[UUID, int]], list[UUID]]:
    """Let promised goods leave their lots: (lot, quantity) each, and the lots with too few."""
    holders = [holder for holder, _ in parts]
    await hold_lots_of(tx, holders)
    rows = (
        await tx.execute(
            _ISSUE, {"holders": holders, "quantities": [quantity for _, quantity in parts]}
        )
    ).all()
    require_all(sum(int(row.quantity) for row in rows), sum(quantity for _, quantity in parts))
    left = [row for row in rows if row.as_of is not None]
    if left:
        # A count that stands already does not know of this issue, whatever the clocks say: should
        # it be sent again, the issue still has to be subtracted from it.
        issues = [
            {
                "id": ids.new_id(),
                "lot": row.lot,
                "issued_at": max(now, row.as_of + _TICK),
                "quantity": int(row.quantity),
            }
            for row in left
        ]
        await tx.execute(insert(goods_issues), issues)
    short = [row.lot for row in rows if row.as_of is None]
    return [(row.lot, int(row.quantity)) for row in left], short


async def counts(tx: AsyncConnection, holders: Sequence[UUID]) -> dict[UUID, tuple[UUID, int]]:
    """(lot, what its owner counts there in base units) of each holder."""
    found = await tx.execute(
        select(reservations.c.holder, lots.c.id, lots.c.quantity)
        .join(lots, lots.c.id == reservations.c.lot)
        .where(reservations.c.holder.in_(holders))
    )
    return {row.holder: (row.id, row.quantity) for row in found}


_BENEFICIARIES = text("""
SELECT DISTINCT beneficiary FROM reservations WHERE lot = :lot AND quantity > 0
""")


async def beneficiaries(tx: AsyncConnection, lot: UUID) -> list[str]:
    """To which societies a lot's stock is promised."""
    return [row[0] for row in await tx.execute(_BENEFICIARIES, {"lot": lot})]


_OFFERABLE = """
offerable AS (
    SELECT l.id, l.item, i.unit, l.expires_on FROM lots l JOIN items i ON i.code = l.item
    WHERE l.id = ANY(CAST(:offerable_lots AS uuid[])) AND l.society = :offerable_society
      AND NOT l.withdrawn
)"""


def offerable_part(society: str, asked: Sequence[UUID]) -> Part:
    """(id, item, unit, expires_on) of those of these lots that are the society's own, as JSON."""
    return Part(
        _OFFERABLE,
        {"offerable_lots": asked, "offerable_society": society},
        "(SELECT json_agg(offerable)::text FROM offerable)",
    )
