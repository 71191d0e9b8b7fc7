"""The guards as everybody writes them first: read, decide, write. Tests must see them fail.

Each is what it stands for in all but one thing: nothing holds between the look and the change.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock


async def reserve_by_reading_first(
    tx: AsyncConnection,
    society: str,
    beneficiary: str,
    wanted: dict[UUID, int],
    held: Sequence[tuple[UUID, UUID, int]],
) -> set[UUID]:
    """In place of `stock.store.reserve`."""
    rows = await tx.execute(
        text(
            "SELECT id, quantity - keep_back - reserved AS room FROM lots "
            "WHERE id = ANY(:lots) AND society = :society AND NOT withdrawn ORDER BY id"
        ),
        {"lots": list(wanted), "society": society},
    )
    taken = {row.id for row in rows if row.room >= wanted[row.id]}
    for lot in sorted(taken):
        await tx.execute(
            text("UPDATE lots SET reserved = reserved + :quantity WHERE id = :lot"),
            {"lot": lot, "quantity": wanted[lot]},
        )
    for holder, lot, quantity in held:
        await tx.execute(
            text(
                "INSERT INTO reservations (holder, lot, quantity, beneficiary) "
                "VALUES (:holder, :lot, :quantity, :beneficiary)"
            ),
            {"holder": holder, "lot": lot, "quantity": quantity, "beneficiary": beneficiary},
        )
    return taken


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
