"""From the first key to the request: who calls, what there is, what is needed."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from app import specimens as s
from app.service.story.step import ASKER, HELPER, Step


def _catalogued(file: str, code: str) -> dict[str, Any]:
    """An entry of the catalogue as it is: to put it again changes nothing."""
    entries = json.loads(files("app.catalogue").joinpath("seed", file).read_text("utf-8"))
    entry = next(e for e in entries if e["code"] == code)
    return {name: value for name, value in entry.items() if name != "code"}


SITE = {
    "name": "Baku central warehouse",
    "country": "AZE",
    "lat": 40.41,
    "lon": 49.87,
    "kind": "warehouse",
}
LOT = {
    "item": "HSHEBLANPHT1",
    "site": "baku-1",
    "quantity": 2000,
    "keep_back": 200,
    "lot_number": "B-2025-114",
    "unit_value": 12.5,
    "currency": "USD",
}
POOL = {
    "skill": "usar",
    "languages": ["az", "tr", "ru"],
    "headcount": 60,
    "available_from": "2026-12-01T06:00:00Z",
    "available_until": "2099-12-31T18:00:00Z",
    "notice_hours": 12,
    "site": "baku-1",
}
# One row of each sheet is at fault, so that the report shows how it tells of one.
SITES = (
    "ref,name,country,lat,lon,kind\n"
    "ganja-1,Ganja base,AZE,40.68,46.36,base\n"
    "astara-1,Astara depot,AZE,98.45,48.87,warehouse\n"
)
LOTS = (
    "ref,item,site,quantity,keep_back,visible_to\n"
    "TENT-1,HSHETENTF16C,ganja-1,120,20,\n"
    "ORS-2,DORAORSA2S,baku-1,12000,,TUR|KAZ\n"
    "ORS-3,DORAORSA2S,baku-1,1.000,,\n"
)
TAGGED_LOTS = (
    "№;Mal;Anbar;Miqdar\n"
    "#meta+id+ref;#item+code;#loc+site+ref;#capacity+num\n"
    "ORS-3;DORAORSA2S;baku-1;1 000\n"
)
POOLS = (
    "ref,skill,languages,headcount,available_from,available_until,notice_hours,site\n"
    "aid-a,first_aid,az|ru,18,2026-12-01T06:00:00Z,2099-12-31T18:00:00Z,24,ganja-1\n"
    "aid-b,first_aid,az|ru,many,2026-12-01T06:00:00Z,2099-12-31T18:00:00Z,24,ganja-1\n"
)
_FROM, _UNTIL = "2027-01-10T06:00:00Z", "2027-01-24T06:00:00Z"
_BLANKETS = {
    "kind": "stock",
    "item": "HSHEBLANPHT1",
    "quantity": 1000,
    "accept_substitutes": True,
}
_RESCUERS = {
    "kind": "volunteers",
    "skill": "usar",
    "headcount": 40,
    "from": _FROM,
    "until": _UNTIL,
    "languages": ["tr"],
}


def _asking(title: str, *lines: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "emergency": s.EMERGENCY,
        "title": title,
        "priority": "critical",
        "needed_by": "2027-01-12T12:00:00Z",
        "destination": {
            "name": "Kahramanmaraş airport",
            "country": "TUR",
            "lat": 37.54,
            "lon": 36.95,
        },
        "lines": list(lines),
        "notes": "The road is open for trucks of up to 20 t.",
    }


_BLK, _TEAM, _BAKU = {"ref": "BLK-7"}, {"ref": "usar-a"}, {"ref": "baku-1"}

ACCESS = [
    Step(HELPER, "get_me"),
    Step(HELPER, "list_societies"),
    Step(
        ASKER,
        "put_society",
        {"id": "TKM"},
        body={"name": "National Red Crescent Society of Turkmenistan", "role": "observer"},
    ),
    Step(
        HELPER,
        "create_client",
        body={"name": "Warehouse ERP", "scopes": ["read", "stock:write", "offers:write"]},
        gives={s.OTHER_CLIENT: "id"},
    ),
    Step(HELPER, "list_clients"),
    Step(HELPER, "rotate_client", {"id": s.OTHER_CLIENT}, body={"overlap_hours": 24}),
    Step(HELPER, "revoke_client", {"id": s.OTHER_CLIENT}),
]
CATALOGUE = [
    Step(HELPER, "find_items", query={"q": "battaniye"}),
    Step(HELPER, "get_item", {"code": "HSHEBLANPHT1"}),
    Step(
        ASKER,
        "put_item",
        {"code": "HSHEBLANPHT1"},
        body=_catalogued("items.json", "HSHEBLANPHT1"),
    ),
    Step(
        HELPER,
        "convert_quantity",
        {"code": "HSHEBLANPHT1"},
        {"quantity": 400, "pack": "bale-20"},
    ),
    Step(HELPER, "find_skills", query={"q": "rescue"}),
    Step(HELPER, "get_skill", {"code": "usar"}),
    Step(ASKER, "put_skill", {"code": "usar"}, body=_catalogued("skills.json", "usar")),
]
STOCK = [
    Step(HELPER, "publish_site", _BAKU, body=SITE),
    Step(HELPER, "list_sites"),
    Step(HELPER, "get_site", _BAKU),
    Step(HELPER, "import_sites", sheet=SITES),
    Step(
        HELPER,
        "publish_lot",
        _BLK,
        body=LOT,
        uses="in_units",
        summary="Counted in base units",
        gives={s.LOT: "id"},
    ),
    Step(
        HELPER,
        "publish_lot",
        _BLK,
        body={"item": "HSHEBLANPHT1", "site": "baku-1", "quantity": 100, "pack": "bale-20"},
        uses="in_packs",
        summary="Counted in packs: 100 bales of 20",
    ),
    Step(
        HELPER,
        "publish_lot",
        _BLK,
        body=LOT | {"visible_to": ["KGZ", "TUR"]},
        uses="for_some",
        summary="Visible to some societies alone",
    ),
    Step(HELPER, "publish_lot", _BLK, body=LOT, shown=False),
    Step(HELPER, "list_own_lots"),
    Step(HELPER, "get_own_lot", _BLK),
    Step(ASKER, "find_lots", query={"item": "HSHEBLANPHT1"}),
    Step(ASKER, "get_lot", {"id": s.LOT}),
    Step(
        HELPER,
        "import_lots",
        sheet=LOTS,
        uses="named",
        summary="Columns by their names; the last row is at fault",
    ),
    Step(
        HELPER,
        "import_lots",
        sheet=TAGGED_LOTS,
        uses="tagged",
        summary="A header in your own words, named by HXL tags",
    ),
    Step(HELPER, "export_lots"),
]
VOLUNTEERS = [
    Step(HELPER, "publish_pool", _TEAM, body=POOL, gives={s.POOL: "id"}),
    Step(HELPER, "list_own_pools"),
    Step(HELPER, "get_own_pool", _TEAM),
    Step(ASKER, "find_pools", query={"skill": "usar"}),
    Step(ASKER, "get_pool", {"id": s.POOL}),
    Step(HELPER, "import_pools", sheet=POOLS),
    Step(HELPER, "export_pools"),
]
NEEDS = [
    Step(
        ASKER,
        "open_emergency",
        body={
            "name": "Kahramanmaraş earthquakes (exercise)",
            "hazard": "earthquake",
            "country": "TUR",
            "lat": 37.58,
            "lon": 36.93,
            "started_on": "2023-02-06",
        },
        gives={s.EMERGENCY: "id"},
    ),
    Step(HELPER, "list_emergencies", query={"status": "open"}),
    Step(HELPER, "get_emergency", {"id": s.EMERGENCY}),
    Step(
        ASKER,
        "open_request",
        body=_asking("Shelter and rescue for Pazarcık", _BLANKETS, _RESCUERS),
        uses="goods_and_people",
        summary="Goods and people in one request",
        gives={s.REQUEST: "id", s.REQUEST_LINE: "lines/0/id", s.PEOPLE_LINE: "lines/1/id"},
    ),
    Step(
        ASKER,
        "open_request",
        body=_asking("Blankets for Gaziantep", _BLANKETS | {"quantity": 50, "pack": "bale-20"}),
        uses="goods",
        summary="Goods, in packs: 50 bales of 20",
        gives={s.GOODS_REQUEST: "id"},
    ),
    Step(
        ASKER,
        "open_request",
        body=_asking("Rescuers for Elbistan", _RESCUERS),
        uses="people",
        summary="People",
        gives={s.PEOPLE_REQUEST: "id"},
    ),
    Step(HELPER, "list_requests", query={"status": "open"}),
    Step(HELPER, "get_request", {"id": s.REQUEST}),
    Step(
        ASKER,
        "change_request",
        {"id": s.REQUEST},
        body={
            "priority": "high",
            "lines": [{"id": s.REQUEST_LINE, "quantity": 1200}],
        },
        uses="more",
        summary="Ask for more of a line",
    ),
    Step(
        ASKER,
        "change_request",
        {"id": s.REQUEST},
        body={"add_lines": [{"kind": "stock", "item": "HSHETENTF16C", "quantity": 60}]},
        uses="a_further_line",
        summary="Ask for something else besides",
        gives={s.ADDED_LINE: "lines/2/id"},
    ),
    Step(ASKER, "close_request", {"id": s.GOODS_REQUEST}),
    Step(ASKER, "cancel_request", {"id": s.PEOPLE_REQUEST}),
]
