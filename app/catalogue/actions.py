"""Catalogue an item or a skill, find it in any of seven languages, convert packs exactly."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.actions import Caller
from app.calls import Precondition
from app.catalogue import store
from app.errors import AppError, Fault, invalid, missing, unknown
from app.fields import folded
from app.ledger.actions import Actor, Fact, record
from app.quantity import MOST, Inexact, Ratio, in_packs
from app.quantity import in_base_units as counted

LANGUAGES = ("az", "kk", "ky", "tr", "uz", "en", "ru")

CATEGORIES = {
    "A": "administration",
    "C": "telecom",
    "D": "drugs",
    "E": "engineering",
    "F": "food",
    "H": "housing",
    "K": "kits",
    "M": "medical_renewables",
    "T": "transport",
    "U": "emergency_response_units",
    "W": "water",
    "X": "medical_equipment",
}
"""The family of an item by the first letter of its IFRC/ICRC code."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the secretariat writes it; packs in base units."""

    code: str
    category: str | None
    unit: str
    names: Mapping[str, str]
    weight_kg: float | None
    volume_l: float | None
    perishable: bool
    packs: Sequence[tuple[str, int, str]]
    substitutes: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill as the secretariat writes it."""

    code: str
    names: Mapping[str, str]
    description: str | None


def _searchable(code: str, names: Mapping[str, str]) -> str:
    return " ".join([folded(code), *(folded(n) for n in names.values() if n)])


def _named(names: Mapping[str, str]) -> str:
    return json.dumps({language: names.get(language) for language in LANGUAGES})


def _item_rows(
    item: Item,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    values = {
        "code": item.code,
        "category": item.category or CATEGORIES.get(item.code[0].upper(), "other"),
        "unit": item.unit,
        "names": _named(item.names),
        "weight_kg": item.weight_kg,
        "volume_l": item.volume_l,
        "perishable": item.perishable,
        "search": _searchable(item.code, item.names),
    }
    packs = [
        {"item": item.code, "code": code, "quantity": quantity, "name": name}
        for code, quantity, name in item.packs
    ]
    substitutes = [
        {"item": item.code, "substitute": substitute, "quantity": quantity, "per": per}
        for substitute, quantity, per in item.substitutes
    ]
    return values, packs, substitutes


async def put_item(
    tx: AsyncConnection, caller: Caller, item: Item, precondition: Precondition
) -> tuple[bool, str]:
    """Create or replace an item; (created, JSON)."""
    before = await store.item_doc(tx, item.code, lock=True)
    precondition.check(before)
    if before is not None and json.loads(before)["unit"] != item.unit:
        # Every quantity of the exchange is in base units: the same number would mean another
        # amount from one moment to the next.
        raise AppError("conflict", "The base unit of an item cannot change; use another code.")
    substitutes = [code for code, _, _ in item.substitutes]
    known = await store.known(tx, substitutes)
    for n, code in enumerate(substitutes):
        if code == item.code:
            raise invalid(
                f"/substitutes/{n}/item",
                "itself",
                "An item is no substitute of itself.",
            )
        if code not in known:
            raise unknown(f"/substitutes/{n}/item", "item")
    created = await store.put_item(tx, *_item_rows(item))
    precondition.confirm(absent=before is None, created=created)
    doc = await store.item_doc(tx, item.code)
    assert doc is not None
    await _tell(tx, caller.actor, "item", item.code, before, doc)
    return before is None, doc


async def put_skill(
    tx: AsyncConnection, caller: Caller, skill: Skill, precondition: Precondition
) -> tuple[bool, str]:
    """Create or replace a skill; (created, JSON)."""
    before = await store.skill_doc(tx, skill.code, lock=True)
    precondition.check(before)
    created = await store.put_skill(tx, _skill_row(skill))
    precondition.confirm(absent=before is None, created=created)
    doc = await store.skill_doc(tx, skill.code)
    assert doc is not None
    await _tell(tx, caller.actor, "skill", skill.code, before, doc)
    return before is None, doc


def _skill_row(skill: Skill) -> dict[str, Any]:
    return {
        "code": skill.code,
        "names": _named(skill.names),
        "description": skill.description,
        "search": _searchable(skill.code, skill.names),
    }


async def _tell(
    tx: AsyncConnection,
    actor: Actor,
    kind: str,
    code: str,
    before: str | None,
    doc: str,
) -> None:
    if before != doc:
        verb = "catalogued" if before is None else "changed"
        await record(tx, actor, Fact(f"{kind}.{verb}", code, {kind: json.loads(doc)}))


async def load_catalogue(tx: AsyncConnection, society: str) -> int:
    """Add what is missing of the items and skills that come with the service; how many were added.

    What the secretariat changed stays as it is.
    """
    actor = Actor(society, None)
    added = 0
    items = [_seed_item(entry) for entry in _seed("items.json")]
    known = await store.known(tx, [item.code for item in items])
    new = [item for item in items if item.code not in known]
    for item in new:
        values, packs, _ = _item_rows(item)
        await store.put_item(tx, values, packs, [])
    for item in new:
        # After all items: a substitute may stand further down in the list.
        await store.put_item(tx, *_item_rows(item))
        doc = await store.item_doc(tx, item.code)
        assert doc is not None
        await _tell(tx, actor, "item", item.code, None, doc)
        added += 1
    for entry in _seed("skills.json"):
        if await store.skill_exists(tx, entry["code"]):
            continue
        skill = Skill(entry["code"], entry["names"], entry["description"])
        await store.put_skill(tx, _skill_row(skill))
        doc = await store.skill_doc(tx, skill.code)
        assert doc is not None
        await _tell(tx, actor, "skill", skill.code, None, doc)
        added += 1
    return added


def _seed(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(
        files("app.catalogue").joinpath("seed", name).read_text(encoding="utf-8")
    )
    return entries


def _seed_item(entry: dict[str, Any]) -> Item:
    return Item(
        code=entry["code"],
        category=entry["category"],
        unit=entry["unit"],
        names=entry["names"],
        weight_kg=entry["weight_kg"],
        volume_l=entry["volume_l"],
        perishable=entry["perishable"],
        packs=[(p["code"], p["quantity"], p["name"]) for p in entry["packs"]],
        substitutes=[(s["item"], s["quantity"], s["per"]) for s in entry["substitutes"]],
    )


async def find_items(
    tx: AsyncConnection, q: str | None, category: str | None, after: str, limit: int
) -> list[Any]:
    """(code, JSON) of the items in which every word of `q` occurs."""
    return await store.find_items(tx, folded(q or "").split(), category, after, limit)


async def find_skills(tx: AsyncConnection, q: str | None, after: str, limit: int) -> list[Any]:
    """(code, JSON) of the skills in which every word of `q` occurs."""
    return await store.find_skills(tx, folded(q or "").split(), after, limit)


async def show_item(tx: AsyncConnection, code: str) -> str:
    """One item as JSON."""
    doc = await store.item_doc(tx, code)
    if doc is None:
        raise missing("item")
    return doc


async def show_skill(tx: AsyncConnection, code: str) -> str:
    """One skill as JSON."""
    doc = await store.skill_doc(tx, code)
    if doc is None:
        raise missing("skill")
    return doc


async def unit_of(tx: AsyncConnection, item: str) -> str | None:
    """The base unit of an item, None where there is no such item."""
    return await store.unit(tx, item)


async def skill_exists(tx: AsyncConnection, skill: str) -> bool:
    """Whether a skill is in the catalogue."""
    return await store.skill_exists(tx, skill)


async def stand_ins(tx: AsyncConnection, item: str) -> dict[str, Ratio]:
    """What may stand in for an item, and at which ratio."""
    return {
        row.substitute: Ratio(row.quantity, row.per) for row in await store.substitutes_of(tx, item)
    }


async def in_base_units(
    tx: AsyncConnection, item: str, quantity: int, pack: str | None, pointer: str
) -> int:
    """`quantity` of a `pack` in base units; `pointer` is the object that they stand in."""
    if pack is None:
        return quantity
    size = await _pack_size(tx, item, pack, f"{pointer}/pack")
    total = counted(quantity, size)
    if total > MOST:
        raise invalid(f"{pointer}/quantity", "too_large", f"At most {MOST} base units.")
    return total


async def _pack_size(tx: AsyncConnection, item: str, pack: str, pointer: str) -> int:
    packs = await store.packs_of(tx, item)
    if pack not in packs:
        listed = ", ".join(packs) or "none"
        message = f"The item has no such pack; its packs are: {listed}."
        raise AppError("unknown_reference", message, faults=[Fault(pointer, "unknown", message)])
    return packs[pack]


async def express(tx: AsyncConnection, item: str, quantity: int, pack: str) -> tuple[str, int]:
    """(unit, number of packs) that hold exactly `quantity`; 422 with the nearest that do."""
    unit = await store.unit(tx, item)
    if unit is None:
        raise missing("item")
    size = await _pack_size(tx, item, pack, "query/pack")
    try:
        return unit, in_packs(quantity, size)
    except Inexact as error:
        nearest = f"{error.below} or {error.above}" if error.below else str(error.above)
        message = f"A pack of {size} cannot express this; {nearest} it can."
        raise AppError(
            "pack_mismatch",
            message,
            faults=[Fault("query/quantity", "pack_mismatch", message)],
        ) from None
