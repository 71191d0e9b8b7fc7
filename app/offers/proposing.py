"""Propose: an offer reserves what it offers, all of its lines or none."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.access import actions as access
from app.access.actions import Caller
from app.access.rules import TAKES_PART
from app.catalogue import actions as catalogue
from app.db import together
from app.emergencies import actions as emergencies
from app.errors import AppError, Fault, invalid, unknown, wrong_state
from app.idempotency import Keeping
from app.ledger.actions import SECRETARIAT, Fact, record_part
from app.offers import rules, store
from app.quantity import MOST, SAME, Inexact, Ratio
from app.requests import pledging as requests
from app.stock import reserving as stock
from app.volunteers import actions as volunteers


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line as it is offered: from a lot (`quantity`, perhaps in packs) or a pool (people)."""

    quantity: int
    stock: UUID | None = None
    pack: str | None = None
    volunteers: UUID | None = None
    request_line: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewOffer:
    """An offer as it is proposed: for a request, or unsolicited to a society."""

    request: UUID | None
    emergency: UUID | None
    to: str | None
    lines: Sequence[NewLine]
    expires_at: datetime | None
    eta: datetime | None
    message: str | None
    ref: str | None

    @property
    def digest(self) -> bytes:
        """What makes two offers the same."""
        return hashlib.sha256(json.dumps(asdict(self), default=str).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Line:
    id: UUID
    position: int
    new: NewLine
    quantity: int
    ratio: Ratio
    item: str | None
    unit: str | None
    skill: str | None
    start: datetime | None
    end: datetime | None

    def row(self) -> dict[str, Any]:
        def some(value: object) -> str | None:
            return None if value is None else str(value)

        return {
            "id": str(self.id),
            "position": self.position,
            "request_line": some(self.new.request_line),
            "lot": some(self.new.stock),
            "pool": some(self.new.volunteers),
            "item": self.item,
            "unit": self.unit,
            "skill": self.skill,
            "from_at": self.start.isoformat() if self.start else None,
            "until_at": self.end.isoformat() if self.end else None,
            "ratio_quantity": self.ratio.quantity,
            "ratio_per": self.ratio.per,
            "quantity": self.quantity,
        }

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = {"line": str(self.id), "quantity": self.quantity}
        if self.new.request_line:
            told["request_line"] = str(self.new.request_line)
        if self.new.stock:
            return told | {"stock": str(self.new.stock), "item": self.item}
        assert self.start and self.end
        return told | {
            "volunteers": str(self.new.volunteers),
            "skill": self.skill,
            "from": clock.text(self.start),
            "until": clock.text(self.end),
        }


def location(offer: UUID) -> str:
    """Where an offer is read."""
    return f"/v1/offers/{offer}"


async def propose(
    tx: AsyncConnection, caller: Caller, new: NewOffer, days: int, keeping: Keeping | None
) -> tuple[UUID, str, bool]:
    """Offer from the caller's own lots and pools; (id, JSON, whether it was made by this call).

    `days`: how long it stands. The same `ref` with the same content is answered with the offer that
    was made; 409 `duplicate_ref` where the content is another.
    """
    now = clock.now()
    if new.ref is not None:
        await store.hold_ref(tx, caller.society, new.ref)
        made = await store.by_ref(tx, caller.society, new.ref)
        if made is not None:
            if made[1] != new.digest:
                message = "You made another offer under this reference."
                raise AppError(
                    "duplicate_ref", message, faults=[Fault("/ref", "duplicate_ref", message)]
                )
            return made[0], await store.doc(tx, made[0]), False
    expires_at = new.expires_at or now + timedelta(days=days)
    if not now < expires_at <= now + rules.LONGEST:
        raise invalid(
            "/expires_at",
            "out_of_range",
            f"An offer stands for at most {rules.LONGEST.days} days, and not in the past.",
        )
    asking, own_lots = await _looked_up(tx, caller, new)
    pools = [line.volunteers for line in new.lines if line.volunteers]
    own_pools = await volunteers.offerable(tx, caller.society, pools) if pools else {}
    lines = [
        await _fit(tx, position, line, asking, own_lots, own_pools)
        for position, line in enumerate(new.lines)
    ]
    offer = ids.new_id()
    moves = [(f"offer_line:{line.id}", "quantity", line.quantity) for line in lines]
    moves += await _promise_people(tx, caller, asking.society, lines)
    parts = [
        store.add_part(
            {
                "id": offer,
                "emergency": asking.emergency,
                "request": new.request,
                "society": caller.society,
                "to_society": asking.society,
                "expires_at": expires_at,
                "eta": new.eta,
                "message": new.message,
                "ref": new.ref,
                "body_digest": new.digest if new.ref is not None else None,
                "warnings": json.dumps(_warnings(new.lines, own_lots, now.date())),
                "now": now,
                "lines": json.dumps([line.row() for line in lines]),
            }
        )
    ]
    if keeping is not None:
        parts.append(keeping.part(location(offer)))
    pledged = [
        (line.id, line.new.request_line, line.ratio.counts_for(line.quantity))
        for line in lines
        if line.new.request_line
    ]
    if pledged:
        pledge, offered = requests.pledge(caller.society, pledged)
        parts.append(pledge)
        moves += offered
    goods = [
        stock.Held(line.id, line.new.stock, line.quantity, line.position)
        for line in lines
        if line.new.stock
    ]
    reservation = None
    if goods:
        reservation = await stock.reserve(tx, caller.society, asking.society, goods)
        parts.append(reservation.part)
        moves += reservation.moves
    fact = Fact(
        "offer.proposed",
        offer,
        {
            "request": str(new.request) if new.request else None,
            "to": asking.society,
            "expires_at": clock.text(expires_at),
            "lines": [line.told() for line in lines],
        },
        moves=moves,
        audience=[caller.society, asking.society, SECRETARIAT],
        emergency=asking.emergency,
    )
    parts.append(record_part(caller.actor, fact, after="taken" if reservation else "o"))
    # One statement for all of it, as the look before: the lots are held until the COMMIT, and each
    # round trip until then is one in which nobody else can promise from them.
    doc, *shown = await together(tx, *parts)
    if keeping is not None:
        keeping.confirm(shown.pop(0))
    if reservation is not None:
        await reservation.confirm(tx, shown.pop(0))
    return offer, str(doc), True


def _warnings(
    lines: Sequence[NewLine], lots: Mapping[UUID, stock.Offerable], today: date
) -> list[dict[str, str]]:
    """What both parties should know of the goods: those that expire soon."""
    return [
        {
            "pointer": f"/lines/{n}/stock",
            "code": "expires_soon",
            "message": f"The goods expire on {lots[line.stock].expires_on}, in less than "
            f"{rules.EXPIRES_SOON_MONTHS} months.",
        }
        for n, line in enumerate(lines)
        if line.stock and rules.expires_soon(lots[line.stock].expires_on, today)
    ]


async def _looked_up(
    tx: AsyncConnection, caller: Caller, new: NewOffer
) -> tuple[requests.Asking, dict[UUID, stock.Offerable]]:
    """Who is offered to, and the caller's own lots of the offer."""
    own_lots = stock.own_lots(caller.society, [line.stock for line in new.lines if line.stock])
    if new.request is None:
        assert new.emergency is not None and new.to is not None
        await emergencies.hold_open(tx, new.emergency, "/emergency")
        if await access.role_of(tx, new.to) not in TAKES_PART:
            raise unknown("/to", "society that takes part")
        asking = requests.Asking(new.to, new.emergency, "open", {})
        pointer = "/to"
        [owned] = await together(tx, own_lots)
    else:
        wanted = [line.request_line for line in new.lines if line.request_line]
        # One look for both: on the hottest write each round trip counts.
        asked, owned = await together(tx, requests.asked(new.request, wanted), own_lots)
        asking = requests.asking(asked)
        pointer = "/request"
        if asking.status != "open":
            raise wrong_state("request", asking.status, "open")
    if asking.society == caller.society:
        raise invalid(pointer, "own_society", "A society does not offer to itself.")
    return asking, stock.offerable(owned)


async def _fit(
    tx: AsyncConnection,
    position: int,
    line: NewLine,
    asking: requests.Asking,
    lots: dict[UUID, stock.Offerable],
    pools: dict[UUID, volunteers.Offerable],
) -> _Line:
    pointer = f"/lines/{position}"
    asked = asking.lines.get(line.request_line) if line.request_line else None
    if line.request_line and asked is None:
        raise unknown(f"{pointer}/request_line", "line of this request")
    if line.stock:
        lot = lots.get(line.stock)
        if lot is None:
            raise unknown(f"{pointer}/stock", "lot of yours")
        if rules.is_expired(lot.expires_on, clock.now().date()):
            message = f"The goods expired on {lot.expires_on}."
            fault = Fault(f"{pointer}/stock", "lot_expired", message)
            raise AppError("lot_expired", message, faults=[fault])
        quantity = await catalogue.in_base_units(tx, lot.item, line.quantity, line.pack, pointer)
        ratio = SAME
        if asked is not None:
            ratio = await _ratio(tx, asked, lot.item, f"{pointer}/stock")
        _exact(ratio, quantity, f"{pointer}/quantity")
        return _Line(
            ids.new_id(),
            position,
            line,
            quantity,
            ratio,
            lot.item,
            lot.unit,
            None,
            None,
            None,
        )
    pool = pools.get(line.volunteers) if line.volunteers else None
    if pool is None:
        raise unknown(f"{pointer}/volunteers", "pool of yours")
    if asked is not None and (asked.kind != "volunteers" or asked.skill != pool.skill):
        raise _no_match(f"{pointer}/volunteers", "The pool's skill is not what the line asks for.")
    start = asked.start if asked and asked.start else pool.available_from
    end = asked.end if asked and asked.end else pool.available_until
    return _Line(
        ids.new_id(),
        position,
        line,
        line.quantity,
        SAME,
        None,
        None,
        pool.skill,
        start,
        end,
    )


async def _ratio(tx: AsyncConnection, asked: requests.Asked, item: str, pointer: str) -> Ratio:
    if asked.kind != "stock" or asked.item is None:
        raise _no_match(pointer, "The line asks for people and not for goods.")
    stand_ins: dict[str, Ratio] = {}
    if item != asked.item and asked.accept_substitutes:
        stand_ins = await catalogue.stand_ins(tx, asked.item)
    ratio = rules.ratio_for(asked.item, item, asked.accept_substitutes, stand_ins)
    if ratio is None:
        raise _no_match(
            pointer,
            f"The line asks for {asked.item}; this lot's item does not stand in for it.",
        )
    return ratio


def _no_match(pointer: str, message: str) -> AppError:
    return AppError("not_a_match", message, faults=[Fault(pointer, "not_a_match", message)])


def _exact(ratio: Ratio, quantity: int, pointer: str) -> None:
    try:
        counts = ratio.counts_for(quantity)
    except Inexact as error:
        raise inexact(error, pointer) from None
    if counts > MOST:
        message = f"At this ratio it stands for more than {MOST} of what is asked for."
        raise invalid(pointer, "too_large", message)


def inexact(error: Inexact, pointer: str) -> AppError:
    """422: a quantity that does not stand for a whole number, with the nearest that do."""
    nearest = f"{error.below} or {error.above}" if error.below else f"{error.above}"
    message = f"This does not stand for a whole number of what is asked for; {nearest} does."
    return AppError("pack_mismatch", message, faults=[Fault(pointer, "pack_mismatch", message)])


async def _promise_people(
    tx: AsyncConnection, caller: Caller, beneficiary: str, lines: Sequence[_Line]
) -> list[tuple[str, str, int]]:
    people = [
        volunteers.Held(
            holder=line.id,
            pool=line.new.volunteers,
            headcount=line.quantity,
            start=line.start,
            end=line.end,
            line=line.position,
        )
        for line in lines
        if line.new.volunteers and line.start and line.end
    ]
    return await volunteers.promise(tx, caller.society, beneficiary, people) if people else []
