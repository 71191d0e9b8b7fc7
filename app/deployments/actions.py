"""Plan, mobilise, arrive, extend, release, return and cancel a deployment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.access.actions import Caller
from app.calls import Precondition
from app.deployments import rules, store
from app.errors import AppError, invalid, missing, unknown, wrong_state
from app.ledger.actions import Actor, Fact, record
from app.offers import actions as offers
from app.offers import journeys
from app.offers.rules import Step
from app.volunteers import actions as volunteers

Moves = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment as it is planned: so many people of an offer line."""

    offer: UUID
    offer_line: UUID
    headcount: int
    eta: datetime | None


async def plan(tx: AsyncConnection, caller: Caller, new: NewDeployment) -> tuple[UUID, str]:
    """Set accepted people aside for one deployment; (id, JSON)."""
    try:
        offer = await offers.hold(tx, caller, new.offer, side="provider")
    except AppError as error:
        if error.code == "not_found":
            raise unknown("/offer", "offer") from None
        raise
    lines = await journeys.accepted_lines(tx, new.offer)
    if new.offer_line not in lines or lines[new.offer_line].is_goods:
        raise unknown("/offer_line", "line of volunteers of this offer")
    if offer.status != "accepted":
        raise wrong_state("offer", offer.status, "accepted")
    step = Step(new.offer_line, planned=new.headcount)
    moves = await journeys.plan(tx, new.offer, [step], "/headcount")
    deployment, now = ids.new_id(), clock.now()
    window, passed = await volunteers.transfer(tx, new.offer_line, deployment, new.headcount)
    await store.add(
        tx,
        {
            "id": deployment,
            "offer": new.offer,
            "offer_line": new.offer_line,
            "society": offer.society,
            "to_society": offer.to_society,
            "headcount": new.headcount,
            "from_at": window.start,
            "until_at": window.end,
            "eta": new.eta,
            "now": now,
        },
    )
    data = {
        "offer_line": str(new.offer_line),
        "headcount": new.headcount,
        "from": clock.text(window.start),
        "until": clock.text(window.end),
        "eta": clock.text(new.eta) if new.eta else None,
    }
    await _tell(tx, caller.actor, offer, deployment, "planned", data, moves + passed)
    return deployment, await store.doc(tx, deployment)


async def _tell(
    tx: AsyncConnection,
    actor: Actor,
    offer: Any,
    deployment: UUID,
    verb: str,
    data: dict[str, Any],
    moves: Moves,
) -> None:
    fact = Fact(
        f"deployment.{verb}",
        deployment,
        {"offer": str(offer.id), **data},
        moves=moves,
        audience=journeys.audience(offer),
        emergency=offer.emergency,
    )
    await record(tx, actor, fact)


@dataclass(slots=True)
class Held:
    """A deployment and its offer, both held, in this order: offer first."""

    offer: Any
    row: Any

    @property
    def id(self) -> UUID:
        """The deployment."""
        deployment: UUID = self.row.id
        return deployment

    @property
    def status(self) -> str:
        """Its state."""
        return str(self.row.status)

    @property
    def headcount(self) -> int:
        """How many people."""
        return int(self.row.headcount)

    @property
    def society(self) -> str:
        """Who sends them."""
        return str(self.row.society)

    @property
    def to_society(self) -> str:
        """Who receives them."""
        return str(self.row.to_society)


async def hold(tx: AsyncConnection, caller: Caller, deployment: UUID, side: str | None) -> Held:
    """A deployment, held; 404 where the caller may not see it, 403 where the verb is not theirs."""
    offer_id = await store.offer_of(tx, deployment)
    if offer_id is None:
        raise missing("deployment")
    try:
        offer = await offers.hold(tx, caller, offer_id, side=side)
    except AppError as error:
        if error.code == "not_found":
            raise missing("deployment") from None
        raise
    if side is None and caller.society not in (offer.society, offer.to_society):
        raise AppError("role_forbidden", "Only the two parties may do this.")
    return Held(offer, await store.lock(tx, deployment))


async def _checked(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    side: str | None,
    precondition: Precondition,
) -> Held:
    held = await hold(tx, caller, deployment, side)
    if precondition.asked:
        precondition.check(await store.doc(tx, deployment))
    return held


def _allowed(held: Held, verb: str) -> bool:
    """True where the verb is to be done, False where it was done already; 409 otherwise."""
    if held.status in rules.MOVES[verb]:
        return True
    if held.status == rules.RESULT.get(verb):
        return False
    raise wrong_state("deployment", held.status, " or ".join(sorted(rules.MOVES[verb])))


async def _move(
    tx: AsyncConnection,
    actor: Actor,
    held: Held,
    verb: str,
    moves: Moves,
    reason: str | None = None,
) -> str:
    status = rules.RESULT[verb]
    await store.move(tx, held.id, status, clock.now(), reason)
    data = {"headcount": held.headcount, "reason": reason}
    await _tell(tx, actor, held.offer, held.id, rules.TOLD.get(verb, status), data, moves)
    await journeys.complete_if_done(tx, actor, held.offer)
    return await store.doc(tx, held.id)


async def mobilise(
    tx: AsyncConnection, caller: Caller, deployment: UUID, precondition: Precondition
) -> str:
    """The people leave."""
    held = await _checked(tx, caller, deployment, "provider", precondition)
    if not _allowed(held, "mobilise"):
        return await store.doc(tx, deployment)
    step = Step(held.row.offer_line, dispatched=held.headcount)
    moves = await journeys.advance(tx, held.offer.id, [step])
    await volunteers.depart(tx, deployment)
    return await _move(tx, caller.actor, held, "mobilise", moves)


async def arrive(
    tx: AsyncConnection, caller: Caller, deployment: UUID, precondition: Precondition
) -> str:
    """The people are there and at work; either party may say so."""
    held = await _checked(tx, caller, deployment, None, precondition)
    if not _allowed(held, "arrive"):
        return await store.doc(tx, deployment)
    step = Step(held.row.offer_line, received=held.headcount)
    moves = await journeys.advance(tx, held.offer.id, [step])
    return await _move(tx, caller.actor, held, "arrive", moves)


async def ask_extension(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    until: datetime,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """Ask the other party for a longer deployment; nothing changes until it answers."""
    held = await _checked(tx, caller, deployment, None, precondition)
    _allowed(held, "extend")
    row = held.row
    if until <= row.until_at:
        if until == row.until_at and row.extension_until is None:
            return await store.doc(tx, deployment)
        raise invalid(
            "/until",
            "not_later",
            f"It lasts until {clock.text(row.until_at)} already; name a later time.",
        )
    if row.extension_until == until and row.extension_by == caller.society:
        return await store.doc(tx, deployment)
    await store.ask(tx, deployment, until, caller.society, reason)
    data = {"until": clock.text(until), "by": caller.society, "reason": reason}
    await _tell(tx, caller.actor, held.offer, deployment, "extension_asked", data, [])
    return await store.doc(tx, deployment)


async def accept_extension(
    tx: AsyncConnection, caller: Caller, deployment: UUID, precondition: Precondition
) -> str:
    """Agree to the longer deployment; 409 where the pool's people are promised elsewhere then."""
    held = await _checked(tx, caller, deployment, None, precondition)
    until = _question(held, caller, "accepted")
    if until is not None:
        try:
            await volunteers.extend(tx, deployment, until)
        except AppError as error:
            # How many are free then is for their owner alone: the requester may not see the pool.
            if error.code != "insufficient_volunteers" or caller.society == held.society:
                raise
            raise AppError(
                "insufficient_volunteers",
                "The provider has promised too many of them elsewhere for the longer time.",
            ) from None
        await _answer(tx, caller, held, "accepted", "extended", {"until": clock.text(until)})
    return await store.doc(tx, deployment)


async def decline_extension(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """Do not agree to the longer deployment; it ends as it was agreed before."""
    held = await _checked(tx, caller, deployment, None, precondition)
    if _question(held, caller, "declined") is not None:
        await _answer(tx, caller, held, "declined", "extension_declined", {"reason": reason})
    return await store.doc(tx, deployment)


def _question(held: Held, caller: Caller, answer: str) -> datetime | None:
    """Until when the other party asks; None where the caller gave this answer already."""
    if (held.row.answer, held.row.answered_by) == (answer, caller.society):
        return None
    _allowed(held, "extend")
    if held.row.extension_until is None:
        raise AppError(
            "wrong_state",
            "Nobody has asked for an extension that is not answered yet.",
            extra={"state": held.status},
        )
    if not rules.answers_extension(held.row.extension_by, caller.society):
        raise AppError("role_forbidden", "The other party answers what you asked for.")
    until: datetime = held.row.extension_until
    return until


async def _answer(
    tx: AsyncConnection,
    caller: Caller,
    held: Held,
    answer: str,
    verb: str,
    data: dict[str, Any],
) -> None:
    await store.answer(tx, held.id, answer, caller.society)
    await _tell(tx, caller.actor, held.offer, held.id, verb, data, [])


async def release(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """The requester needs them no longer: they may go home."""
    held = await _checked(tx, caller, deployment, "requester", precondition)
    if not _allowed(held, "release"):
        return await store.doc(tx, deployment)
    return await _move(tx, caller.actor, held, "release", [], reason)


async def recall(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """The sender brings its people home, whether or not the requester has released them."""
    held = await _checked(tx, caller, deployment, "provider", precondition)
    if not _allowed(held, "recall"):
        return await store.doc(tx, deployment)
    return await _move(tx, caller.actor, held, "recall", [], reason)


async def bring_back(
    tx: AsyncConnection, caller: Caller, deployment: UUID, precondition: Precondition
) -> str:
    """The people are home: the pool can promise them again."""
    held = await _checked(tx, caller, deployment, "provider", precondition)
    if not _allowed(held, "return"):
        return await store.doc(tx, deployment)
    moves = await volunteers.free(tx, [(deployment, held.headcount)])
    return await _move(tx, caller.actor, held, "return", moves)


async def cancel(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    reason: str | None,
    precondition: Precondition,
) -> str:
    """The people do not go, or turn back on the way; they can be planned anew."""
    held = await _checked(tx, caller, deployment, "provider", precondition)
    if not _allowed(held, "cancel"):
        return await store.doc(tx, deployment)
    left = held.headcount if held.status == "mobilised" else 0
    moves = await _unplan(tx, held.offer.id, held.row, left)
    return await _move(tx, caller.actor, held, "cancel", moves, reason)


async def _unplan(tx: AsyncConnection, offer: UUID, row: Any, left: int) -> Moves:
    step = Step(row.offer_line, planned=-row.headcount, dispatched=-left)
    moves = await journeys.advance(tx, offer, [step])
    _, passed = await volunteers.transfer(tx, row.id, row.offer_line, row.headcount)
    return moves + passed


async def cancel_planned(tx: AsyncConnection, actor: Actor, offer: UUID) -> None:
    """Before an offer is withdrawn or released: who has not left does not go."""
    held = await offers.held_row(tx, offer)
    for row in await store.planned(tx, offer):
        moves = await _unplan(tx, offer, row, 0)
        await store.move(tx, row.id, "cancelled", clock.now(), "The offer has ended.")
        data = {"headcount": row.headcount, "reason": "The offer has ended."}
        await _tell(tx, actor, held, row.id, "cancelled", data, moves)


async def show(tx: AsyncConnection, caller: Caller, deployment: UUID) -> str:
    """A deployment as JSON; 404 where the caller may not see it."""
    doc = await store.seen(tx, deployment, caller.society, caller.is_secretariat)
    if doc is None:
        raise missing("deployment")
    return doc


async def find(
    tx: AsyncConnection,
    caller: Caller,
    *,
    offer: UUID | None,
    status: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of the deployments that the caller may see, newest first."""
    return await store.find(
        tx,
        me=caller.society,
        everything=caller.is_secretariat,
        offer=offer,
        status=status,
        after=after,
        limit=limit,
    )
