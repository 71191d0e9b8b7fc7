"""What offers do to a request: pledge for its lines, be accepted, advance.

Called by the rooms that come after this one, within the transaction of an offer's change.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Part
from app.errors import AppError, missing, unknown, wrong_state
from app.requests import pledges, store

Moves = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request line as an offer needs it."""

    kind: str
    item: str | None
    accept_substitutes: bool
    skill: str | None
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Asking:
    """A request as an offer needs it: who asks, for which emergency, and the lines."""

    society: str
    emergency: UUID
    status: str
    lines: dict[UUID, Asked]


def asked(request: UUID, wanted: Sequence[UUID]) -> Part:
    """Who asks, and those of these lines that are the request's: for `asking`."""
    return store.asked_part(request, wanted)


def asking(shown: str | None) -> Asking:
    """What the part `asked` showed; 422 at /request where there is no such request."""
    if shown is None:
        raise unknown("/request", "request")
    found = json.loads(shown)
    return Asking(
        found["society"],
        UUID(found["emergency"]),
        found["status"],
        {
            UUID(line["id"]): Asked(
                line["kind"],
                line["item"],
                line["accept_substitutes"],
                line["skill"],
                _instant(line["from"]),
                _instant(line["until"]),
            )
            for line in found["lines"] or ()
        },
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


async def hold_open(tx: AsyncConnection, request: UUID) -> None:
    """Keep a request from ending while this transaction runs; 409 where it has ended."""
    row = await store.share(tx, request)
    if row is None:
        raise missing("request")
    if row.status != "open":
        raise wrong_state("request", row.status, "open")


def pledge(society: str, parts: Sequence[tuple[UUID, UUID, int]]) -> tuple[Part, Moves]:
    """Note promises for lines: (holder, line, quantity in the line's units)."""
    moves = [(f"line:{line}", "offered", quantity) for _, line, quantity in parts]
    return pledges.pledge_part(society, parts), moves


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a pledge at acceptance, in the request line's units."""

    position: int
    holder: UUID
    line: UUID
    offered: int
    accepted: int


async def accept(tx: AsyncConnection, parts: Sequence[Settled], allow_surplus: bool) -> Moves:
    """Accept pledges in whole or in part; 409 `over_accepted` beyond what is outstanding."""
    outstanding = await pledges.lock_lines(tx, sorted({p.line for p in parts}))
    taken = await pledges.accept(tx, [(p.holder, p.line, p.accepted) for p in parts], allow_surplus)
    over = [p for p in parts if p.line not in taken]
    if over:
        raise AppError(
            "over_accepted",
            "This is more than is outstanding.",
            extra={
                "lines": [
                    {
                        "line": p.position,
                        "accepted": p.accepted,
                        "outstanding": outstanding.get(p.line, 0),
                    }
                    for p in over
                ]
            },
        )
    moves: Moves = []
    for part in parts:
        moves.append((f"line:{part.line}", "accepted", part.accepted))
        moves.append((f"line:{part.line}", "offered", part.accepted - part.offered))
    return moves


async def unpledge(tx: AsyncConnection, parts: Sequence[tuple[UUID, UUID, int]]) -> Moves:
    """Take back pledges that were never accepted: (holder, line, offered)."""
    await pledges.unpledge(tx, [holder for holder, _, _ in parts])
    return [(f"line:{line}", "offered", -offered) for _, line, offered in parts]


async def release(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> Moves:
    """Undo acceptance: (holder, quantity in the line's units)."""
    moves: Moves = []
    for line, quantity in await pledges.release(tx, parts):
        moves.append((f"line:{line}", "accepted", -quantity))
        moves.append((f"line:{line}", "offered", -quantity))
    return moves


async def outcomes(
    tx: AsyncConnection, holders: Sequence[UUID]
) -> dict[UUID, tuple[int, int, int]]:
    """What became of pledges so far, in the line's units: (received, damaged, lost) by holder."""
    return await pledges.outcomes(tx, holders) if holders else {}


@dataclass(frozen=True, slots=True)
class Progress:
    """What is added to the figures of a pledge, in the request line's units."""

    holder: UUID
    dispatched: int = 0
    received: int = 0
    damaged: int = 0
    lost: int = 0


async def advance(tx: AsyncConnection, steps: Sequence[Progress]) -> Moves:
    """Write down what was dispatched, received, damaged or lost."""
    if not steps:
        return []
    if any(step.damaged or step.lost for step in steps):
        # In the order of their ids, as an acceptance takes them: what is lost reopens the need.
        await pledges.lock_lines_of(tx, [s.holder for s in steps])
    columns = ("dispatched", "received", "damaged", "lost")
    values: dict[str, Any] = {name: [getattr(s, name) for s in steps] for name in columns}
    line_of = await pledges.advance(tx, values | {"holders": [s.holder for s in steps]})
    return [
        (f"line:{line_of[step.holder]}", name, getattr(step, name))
        for step in steps
        for name in columns
        if getattr(step, name)
    ]
