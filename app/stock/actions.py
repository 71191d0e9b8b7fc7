"""Publish, withdraw, find: sites and lots as their owner keeps them, and as others see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, counts, ids
from app.access import actions as access
from app.access.actions import Caller
from app.calls import Precondition
from app.catalogue import actions as catalogue
from app.errors import AppError, invalid, missing, unknown
from app.idempotency import Overtaken
from app.ledger.actions import Fact, record
from app.stock import rules, search, store
from app.stock.search import Wanted


@dataclass(frozen=True, slots=True)
class Site:
    """A place of a society, as its owner describes it."""

    name: str
    country: str
    lat: float
    lon: float
    kind: str


@dataclass(frozen=True, slots=True)
class Lot:
    """What an owner publishes of a lot. Quantities are in `pack`s where one is named."""

    item: str
    site: str
    quantity: int
    pack: str | None
    keep_back: int
    lot_number: str | None
    expires_on: date | None
    unit_value: Decimal | None
    currency: str | None
    visible_to: list[str] | None
    as_of: datetime | None


async def put_site(
    tx: AsyncConnection,
    caller: Caller,
    ref: str,
    site: Site,
    precondition: Precondition,
) -> tuple[bool, str]:
    """Create or replace a site; (created, JSON)."""
    before = await store.site(tx, caller.society, ref, lock=True)
    precondition.check(before[1] if before else None)
    values = {
        "id": before[0] if before else ids.new_id(),
        "society": caller.society,
        "ref": ref,
        "name": site.name,
        "country": site.country,
        "lat": site.lat,
        "lon": site.lon,
        "kind": site.kind,
    }
    row = await store.put_site(tx, values)
    precondition.confirm(absent=before is None, created=row.created)
    after = await store.site(tx, caller.society, ref)
    assert after is not None
    if before is None or before[1] != after[1]:
        await record(
            tx,
            caller.actor,
            Fact(
                "site.opened" if before is None else "site.changed",
                row.id,
                {
                    "ref": ref,
                    **{k: values[k] for k in ("name", "country", "lat", "lon", "kind")},
                },
                audience=[caller.society],
            ),
        )
    return bool(row.created), after[1]


async def show_site(tx: AsyncConnection, caller: Caller, ref: str) -> str:
    """A society's own site as JSON."""
    found = await store.site(tx, caller.society, ref)
    if found is None:
        raise missing("site")
    return found[1]


async def list_sites(tx: AsyncConnection, caller: Caller, after: str, limit: int) -> list[Any]:
    """(ref, JSON) of the caller's sites."""
    return await store.list_sites(tx, caller.society, after, limit)


async def list_own(tx: AsyncConnection, caller: Caller, after: UUID, limit: int) -> list[Any]:
    """(id, JSON) of the caller's lots, as their owner sees them."""
    return await store.list_own_lots(tx, caller.society, after, limit)


async def find(
    tx: AsyncConnection,
    caller: Caller,
    wanted: Wanted,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Any]:
    """The network's lots as (place…, JSON)."""
    return await search.find(tx, caller.society, wanted, after, limit)


async def close_site(
    tx: AsyncConnection, caller: Caller, ref: str, precondition: Precondition
) -> None:
    """Delete a site at which nothing is published."""
    before = await store.site(tx, caller.society, ref, lock=True)
    if before is None:
        raise missing("site")
    precondition.check(before[1])
    try:
        await store.delete_site(tx, before[0])
    except IntegrityError as error:
        raise AppError("site_in_use", "Lots or pools stand at this site.") from error
    await record(
        tx,
        caller.actor,
        Fact("site.closed", before[0], {"ref": ref}, audience=[caller.society]),
    )


async def site_id(tx: AsyncConnection, society: str, ref: str, pointer: str) -> UUID:
    """The id of a society's own site; 422 where it has none with this reference."""
    found = await store.site(tx, society, ref)
    if found is None:
        raise unknown(pointer, "site of yours")
    return found[0]


async def check_visible_to(
    tx: AsyncConnection, societies: Sequence[str] | None
) -> list[str] | None:
    """Named societies in order and each once; 422 where one is not of the network."""
    if societies is None:
        return None
    named = sorted(set(societies))
    for absent in await access.unknown_societies(tx, named):
        raise unknown(f"/visible_to/{list(societies).index(absent)}", "society")
    return named


async def publish(
    tx: AsyncConnection, caller: Caller, ref: str, lot: Lot, precondition: Precondition
) -> tuple[bool, str]:
    """Create or replace a lot by the owner's reference; (created, JSON of the owner's view).

    The owner's count is the truth: fewer than are reserved is accepted, stops new promises and
    tells both parties (`stock.shortfall`). It is the truth of its `as_of`: what was dispatched
    since then is subtracted, and 409 `stale_count` refuses one that is older than the last.
    """
    counted = await catalogue.in_base_units(tx, lot.item, lot.quantity, lot.pack, "")
    if await catalogue.unit_of(tx, lot.item) is None:
        raise unknown("/item", "item")
    if (lot.unit_value is None) != (lot.currency is None):
        raise invalid("/currency", "incomplete", "Give `unit_value` and `currency` together.")
    site = await site_id(tx, caller.society, lot.site, "/site")
    visible_to = await check_visible_to(tx, lot.visible_to)
    now = clock.now()
    before = await store.lock_lot(tx, caller.society, ref)
    if precondition.asked:
        precondition.check(await store.own_lot(tx, caller.society, ref))
    as_of = counts.moment(lot.as_of, before.as_of if before else None, now)
    quantity = counted
    # What was read and is sent back with another field changed is no new count.
    if before and as_of < now and (counted, as_of) != (before.quantity, before.as_of):
        quantity = rules.still_there(counted, await store.issued_after(tx, before.id, as_of))
    reserved = before.reserved if before else 0
    if before and reserved and before.item != lot.item:
        raise AppError("lot_reserved", "The item of a lot with reservations cannot change.")
    values: dict[str, Any] = {
        "id": before.id if before else ids.new_id(),
        "item": lot.item,
        "site": site,
        "quantity": quantity,
        "keep_back": lot.keep_back,
        "ceiling": rules.ceiling(quantity, lot.keep_back, reserved),
        "lot_number": lot.lot_number,
        "expires_on": lot.expires_on,
        "unit_value": lot.unit_value,
        "currency": lot.currency,
        "visible_to": visible_to,
        "as_of": as_of,
        "now": now,
    }
    created = before is None or before.withdrawn
    if before is None:
        if not await store.add_lot(tx, values | {"society": caller.society, "ref": ref}):
            # Two first publications of one reference at once: the other one is committed now.
            raise Overtaken
    elif _changes(before, values, dated=lot.as_of is not None):
        await store.replace_lot(tx, values)
    else:
        return False, await show_own(tx, caller, ref)
    await record(tx, caller.actor, *await _published(tx, caller, ref, before, values, reserved))
    return created, await show_own(tx, caller, ref)


_COMPARED = (
    "item", "site", "quantity", "keep_back", "lot_number", "expires_on", "unit_value", "currency",
    "visible_to",
)  # fmt: skip


def _changes(before: Any, values: Mapping[str, Any], *, dated: bool) -> bool:
    # Where no date is given, the same count again is a repeated call, and that changes nothing.
    compared = (*_COMPARED, "as_of") if dated else _COMPARED
    return before.withdrawn or any(getattr(before, name) != values[name] for name in compared)


async def _published(
    tx: AsyncConnection,
    caller: Caller,
    ref: str,
    before: Any,
    values: Mapping[str, Any],
    reserved: int,
) -> list[Fact]:
    quantity, keep_back = values["quantity"], values["keep_back"]
    visible_to = values["visible_to"]
    audience = None if visible_to is None else sorted({caller.society, *visible_to})
    facts = [
        Fact(
            "stock.published",
            values["id"],
            {
                "item": values["item"],
                "available": rules.available(quantity, keep_back, reserved),
                "lot_number": values["lot_number"],
                "expires_on": values["expires_on"].isoformat() if values["expires_on"] else None,
                "as_of": clock.text(values["as_of"]),
            },
            audience=audience,
            private={
                "ref": ref,
                "quantity": quantity,
                "keep_back": keep_back,
                "reserved": reserved,
            },
        )
    ]
    shortfall = rules.shortfall(quantity, reserved)
    earlier = rules.shortfall(before.quantity, reserved) if before else 0
    if shortfall != earlier:
        parties = await store.beneficiaries(tx, values["id"])
        facts.append(
            Fact(
                "stock.shortfall",
                values["id"],
                {"item": values["item"], "shortfall": shortfall},
                audience=sorted({caller.society, *parties}),
            )
        )
    return facts


async def withdraw(
    tx: AsyncConnection, caller: Caller, ref: str, precondition: Precondition
) -> None:
    """Take a lot off the exchange; refused while anything of it is promised."""
    before = await store.lock_lot(tx, caller.society, ref)
    if before is None or before.withdrawn:
        raise missing("lot")
    if precondition.asked:
        precondition.check(await store.own_lot(tx, caller.society, ref))
    if before.reserved:
        raise AppError(
            "lot_reserved",
            f"{before.reserved} of this lot are promised.",
            extra={"reserved": before.reserved},
        )
    await store.withdraw_lot(tx, before.id, clock.now())
    audience = None if before.visible_to is None else sorted({caller.society, *before.visible_to})
    await record(
        tx,
        caller.actor,
        Fact(
            "stock.withdrawn",
            before.id,
            {"item": before.item},
            audience=audience,
            private={"ref": ref, "quantity": 0, "keep_back": 0, "reserved": 0},
        ),
    )


async def show_own(tx: AsyncConnection, caller: Caller, ref: str) -> str:
    """The owner's view of a lot; 404 where there is none."""
    doc = await store.own_lot(tx, caller.society, ref)
    if doc is None:
        raise missing("lot")
    return doc


async def show(tx: AsyncConnection, caller: Caller, lot: UUID) -> str:
    """The network's view of a lot; 404 where the caller may not see it."""
    doc = await search.visible_lot(tx, caller.society, lot)
    if doc is None:
        raise missing("lot")
    return doc


async def with_stand_ins(tx: AsyncConnection, item: str) -> list[str]:
    """An item and what may stand in for it."""
    return [item, *sorted(await catalogue.stand_ins(tx, item))]
