"""Anything that five societies may do, in any order: the exchange always agrees with the model."""

import asyncio
import hashlib
import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest_asyncio
from hypothesis import HealthCheck
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app import clock
from app.config import Settings
from app.ledger.verifying import verify
from tests.elsewhere import Exchange, exchange_of_its_own
from tests.model import NEVER, Asked, Journey, Line, Lot, Offer, Pool, Promise, Request
from tests.sweep import expire_due
from tests.world import BLANKET, Json, fresh

REQUESTERS, PROVIDERS, STRANGER = ("TUR", "KAZ"), ("AZE", "KGZ"), "UZB"
DAY = timedelta(days=1)
# Soon, so that time passes over the windows; half a day off, so that no step falls on their ends.
START = datetime.now(UTC) + 3.5 * DAY
WINDOWS = [
    (START, START + 4 * DAY), (START + 2 * DAY, START + 6 * DAY), (START + 4 * DAY, START + 8 * DAY)
]  # fmt: skip
LONG = os.environ.get("KOMEK_HYPOTHESIS") == "long"
PROFILE = profile(
    max_examples=400 if LONG else 8,
    stateful_step_count=80 if LONG else 18,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    # The same lives in every run; the long profile looks for new ones.
    derandomize=not LONG,
    print_blob=True,
)
SMALL = st.integers(1, 8)
GOODS = {
    "dispatch": ("dispatched", {"planned"}),
    "arrive": ("arrived", {"dispatched"}),
    "receive": ("received", {"dispatched", "arrived"}),
    "cancel": ("cancelled", {"planned"}),
    "lost": ("lost", {"dispatched", "arrived"}),
}
WAYS_OF_GOODS: list[tuple[str, ...]] = [
    ("dispatch",), ("dispatch", "arrive"), ("dispatch", "receive"), ("dispatch", "lost"), (),
]  # fmt: skip
WAY_OF_PEOPLE = ("mobilise", "arrive", "release", "return")
PEOPLE = {
    "mobilise": ("mobilised", {"planned"}),
    "arrive": ("deployed", {"mobilised"}),
    "release": ("released", {"deployed"}),
    "recall": ("released", {"deployed"}),
    "return": ("returned", {"released"}),
    "cancel": ("cancelled", {"planned", "mobilised"}),
}


class Life(RuleBasedStateMachine):
    """Drives the real service over HTTP; every answer is foretold by the model."""

    exchange: ClassVar[Exchange]
    loop: ClassVar[asyncio.AbstractEventLoop]
    https: ClassVar[dict[str, httpx.Client]]
    seen: ClassVar[dict[str, int]] = defaultdict(int)
    head: ClassVar[str] = "0" * 64
    balances: ClassVar[dict[tuple[str, str], int]] = defaultdict(int)
    answered: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.later = timedelta(0)
        self.jumps = 0
        self.lots: list[Lot] = []
        self.pools: list[Pool] = []
        self.requests: list[Request] = []
        self.offers: list[Offer] = []
        self.touched: set[Offer] = set()
        self.last: tuple[str, str, Json | None, str, httpx.Response] | None = None
        clock.set_source(lambda: datetime.now(UTC) + self.later)

    # Speaking

    def get(self, society: str, path: str, **params: Any) -> Json:
        answer = self.https[society].get(path, params=params)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    def post(
        self, society: str, path: str, body: Json | None, expected: int, code: str | None = None
    ) -> Json:
        key = fresh("key")
        http = self.https[society]
        answer = http.post(path, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == expected, f"{path} {body}: {answer.text}"
        if code is not None:
            assert answer.json()["code"] == code, answer.text
        self.last = (society, path, body, key, answer)
        self.answered[f"{_verb(path)} {code or expected}"] += 1
        told: Json = answer.json()
        return told

    def put(self, society: str, path: str, body: Json) -> Json:
        answer = self.https[society].put(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        told: Json = answer.json()
        return told

    def sweep(self) -> None:
        async def expire() -> None:
            async with self.exchange.service.database.transaction() as tx:
                await expire_due(tx)

        asyncio.run_coroutine_threadsafe(expire(), self.loop).result(30)

    # Publishing

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        body = {
            "name": "Quake", "hazard": "earthquake", "country": "TUR", "lat": 37.0, "lon": 37.0,
            "started_on": "2026-11-01",
        }  # fmt: skip
        self.emergency = self.post("TUR", "/v1/emergencies", body, 201)["id"]
        site = {"name": "Central", "country": "AZE", "lat": 40.0, "lon": 49.0}
        for society in PROVIDERS:
            self.put(society, "/v1/my/sites/central", site)
            self._publish_lot(Lot("", fresh("lot"), society, 20, 2))
            self._publish_pool(Pool("", fresh("pool"), society, 8))
        # In the midst of things: offers that are accepted, and one of them on its way.
        self.ask("TUR", 15, 6, 0)
        self.ask("KAZ", 9, 3, 1)
        for request, society, quantity, headcount in (
            (0, "AZE", 10, 4), (1, "KGZ", 9, 3), (0, "KGZ", 6, 2),
        ):  # fmt: skip
            self._propose(self.requests[request], society, quantity, headcount, 7)
        for offer in self.offers[:2]:
            self._accept(offer, {x.id: x.quantity for x in offer.lines}, False)
            self._consign(offer, 4)
            self._deploy(offer, 2)
            for verb in data.draw(st.sampled_from(WAYS_OF_GOODS)):
                self._move_goods(data, offer, offer.consignments[0], verb)
            for verb in WAY_OF_PEOPLE[: data.draw(st.integers(0, 4))]:
                self._move_people(offer, offer.deployments[0], verb)

    def _publish_lot(self, lot: Lot) -> None:
        told = self._count_lot(lot, lot.quantity, None)
        lot.id, lot.as_of = told["id"], datetime.fromisoformat(told["as_of"])
        self.lots.append(lot)

    def _count_lot(self, lot: Lot, quantity: int, as_of: datetime | None) -> Json:
        body = {
            "item": BLANKET, "site": "central", "quantity": quantity, "keep_back": lot.keep_back,
            "as_of": as_of and as_of.isoformat(),
        }  # fmt: skip
        path = f"/v1/my/stock/{lot.ref}"
        if as_of is not None and lot.as_of is not None and as_of < lot.as_of:
            answer = self.https[lot.society].put(path, json=body)
            assert answer.json()["code"] == "stale_count", answer.text
            self.answered["my/stock stale_count"] += 1
            return body
        return self.put(lot.society, path, body)

    def _publish_pool(self, pool: Pool) -> None:
        body = {
            "skill": "usar", "languages": ["ru"], "headcount": pool.headcount, "notice_hours": 1,
            "available_from": "2026-01-01T00:00:00Z", "available_until": "2028-01-01T00:00:00Z",
            "site": "central",
        }  # fmt: skip
        told = self.put(pool.society, f"/v1/my/volunteers/{pool.ref}", body)
        if not pool.id:
            pool.id = told["id"]
            self.pools.append(pool)

    @rule(
        data=st.data(),
        quantity=st.integers(0, 40),
        keep_back=st.integers(0, 5),
        dated=st.sampled_from(["now", "undated", "as before", "older"]),
    )
    def count_stock_anew(
        self, data: st.DataObject, quantity: int, keep_back: int, dated: str
    ) -> None:
        lot = data.draw(st.sampled_from(self.lots))
        assert lot.as_of is not None
        as_of = {
            "now": max(clock.now(), lot.as_of), "as before": lot.as_of, "older": lot.as_of - DAY
        }.get(dated)  # fmt: skip
        if dated == "older":
            self._count_lot(lot, quantity, as_of)
            return
        # The same again without a date is a call that was repeated, and no new count.
        repeated = as_of is None and (quantity, keep_back) == (lot.quantity, lot.keep_back)
        lot.keep_back = keep_back
        told = self._count_lot(lot, quantity, as_of)
        if not repeated:
            lot.count(quantity, as_of)
            lot.as_of = datetime.fromisoformat(told["as_of"])

    @rule(data=st.data(), headcount=st.integers(0, 15))
    def count_people_anew(self, data: st.DataObject, headcount: int) -> None:
        pool = data.draw(st.sampled_from(self.pools))
        pool.headcount = headcount
        self._publish_pool(pool)

    # Asking

    @rule(
        society=st.sampled_from(REQUESTERS),
        quantity=st.integers(1, 25),
        headcount=st.integers(1, 10),
        window=st.integers(0, 2),
    )
    def ask(self, society: str, quantity: int, headcount: int, window: int) -> None:
        if len(self.requests) >= 3:
            return
        start, end = WINDOWS[window]
        body = {
            "emergency": self.emergency,
            "title": "Help",
            "priority": "high",
            "needed_by": "2027-02-01T12:00:00Z",
            "destination": {"name": "P", "country": "TUR", "lat": 37.0, "lon": 37.0},
            "lines": [
                {"kind": "stock", "item": BLANKET, "quantity": quantity},
                {
                    "kind": "volunteers", "skill": "usar", "headcount": headcount,
                    "from": start.isoformat(), "until": end.isoformat(),
                },
            ],
        }  # fmt: skip
        told = self.post(society, "/v1/requests", body, 201)
        goods, people = (line["id"] for line in told["lines"])
        lines = [Asked(goods, None, quantity), Asked(people, (start, end), headcount)]
        self.requests.append(Request(told["id"], society, lines))

    @rule(data=st.data(), quantity=st.integers(0, 30))
    def change_what_is_asked(self, data: st.DataObject, quantity: int) -> None:
        request = data.draw(st.sampled_from(self.requests))
        line = request.lines[0]
        body = {"lines": [{"id": line.id, "quantity": quantity}]}
        path = f"/v1/requests/{request.id}"
        answer = self.https[request.society].patch(path, json=body)
        if request.status == "open" and (line.served <= quantity or quantity >= line.requested):
            assert answer.status_code == 200, answer.text
            line.requested = quantity
        else:
            assert answer.status_code == 409, answer.text

    @rule(data=st.data(), verb=st.sampled_from(["close", "cancel"]))
    def end_a_request(self, data: st.DataObject, verb: str) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if data.draw(st.integers(0, 2)):
            return
        status = {"close": "closed", "cancel": "cancelled"}[verb]
        path = f"/v1/requests/{request.id}/{verb}"
        if request.status == status:
            self.post(request.society, path, None, 200)
        elif request.status != "open":
            self.post(request.society, path, None, 409, "wrong_state")
        elif verb == "cancel" and any(line.accepted for line in request.lines):
            self.post(request.society, path, None, 409, "below_accepted")
        else:
            self.post(request.society, path, None, 200)
            request.status = status
            for offer in self.offers:
                if offer.request is request and offer.status == "proposed":
                    offer.drop("expired", offer.society)
                    self.touched.add(offer)
            self.sweep()

    # Offering

    @rule(
        data=st.data(),
        quantity=SMALL,
        headcount=st.integers(0, 6),
        days=st.integers(1, 9),
    )
    def propose(self, data: st.DataObject, quantity: int, headcount: int, days: int) -> None:
        if len(self.offers) >= 12:
            return
        request = data.draw(st.sampled_from(self.requests))
        society = data.draw(st.sampled_from(PROVIDERS))
        self._propose(request, society, quantity, headcount, days)

    def _propose(
        self, request: Request, society: str, quantity: int, headcount: int, days: int
    ) -> None:
        lot = next(x for x in self.lots if x.society == society)
        pool = next(x for x in self.pools if x.society == society)
        goods, people = request.lines
        expires_at = clock.now() + days * DAY
        sent = [{"request_line": goods.id, "stock": lot.id, "quantity": quantity}]
        lines = [Line("", goods, lot, quantity, offered=quantity)]
        if headcount:
            sent.append({"request_line": people.id, "volunteers": pool.id, "headcount": headcount})
            lines.append(Line("", people, pool, headcount, offered=headcount))
        body = {"request": request.id, "lines": sent, "expires_at": expires_at.isoformat()}
        assert people.window is not None
        code = None
        if request.status != "open":
            code = "wrong_state"
        elif headcount and headcount > pool.room(people.window, clock.now()):
            # Where both are short, people are what is told: their pools are held first.
            code = "insufficient_volunteers"
        elif quantity > lot.room:
            code = "insufficient_stock"
        if code:
            self.post(society, "/v1/offers", body, 409, code)
            return
        told = self.post(society, "/v1/offers", body, 201)
        for line, shown in zip(lines, told["lines"], strict=True):
            line.id = shown["id"]
        lot.reserved += quantity
        if headcount:
            pool.promises[lines[1].id] = Promise(headcount, people.window)
        offer = Offer(told["id"], request, society, lines, expires_at)
        self.offers.append(offer)
        self.touched.add(offer)

    def _offer(self, data: st.DataObject, status: str) -> Offer:
        """An offer, mostly one in this state."""
        likely = [o for o in self.offers if o.status == status]
        if not likely or data.draw(st.integers(0, 3)) == 0:
            likely = self.offers
        offer = data.draw(st.sampled_from(likely))
        self.touched.add(offer)
        return offer

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), whole=st.booleans(), allow_surplus=st.booleans())
    def accept(self, data: st.DataObject, whole: bool, allow_surplus: bool) -> None:
        offer = self._offer(data, "proposed")
        parts = {x.id: x.quantity for x in offer.lines}
        if not whole:
            parts = {x.id: data.draw(st.integers(0, x.quantity)) for x in offer.lines}
            if not any(parts.values()):
                return
        self._accept(offer, parts, allow_surplus)

    def _accept(self, offer: Offer, parts: dict[str, int], allow_surplus: bool) -> None:
        body: Json = {"allow_surplus": allow_surplus}
        if parts != {x.id: x.quantity for x in offer.lines}:
            body["lines"] = [{"line": line, "quantity": q} for line, q in parts.items()]
        path, by = f"/v1/offers/{offer.id}/accept", offer.request.society
        if offer.status in ("accepted", "completed"):
            self.post(by, path, body, 200)
        elif offer.status != "proposed" or offer.request.status != "open":
            self.post(by, path, body, 409, "wrong_state")
        elif not offer.fits(parts, allow_surplus):
            self.post(by, path, body, 409, "over_accepted")
        else:
            self.post(by, path, body, 200)
            offer.accept(parts, allow_surplus)

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), verb=st.sampled_from(["withdraw", "decline", "release"]))
    def end_an_offer(self, data: st.DataObject, verb: str) -> None:
        offer = self._offer(data, "accepted" if verb == "release" else "proposed")
        by = offer.society if verb == "withdraw" else offer.request.society
        path = f"/v1/offers/{offer.id}/{verb}"
        status = {"decline": "declined"}.get(verb, "withdrawn")
        done_before = offer.status == status and (verb == "decline" or offer.ended_by == by)
        if done_before:
            self.post(by, path, None, 200)
        elif offer.status == "proposed" and verb != "release":
            self.post(by, path, None, 200)
            offer.drop(status, by)
        elif offer.status == "accepted" and verb != "decline":
            self.post(by, path, None, 200 if offer.undo(by) else 409)
        else:
            self.post(by, path, None, 409, "wrong_state")

    @precondition(lambda self: self.jumps < 3 and self.offers)
    @rule(days=st.integers(1, 8))
    def time_passes(self, days: int) -> None:
        self.jumps += 1
        self.later += days * DAY
        now = clock.now()
        for offer in self.offers:
            if offer.status == "proposed" and offer.expires_at <= now:
                offer.drop("expired", offer.society)
                self.touched.add(offer)
                self.answered["expired"] += 1
        self.sweep()

    def _journey(self, data: st.DataObject, kind: str) -> tuple[Offer, Journey]:
        """A journey, mostly one that is not over."""
        every = [(o, j) for o in self.offers for j in getattr(o, kind)]
        over = {"received", "lost", "cancelled", "returned"}
        live = [(o, j) for o, j in every if j.status not in over]
        if not live or data.draw(st.integers(0, 9)) == 0:
            live = every
        offer, journey = data.draw(st.sampled_from(live))
        self.touched.add(offer)
        return offer, journey

    def _verb(
        self, data: st.DataObject, journey: Journey, moves: dict[str, tuple[str, set[str]]]
    ) -> str:
        """A verb, mostly one that the state allows."""
        verbs = [verb for verb, (_, needed) in moves.items() if journey.status in needed]
        if not verbs or data.draw(st.integers(0, 4)) == 0:
            verbs = list(moves)
        return data.draw(st.sampled_from(verbs))

    # Journeys of goods

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), quantity=SMALL, pallets=st.booleans())
    def consign(self, data: st.DataObject, quantity: int, pallets: bool) -> None:
        self._consign(self._offer(data, "accepted"), quantity, pallets)

    def _consign(self, offer: Offer, quantity: int, pallets: bool = True) -> None:
        line = offer.lines[0]
        # Two pallets of one offer line are two lines of a consignment.
        first = quantity // 2 if pallets else 0
        sent = [{"offer_line": line.id, "quantity": q} for q in (first, quantity - first) if q]
        body = {"offer": offer.id, "lines": sent, "mode": "road"}
        if offer.status != "accepted":
            self.post(offer.society, "/v1/consignments", body, 409, "wrong_state")
        elif quantity > line.accepted - line.planned:
            self.post(offer.society, "/v1/consignments", body, 409, "over_planned")
        else:
            told = self.post(offer.society, "/v1/consignments", body, 201)
            line.planned += quantity
            parts = [(x["id"], x["quantity"]) for x in told["lines"]]
            offer.consignments.append(Journey(told["id"], parts, line, quantity))

    @precondition(lambda self: any(o.consignments for o in self.offers))
    @rule(data=st.data())
    def move_goods(self, data: st.DataObject) -> None:
        offer, journey = self._journey(data, "consignments")
        self._move_goods(data, offer, journey, self._verb(data, journey, GOODS))

    def _move_goods(self, data: st.DataObject, offer: Offer, journey: Journey, verb: str) -> None:
        result, needed = GOODS[verb]
        by = offer.request.society if verb == "receive" else offer.society
        count, line = journey.count, journey.line
        damaged = missing = 0
        body: Json | None = None
        if verb == "receive":
            found = []
            for part, sent in journey.parts:
                broken = data.draw(st.integers(0, sent))
                absent = data.draw(st.integers(0, sent - broken))
                damaged, missing = damaged + broken, missing + absent
                whole = sent - broken - absent
                figures = {"received": whole, "damaged": broken, "missing": absent}
                found.append({"line": part, **figures})
            body = {"lines": found}
        received = count - damaged - missing
        path = f"/v1/consignments/{journey.id}/{verb}"
        if journey.status == result and body is not None:
            same = journey.receipt == body
            code = None if same else "already_received"
            self.post(by, path, body, 200 if same else 409, code)
            return
        if journey.status == result:
            self.post(by, path, body, 200)
            return
        if journey.status not in needed:
            self.post(by, path, body, 409, "wrong_state")
            return
        lot = line.source
        assert isinstance(lot, Lot)
        if verb == "dispatch" and lot.quantity < count:
            self.post(by, path, body, 409, "insufficient_stock")
            return
        self.post(by, path, body, 200)
        journey.status = result
        if verb == "dispatch":
            line.dispatched += count
            lot.reserved -= count
            lot.quantity -= count
            lot.left += count
        elif verb == "receive":
            journey.receipt = body
            line.received += received
            line.damaged += damaged
            line.lost += missing
            line.asked.losses += damaged + missing
        elif verb == "lost":
            line.lost += count
            line.asked.losses += count
        elif verb == "cancel":
            line.planned -= count
        offer.complete()

    # Journeys of people

    @precondition(lambda self: any(len(o.lines) > 1 for o in self.offers))
    @rule(data=st.data(), headcount=st.integers(1, 4))
    def deploy(self, data: st.DataObject, headcount: int) -> None:
        offer = self._offer(data, "accepted")
        if len(offer.lines) > 1:
            self._deploy(offer, headcount)

    def _deploy(self, offer: Offer, headcount: int) -> None:
        line = offer.lines[1]
        body = {"offer": offer.id, "offer_line": line.id, "headcount": headcount}
        if offer.status != "accepted":
            self.post(offer.society, "/v1/deployments", body, 409, "wrong_state")
        elif headcount > line.accepted - line.planned:
            self.post(offer.society, "/v1/deployments", body, 409, "over_planned")
        else:
            told = self.post(offer.society, "/v1/deployments", body, 201)
            line.planned += headcount
            pool = line.source
            assert isinstance(pool, Pool)
            pool.promises[line.id].headcount -= headcount
            window = pool.promises[line.id].window
            pool.promises[told["id"]] = Promise(headcount, window)
            offer.deployments.append(Journey(told["id"], [], line, headcount))

    @precondition(lambda self: any(o.deployments for o in self.offers))
    @rule(data=st.data())
    def move_people(self, data: st.DataObject) -> None:
        offer, journey = self._journey(data, "deployments")
        self._move_people(offer, journey, self._verb(data, journey, PEOPLE))

    def _move_people(self, offer: Offer, journey: Journey, verb: str) -> None:
        result, needed = PEOPLE[verb]
        by = offer.request.society if verb == "release" else offer.society
        path = f"/v1/deployments/{journey.id}/{verb}"
        if journey.status == result:
            self.post(by, path, None, 200)
            return
        if journey.status not in needed:
            self.post(by, path, None, 409, "wrong_state")
            return
        self.post(by, path, None, 200)
        line, pool = journey.line, journey.line.source
        assert isinstance(pool, Pool)
        if verb == "mobilise":
            line.dispatched += journey.count
            promise = pool.promises[journey.id]
            promise.away = True
            promise.window = (min(promise.window[0], clock.now()), promise.window[1])
        elif verb == "arrive":
            line.received += journey.count
        elif verb == "return":
            pool.promises[journey.id].headcount = 0
        elif verb == "cancel":
            line.dispatched -= journey.count if journey.status == "mobilised" else 0
            offer.unplan(journey)
        journey.status = result
        offer.complete()

    @precondition(lambda self: any(o.deployments for o in self.offers))
    @rule(data=st.data(), days=st.integers(1, 4))
    def extend(self, data: st.DataObject, days: int) -> None:
        offer, journey = self._journey(data, "deployments")
        pool = journey.line.source
        assert isinstance(pool, Pool)
        path = f"/v1/deployments/{journey.id}/extension"
        by, other = offer.request.society, offer.society
        if journey.status not in ("planned", "mobilised", "deployed"):
            body = {"until": (START + 60 * DAY).isoformat()}
            self.post(by, path, body, 409, "wrong_state")
            return
        promise = pool.promises[journey.id]
        start, end = promise.window
        later = end + days * DAY
        self.post(by, path, {"until": later.isoformat()}, 200)
        if pool.room((end, later), clock.now(), journey.id) < journey.count:
            self.post(other, f"{path}/accept", None, 409, "insufficient_volunteers")
            self.post(other, f"{path}/decline", None, 200)
        else:
            self.post(other, f"{path}/accept", None, 200)
            promise.window = (start, later)

    # Whatever is done twice, and whoever has no part in it

    @precondition(lambda self: self.last is not None)
    @rule()
    def repeat_the_last_call(self) -> None:
        assert self.last is not None
        society, path, body, key, first = self.last
        http = self.https[society]
        again = http.post(path, json=body, headers={"Idempotency-Key": key})
        assert (again.status_code, again.text) == (first.status_code, first.text)
        assert again.headers["Idempotency-Replayed"] == "true"
        self.answered["repeated"] += 1
        assert again.headers.get("ETag") == first.headers.get("ETag")

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), verb=st.sampled_from(["accept", "decline", "withdraw", "release"]))
    def a_stranger_tries(self, data: st.DataObject, verb: str) -> None:
        offer = data.draw(st.sampled_from(self.offers))
        self.answered["stranger"] += 1
        http = self.https[STRANGER]
        paths = [
            f"/v1/offers/{offer.id}",
            *(f"/v1/consignments/{c.id}" for c in offer.consignments),
        ]
        paths += [f"/v1/deployments/{d.id}" for d in offer.deployments]
        for path in paths:
            assert http.get(path).status_code == 404
        assert http.post(f"{paths[0]}/{verb}").status_code == 404
        for lot in self.lots:
            assert http.get(f"/v1/my/stock/{lot.ref}").status_code == 404

    # The seven invariants, after every step

    @invariant()
    def the_exchange_agrees_with_the_model(self) -> None:
        if not self.lots:
            return
        # First, since an offer that the service's own sweep is ending is waited for.
        for offer in self.touched:
            self._agrees_on(offer)
        self.touched.clear()
        for lot in self.lots:
            told = self.get(lot.society, f"/v1/my/stock/{lot.ref}")
            assert (told["quantity"], told["reserved"]) == (lot.quantity, lot.reserved)
            assert told["available"] == lot.room
            assert told["shortfall"] == max(0, lot.reserved - lot.quantity)
        for pool in self.pools:
            told = self.get(pool.society, f"/v1/my/volunteers/{pool.ref}")
            now = clock.now()
            peak = pool.peak((now, NEVER), now)
            assert (told["headcount"], told["promised"]) == (pool.headcount, peak)
            assert told["shortfall"] == max(0, peak - pool.headcount)
        for request in self.requests:
            self._agrees(request)
        self._the_ledger_adds_up()

    def _agrees(self, request: Request) -> None:
        told = self.get(STRANGER, f"/v1/requests/{request.id}")
        assert told["status"] == request.status
        for asked, shown in zip(request.lines, told["lines"], strict=True):
            pledged = [x for o in self.offers for x in o.lines if x.asked is asked]
            for figure in ("offered", "accepted", "dispatched", "received", "damaged", "lost"):
                assert shown[figure] == sum(getattr(x, figure) for x in pledged), figure
            assert shown["requested"] == asked.requested
            assert shown["outstanding"] == max(0, asked.requested - asked.served)
            losses = shown["damaged"] + shown["lost"]
            assert shown["accepted"] - losses <= shown["requested"] or asked.surplus
            assert shown["dispatched"] <= shown["accepted"] <= shown["offered"]
            ended = shown["received"] + shown["damaged"] + shown["lost"]
            assert ended <= shown["dispatched"]

    def _agrees_on(self, offer: Offer) -> None:
        told = self.get(offer.society, f"/v1/offers/{offer.id}")
        patience = time.monotonic() + 10
        while told["status"] != offer.status and time.monotonic() < patience:
            # The service's own sweep may hold at this moment what ours has skipped.
            told = self.get(offer.society, f"/v1/offers/{offer.id}")
        assert told == self.get(offer.request.society, f"/v1/offers/{offer.id}")
        assert told["status"] == offer.status
        for line, shown in zip(offer.lines, told["lines"], strict=True):
            for figure in ("accepted", "planned", "dispatched", "received", "damaged", "lost"):
                assert shown[figure] == getattr(line, figure), figure
        for kind in ("consignments", "deployments"):
            for journey in getattr(offer, kind):
                shown = self.get(offer.society, f"/v1/{kind}/{journey.id}")
                assert shown["status"] == journey.status

    def _expected(self) -> dict[tuple[str, str], int]:
        expected: dict[tuple[str, str], int] = {}
        for lot in self.lots:
            expected[f"lot:{lot.id}", "reserved"] = lot.reserved
            expected[f"lot:{lot.id}", "quantity"] = lot.quantity
        for pool in self.pools:
            for holder, promise in pool.promises.items():
                expected[f"pool:{pool.id}", f"promise:{holder}"] = promise.headcount
        for request in self.requests:
            for asked in request.lines:
                expected[f"line:{asked.id}", "requested"] = asked.requested
                expected[f"line:{asked.id}", "accepted"] = asked.accepted
        for line in itertools.chain.from_iterable(o.lines for o in self.offers):
            for figure in ("accepted", "planned", "dispatched", "received", "damaged", "lost"):
                expected[f"offer_line:{line.id}", figure] = getattr(line, figure)
        return expected

    def _the_ledger_adds_up(self) -> None:
        patience = time.monotonic() + 10
        while True:
            for society in ("TUR", *PROVIDERS):
                self._read_on(society)
            expected = self._expected()
            told = {key: self.balances[key] for key in expected}
            if told == expected:
                return
            # A record may wait for its seal for a few milliseconds.
            assert time.monotonic() < patience, {
                k: (told[k], expected[k]) for k in expected if told[k] != expected[k]
            }

    def _read_on(self, society: str) -> None:
        cls = type(self)
        while True:
            items = self.get(society, "/v1/events", after=self.seen[society], limit=200)["items"]
            for event in items:
                assert event["seq"] == self.seen[society] + 1, "seq has no gap"
                self.seen[society] = event["seq"]
                if society == "TUR":
                    seq = event["seq"].to_bytes(8, "big")
                    link = bytes.fromhex(cls.head) + seq + bytes.fromhex(event["commitment"])
                    assert event["previous_hash"] == cls.head
                    cls.head = hashlib.sha256(link).hexdigest()
                    assert event["hash"] == cls.head
                self._add(society, event)
            if not items:
                return

    def _add(self, society: str, event: Json) -> None:
        for move in (event["data"] or {}).get("moves", ()):
            # The secretariat sees every offer; what a lot holds only its owner sees.
            quantity = move["account"].startswith("lot:") and move["figure"] == "quantity"
            if (event["society"] == society) if quantity else society == "TUR":
                self.balances[move["account"], move["figure"]] += move["by"]
        if event["type"] == "stock.published" and event.get("private"):
            private = event["private"]["content"]
            self.balances[f"lot:{event['subject']['id']}", "quantity"] = private["quantity"]

    def teardown(self) -> None:
        for offer in self.offers:
            self._agrees_on(offer)
        proof = asyncio.run_coroutine_threadsafe(verify(self.exchange.url), self.loop).result(60)
        assert proof.faults == []
        clock.set_source(None)


def _verb(path: str) -> str:
    kind, _, rest = path.removeprefix("/v1/").partition("/")
    return f"{kind} {rest.partition('/')[2]}".strip()


ALL_THAT_MUST_HAPPEN = {
    "emergencies 201", "requests 201", "requests close 200", "requests cancel below_accepted",
    "offers 201", "offers insufficient_stock", "offers insufficient_volunteers",
    "offers accept 200", "offers accept wrong_state",
    "offers accept over_accepted", "offers decline 200", "offers decline wrong_state",
    "offers withdraw 200", "offers withdraw wrong_state", "offers release 200",
    "consignments 201", "consignments over_planned",
    "my/stock stale_count", "consignments dispatch insufficient_stock",
    "consignments receive already_received", "deployments recall 200",
    "consignments dispatch 200", "consignments arrive 200", "consignments receive 200",
    "consignments cancel 200", "consignments lost 200", "consignments receive wrong_state",
    "deployments 201", "deployments over_planned", "deployments mobilise 200",
    "deployments arrive 200", "deployments release 200", "deployments return 200",
    "deployments extension 200",
    "deployments extension/accept 200",
    "repeated", "expired", "stranger",
}  # fmt: skip


MUCH_THAT_MUST_HAPPEN = {
    "emergencies 201", "requests 201", "offers 201", "offers accept 200", "consignments 201",
    "deployments 201", "repeated",
}  # fmt: skip


@pytest_asyncio.fixture
async def exchange(settings: Settings) -> AsyncIterator[Exchange]:
    async with exchange_of_its_own(settings) as own:
        yield own


async def test_whatever_the_societies_do_the_seven_invariants_hold(exchange: Exchange) -> None:
    Life.exchange, Life.loop = exchange, asyncio.get_running_loop()
    systems = {s: await exchange.system(s) for s in (*REQUESTERS, *PROVIDERS, STRANGER)}
    Life.https = {
        society: httpx.Client(
            base_url=system.http.base_url, headers=dict(system.http.headers), timeout=60
        )
        for society, system in systems.items()
    }
    try:
        await asyncio.to_thread(run_state_machine_as_test, Life, settings=PROFILE)
        # Short lives cannot show everything; that they show something is known all the same.
        must_happen = ALL_THAT_MUST_HAPPEN if LONG else MUCH_THAT_MUST_HAPPEN
        missing = sorted(must_happen - set(Life.answered))
        assert not missing, f"lives that show too little: {missing}"
    finally:
        clock.set_source(None)
        for http in Life.https.values():
            http.close()
