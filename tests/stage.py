"""A small world in which every operation has a valid call that can be made wrong in one place."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import clock
from tests.world import (
    AVAILABLE,
    BLANKET,
    FROM,
    UNTIL,
    WOOL_BLANKET,
    Json,
    System,
    fresh,
    from_lot,
    from_pool,
    goods,
    people,
)

COUNTED = "2026-02-06T01:17:00Z"
NOWHERE = "0190dead-beef-7000-8000-000000000000"
ENDPOINT = "https://erp.redcrescent.example/komek"
PLACE = {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3}

Fresh = Callable[[], Awaitable[tuple[str, Json | None]]]


@dataclass
class Call:
    """A valid call: who makes it, where, with what; `fresh` finds an object that it still moves."""

    system: System
    path: dict[str, str] = field(default_factory=dict)
    body: Json | None = None
    query: dict[str, str] = field(default_factory=dict)
    fresh: Fresh | None = None
    """A new (id, body): for a move that an object makes only once."""
    read: str | None = None
    """Where the object is read back; where the call went, or `Location`, if left out."""


class Stage:
    """Azerbaijan and Kyrgyzstan give, Türkiye asks, and one object stands in each state."""

    def __init__(self, tur: System, aze: System) -> None:
        self.tur = tur
        self.aze = aze

    async def build(self) -> "Stage":
        """Set the world up."""
        self.lot = await self.aze.lot(10_000_000)
        self.webhook = (await self.aze.post("/v1/webhooks", {"url": ENDPOINT})).json()
        self.pool = await self.aze.pool(1_000_000)
        self.emergency = (await self.tur.emergency())["id"]
        self.request = await self.tur.request(
            goods(10_000_000), people(1_000_000), emergency=self.emergency
        )
        self.offer = await self.proposed()
        self.accepted = await self.agreed()
        self.consignment = await self.aze.consign(self.accepted, 1)
        self.on_its_way = await self.aze.consign(self.accepted, 1)
        await self.aze.move("consignments", self.on_its_way, "dispatch")
        self.deployment = await self.aze.deploy(self.accepted, 1, line=1)
        self.at_work = await self._at_work(self.accepted)
        await self.aze.put(
            f"/v1/deployments/{self.at_work['id']}/manifest", {"people": [{"name": "Example One"}]}
        )
        return self

    async def proposed(self) -> Json:
        return await self.aze.offer(
            self.request,
            from_lot(self.request, self.lot, 10),
            from_pool(self.request, self.pool, 10, line=1),
        )

    async def agreed(self) -> Json:
        return await self.tur.accept(await self.proposed())

    def _ids(self, make: Callable[[], Awaitable[Json]], body: Json | None) -> Fresh:
        async def anew() -> tuple[str, Json | None]:
            return (await make())["id"], body

        return anew

    async def _sent(self) -> tuple[str, Json]:
        offer = await self.agreed()
        consignment = await self.aze.consign(offer, 3)
        await self.aze.move("consignments", consignment, "dispatch")
        line = {"line": consignment["lines"][0]["id"], "received": 2, "damaged": 1, "missing": 0}
        return consignment["id"], {"lines": [{**line, "note": "Wet."}]}

    async def _planned(self) -> Json:
        return await self.aze.consign(await self.agreed(), 1)

    async def _lost(self) -> Json:
        consignment = await self._planned()
        return await self.aze.move("consignments", consignment, "dispatch")

    async def _deployed(self) -> Json:
        return await self._at_work(await self.agreed())

    async def _at_work(self, offer: Json) -> Json:
        deployment = await self.aze.deploy(offer, 1, line=1)
        await self.aze.move("deployments", deployment, "mobilise")
        return await self.aze.move("deployments", deployment, "arrive")

    async def _deployment(self) -> Json:
        return await self.aze.deploy(await self.agreed(), 1, line=1)

    async def _asked(self) -> Json:
        deployment = await self._deployed()
        more = {"until": "2097-03-01T00:00:00Z"}
        return await self.tur.move("deployments", deployment, "extension", more)

    async def _acceptance(self) -> tuple[str, Json]:
        offer = await self.proposed()
        line = {"line": offer["lines"][0]["id"], "quantity": 4}
        return offer["id"], {"lines": [line], "allow_surplus": True}

    async def _change(self) -> tuple[str, Json]:
        request = await self.tur.request(goods(100), people(10), emergency=self.emergency)
        return request["id"], self._changes(request)

    def _changes(self, request: Json) -> Json:
        first, second = (line["id"] for line in request["lines"])
        return {
            "title": "Shelter",
            "priority": "high",
            "needed_by": UNTIL,
            "destination": PLACE,
            "notes": "Road closed.",
            "lines": [
                {"id": first, "quantity": 80, "accept_substitutes": True},
                {"id": second, "headcount": 8},
            ],
            "add_lines": [goods(5, accept_substitutes=True), people(5) | {"languages": ["tr"]}],
        }

    def calls(self) -> dict[str, list[Call]]:
        """The valid calls of each operation."""
        tur, aze = self.tur, self.aze
        ask, line, crew = self.request, *(x["id"] for x in self.request["lines"])
        offer_line, crew_line = (x["id"] for x in self.accepted["lines"])
        reason = {"reason": "Because."}
        item = {
            "category": "housing",
            "unit": "piece",
            "weight_kg": 2.5,
            "volume_l": 3.5,
            "perishable": False,
            "packs": [{"code": "BOX", "quantity": 20, "name": "box of 20"}],
            "substitutes": [{"item": WOOL_BLANKET, "quantity": 1, "per": 2}],
        }
        names = {k: f"Name {k}" for k in ("az", "kk", "ky", "tr", "uz", "en", "ru")}
        receipt = {"line": self.on_its_way["lines"][0]["id"], "received": 1}
        stock, volunteers = "/v1/my/stock/{ref}", "/v1/my/volunteers/{ref}"
        calls: dict[str, list[Call]] = {
            "PUT /v1/societies/{id}": [
                Call(
                    tur,
                    {"id": "XBA"},
                    {"name": "Example", "role": "observer"},
                    read="/v1/societies",
                )
            ],
            "POST /v1/clients": [
                Call(tur, body={"society": "AZE", "name": "System", "scopes": ["read"]}, read="")
            ],
            "POST /v1/clients/{id}/rotate": [
                Call(tur, body={"overlap_hours": 1}, fresh=self._client, read="")
            ],
            "PUT /v1/items/{code}": [
                Call(tur, {"code": "XBADITEM"}, {"names": names, **item}),
                Call(tur, {"code": "XBADITEM2"}, {"name": "Example", **item}),
            ],
            "PUT /v1/skills/{code}": [
                Call(tur, {"code": "xbad"}, {"names": names, "description": "Does."}),
                Call(tur, {"code": "xbad2"}, {"name": "Example", "description": "Does."}),
            ],
            "GET /v1/items/{code}/conversion": [
                Call(tur, {"code": BLANKET}, query={"quantity": "20", "pack": "bale-20"})
            ],
            "PUT /v1/hubs/{code}": [
                Call(tur, {"code": "XBADHUB"}, {**PLACE, "name": "Pazarcık depot"})
            ],
            "PUT /v1/legs/{code}": [
                # Closed, so that nothing travels on it.
                Call(
                    tur,
                    {"code": "xbad-leg"},
                    {
                        "start": "AKTAU",
                        "end": "ATYRAU",
                        "mode": "road",
                        "hours": 9.5,
                        "border_hours": 0,
                        "cost_per_tonne": 90,
                        "capacity_t": 20,
                        "months": [5, 6, 7],
                        "closed": True,
                        "note": "Flooded.",
                    },
                )
            ],
            "GET /v1/routes": [
                Call(
                    tur,
                    query={
                        "from": "43.65,51.16",
                        "from_country": "KAZ",
                        "to": "37.49,37.3",
                        "to_country": "TUR",
                    },
                )
            ],
            "POST /v1/emergencies/{id}/plan": [
                Call(
                    tur,
                    {"id": self.emergency},
                    {
                        "at": FROM,
                        "latest_arrival": UNTIL,
                        "max_consignments": 2,
                        "leave_out": ["KGZ"],
                        "weights": {"time": 1, "fair_share": 1, "consignments": 1, "cost": 1},
                        "margin_days": 30,
                        "handling_hours": 6,
                        "modes": ["road", "air"],
                        "substitutes": True,
                        "count_proposed": True,
                        "time_limit": 1,
                        "requests": [ask["id"]],
                        "what_if": {
                            "closed_legs": ["sea-aktau-baku"],
                            "lots": [
                                {
                                    "society": "KAZ",
                                    "item": BLANKET,
                                    "quantity": 5,
                                    "place": "Aktau",
                                    "country": "KAZ",
                                    "lat": 43.65,
                                    "lon": 51.16,
                                    "expires_on": "2028-06-30",
                                }
                            ],
                            "deadlines": [{"request": ask["id"], "needed_by": UNTIL}],
                        },
                    },
                )
            ],
            "POST /v1/preparedness": [
                Call(
                    tur,
                    body={
                        "place": PLACE,
                        "people": 100,
                        "within_hours": 72,
                        "days": 14,
                        "at": FROM,
                        "needs": [{"item": BLANKET, "per_person": 2}],
                        "margin_days": 30,
                        "handling_hours": 6,
                    },
                )
            ],
            "POST /v1/offers/screening": [
                Call(
                    aze,
                    body={
                        "emergency": self.emergency,
                        "to": "TUR",
                        "lines": [
                            {"stock": self.lot["id"], "quantity": 1, "pack": "bale-20"},
                            {"volunteers": self.pool["id"], "headcount": 1},
                        ],
                        "expires_at": UNTIL,
                        "eta": UNTIL,
                        "message": "Loaded.",
                    },
                )
            ],
            "PUT /v1/my/sites/{ref}": [
                Call(aze, {"ref": "xbad"}, {**PLACE, "country": "AZE", "kind": "port"})
            ],
            f"PUT {stock}": [
                Call(
                    aze,
                    {"ref": fresh("xbad")},
                    {
                        "item": BLANKET,
                        "site": "central",
                        "quantity": 40,
                        "keep_back": 10,
                        "lot_number": "B-1",
                        "expires_on": "2028-06-30",
                        "unit_value": 12.5,
                        "currency": "USD",
                        "visible_to": ["KAZ", "TUR"],
                        "as_of": COUNTED,
                    },
                )
            ],
            f"PUT {volunteers}": [
                Call(
                    aze,
                    {"ref": fresh("xbad")},
                    {
                        "skill": "usar",
                        "languages": ["az", "tr"],
                        "headcount": 40,
                        "available_from": AVAILABLE[0],
                        "available_until": AVAILABLE[1],
                        "notice_hours": 12,
                        "site": "central",
                        "visible_to": ["KAZ", "TUR"],
                        "as_of": COUNTED,
                    },
                )
            ],
            "POST /v1/emergencies": [
                Call(
                    tur,
                    body={
                        "name": "Flood",
                        "hazard": "flood",
                        "country": "TUR",
                        "lat": 37.5,
                        "lon": 36.9,
                        "started_on": "2026-02-06",
                    },
                )
            ],
            "POST /v1/requests": [
                Call(
                    tur,
                    body={
                        "emergency": self.emergency,
                        "title": "Help",
                        "priority": "high",
                        "needed_by": UNTIL,
                        "destination": PLACE,
                        "lines": [
                            goods(5, accept_substitutes=True),
                            people(5) | {"languages": ["tr"]},
                        ],
                        "notes": "Soon.",
                    },
                )
            ],
            "PATCH /v1/requests/{id}": [
                Call(tur, body=self._changes(ask), fresh=self._change, read="/v1/requests/{id}")
            ],
            "POST /v1/offers": [
                Call(
                    aze,
                    body={
                        "request": ask["id"],
                        "lines": [
                            {"request_line": line, "stock": self.lot["id"], "quantity": 1},
                            {"request_line": crew, "volunteers": self.pool["id"], "headcount": 1},
                        ],
                        "expires_at": clock.text(clock.now() + timedelta(days=30)),
                        "eta": UNTIL,
                        "message": "Loaded.",
                    },
                ),
                Call(
                    aze,
                    body={
                        "emergency": self.emergency,
                        "to": "TUR",
                        "lines": [{"stock": self.lot["id"], "quantity": 1}],
                    },
                ),
            ],
            "POST /v1/offers/{id}/accept": [
                Call(
                    tur,
                    body={"lines": [{"line": NOWHERE, "quantity": 4}], "allow_surplus": True},
                    fresh=self._acceptance,
                    read="/v1/offers/{id}",
                )
            ],
            "POST /v1/consignments": [
                Call(
                    aze,
                    body={
                        "offer": self.accepted["id"],
                        "lines": [{"offer_line": offer_line, "quantity": 1}],
                        "mode": "road",
                        "carrier": "Araz",
                        "waybill": "CMR 1",
                        "eta": UNTIL,
                    },
                    fresh=self._to_send,
                )
            ],
            "POST /v1/consignments/{id}/checkpoints": [
                Call(
                    aze,
                    body={"place": "Sarpi", "at": "2026-11-20T00:00:00Z", "note": "Cleared."},
                    fresh=self._ids(self._lost, None),
                    read="/v1/consignments/{id}",
                )
            ],
            "POST /v1/consignments/{id}/receive": [
                Call(
                    tur,
                    body={"lines": [{**receipt, "damaged": 0, "missing": 0, "note": "Wet."}]},
                    fresh=self._sent,
                    read="/v1/consignments/{id}",
                )
            ],
            "POST /v1/deployments": [
                Call(
                    aze,
                    body={
                        "offer": self.accepted["id"],
                        "offer_line": crew_line,
                        "headcount": 1,
                        "eta": UNTIL,
                    },
                    fresh=self._to_deploy,
                )
            ],
            "PUT /v1/deployments/{id}/manifest": [
                Call(
                    aze,
                    {"id": self.deployment["id"]},
                    {
                        "people": [
                            {
                                "name": "Example",
                                "role": "Medic",
                                "document": "A0",
                                "phone": "+0",
                                "languages": ["az"],
                                "note": "Vegetarian.",
                            }
                        ]
                    },
                )
            ],
        }
        longer = {"until": "2097-03-01T00:00:00Z", **reason}
        for move, system, make, body in (
            ("offers/{id}/decline", tur, self.proposed, reason),
            ("offers/{id}/withdraw", aze, self.proposed, reason | {"decided_at": COUNTED}),
            ("offers/{id}/release", tur, self.agreed, reason),
            ("consignments/{id}/cancel", aze, self._planned, reason),
            ("consignments/{id}/lost", aze, self._lost, reason),
            ("deployments/{id}/extension", tur, self._deployed, longer),
            ("deployments/{id}/extension/decline", aze, self._asked, reason),
            ("deployments/{id}/release", tur, self._deployed, reason),
            ("deployments/{id}/recall", aze, self._deployed, reason),
            ("deployments/{id}/cancel", aze, self._deployment, reason),
        ):
            kind = move.partition("/")[0]
            calls[f"POST /v1/{move}"] = [
                Call(system, body=body, fresh=self._ids(make, body), read=f"/v1/{kind}/{{id}}")
            ]
        return calls

    async def _client(self) -> tuple[str, Json | None]:
        body = {"name": "To rotate", "scopes": ["read"]}
        return (await self.tur.post("/v1/clients", body)).json()["id"], {"overlap_hours": 1}

    async def _to_send(self) -> tuple[str, Json | None]:
        offer = await self.agreed()
        return "", {
            "offer": offer["id"],
            "lines": [{"offer_line": offer["lines"][0]["id"], "quantity": 1}],
            "mode": "road",
            "carrier": "Araz",
            "waybill": "CMR 1",
            "eta": UNTIL,
        }

    async def _to_deploy(self) -> tuple[str, Json | None]:
        offer = await self.agreed()
        return "", {
            "offer": offer["id"],
            "offer_line": offer["lines"][1]["id"],
            "headcount": 1,
            "eta": UNTIL,
        }

    def paths(self) -> dict[str, dict[str, Any]]:
        """Path parameters that exist, for operations that read or move without a body."""
        ids = {
            "clients": self.lot["id"],
            "stock": self.lot["id"],
            "volunteers": self.pool["id"],
            "emergencies": self.emergency,
            "requests": self.request["id"],
            "offers": self.offer["id"],
            "consignments": self.consignment["id"],
            "deployments": self.at_work["id"],
            "webhooks": self.webhook["id"],
        }
        return {
            "ids": ids,
            "refs": {"sites": "central", "stock": self.lot["ref"], "volunteers": self.pool["ref"]},
            "codes": {
                "items": BLANKET,
                "skills": "usar",
                "hubs": "AKTAU",
                "legs": "sea-aktau-baku",
            },
        }
