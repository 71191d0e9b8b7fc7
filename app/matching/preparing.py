"""Preparedness: how long until the network's present stock covers a scenario, and what is missing.

The figures of need are those of the Sphere Handbook, 2018 edition; what is ours is called an
assumption where it stands.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from app.matching.asking import Asked, to_the_minute
from app.transport.rules import Place

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standard:
    """A need of each person: how much, and which items meet it, each worth how much."""

    name: str
    per_person: float
    daily: bool
    unit: str
    worth: dict[str, float]
    source: str


SPHERE = (
    Standard(
        "shelter", 1.0, False, "people housed", {"HSHETENTF16C": 4.0},
        "Sphere 2018, shelter standard 3: at least 3.5 m² of living space for each person; so four "
        "people in a tent of 16 m².",
    ),
    Standard(
        "blankets", 1.0, False, "blankets", {"HSHEBLANPHT1": 1.0, "HSHEBLANWMT1": 1.0},
        "Assumption: one for each person; Sphere 2018, shelter standard 4 asks for bedding that "
        "suits the climate, without a number.",
    ),
    Standard(
        "sleeping mats", 1.0, False, "mats", {"HSHEMATTNAT1": 1.0},
        "Assumption: one for each person (Sphere 2018, shelter standard 4).",
    ),
    Standard(
        "water containers", 0.4, False, "containers",
        {"HCONJCANP20": 1.0, "HCONJCANPF20": 1.0, "HCONJCANPF10": 1.0},
        "Sphere 2018, hygiene promotion standard 1.2: two containers of 10 to 20 litres for each "
        "household. Assumption: five people in a household.",
    ),
    Standard(
        "hygiene parcels", 0.2, False, "parcels", {"KRELHYPA05P": 1.0},
        "Assumption: one parcel for five people and a month stands for the items of Sphere 2018, "
        "hygiene promotion standard 1.2.",
    ),
    Standard(
        "kitchen sets", 0.2, False, "sets", {"KRELCOOSETA": 1.0},
        "Assumption: one set for a household of five (Sphere 2018, shelter standard 4).",
    ),
    Standard(
        "food", 2100.0, True, "kcal",
        {
            "FCERWHEAFL01": 3500.0, "FCERRICELGGR": 3600.0, "FCERPASTDW01": 3600.0,
            "FOILSUNFRE01": 8100.0,
        },
        "Sphere 2018, food security and nutrition: 2,100 kcal for each person and day. Assumption: "
        "3,500 kcal in a kilogram of flour, 3,600 of rice or pasta, 8,100 in a litre of oil.",
    ),
)  # fmt: skip

ITEMS = sorted({item for standard in SPHERE for item in standard.worth})


def standards(scenario: Json) -> list[Standard]:
    """What the scenario asks for: its own needs, or all of the above."""
    own = scenario.get("needs")
    if not own:
        return list(SPHERE)
    return [
        Standard(
            need["item"], need["per_person"], False, "units", {need["item"]: 1.0},
            "As given in the scenario.",
        )
        for need in own
    ]  # fmt: skip


def answer(asked: Asked, scenario: Json) -> Json:
    """Hours until each need is covered, and what is missing at the end of the time."""
    place = Place(*scenario["place"])
    asked.places.append(place)
    arrivals = _arrivals(asked, len(asked.places) - 1)
    needs = [_need(s, scenario, arrivals) for s in standards(scenario)]
    hours = [need["covered_after_hours"] for need in needs]
    return {
        "as_of": to_the_minute(asked.at),
        "people": scenario["people"],
        "within_hours": scenario["within_hours"],
        "covered_after_hours": None if None in hours else max(hours),
        "covered_in_time": all(need["missing"] == 0 for need in needs),
        "needs": needs,
    }


def _arrivals(asked: Asked, place: int) -> dict[str, list[tuple[float, int, str]]]:
    """By item: (hours, quantity, society) of what the caller may see, soonest first."""
    found: dict[str, list[tuple[float, int, str]]] = {}
    handling = asked.options.handling_hours
    for lot in asked.lots:
        on_the_way = asked.soonest(lot.site, place)
        if on_the_way is None or lot.available == 0:
            continue
        hours = handling + on_the_way
        if lot.days > asked.good_until(hours):
            found.setdefault(lot.item, []).append((hours, lot.available, lot.society))
    return {item: sorted(parts) for item, parts in found.items()}


def _need(
    standard: Standard, scenario: Json, arrivals: dict[str, list[tuple[float, int, str]]]
) -> Json:
    days = scenario["days"] if standard.daily else 1
    needed = ceil(standard.per_person * scenario["people"] * days - 1e-9)
    parts = sorted(
        (hours, item, society, quantity * standard.worth[item])
        for item in standard.worth
        for hours, quantity, society in arrivals.get(item, ())
    )
    total, in_time, after = 0.0, 0.0, None
    by_society: dict[str, int] = {}
    for hours, _, society, worth in parts:
        total += worth
        if hours <= scenario["within_hours"]:
            in_time += worth
            by_society[society] = by_society.get(society, 0) + int(worth)
        if after is None and total >= needed:
            after = round(hours, 1)
    return {
        "name": standard.name,
        "unit": standard.unit,
        "items": sorted(standard.worth),
        "needed": needed,
        "in_time": int(min(in_time, needed)),
        "missing": max(0, needed - int(in_time)),
        "covered_after_hours": after,
        "missing_for_good": max(0, needed - int(total)),
        "societies": [
            {"society": society, "in_time": worth} for society, worth in sorted(by_society.items())
        ],
        "source": standard.source,
    }
