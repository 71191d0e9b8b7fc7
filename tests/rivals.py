"""The guards as everybody writes them first: read, decide, write. Tests must see them fail.

Each is what it stands for in all but one thing: nothing holds between the look and the change.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.errors import AppError
from app.stock import store
from app.stock.reserving import Held, Reservation


async def reserve_by_reading_first(
    tx: AsyncConnection, society: str, beneficiary: str, held: Sequence[Held]
) -> Reservation:
    """In place of `stock.reserving.reserve`: looks whether there is room, and then takes it."""
    wanted: dict[UUID, int] = {}
    for part in held:
        wanted[part.lot] = wanted.get(part.lot, 0) + part.quantity
    rows = await tx.execute(
        text(
            "SELECT id, quantity - keep_back - reserved AS room FROM lots "
            "WHERE id = ANY(:lots) AND society = :society AND NOT withdrawn ORDER BY id"
        ),
        {"lots": list(wanted), "society": society},
    )
    room = {row.id: row.room for row in rows}
    if any(room.get(lot, 0) < quantity for lot, quantity in wanted.items()):
        raise AppError("insufficient_stock", "There is no room, as far as was read.")
    guarded = store.reserve_part(
        society, beneficiary, wanted, [(h.holder, h.lot, h.quantity) for h in held]
    )
    guard = "AND l.reserved + asked.quantity <= l.quantity - l.keep_back"
    assert guard in guarded.sql
    unguarded = replace(guarded, sql=guarded.sql.replace(guard, ""))
    return Reservation(society, held, wanted, unguarded)


async def look_at_pools_only(tx: AsyncConnection, wanted: Sequence[UUID]) -> None:
    """In place of `volunteers.store.lock`: the same rows, not held."""
    await tx.execute(text("SELECT id FROM pools WHERE id = ANY(:pools)"), {"pools": list(wanted)})


async def accept_by_reading_first(
    tx: AsyncConnection, parts: Sequence[tuple[UUID, UUID, int]], allow_surplus: bool
) -> set[UUID]:
    """In place of `requests.pledges.accept` and the lock before it."""
    taken = set()
    for holder, line, accepted in parts:
        row = (
            await tx.execute(
                text("SELECT requested - accepted AS room FROM request_lines WHERE id = :line"),
                {"line": line},
            )
        ).one()
        if not allow_surplus and row.room < accepted:
            continue
        taken.add(line)
        await tx.execute(
            text("UPDATE request_lines SET accepted = accepted + :by WHERE id = :line"),
            {"line": line, "by": accepted},
        )
        await tx.execute(
            text(
                "UPDATE pledges SET offered = :by, accepted = :by, updated_at = :now "
                "WHERE holder = :holder"
            ),
            {"holder": holder, "by": accepted, "now": clock.now()},
        )
    return taken


async def hold_by_reading_only(tx: AsyncConnection, offer: UUID) -> Any:
    """In place of `offers.store.lock`."""
    rows = await tx.execute(
        text(
            "SELECT id, emergency, request, society, to_society, status, expires_at, reason, "
            "ended_by FROM offers WHERE id = :id"
        ),
        {"id": offer},
    )
    return rows.one_or_none()
