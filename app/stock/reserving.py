"""Reserve, free, issue: what is promised of lots. A unit of stock is never promised twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import AppError, Fault
from app.stock import store

Moves = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Held:
    """A part of a lot that a holder (an offer line) asks for, in base units."""

    holder: UUID
    lot: UUID
    quantity: int
    line: int
    """Its place in the caller's input, for the error that names it."""


@dataclass(frozen=True, slots=True)
class Offerable:
    """A lot of the provider's own, as an offer needs it."""

    item: str
    unit: str


async def offerable(
    tx: AsyncConnection, society: str, lots: Sequence[UUID]
) -> dict[UUID, Offerable]:
    """Those of these lots that the society may offer: its own."""
    rows = await store.offerable(tx, society, lots)
    return {row["id"]: Offerable(row["item"], row["unit"]) for row in rows}


async def reserve(
    tx: AsyncConnection, society: str, beneficiary: str, held: Sequence[Held]
) -> Moves:
    """Promise parts of lots, all or none; the moves for the ledger.

    Raises 409 `insufficient_stock` with each line at fault; the caller's transaction then rolls
    back whatever the other lines had taken.
    """
    wanted: dict[UUID, int] = {}
    for part in held:
        wanted[part.lot] = wanted.get(part.lot, 0) + part.quantity
    taken = await store.reserve(
        tx, society, beneficiary, wanted, [(h.holder, h.lot, h.quantity) for h in held]
    )
    short = [lot for lot in wanted if lot not in taken]
    if short:
        left = await store.available(tx, society, short)
        faults = [(h.line, h) for h in held if h.lot not in taken]
        raise AppError(
            "insufficient_stock",
            "Not enough is available; nothing was reserved.",
            faults=[
                Fault(
                    f"/lines/{n}/quantity",
                    "insufficient_stock",
                    f"{left.get(h.lot, 0)} are available.",
                )
                for n, h in faults
            ],
            extra={
                "lines": [
                    {
                        "line": n,
                        "stock": str(h.lot),
                        "offered": h.quantity,
                        "available": left.get(h.lot, 0),
                    }
                    for n, h in faults
                ]
            },
        )
    return [(f"lot:{lot}", "reserved", quantity) for lot, quantity in sorted(wanted.items())]


async def free(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Give back what holders no longer promise: (holder, quantity) each."""
    given = [(holder, quantity) for holder, quantity in parts if quantity]
    if not given:
        return []
    freed = await store.free(tx, given)
    return [(f"lot:{lot}", "reserved", -quantity) for lot, quantity in sorted(freed)]


async def issue(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Let promised goods leave: no longer reserved and no longer there."""
    moves: Moves = []
    for lot, unreserved, gone in sorted(await store.issue(tx, parts)):
        moves.append((f"lot:{lot}", "reserved", -unreserved))
        moves.append((f"lot:{lot}", "quantity", -gone))
    return moves
