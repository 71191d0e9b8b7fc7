"""Five societies' systems as the tests see them: each speaks HTTP to the real service."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import httpx

from app.client.exchange import Exchange
from tests.contract import hold_to_contract

Json = dict[str, Any]

BLANKET = "HSHEBLANPHT1"
WOOL_BLANKET = "HSHEBLANWMT1"
JERRYCAN = "HCONJCANP20"
SMALL_JERRYCAN = "HCONJCANPF10"
TENT = "HSHETENTF16C"

FROM, UNTIL = "2097-01-10T00:00:00Z", "2097-01-24T00:00:00Z"
AVAILABLE = ("2026-01-01T00:00:00Z", "2099-12-31T00:00:00Z")

_numbers = itertools.count(1)


def fresh(word: str) -> str:
    """A reference that no other test uses."""
    return f"{word}-{next(_numbers)}"


def done(response: httpx.Response, status: int = 200) -> Json:
    """The body of an answer that must have this status."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    body: Json = response.json() if response.content else {}
    return body


def refused(response: httpx.Response, status: int, code: str) -> Json:
    """The problem of an answer that must be this refusal."""
    problem = done(response, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    return problem


async def _hold(response: httpx.Response) -> None:
    # A stream has no end to wait for; its head alone is held to the document.
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        await response.aread()
    hold_to_contract(response)


@dataclass
class System:
    """One IT system of a society."""

    society: str
    http: httpx.AsyncClient

    def __post_init__(self) -> None:
        # Every answer that any test gets is held to the OpenAPI document.
        self.http.event_hooks["response"].append(_hold)

    @property
    def exchange(self) -> Exchange:
        """The same system through the client, with its verbs and its repeats."""
        key = self.http.headers["authorization"].removeprefix("Bearer ")
        return Exchange(str(self.http.base_url), key, http=self.http)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params={k.rstrip("_"): v for k, v in params.items()})

    async def post(self, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.post(path, json=body, headers=named)

    async def put(self, path: str, body: Json, **headers: str) -> httpx.Response:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.put(path, json=body, headers=named)

    async def site(self, ref: str = "central") -> str:
        body = {"name": "Central", "country": self.society, "lat": 40.4, "lon": 49.9}
        assert (await self.put(f"/v1/my/sites/{ref}", body)).status_code in (200, 201)
        return ref

    async def lot(
        self, quantity: int, item: str = BLANKET, ref: str | None = None, **more: Any
    ) -> Json:
        body = {"item": item, "site": await self.site(), "quantity": quantity, **more}
        answer = await self.put(f"/v1/my/stock/{ref or fresh('lot')}", body)
        assert answer.status_code in (200, 201), answer.text
        published: Json = answer.json()
        return published

    async def own_lot(self, lot: Json) -> Json:
        return done(await self.get(f"/v1/my/stock/{lot['ref']}"))

    async def pool(
        self, headcount: int, skill: str = "usar", ref: str | None = None, **more: Any
    ) -> Json:
        body = {
            "skill": skill,
            "languages": ["tr", "ru"],
            "headcount": headcount,
            "available_from": AVAILABLE[0],
            "available_until": AVAILABLE[1],
            "notice_hours": 12,
            "site": await self.site(),
            **more,
        }
        answer = await self.put(f"/v1/my/volunteers/{ref or fresh('pool')}", body)
        assert answer.status_code in (200, 201), answer.text
        published: Json = answer.json()
        return published

    async def own_pool(self, pool: Json) -> Json:
        return done(await self.get(f"/v1/my/volunteers/{pool['ref']}"))

    async def emergency(self, **more: Any) -> Json:
        body = {
            "name": "Earthquake",
            "hazard": "earthquake",
            "country": "TUR",
            "lat": 37.58,
            "lon": 36.93,
            "started_on": "2023-02-06",
            **more,
        }
        return done(await self.post("/v1/emergencies", body), 201)

    async def request(self, *lines: Json, emergency: str | None = None, **more: Any) -> Json:
        body = {
            "emergency": emergency or (await self.emergency())["id"],
            "title": "Winter shelter",
            "priority": "high",
            "needed_by": "2097-02-01T12:00:00Z",
            "destination": {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3},
            "lines": list(lines),
            **more,
        }
        return done(await self.post("/v1/requests", body), 201)

    async def own_request(self, request: Json) -> Json:
        return done(await self.get(f"/v1/requests/{request['id']}"))

    async def propose(self, request: Json, *lines: Json, **headers: str) -> httpx.Response:
        return await self.post(
            "/v1/offers", {"request": request["id"], "lines": list(lines)}, **headers
        )

    async def offer(self, request: Json, *lines: Json) -> Json:
        return done(await self.propose(request, *lines), 201)

    async def accept(self, offer: Json, **body: Any) -> Json:
        return done(await self.post(f"/v1/offers/{offer['id']}/accept", body or None))

    async def see_offer(self, offer: Json) -> Json:
        return done(await self.get(f"/v1/offers/{offer['id']}"))

    async def consign(self, offer: Json, quantity: int, line: int = 0) -> Json:
        body = {
            "offer": offer["id"],
            "lines": [{"offer_line": offer["lines"][line]["id"], "quantity": quantity}],
            "mode": "road",
        }
        return done(await self.post("/v1/consignments", body), 201)

    async def move(self, kind: str, thing: Json, verb: str, body: Json | None = None) -> Json:
        return done(await self.post(f"/v1/{kind}/{thing['id']}/{verb}", body))

    async def receive(
        self, consignment: Json, received: int, damaged: int = 0, missing: int = 0
    ) -> httpx.Response:
        line = consignment["lines"][0]["id"]
        found = {"line": line, "received": received, "damaged": damaged, "missing": missing}
        return await self.post(f"/v1/consignments/{consignment['id']}/receive", {"lines": [found]})

    async def deploy(self, offer: Json, headcount: int, line: int = 0) -> Json:
        body = {
            "offer": offer["id"],
            "offer_line": offer["lines"][line]["id"],
            "headcount": headcount,
        }
        return done(await self.post("/v1/deployments", body), 201)

    async def events(self, after: int = 0, **params: Any) -> list[Json]:
        """Everything after a seq."""
        return [event async for event in self.exchange.listed("/v1/events", after=after, **params)]

    async def told(self, kind: str, after: int) -> list[Json]:
        """The events of a type after a seq, as soon as there is one."""
        async with asyncio.timeout(20):
            while not (told := await self.events(after, type=kind)):
                pass
        return told


def goods(quantity: int, item: str = BLANKET, **more: Any) -> Json:
    """A request line for goods."""
    return {"kind": "stock", "item": item, "quantity": quantity, **more}


def people(headcount: int, skill: str = "usar", start: str = FROM, end: str = UNTIL) -> Json:
    """A request line for people."""
    return {
        "kind": "volunteers", "skill": skill, "headcount": headcount, "from": start, "until": end,
    }  # fmt: skip


def from_lot(request: Json, lot: Json, quantity: int, line: int = 0, **more: Any) -> Json:
    """An offer line from a lot."""
    asked = request["lines"][line]["id"]
    return {"request_line": asked, "stock": lot["id"], "quantity": quantity, **more}


def from_pool(request: Json, pool: Json, headcount: int, line: int = 0) -> Json:
    """An offer line from a pool."""
    asked = request["lines"][line]["id"]
    return {"request_line": asked, "volunteers": pool["id"], "headcount": headcount}
