"""Plan, dispatch, report, arrive, receive, cancel, lose a consignment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.access.actions import Caller
from app.calls import Precondition
from app.consignments import rules, store
from app.consignments.receipts import Found, is_same, matched
from app.errors import AppError, missing, unknown, wrong_state
from app.ledger.actions import Actor, Fact, record
from app.offers import actions as offers
from app.offers import journeys
from app.offers.rules import Step
from app.stock import reserving as stock

Moves = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a consignment is to carry of an offer line, in the lot's base unit."""

    offer_line: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class NewConsignment:
    """A consignment as it is planned."""

    offer: UUID
    lines: Sequence[Planned]
    mode: str
    carrier: str | None
    waybill: str | None
    eta: datetime | None


async def plan(tx: AsyncConnection, caller: Caller, new: NewConsignment) -> tuple[UUID, str]:
    """Set accepted goods aside for one journey; (id, JSON)."""
    offer = await _held_offer(tx, caller, new.offer)
    lines = await journeys.accepted_lines(tx, new.offer)
    for n, planned in enumerate(new.lines):
        if planned.offer_line not in lines or not lines[planned.offer_line].is_goods:
            raise unknown(f"/lines/{n}/offer_line", "line of goods of this offer")
    if offer.status != "accepted":
        raise wrong_state("offer", offer.status, "accepted")
    steps = [Step(p.offer_line, planned=p.quantity) for p in new.lines]
    moves = await journeys.plan(tx, new.offer, steps, "/lines/{}/quantity")
    consignment, now = ids.new_id(), clock.now()
    await store.add(
        tx,
        {
            "id": consignment,
            "offer": new.offer,
            "society": offer.society,
            "to_society": offer.to_society,
            "mode": new.mode,
            "carrier": new.carrier,
            "waybill": new.waybill,
            "eta": new.eta,
            "now": now,
        },
        [
            {
                "id": ids.new_id(),
                "consignment": consignment,
                "position": n,
                "offer_line": p.offer_line,
                "quantity": p.quantity,
            }
            for n, p in enumerate(new.lines)
        ],
    )
    data = {
        "mode": new.mode,
        "eta": clock.text(new.eta) if new.eta else None,
        "lines": [{"offer_line": str(p.offer_line), "quantity": p.quantity} for p in new.lines],
    }
    await _tell(tx, caller.actor, offer, consignment, "planned", data, moves)
    return consignment, await store.doc(tx, consignment)


async def _held_offer(tx: AsyncConnection, caller: Caller, offer: UUID) -> Any:
    try:
        return await offers.hold(tx, caller, offer, side="provider")
    except AppError as error:
        if error.code == "not_found":
            raise unknown("/offer", "offer") from None
        raise


async def _tell(
    tx: AsyncConnection,
    actor: Actor,
    offer: Any,
    consignment: UUID,
    verb: str,
    data: dict[str, Any],
    moves: Moves,
) -> None:
    await record(
        tx,
        actor,
        Fact(
            f"consignment.{verb}",
            consignment,
            {"offer": str(offer.id), **data},
            moves=moves,
            audience=journeys.audience(offer),
            emergency=offer.emergency,
        ),
    )


@dataclass(slots=True)
class _Held:
    """A consignment and its offer, both held, in this order: offer first."""

    offer: Any
    id: UUID
    status: str
    lines: list[Any]


async def _hold(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    side: str | None,
    precondition: Precondition,
) -> _Held:
    offer_id = await store.offer_of(tx, consignment)
    if offer_id is None:
        raise missing("consignment")
    try:
        offer = await offers.hold(tx, caller, offer_id, side=side)
    except AppError as error:
        if error.code == "not_found":
            raise missing("consignment") from None
        raise
    if side is None and caller.society not in (offer.society, offer.to_society):
        raise AppError("role_forbidden", "Only the two parties may do this.")
    row = await store.lock(tx, consignment)
    if precondition.asked:
        precondition.check(await store.doc(tx, consignment))
    return _Held(offer, consignment, row.status, await store.list_lines(tx, consignment))


async def _move(
    tx: AsyncConnection,
    caller: Caller,
    held: _Held,
    verb: str,
    moves: Moves,
    *,
    data: dict[str, Any] | None = None,
    reason: str | None = None,
) -> str:
    status = rules.RESULT[verb]
    await store.move(tx, held.id, status, clock.now(), reason)
    await _tell(tx, caller.actor, held.offer, held.id, status, data or {}, moves)
    await journeys.complete_if_done(tx, caller.actor, held.offer)
    return await store.doc(tx, held.id)


def _allowed(held: _Held, verb: str) -> bool:
    """True where the verb is to be done, False where it was done already; 409 otherwise."""
    if held.status in rules.MOVES[verb]:
        return True
    if held.status == rules.RESULT.get(verb):
        return False
    needed = " or ".join(sorted(rules.MOVES[verb]))
    raise wrong_state("consignment", held.status, needed)


async def dispatch(
    tx: AsyncConnection, caller: Caller, consignment: UUID, precondition: Precondition
) -> str:
    """The goods leave: they are no longer in their lots."""
    held = await _hold(tx, caller, consignment, "provider", precondition)
    if not _allowed(held, "dispatch"):
        return await store.doc(tx, consignment)
    parts = _per_offer_line(held.lines)
    moves = await stock.issue(tx, parts)
    steps = [Step(line, dispatched=quantity) for line, quantity in parts]
    moves += await journeys.advance(tx, held.offer.id, steps)
    data = {"lines": [{"offer_line": str(n), "quantity": q} for n, q in parts]}
    return await _move(tx, caller, held, "dispatch", moves, data=data)


def _per_offer_line(lines: Sequence[Any]) -> list[tuple[UUID, int]]:
    """What a consignment carries of each offer line: two of its lines may be of the same."""
    total: dict[UUID, int] = {}
    for line in lines:
        total[line.offer_line] = total.get(line.offer_line, 0) + line.quantity
    return sorted(total.items())


async def report(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    place: str,
    at: datetime,
    note: str | None,
    precondition: Precondition,
) -> str:
    """Say where a consignment on its way was seen."""
    held = await _hold(tx, caller, consignment, "provider", precondition)
    _allowed(held, "checkpoint")
    await store.add_checkpoint(
        tx,
        {
            "id": ids.new_id(),
            "consignment": consignment,
            "place": place,
            "at": at,
            "note": note,
        },
    )
    data = {"place": place, "at": clock.text(at)}
    await _tell(tx, caller.actor, held.offer, consignment, "sighted", data, [])
    return await store.doc(tx, consignment)


async def arrive(
    tx: AsyncConnection, caller: Caller, consignment: UUID, precondition: Precondition
) -> str:
    """The consignment is at its destination; it is not counted yet."""
    held = await _hold(tx, caller, consignment, None, precondition)
    if not _allowed(held, "arrive"):
        return await store.doc(tx, consignment)
    return await _move(tx, caller, held, "arrive", [])


async def receive(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    found: Sequence[Found],
    precondition: Precondition,
) -> str:
    """The requester signs for what it found; what is missing counts as lost."""
    held = await _hold(tx, caller, consignment, "requester", precondition)
    if not _allowed(held, "receive"):
        if not all(is_same(line, part) for line, part in matched(held.lines, found)):
            raise AppError(
                "already_received",
                "The consignment is received, with other figures than these. A receipt stands; "
                "what was counted wrong is settled between the two societies.",
                extra={"state": held.status},
            )
        return await store.doc(tx, consignment)
    receipt = matched(held.lines, found)
    await store.count(
        tx,
        [
            {
                "id": line.id,
                "received": part.received,
                "damaged": part.damaged,
                "missing": part.missing,
                "note": part.note,
            }
            for line, part in receipt
        ],
    )
    total: dict[UUID, list[int]] = {}
    for line, part in receipt:
        figures = total.setdefault(line.offer_line, [0, 0, 0])
        for n, value in enumerate((part.received, part.damaged, part.missing)):
            figures[n] += value
    steps = [
        Step(line, received=received, damaged=damaged, lost=lost)
        for line, (received, damaged, lost) in sorted(total.items())
    ]
    moves = await journeys.advance(tx, held.offer.id, steps)
    data = {
        "lines": [
            {
                "offer_line": str(line.offer_line),
                "received": part.received,
                "damaged": part.damaged,
                "missing": part.missing,
            }
            for line, part in receipt
        ]
    }
    return await _move(tx, caller, held, "receive", moves, data=data)


async def cancel(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """A planned consignment does not go; its goods stay accepted and can be planned anew."""
    held = await _hold(tx, caller, consignment, "provider", precondition)
    if not _allowed(held, "cancel"):
        return await store.doc(tx, consignment)
    moves = await _unplan(tx, held.offer.id, held.lines)
    return await _move(tx, caller, held, "cancel", moves, reason=reason)


async def _unplan(tx: AsyncConnection, offer: UUID, lines: Sequence[Any]) -> Moves:
    steps = [Step(line, planned=-quantity) for line, quantity in _per_offer_line(lines)]
    return await journeys.advance(tx, offer, steps)


async def lose(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """A consignment is lost on its way, with all that it carried."""
    held = await _hold(tx, caller, consignment, "provider", precondition)
    if not _allowed(held, "lose"):
        return await store.doc(tx, consignment)
    steps = [Step(line, lost=quantity) for line, quantity in _per_offer_line(held.lines)]
    moves = await journeys.advance(tx, held.offer.id, steps)
    return await _move(tx, caller, held, "lose", moves, data={"reason": reason}, reason=reason)


async def cancel_planned(tx: AsyncConnection, actor: Actor, offer: UUID) -> None:
    """Before an offer is withdrawn or released: what has not left does not go."""
    row = await offers.held_row(tx, offer)
    for consignment in await store.planned(tx, offer):
        moves = await _unplan(tx, offer, await store.list_lines(tx, consignment))
        await store.move(tx, consignment, "cancelled", clock.now(), "The offer has ended.")
        await _tell(tx, actor, row, consignment, "cancelled", {}, moves)


async def show(tx: AsyncConnection, caller: Caller, consignment: UUID) -> str:
    """A consignment as JSON; 404 where the caller may not see it."""
    doc = await store.seen(tx, consignment, caller.society, caller.is_secretariat)
    if doc is None:
        raise missing("consignment")
    return doc


async def list_checkpoints(
    tx: AsyncConnection,
    caller: Caller,
    consignment: UUID,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Any]:
    """(at, id, JSON) of where a consignment was seen, the latest first."""
    await show(tx, caller, consignment)
    return await store.list_checkpoints(tx, consignment, before, limit)


async def find(
    tx: AsyncConnection,
    caller: Caller,
    *,
    offer: UUID | None,
    status: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the consignments that the caller may see, newest first."""
    return await store.find(
        tx,
        me=caller.society,
        everything=caller.is_secretariat,
        offer=offer,
        status=status,
        after=after,
        limit=limit,
    )
