"""Accept, decline, withdraw, release, expire an offer; and what its journeys add to its figures."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.access.actions import Caller
from app.calls import Precondition
from app.errors import AppError, invalid, missing, unknown, wrong_state
from app.ledger.actions import Actor, Fact, record
from app.offers import rules, store
from app.offers.journeys import audience, figures_of, ratio_of, told
from app.offers.proposing import inexact
from app.quantity import Inexact
from app.requests import pledging as requests
from app.stock import reserving as stock
from app.volunteers import actions as volunteers

Moves = list[tuple[str, str, int]]

_ENDED_LATELY = timedelta(hours=1)
"""How far back requests that ended are looked at every second; older ones now and then."""

Follower = Callable[[AsyncConnection, Actor, UUID], Awaitable[None]]
followers: list[Follower] = []
"""What must happen, in the same transaction, before an accepted offer is withdrawn or released:
the rooms of the journeys cancel what is planned and has not left. They come after this room, so
that it cannot call them; `main` names them here."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an offer that the requester accepts: an offer line and how much of it."""

    line: UUID
    quantity: int


async def hold(tx: AsyncConnection, caller: Caller, offer: UUID, *, side: str | None = None) -> Any:
    """An offer, held; 404 where the caller may not see it, 403 where it is the other party's."""
    row = await store.lock(tx, offer)
    if row is None or not _may_see(row, caller):
        raise missing("offer")
    if side == "provider" and row.society != caller.society:
        raise AppError("role_forbidden", "Only the society that offers may do this.")
    if side == "requester" and row.to_society != caller.society:
        raise AppError("role_forbidden", "Only the society that the offer is made to may do this.")
    return row


def _may_see(row: Any, caller: Caller) -> bool:
    return caller.is_secretariat or caller.society in (row.society, row.to_society)


async def show(tx: AsyncConnection, caller: Caller, offer: UUID) -> str:
    """An offer as JSON; 404 where the caller may not see it."""
    doc = await store.seen(tx, offer, caller.society, caller.is_secretariat)
    if doc is None:
        raise missing("offer")
    return doc


async def find(
    tx: AsyncConnection,
    caller: Caller,
    *,
    side: str | None,
    request: UUID | None,
    status: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the offers that the caller may see, newest first."""
    return await store.find(
        tx,
        me=caller.society,
        everything=caller.is_secretariat,
        side=side,
        request=request,
        status=status,
        after=after,
        limit=limit,
    )


async def _check(tx: AsyncConnection, offer: UUID, precondition: Precondition) -> None:
    if precondition.asked:
        precondition.check(await store.doc(tx, offer))


async def accept(
    tx: AsyncConnection,
    caller: Caller,
    offer: UUID,
    parts: Sequence[Part] | None,
    allow_surplus: bool,
    precondition: Precondition,
) -> str:
    """Accept an offer in whole (`parts` None) or in part; what is not accepted is freed at once."""
    row = await hold(tx, caller, offer, side="requester")
    await _check(tx, offer, precondition)
    if row.status in ("accepted", "completed"):
        return await store.doc(tx, offer)
    _must_stand(row)
    if row.request is not None:
        await requests.hold_open(tx, row.request)
    lines = await store.list_lines(tx, offer)
    accepted = _accepted(lines, parts)
    places = {line.id: line.position for line in lines}
    if parts is not None:
        # In a part acceptance the caller's own list is what an error points into.
        places = {part.line: n for n, part in enumerate(parts)}
    moves: Moves = []
    settled = [
        requests.Settled(
            position=places.get(line.id, line.position),
            holder=line.id,
            line=line.request_line,
            offered=ratio_of(line).counts_for(line.quantity),
            accepted=_counts(line, accepted[line.id], places.get(line.id, 0)),
        )
        for line in lines
        if line.request_line is not None
    ]
    if settled:
        moves += await requests.accept(tx, settled, allow_surplus)
    moves += await _free(tx, [(line, line.quantity - accepted[line.id]) for line in lines])
    await store.set_accepted(tx, list(accepted.items()))
    await store.move(tx, offer, "proposed", "accepted", clock.now())
    moves += [(f"offer_line:{line}", "accepted", quantity) for line, quantity in accepted.items()]
    await record(
        tx,
        caller.actor,
        Fact(
            "offer.accepted",
            offer,
            {
                "request": str(row.request) if row.request else None,
                "by": caller.society,
                "lines": [
                    {
                        "line": str(line.id),
                        "accepted": accepted[line.id],
                        "of": line.quantity,
                    }
                    for line in lines
                ],
            },
            moves=moves,
            audience=audience(row),
            emergency=row.emergency,
        ),
    )
    return await store.doc(tx, offer)


def _must_stand(row: Any) -> None:
    # The sweep may not have come by yet: the time that the provider set decides, not the sweep.
    if rules.lapsed(row.status, row.expires_at, clock.now()):
        raise wrong_state("offer", "expired", "proposed")
    if row.status != "proposed":
        raise wrong_state("offer", row.status, "proposed")


def _accepted(lines: Sequence[Any], parts: Sequence[Part] | None) -> dict[UUID, int]:
    if parts is None:
        return {line.id: line.quantity for line in lines}
    offered = {line.id: line.quantity for line in lines}
    accepted = dict.fromkeys(offered, 0)
    for n, part in enumerate(parts):
        pointer = f"/lines/{n}"
        if part.line not in offered:
            raise unknown(f"{pointer}/line", "line of this offer")
        if accepted[part.line]:
            raise invalid(f"{pointer}/line", "duplicate", "This line is named twice.")
        if part.quantity > offered[part.line]:
            raise invalid(
                f"{pointer}/quantity",
                "more_than_offered",
                f"{offered[part.line]} are offered.",
            )
        accepted[part.line] = part.quantity
    if not any(accepted.values()):
        raise invalid("/lines", "nothing_accepted", "Nothing is accepted; decline the offer.")
    return accepted


def _counts(line: Any, quantity: int, place: int) -> int:
    try:
        return ratio_of(line).counts_for(quantity)
    except Inexact as error:
        raise inexact(error, f"/lines/{place}/quantity") from None


async def _free(tx: AsyncConnection, parts: Sequence[tuple[Any, int]]) -> Moves:
    goods = [(line.id, quantity) for line, quantity in parts if line.lot and quantity]
    people = [(line.id, quantity) for line, quantity in parts if line.pool and quantity]
    moves = await stock.free(tx, goods) if goods else []
    return moves + (await volunteers.free(tx, people) if people else [])


async def _drop(
    tx: AsyncConnection, actor: Actor, row: Any, status: str, reason: str | None
) -> None:
    """End a proposal: everything that it reserved is free again."""
    lines = await store.list_lines(tx, row.id)
    pledged = [
        (line.id, line.request_line, ratio_of(line).counts_for(line.quantity))
        for line in lines
        if line.request_line is not None
    ]
    moves = await requests.unpledge(tx, pledged) if pledged else []
    moves += await _free(tx, [(line, line.quantity) for line in lines])
    await store.move(
        tx,
        row.id,
        "proposed",
        status,
        clock.now(),
        reason=reason,
        ended_by=actor.society,
    )
    await told(tx, actor, row, status, reason, moves)


async def decline(
    tx: AsyncConnection,
    caller: Caller,
    offer: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """The requester does not take a proposal; everything is freed."""
    row = await hold(tx, caller, offer, side="requester")
    await _check(tx, offer, precondition)
    if row.status != "declined":
        _must_stand(row)
        await _drop(tx, caller.actor, row, "declined", reason)
    return await store.doc(tx, offer)


async def withdraw(
    tx: AsyncConnection,
    caller: Caller,
    offer: UUID,
    reason: str | None,
    decided_at: datetime | None,
    precondition: Precondition,
) -> str:
    """The provider takes its offer back, as far as nothing has left.

    409 `wrong_state` where it was accepted after `decided_at`: the provider did not know of that.
    """
    row = await hold(tx, caller, offer, side="provider")
    await _check(tx, offer, precondition)
    if row.status == "withdrawn" and row.ended_by == caller.society:
        return await store.doc(tx, offer)
    if row.status == "accepted":
        if rules.undoes_unknown(decided_at, row.updated_at):
            raise AppError(
                "wrong_state",
                f"The offer was accepted at {clock.text(row.updated_at)}, after you decided to "
                "withdraw it. Read it again; where you still have to, withdraw it anew.",
                extra={"state": row.status},
            )
        await _undo(tx, caller, row, "withdrawn", reason)
    else:
        _must_stand(row)
        await _drop(tx, caller.actor, row, "withdrawn", reason)
    return await store.doc(tx, offer)


async def release(
    tx: AsyncConnection,
    caller: Caller,
    offer: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """The requester needs no more of an accepted offer: what has not left is freed."""
    row = await hold(tx, caller, offer, side="requester")
    await _check(tx, offer, precondition)
    if row.status == "withdrawn" and row.ended_by == caller.society:
        return await store.doc(tx, offer)
    if row.status != "accepted":
        raise wrong_state("offer", row.status, "accepted")
    await _undo(tx, caller, row, "released", reason)
    return await store.doc(tx, offer)


async def _undo(
    tx: AsyncConnection, caller: Caller, row: Any, verb: str, reason: str | None
) -> None:
    for follower in followers:
        await follower(tx, caller.actor, row.id)
    lines = await store.list_lines(tx, row.id)
    if not any(figures_of(line).to_send for line in lines):
        if row.ended_by == caller.society:
            return
        raise AppError("wrong_state", "Everything has left already.", extra={"state": "dispatched"})
    freed = [(line, figures_of(line).to_send) for line in lines]
    moves: Moves = []
    unaccepted = [
        (
            line.id,
            ratio_of(line).covered_by(line.accepted) - ratio_of(line).covered_by(line.dispatched),
        )
        for line, quantity in freed
        if line.request_line is not None and quantity
    ]
    if unaccepted:
        moves += await requests.release(tx, unaccepted)
    moves += await _free(tx, freed)
    await store.set_accepted(tx, [(line.id, line.dispatched) for line in lines])
    moves += [(f"offer_line:{line.id}", "accepted", -quantity) for line, quantity in freed]
    lines = await store.list_lines(tx, row.id)
    figures = [figures_of(line) for line in lines]
    status = "accepted"
    if not rules.has_left(figures):
        status = "withdrawn"
    elif rules.is_completed(figures):
        status = "completed"
    await store.move(
        tx,
        row.id,
        "accepted",
        status,
        clock.now(),
        reason=reason,
        ended_by=caller.society,
    )
    await told(tx, caller.actor, row, verb, reason, moves)


async def find_due(tx: AsyncConnection, passed_over: Sequence[UUID]) -> UUID | None:
    """A proposal whose time is over or whose request has ended, held; None where there is none.

    May run in any number of workers: an offer that somebody else holds is skipped. One in each
    transaction: whoever holds several offers takes the locks of their lots in no order that others
    could keep to.
    """
    now = clock.now()
    offer = await store.due(tx, now, passed_over)
    return offer or await store.orphaned(tx, now - _ENDED_LATELY, passed_over)


async def find_orphan(tx: AsyncConnection, passed_over: Sequence[UUID]) -> UUID | None:
    """A proposal whose request ended long ago: while the service did not run, say."""
    return await store.orphaned(tx, clock.now() - rules.LONGEST, passed_over)


async def expire(tx: AsyncConnection, offer: UUID) -> None:
    """End a proposal that cannot be accepted any more."""
    row = await store.lock(tx, offer)
    if row is not None and row.status == "proposed":
        is_late = rules.lapsed(row.status, row.expires_at, clock.now())
        reason = None if is_late else "The request has ended."
        await _drop(tx, Actor(row.society, None), row, "expired", reason)


async def count_by_state(tx: AsyncConnection) -> dict[str, int]:
    """Open offers by state, for the operator's metrics."""
    return {"proposed": 0, "accepted": 0} | await store.count_live(tx)


async def held_row(tx: AsyncConnection, offer: UUID) -> Any:
    """An offer that this transaction holds already."""
    return await store.lock(tx, offer)
