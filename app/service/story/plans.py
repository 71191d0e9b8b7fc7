"""How things travel, and who could help best: roads and ferries, plans, scenarios, screening."""

import json
from importlib.resources import files
from typing import Any

from app import specimens as s
from app.service.story.step import ASKER, HELPER, Step

_AT = "2027-01-09T08:00:00Z"
"""Plans reckon from here, so that they are the same in years to come."""


def _kept(file: str, code: str) -> dict[str, Any]:
    """A hub or leg as the service brought it: to put it again changes nothing."""
    entries = json.loads(files("app.transport").joinpath("seed", file).read_text("utf-8"))
    entry = next(e for e in entries if e["code"] == code)
    return {name: value for name, value in entry.items() if name != "code"}


_FERRY = _kept("legs.json", "sea-aktau-baku")

TRANSPORT = [
    Step(HELPER, "list_hubs", query={"limit": 3}),
    Step(HELPER, "get_hub", {"code": "AKTAU"}),
    Step(ASKER, "put_hub", {"code": "AKTAU"}, body=_kept("hubs.json", "AKTAU")),
    Step(HELPER, "list_legs", query={"limit": 3}),
    Step(HELPER, "get_leg", {"code": "sea-aktau-baku"}),
    Step(
        ASKER,
        "put_leg",
        {"code": "sea-aktau-baku"},
        body=_FERRY | {"closed": True, "note": "Storm; reopens on Friday."},
        uses="closed",
        summary="Close a leg for a time",
    ),
    Step(
        ASKER,
        "put_leg",
        {"code": "sea-aktau-baku"},
        body=_FERRY,
        uses="open",
        summary="Open it again",
    ),
    Step(
        HELPER,
        "find_route",
        query={
            "from": "43.65,51.16",
            "from_country": "KAZ",
            "to": "37.58,36.93",
            "to_country": "TUR",
            "by": "cost",
            "on": "2027-01-09",
        },
    ),
    Step(
        ASKER,
        "put_hub",
        {"code": "NAKHCHIVAN"},
        body={"name": "Nakhchivan", "country": "AZE", "lat": 39.21, "lon": 45.41},
        shown=False,
    ),
    Step(
        ASKER,
        "put_leg",
        {"code": "road-nakhchivan-kars"},
        body={
            "start": "NAKHCHIVAN",
            "end": "KARS",
            "mode": "road",
            "hours": 6,
            "cost_per_tonne": 35,
        },
        shown=False,
    ),
    Step(ASKER, "delete_leg", {"code": "road-nakhchivan-kars"}),
    Step(ASKER, "delete_hub", {"code": "NAKHCHIVAN"}),
]
MATCHING = [
    Step(ASKER, "get_matches", {"id": s.REQUEST}, {"at": _AT}),
    Step(
        ASKER,
        "plan_emergency",
        {"id": s.EMERGENCY},
        body={"at": _AT},
        uses="as_it_is",
        summary="All open requests together",
    ),
    Step(
        ASKER,
        "plan_emergency",
        {"id": s.EMERGENCY},
        body={"at": _AT, "modes": ["road", "rail", "sea"], "max_consignments": 3},
        uses="with_options",
        summary="Without planes, in three consignments at most",
    ),
    Step(
        ASKER,
        "plan_emergency",
        {"id": s.EMERGENCY},
        body={
            "at": _AT,
            "what_if": {
                "lots": [
                    {
                        "society": "KAZ",
                        "item": "HSHETENTF16C",
                        "quantity": 100,
                        "place": "Aktau",
                        "country": "KAZ",
                        "lat": 43.65,
                        "lon": 51.16,
                    }
                ],
                "deadlines": [{"request": s.REQUEST, "needed_by": "2027-01-20T12:00:00Z"}],
            },
        },
        uses="what_if",
        summary="What if Kazakhstan had tents in Aktau, and there were more time?",
    ),
    Step(
        ASKER,
        "try_scenario",
        body={
            "at": _AT,
            "place": {"name": "Almaty", "country": "KAZ", "lat": 43.24, "lon": 76.89},
            "people": 5000,
            "within_hours": 72,
        },
        uses="sphere",
        summary="By the Sphere minimum standards",
    ),
    Step(
        ASKER,
        "try_scenario",
        body={
            "at": _AT,
            "place": {"name": "Shamakhi", "country": "AZE", "lat": 40.63, "lon": 48.64},
            "people": 800,
            "within_hours": 24,
            "needs": [{"item": "HSHEBLANPHT1", "per_person": 2}],
        },
        uses="own_needs",
        summary="By needs of your own",
    ),
    Step(
        HELPER,
        "screen_offer",
        body={
            "emergency": s.EMERGENCY,
            "to": "TUR",
            "lines": [{"stock": s.LOT, "quantity": 2000}],
        },
    ),
]
