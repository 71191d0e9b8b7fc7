"""Reserve, free, issue: what is promised of lots. A unit of stock is never promised twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.db import Part
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
    expires_on: date | None


def own_lots(society: str, lots: Sequence[UUID]) -> Part:
    """Those of these lots that the society may offer, its own: for `offerable`."""
    return store.offerable_part(society, lots)


def offerable(shown: str | None) -> dict[UUID, Offerable]:
    """What the part `own_lots` showed."""
    rows = json.loads(shown) if shown else ()
    return {
        UUID(row["id"]): Offerable(
            row["item"],
            row["unit"],
            date.fromisoformat(row["expires_on"]) if row["expires_on"] else None,
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise that is about to be made: a part of the statement of the offer that makes it."""

    society: str
    held: Sequence[Held]
    wanted: Mapping[UUID, int]
    part: Part

    @property
    def moves(self) -> Moves:
        """What it adds to the lots, for the ledger."""
        return [
            (f"lot:{lot}", "reserved", quantity) for lot, quantity in sorted(self.wanted.items())
        ]

    async def confirm(self, tx: AsyncConnection, taken: Sequence[UUID] | None) -> None:
        """See that every lot could promise what was asked, of what the part showed.

        Raises 409 `insufficient_stock` with each line at fault; the transaction then rolls back
        whatever the other lines had taken.
        """
        short = self.wanted.keys() - set(taken or ())
        if short:
            left = await store.available(tx, self.society, list(short))
            raise _insufficient([h for h in self.held if h.lot in short], left)


async def reserve(
    tx: AsyncConnection, society: str, beneficiary: str, held: Sequence[Held]
) -> Reservation:
    """Promise parts of lots, all or none."""
    wanted: dict[UUID, int] = {}
    for part in held:
        wanted[part.lot] = wanted.get(part.lot, 0) + part.quantity
    await store.hold_in_order(tx, list(wanted))
    return Reservation(
        society,
        held,
        wanted,
        store.reserve_part(
            society, beneficiary, wanted, [(h.holder, h.lot, h.quantity) for h in held]
        ),
    )


def _insufficient(held: Sequence[Held], left: Mapping[UUID, int]) -> AppError:
    return AppError(
        "insufficient_stock",
        "Not enough is available; nothing was reserved.",
        faults=[
            Fault(
                f"/lines/{h.line}/quantity",
                "insufficient_stock",
                f"{left.get(h.lot, 0)} are available.",
            )
            for h in held
        ],
        extra={
            "lines": [
                {
                    "line": h.line,
                    "stock": str(h.lot),
                    "offered": h.quantity,
                    "available": left.get(h.lot, 0),
                }
                for h in held
            ]
        },
    )


async def free(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Give back what holders no longer promise: (holder, quantity) each."""
    given = [(holder, quantity) for holder, quantity in parts if quantity]
    if not given:
        return []
    freed = await store.free(tx, given)
    return [(f"lot:{lot}", "reserved", -quantity) for lot, quantity in sorted(freed)]


async def issue(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Let promised goods leave: no longer reserved and no longer there.

    `parts` are (holder, quantity), each holder once. Raises 409 `insufficient_stock` where a lot's
    owner counts fewer than are to leave; the caller's transaction then rolls back the rest.
    """
    left, short = await store.issue(tx, parts, clock.now())
    if short:
        raise await _beyond_the_count(tx, parts, short)
    moves: Moves = []
    for lot, quantity in sorted(left):
        moves.append((f"lot:{lot}", "reserved", -quantity))
        moves.append((f"lot:{lot}", "quantity", -quantity))
    return moves


async def _beyond_the_count(
    tx: AsyncConnection, parts: Sequence[tuple[UUID, int]], short: Sequence[UUID]
) -> AppError:
    counts = await store.counts(tx, [holder for holder, _ in parts])
    return AppError(
        "insufficient_stock",
        "More is to leave than its owner counts in the lot; nothing was dispatched. Publish what "
        "is really there, or dispatch less.",
        extra={
            "lines": [
                {"line": str(holder), "planned": quantity, "available": counts[holder][1]}
                for holder, quantity in parts
                if counts[holder][0] in short
            ]
        },
    )
