"""Ask for a plan, for preparedness, or whether an offer is needed. Nothing is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, json_text
from app.access import actions as access
from app.access.actions import Caller
from app.access.rules import TAKES_PART
from app.catalogue import actions as catalogue
from app.db import together
from app.emergencies import actions as emergencies
from app.errors import AppError, invalid, missing, unknown, wrong_state
from app.matching import store
from app.matching.hosting import Thinking
from app.shares import Connections
from app.stock import reserving as stock
from app.transport import actions as transport
from app.transport.rules import Hub, Leg
from app.volunteers import actions as volunteers

MOST_LINES = 10_000
MOST_LOTS = 200_000
"""What a plan takes. Of more, each society has its share planned (docs/decisions/0042)."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A question for a plan: the options and suppositions as they came."""

    at: datetime | None
    options: Mapping[str, Any]
    what_if: Mapping[str, Any] | None = None
    only: Sequence[UUID] | None = None


async def match(
    database: Connections, thinking: Thinking, caller: Caller, request: UUID, asking: Asking
) -> str:
    """The plan for one request, for its requester and the secretariat."""
    async with database.snapshot() as tx:
        row = await store.head(tx, request)
        if row is None:
            raise missing("request")
        if row.society != caller.society and not caller.is_secretariat:
            raise AppError(
                "role_forbidden", "Only the society that asked and the secretariat see its plan."
            )
        if row.status != "open":
            raise wrong_state("request", row.status, "open")
        parts = await gather(tx, {"request": request}, asking, caller)
    return await _think(thinking, caller, asking, parts, None)


async def plan(
    database: Connections, thinking: Thinking, caller: Caller, emergency: UUID, asking: Asking
) -> str:
    """The plan for all open requests of an emergency.

    A member is shown what concerns its own requests. Whoever asks, all of it is reckoned with what
    the caller may see: what others may see beside that would show in what they leave.
    """
    async with database.snapshot() as tx:
        row = await store.askers(tx, emergency)
        if row is None:
            raise missing("emergency")
        if caller.society not in row.societies and not caller.is_secretariat:
            raise AppError(
                "role_forbidden",
                "Only societies with an open request in this emergency and the secretariat plan.",
            )
        _check_requests(set(row.requests), asking)
        await _check(tx, asking.what_if)
        parts = await gather(tx, {"emergency": emergency, "only": asking.only}, asking, caller)
    only = None if caller.is_secretariat else caller.society
    return await _think(thinking, caller, asking, parts, only)


def _check_requests(known: set[UUID], asking: Asking) -> None:
    """What is named must be open requests of the emergency: else the answer would be of others."""
    what = "open request of this emergency"
    for n, request in enumerate(asking.only or ()):
        if request not in known:
            raise unknown(f"/requests/{n}", what)
    for n, later in enumerate((asking.what_if or {}).get("deadlines", ())):
        if UUID(later["request"]) not in known:
            raise unknown(f"/what_if/deadlines/{n}/request", what)


async def _check(tx: AsyncConnection, what_if: Mapping[str, Any] | None) -> None:
    if not what_if:
        return
    _, legs = await transport.parts(tx)
    known = {leg.code for leg in legs}
    for n, code in enumerate(what_if["closed_legs"]):
        if code not in known:
            raise unknown(f"/what_if/closed_legs/{n}", "leg")
    for n, lot in enumerate(what_if["lots"]):
        if await catalogue.unit_of(tx, lot["item"]) is None:
            raise unknown(f"/what_if/lots/{n}/item", "item")
        if await access.role_of(tx, lot["society"]) not in TAKES_PART:
            raise unknown(f"/what_if/lots/{n}/society", "society that takes part")


async def gather(
    tx: AsyncConnection, chosen: dict[str, Any], asking: Asking, caller: Caller
) -> dict[str, str]:
    """Everything that a plan for the chosen requests is made from, as JSON."""
    values = chosen | _eyes(caller)
    values |= {"now": asking.at or clock.now(), "items": _supposed_items(asking)}
    lines = await store.lines(tx, values, MOST_LINES)
    lots = await store.lots(tx, values, MOST_LOTS)
    return (
        {"lines": lines.text, "lots": lots.text}
        | _left_out(lines.left_out, lots.left_out)
        | await _world(tx, values)
    )


def _left_out(lines: Mapping[str, int], lots: Mapping[str, int]) -> dict[str, str]:
    """What is beyond a society's share: one that asks for thousands must not end all planning."""
    told = [
        {"society": society, "lines": lines.get(society, 0), "lots": lots.get(society, 0)}
        for society in sorted({*lines, *lots})
    ]
    return {"not_planned": json_text.dump(told).decode()}


def _eyes(caller: Caller) -> dict[str, Any]:
    return {"me": caller.society, "secretariat": caller.is_secretariat}


async def _world(tx: AsyncConnection, values: dict[str, Any]) -> dict[str, str]:
    hubs, legs = await transport.parts(tx)
    return await store.others(tx, values) | {
        "hubs": json_text.dump([_hub(hub) for hub in hubs]).decode(),
        "legs": json_text.dump([_leg(leg) for leg in legs]).decode(),
    }


def _supposed_items(asking: Asking) -> list[str]:
    return sorted({lot["item"] for lot in (asking.what_if or {}).get("lots", ())})


def _hub(hub: Hub) -> list[Any]:
    return [hub.code, hub.place.name, hub.place.country, hub.place.lat, hub.place.lon]


def _leg(leg: Leg) -> list[Any]:
    months = None if leg.months is None else sorted(leg.months)
    return [
        leg.code, leg.start, leg.end, leg.mode, leg.hours, leg.border_hours, leg.cost_per_tonne,
        leg.capacity_t, months, leg.closed,
    ]  # fmt: skip


async def _think(
    thinking: Thinking,
    caller: Caller,
    asking: Asking,
    parts: Mapping[str, str],
    only: str | None,
    **more: Any,
) -> str:
    head = {
        "kind": "plan",
        "at": (asking.at or clock.now()).isoformat(),
        "options": dict(asking.options),
        "what_if": asking.what_if,
        "secretariat": caller.is_secretariat,
        "only_for": only,
    } | more
    question, seconds = written(head, parts), asking.options["time_limit"]
    thought = await thinking.answer(question, seconds, caller.society)
    return thought.document.decode()


def written(head: Mapping[str, Any], parts: Mapping[str, str]) -> bytes:
    """A question as the planning process reads it; what PostgreSQL wrote stays text here."""
    raw = json_text.dump(head).decode()[:-1]
    raw += "".join(f',"{name}":{text}' for name, text in parts.items()) + "}"
    return raw.encode()


async def prepare(
    database: Connections,
    thinking: Thinking,
    caller: Caller,
    scenario: dict[str, Any],
    asking: Asking,
) -> str:
    """How soon the network's present stock covers a scenario, as far as the caller may see it."""
    async with database.snapshot() as tx:
        for n, need in enumerate(scenario["needs"] or ()):
            if await catalogue.unit_of(tx, need["item"]) is None:
                raise unknown(f"/needs/{n}/item", "item")
        values = _eyes(caller) | {"only": [], "now": asking.at or clock.now()}
        values["items"] = scenario.pop("items")
        lots = await store.lots(tx, values, MOST_LOTS)
        parts = {"lines": "[]", "lots": lots.text} | _left_out({}, lots.left_out)
        parts |= await _world(tx, values)
    return await _think(
        thinking, caller, asking, parts, None, kind="preparedness", scenario=scenario
    )


@dataclass(frozen=True, slots=True)
class Unasked:
    """An unsolicited offer as it might be made: lots with quantities, pools with headcounts."""

    emergency: UUID
    to: str
    lots: Sequence[tuple[UUID, int, str | None]]
    pools: Sequence[tuple[UUID, int]]


async def screen(database: Connections, caller: Caller, offer: Unasked) -> dict[str, Any]:
    """Whether an open line of the receiving society needs what is offered; what it needs."""
    async with database.snapshot() as tx:
        return await _screened(tx, caller, offer)


async def _screened(tx: AsyncConnection, caller: Caller, offer: Unasked) -> dict[str, Any]:
    if offer.to == caller.society:
        raise invalid("/to", "own_society", "A society does not offer to itself.")
    await emergencies.show(tx, offer.emergency)
    if await access.role_of(tx, offer.to) not in TAKES_PART:
        raise unknown("/to", "society that takes part")
    goods, skills = await store.open_needs(tx, offer.emergency, offer.to)
    needed: dict[str, int] = {}
    for row in goods:
        taken = [row.item]
        if row.accept_substitutes:
            taken += await catalogue.stand_ins(tx, row.item)
        for item in taken:
            needed[item] = needed.get(item, 0) + row.outstanding
    people = {row.skill: row.outstanding for row in skills}
    lots = [lot for lot, _, _ in offer.lots]
    own = stock.offerable(*await together(tx, stock.own_lots(caller.society, lots)))
    pools = [pool for pool, _ in offer.pools]
    own_pools = await volunteers.offerable(tx, caller.society, pools) if pools else {}
    lines = []
    for n, (lot, count, pack) in enumerate(offer.lots):
        if lot not in own:
            raise unknown(f"/lines/{n}/stock", "lot of yours")
        code = own[lot].item
        quantity = await catalogue.in_base_units(tx, code, count, pack, f"/lines/{n}")
        lines.append(_verdict(code, quantity, needed.get(code, 0), offer.to))
    for n, (pool, headcount) in enumerate(offer.pools):
        if pool not in own_pools:
            raise unknown(f"/lines/{len(offer.lots) + n}/volunteers", "pool of yours")
        code = own_pools[pool].skill
        lines.append(_verdict(code, headcount, people.get(code, 0), offer.to))
    instead = [
        {"code": row.item, "name": row.name, "unit": row.unit, "outstanding": row.outstanding}
        for row in goods
    ]
    instead += [
        {"code": row.skill, "name": row.skill, "unit": "person", "outstanding": row.outstanding}
        for row in skills
    ]
    return {
        "needed": all(line["needed"] for line in lines),
        "lines": lines,
        "needed_instead": [] if all(line["needed"] for line in lines) else instead,
    }


def _verdict(code: str, quantity: int, outstanding: int, to: str) -> dict[str, Any]:
    if outstanding == 0:
        reason = f"No open request of {to} in this emergency asks for {code}."
    elif quantity > outstanding:
        reason = f"{to} still asks for {outstanding}; the rest is not needed."
    else:
        reason = f"{to} still asks for {outstanding}: offer it for its request."
    return {
        "code": code,
        "quantity": quantity,
        "outstanding": outstanding,
        "needed": outstanding > 0,
        "reason": reason,
    }
