"""Report, find, take over and close an emergency."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.access.actions import Caller
from app.calls import Precondition
from app.emergencies import rules, store
from app.errors import AppError, missing, unknown, wrong_state
from app.ledger.actions import Fact, record


@dataclass(frozen=True, slots=True)
class NewEmergency:
    """An emergency as it is reported."""

    name: str
    hazard: str
    glide: str | None
    country: str
    lat: float
    lon: float
    started_on: date


async def open_emergency(
    tx: AsyncConnection, caller: Caller, new: NewEmergency
) -> tuple[UUID, str]:
    """Report a disaster; (id, JSON)."""
    emergency = ids.new_id()
    values: dict[str, Any] = {
        "name": new.name,
        "hazard": new.hazard,
        "glide": new.glide,
        "country": new.country,
        "lat": new.lat,
        "lon": new.lon,
    }
    await store.add(
        tx,
        values
        | {
            "id": emergency,
            "society": caller.society,
            "started_on": new.started_on,
            "now": clock.now(),
        },
    )
    data = values | {"started_on": new.started_on.isoformat()}
    await record(tx, caller.actor, Fact("emergency.opened", emergency, data, emergency=emergency))
    return emergency, await show(tx, emergency)


async def close(
    tx: AsyncConnection, caller: Caller, emergency: UUID, precondition: Precondition
) -> str:
    """End an emergency: no further requests. What was requested goes on to its own end."""
    row = await store.lock(tx, emergency)
    if row is None:
        raise missing("emergency")
    if row.society != caller.society and not caller.is_secretariat:
        raise AppError(
            "role_forbidden",
            "Only the society whose emergency it is or the secretariat may close it.",
        )
    if precondition.asked:
        precondition.check(await store.doc(tx, emergency))
    if row.status == "open":
        await store.close(tx, emergency, clock.now())
        await record(tx, caller.actor, Fact("emergency.closed", emergency, {}, emergency=emergency))
    return await show(tx, emergency)


async def take_over(
    tx: AsyncConnection, caller: Caller, emergency: UUID, precondition: Precondition
) -> str:
    """Make an open emergency the caller's own, where its country or its GLIDE number is.

    Somebody else may have reported it, in good faith or to hold the number. What was requested and
    offered in it stays.
    """
    row = await store.lock(tx, emergency)
    if row is None:
        raise missing("emergency")
    if caller.society not in rules.countries(row.country, row.glide):
        raise AppError("role_forbidden", "Only the society of the country that is hit may do this.")
    if precondition.asked:
        precondition.check(await store.doc(tx, emergency))
    if row.society != caller.society:
        if row.status != "open":
            raise wrong_state("emergency", row.status, "open")
        await store.give_to(tx, emergency, caller.society)
        data = {"previous_society": row.society}
        fact = Fact("emergency.taken_over", emergency, data, emergency=emergency)
        await record(tx, caller.actor, fact)
    return await show(tx, emergency)


async def show(tx: AsyncConnection, emergency: UUID) -> str:
    """An emergency as JSON; everybody may read it."""
    doc = await store.doc(tx, emergency)
    if doc is None:
        raise missing("emergency")
    return doc


async def find(
    tx: AsyncConnection, filters: dict[str, Any], after: UUID | None, limit: int
) -> list[Any]:
    """(id, JSON) of emergencies, newest first."""
    return await store.find(tx, filters, after, limit)


async def hold_open(tx: AsyncConnection, emergency: UUID, pointer: str) -> None:
    """Keep an emergency from being closed while this transaction runs.

    Raises 422 at `pointer` where there is none, 409 where it is closed.
    """
    status = await store.share(tx, emergency)
    if status is None:
        raise unknown(pointer, "emergency")
    if status != "open":
        raise wrong_state("emergency", status, "open")
