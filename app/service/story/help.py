"""From the offer to the receipt: what is promised, what is on its way, what became of it."""

from typing import Any

from app import specimens as s
from app.service.story.needs import LOT, POOL, SITE
from app.service.story.step import ASKER, HELPER, Step


def _carrying(quantity: int) -> dict[str, Any]:
    return {
        "offer": s.OFFER,
        "lines": [{"offer_line": s.OFFER_LINE, "quantity": quantity}],
        "mode": "road",
        "carrier": "Araz Logistics",
        "waybill": "CMR 0441-27",
        "eta": "2027-01-11T18:00:00Z",
    }


def _team(headcount: int) -> dict[str, Any]:
    return {
        "offer": s.PEOPLE_OFFER,
        "offer_line": s.PEOPLE_OFFER_LINE,
        "headcount": headcount,
        "eta": "2027-01-10T14:00:00Z",
    }


_LONGER = {"until": "2027-02-07T06:00:00Z", "reason": "The search goes on in two districts."}
_HIS, _DEPLOYED = {"id": s.CONSIGNMENT}, {"id": s.DEPLOYMENT}

OFFERS = [
    Step(
        HELPER,
        "propose_offer",
        body={
            "request": s.REQUEST,
            "lines": [{"request_line": s.REQUEST_LINE, "stock": s.LOT, "quantity": 400}],
            "eta": "2027-01-11T18:00:00Z",
            "message": "Loaded within a day of your acceptance.",
            "ref": "DN-2027-0110",
        },
        uses="goods",
        summary="Goods for a request",
        gives={s.OFFER: "id", s.OFFER_LINE: "lines/0/id"},
    ),
    Step(
        HELPER,
        "propose_offer",
        body={
            "request": s.REQUEST,
            "lines": [{"request_line": s.PEOPLE_LINE, "volunteers": s.POOL, "headcount": 25}],
        },
        uses="people",
        summary="People for a request",
        gives={s.PEOPLE_OFFER: "id", s.PEOPLE_OFFER_LINE: "lines/0/id"},
    ),
    Step(
        HELPER,
        "propose_offer",
        body={
            "request": s.REQUEST,
            "lines": [
                {
                    "request_line": s.REQUEST_LINE,
                    "stock": s.LOT,
                    "quantity": 5,
                    "pack": "bale-20",
                }
            ],
        },
        uses="in_packs",
        summary="Goods in packs: 5 bales of 20",
        gives={s.PACKS_OFFER: "id"},
    ),
    Step(
        HELPER,
        "propose_offer",
        body={
            "emergency": s.EMERGENCY,
            "to": "TUR",
            "lines": [{"stock": s.LOT, "quantity": 100}],
            "message": "You have not asked for these; take them if they help.",
        },
        uses="unsolicited",
        summary="Help that was not asked for",
        gives={s.GIFT_OFFER: "id"},
    ),
    Step(ASKER, "list_offers", query={"as": "requester"}),
    Step(ASKER, "get_offer", {"id": s.OFFER}),
    Step(
        ASKER,
        "accept_offer",
        {"id": s.OFFER},
        body={"lines": [{"line": s.OFFER_LINE, "quantity": 250}]},
        uses="in_part",
        summary="In part: the rest is freed at once",
    ),
    Step(
        ASKER,
        "accept_offer",
        {"id": s.PEOPLE_OFFER},
        body={},
        uses="whole",
        summary="All of it",
    ),
    Step(
        ASKER,
        "decline_offer",
        {"id": s.PACKS_OFFER},
        body={"reason": "Covered by another society."},
    ),
    Step(
        HELPER,
        "withdraw_offer",
        {"id": s.GIFT_OFFER},
        body={"reason": "Needed at home after last night's flood."},
    ),
]
GOODS = [
    Step(
        HELPER,
        "plan_consignment",
        body=_carrying(200),
        gives={s.CONSIGNMENT: "id", s.CONSIGNMENT_LINE: "lines/0/id"},
    ),
    Step(HELPER, "list_consignments", query={"offer": s.OFFER}),
    Step(HELPER, "get_consignment", _HIS),
    Step(HELPER, "dispatch_consignment", _HIS),
    Step(
        HELPER,
        "report_checkpoint",
        _HIS,
        body={
            "place": "Sarpi border crossing",
            "at": "2027-01-10T09:30:00Z",
            "note": "Customs cleared.",
        },
    ),
    Step(ASKER, "list_checkpoints", _HIS),
    Step(ASKER, "arrive_consignment", _HIS),
    Step(
        ASKER,
        "receive_consignment",
        _HIS,
        body={
            "lines": [
                {
                    "line": s.CONSIGNMENT_LINE,
                    "received": 190,
                    "damaged": 8,
                    "missing": 2,
                    "note": "One pallet was wet.",
                }
            ]
        },
    ),
    Step(
        HELPER,
        "plan_consignment",
        body=_carrying(50),
        gives={s.CANCELLED_CONSIGNMENT: "id"},
        shown=False,
    ),
    Step(
        HELPER,
        "cancel_consignment",
        {"id": s.CANCELLED_CONSIGNMENT},
        body={"reason": "The truck broke down before loading."},
    ),
    Step(
        HELPER,
        "plan_consignment",
        body=_carrying(50),
        gives={s.LOST_CONSIGNMENT: "id"},
        shown=False,
    ),
    Step(HELPER, "dispatch_consignment", {"id": s.LOST_CONSIGNMENT}, shown=False),
    Step(
        HELPER,
        "report_lost_consignment",
        {"id": s.LOST_CONSIGNMENT},
        body={"reason": "Avalanche on the pass."},
    ),
]
PEOPLE = [
    Step(HELPER, "plan_deployment", body=_team(20), gives={s.DEPLOYMENT: "id"}),
    Step(HELPER, "list_deployments", query={"offer": s.PEOPLE_OFFER}),
    Step(HELPER, "get_deployment", _DEPLOYED),
    Step(
        HELPER,
        "put_manifest",
        _DEPLOYED,
        body={
            "people": [
                {
                    "name": "Aysel Example",
                    "role": "Team leader",
                    "document": "AA0000000",
                    "phone": "+994 00 000 00 00",
                    "languages": ["az", "tr", "ru"],
                },
                {"name": "Elvin Example", "role": "Dog handler", "languages": ["az"]},
            ]
        },
    ),
    Step(ASKER, "get_manifest", _DEPLOYED),
    Step(HELPER, "mobilise_deployment", _DEPLOYED),
    Step(ASKER, "arrive_deployment", _DEPLOYED),
    Step(ASKER, "ask_extension", _DEPLOYED, body=_LONGER),
    Step(HELPER, "accept_extension", _DEPLOYED),
    Step(
        ASKER,
        "ask_extension",
        _DEPLOYED,
        body={"until": "2027-03-07T06:00:00Z"},
        shown=False,
    ),
    Step(
        HELPER,
        "decline_extension",
        _DEPLOYED,
        body={"reason": "The team is due for rest."},
    ),
    Step(ASKER, "release_deployment", _DEPLOYED, body={"reason": "Relieved by a local team."}),
    Step(HELPER, "return_deployment", _DEPLOYED),
    Step(
        HELPER,
        "plan_deployment",
        body=_team(5),
        gives={s.CANCELLED_DEPLOYMENT: "id"},
        shown=False,
    ),
    Step(
        HELPER,
        "cancel_deployment",
        {"id": s.CANCELLED_DEPLOYMENT},
        body={"reason": "The flight was cancelled."},
    ),
    Step(
        HELPER,
        "plan_deployment",
        body=_team(3),
        gives={s.RECALLED_DEPLOYMENT: "id"},
        shown=False,
    ),
    Step(HELPER, "mobilise_deployment", {"id": s.RECALLED_DEPLOYMENT}, shown=False),
    Step(HELPER, "arrive_deployment", {"id": s.RECALLED_DEPLOYMENT}, shown=False),
    Step(
        HELPER,
        "recall_deployment",
        {"id": s.RECALLED_DEPLOYMENT},
        body={"reason": "An earthquake at home: they are needed here."},
    ),
    Step(HELPER, "return_deployment", {"id": s.RECALLED_DEPLOYMENT}, shown=False),
    Step(
        ASKER,
        "release_offer",
        {"id": s.PEOPLE_OFFER},
        body={"reason": "The search has ended; thank you."},
    ),
]
END = [
    Step(ASKER, "get_board", {"id": s.EMERGENCY}),
    Step(
        HELPER,
        "list_events",
        query={"type": "offer.proposed,offer.accepted", "limit": 2},
    ),
    Step(HELPER, "get_chain_head"),
    Step(HELPER, "publish_site", {"ref": "ganja-2"}, body=SITE | {"name": "Ganja"}, shown=False),
    Step(HELPER, "close_site", {"ref": "ganja-2"}),
    Step(HELPER, "publish_lot", {"ref": "BLK-8"}, body=LOT, shown=False),
    Step(HELPER, "withdraw_lot", {"ref": "BLK-8"}),
    Step(HELPER, "publish_pool", {"ref": "usar-b"}, body=POOL, shown=False),
    Step(HELPER, "withdraw_pool", {"ref": "usar-b"}),
    Step(ASKER, "close_emergency", {"id": s.EMERGENCY}),
    Step(
        HELPER,
        "open_emergency",
        body={
            "name": "Flood on the Aras (exercise)",
            "hazard": "flood",
            "country": "TUR",
            "lat": 39.92,
            "lon": 44.05,
            "started_on": "2023-02-07",
        },
        gives={s.TAKEN_EMERGENCY: "id"},
        shown=False,
    ),
    Step(ASKER, "take_over_emergency", {"id": s.TAKEN_EMERGENCY}),
    Step(HELPER, "get_liveness"),
    Step(HELPER, "get_readiness"),
    Step(HELPER, "get_metrics"),
    Step(HELPER, "explain_problem", {"code": "wrong_state"}),
]
