"""Keep the hubs and legs; find routes over them."""

import json
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.actions import Caller
from app.calls import Precondition
from app.errors import AppError, missing, unknown
from app.ledger.actions import Actor, Fact, record
from app.transport import store
from app.transport.finding import Network, shown, why_none
from app.transport.rules import Hub, Leg, Place


async def put_hub(
    tx: AsyncConnection, caller: Caller, values: Mapping[str, Any], precondition: Precondition
) -> tuple[bool, str]:
    """Create or replace a hub; (created, JSON)."""
    before = await store.hub_doc(tx, values["code"], lock=True)
    precondition.check(before)
    created = await store.put_hub(tx, dict(values))
    precondition.confirm(absent=before is None, created=created)
    doc = await store.hub_doc(tx, values["code"])
    assert doc is not None
    await _tell(tx, caller.actor, "hub", values["code"], before, doc)
    return before is None, doc


async def put_leg(
    tx: AsyncConnection, caller: Caller, values: Mapping[str, Any], precondition: Precondition
) -> tuple[bool, str]:
    """Create or replace a leg, or close and open it; (created, JSON)."""
    ends = [values["start"], values["end"]]
    known = await store.known_hubs(tx, ends)
    for end, name in zip(ends, ("start", "end"), strict=True):
        if end not in known:
            raise unknown(f"/{name}", "hub")
    before = await store.leg_doc(tx, values["code"], lock=True)
    precondition.check(before)
    created = await store.put_leg(tx, dict(values))
    precondition.confirm(absent=before is None, created=created)
    doc = await store.leg_doc(tx, values["code"])
    assert doc is not None
    await _tell(tx, caller.actor, "leg", values["code"], before, doc)
    return before is None, doc


async def _tell(
    tx: AsyncConnection, actor: Actor, kind: str, code: str, before: str | None, doc: str
) -> None:
    if before != doc:
        verb = "opened" if before is None else "changed"
        await record(tx, actor, Fact(f"{kind}.{verb}", code, {kind: json.loads(doc)}))


async def drop_hub(
    tx: AsyncConnection, caller: Caller, code: str, precondition: Precondition
) -> None:
    """Delete a hub at which no leg ends."""
    before = await store.hub_doc(tx, code, lock=True)
    if before is None:
        raise missing("hub")
    precondition.check(before)
    try:
        await store.drop_hub(tx, code)
    except IntegrityError as error:
        raise AppError("conflict", "Legs end at this hub; delete them first.") from error
    await record(tx, caller.actor, Fact("hub.removed", code, {}))


async def drop_leg(
    tx: AsyncConnection, caller: Caller, code: str, precondition: Precondition
) -> None:
    """Delete a leg. One that is out of use for a time is better closed."""
    before = await store.leg_doc(tx, code, lock=True)
    if before is None:
        raise missing("leg")
    precondition.check(before)
    await store.drop_leg(tx, code)
    await record(tx, caller.actor, Fact("leg.removed", code, {}))


async def show_hub(tx: AsyncConnection, code: str) -> str:
    """One hub as JSON."""
    doc = await store.hub_doc(tx, code)
    if doc is None:
        raise missing("hub")
    return doc


async def show_leg(tx: AsyncConnection, code: str) -> str:
    """One leg as JSON."""
    doc = await store.leg_doc(tx, code)
    if doc is None:
        raise missing("leg")
    return doc


async def list_hubs(tx: AsyncConnection, after: str, limit: int) -> list[Any]:
    """(code, JSON) of hubs."""
    return await store.list_hubs(tx, after, limit)


async def list_legs(tx: AsyncConnection, after: str, limit: int) -> list[Any]:
    """(code, JSON) of legs."""
    return await store.list_legs(tx, after, limit)


async def parts(tx: AsyncConnection) -> tuple[list[Hub], list[Leg]]:
    """Every hub and leg, for whoever makes a network of them."""
    hubs = [
        Hub(row.code, Place(row.name, row.country, row.lat, row.lon))
        for row in await store.all_hubs(tx)
    ]
    legs = [
        Leg(
            code=row.code,
            start=row.start_hub,
            end=row.end_hub,
            mode=row.mode,
            hours=row.hours,
            border_hours=row.border_hours,
            cost_per_tonne=row.cost_per_tonne,
            capacity_t=row.capacity_t,
            months=None if row.months is None else frozenset(row.months),
            closed=row.closed,
        )
        for row in await store.all_legs(tx)
    ]
    return hubs, legs


async def find_route(
    tx: AsyncConnection, start: Place, end: Place, by: str, on: date
) -> dict[str, Any]:
    """The soonest or the cheapest route; says why where there is none."""
    ways = Network(*await parts(tx), on).towards(end)
    route = ways.soonest_from(start) if by == "hours" else ways.cheapest_from(start)
    if route is not None:
        return shown(route)
    return {"found": False, "reason": why_none(start, end)}


async def load_network(tx: AsyncConnection, society: str) -> int:
    """Add the hubs and legs that come with the service, where there are none at all yet.

    Unlike a catalogue a network is one whole: a leg that the secretariat deleted must not return.
    """
    if await store.list_hubs(tx, "", 1):
        return 0
    actor = Actor(society, None)
    for entry in _seed("hubs.json"):
        await store.put_hub(tx, entry)
        doc = await show_hub(tx, entry["code"])
        await _tell(tx, actor, "hub", entry["code"], None, doc)
    for entry in _seed("legs.json"):
        await store.put_leg(tx, entry | {"closed": False, "note": None})
        doc = await show_leg(tx, entry["code"])
        await _tell(tx, actor, "leg", entry["code"], None, doc)
    return len(_seed("hubs.json")) + len(_seed("legs.json"))


def _seed(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(
        files("app.transport").joinpath("seed", name).read_text(encoding="utf-8")
    )
    return entries
