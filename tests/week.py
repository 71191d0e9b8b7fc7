"""The verbs of a week: each is said by a desk, twice, and written into the book, once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.book import Ask, Book, Journey, Lot, Offer, Part, Pool, Request
from tests.desks import Calendar, Desk, Post
from tests.world import Json

PLACES = {"TUR": (37.49, 37.3), "KGZ": (40.52, 72.8), "AZE": (40.41, 49.87), "KAZ": (43.24, 76.9)}
PLACES |= {"UZB": (41.3, 69.24), "TKM": (37.95, 58.38)}


def text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


class Week:
    """Who takes part, what time it is, and the book."""

    def __init__(self, desks: Mapping[str, Desk], post: Post) -> None:
        self.desks = desks
        self.post = post
        self.dice = post.dice
        self.book = Book()
        self.heads: list[str] = []
        self.sent: dict[str, Json] = {}
        """What was offered, as it was sent."""

    @property
    def calendar(self) -> Calendar:
        return self.post.calendar

    @property
    def now(self) -> datetime:
        return self.calendar.now

    # What the societies have.

    async def site(self, society: str) -> None:
        lat, lon = PLACES[society]
        body = {"name": f"Depot {society}", "country": society, "lat": lat, "lon": lon}
        await self.desks[society].publish("/v1/my/sites/depot", body)

    def count_of(self, item: str, quantity: int, **more: Any) -> Json:
        return {"item": item, "site": "depot", "quantity": quantity, "as_of": text(self.now)} | more

    async def stock(
        self, society: str, ref: str, item: str, quantity: int, each: int = 1, **more: Any
    ) -> Lot:
        """A lot, or a new count of one; in packs of `each` where a pack is named."""
        count = self.count_of(item, quantity, **more)
        shown = await self.desks[society].publish(f"/v1/my/stock/{ref}", count)
        lot = self.book.lots.get(shown["id"])
        seen_by = frozenset(more["visible_to"]) if "visible_to" in more else None
        if lot is None:
            made = (society, ref, item, shown["id"], more.get("keep_back", 0) * each, seen_by)
            lot = self.book.lots[shown["id"]] = Lot(*made, quantity * each, self.now)
        lot.counted, lot.counted_at = quantity * each, datetime.fromisoformat(count["as_of"])
        return lot

    async def people(
        self, society: str, ref: str, skill: str, headcount: int, days: tuple[datetime, datetime]
    ) -> Pool:
        """A pool of volunteers."""
        body = {
            "skill": skill, "headcount": headcount, "languages": ["ru", "tr"], "notice_hours": 12,
            "site": "depot", "available_from": text(days[0]), "available_until": text(days[1]),
            "as_of": text(self.now),
        }  # fmt: skip
        shown = await self.desks[society].publish(f"/v1/my/volunteers/{ref}", body)
        pool = Pool(society, ref, skill, shown["id"], headcount, days)
        self.book.pools[pool.id] = pool
        return pool

    # What is asked for.

    async def emergency(self, society: str, name: str, hazard: str) -> str:
        lat, lon = PLACES[society]
        body = {
            "name": name, "hazard": hazard, "country": society, "lat": lat, "lon": lon,
            "started_on": self.now.date().isoformat(),
        }  # fmt: skip
        told = await self.desks[society].say("/v1/emergencies", body)
        self.book.told["emergency.opened"] += 1
        return str(told["id"])

    async def ask(self, society: str, emergency: str, title: str, *lines: Json) -> Request:
        """A request; lines as `goods` and `people` make them."""
        lat, lon = PLACES[society]
        body = {
            "emergency": emergency, "title": title, "priority": "high", "lines": list(lines),
            "needed_by": text(self.now + timedelta(days=10)),
            "destination": {"name": title, "country": society, "lat": lat, "lon": lon},
        }  # fmt: skip
        told = await self.desks[society].say("/v1/requests", body)
        asks = []
        for line, shown in zip(lines, told["lines"], strict=True):
            if line["kind"] == "stock":
                ask = Ask(shown["id"], line["item"], shown["requested"])
                ask.substitutes = line.get("accept_substitutes", False)
            else:
                window = (_instant(line["from"]), _instant(line["until"]))
                ask = Ask(shown["id"], line["skill"], line["headcount"], window)
            asks.append(ask)
        request = Request(told["id"], society, emergency, title, asks)
        self.book.requests[request.id] = request
        self.book.told["request.opened"] += 1
        return request

    async def change(self, request: Request, ask: Ask, requested: int) -> None:
        """A line asks for more, or for less."""
        desk = self.desks[request.society]
        change = {"id": ask.id, "quantity" if ask.is_goods else "headcount": requested}
        await desk.patch(f"/v1/requests/{request.id}", {"lines": [change]})
        ask.requested = requested
        self.book.told["request.changed"] += 1

    async def close(self, request: Request, verb: str = "close") -> None:
        await self.desks[request.society].say(f"/v1/requests/{request.id}/{verb}")
        request.status = "closed" if verb == "close" else "cancelled"
        self.book.told[f"request.{request.status}"] += 1

    # What is answered.

    def proposal(
        self, request: Request, *parts: tuple[Ask, Lot | Pool, int], hours: int = 240
    ) -> Json:
        lines = [
            {"request_line": ask.id, "stock": source.id, "quantity": count}
            if isinstance(source, Lot)
            else {"request_line": ask.id, "volunteers": source.id, "headcount": count}
            for ask, source, count in parts
        ]
        expires_at = text(self.now + timedelta(hours=hours))
        return {"request": request.id, "lines": lines, "expires_at": expires_at}

    async def offer(
        self,
        request: Request,
        *parts: tuple[Ask, Lot | Pool, int],
        hours: int = 240,
        ratio: int = 1,
        ref: str | None = None,
    ) -> Offer:
        """An offer of the society whose lots and pools these are."""
        society = parts[0][1].society
        body = self.proposal(request, *parts, hours=hours) | {"ref": ref}
        told = await self.desks[society].say("/v1/offers", body)
        self.sent[told["id"]] = body
        return self.note_offer(told, request, parts, ratio)

    def note_offer(
        self,
        told: Json,
        request: Request,
        parts: tuple[tuple[Ask, Lot | Pool, int], ...],
        ratio: int = 1,
    ) -> Offer:
        made = [
            Part(shown["id"], source, ask, ratio, count)
            for shown, (ask, source, count) in zip(told["lines"], parts, strict=True)
        ]
        offer = Offer(
            told["id"], told["society"], request.society, request.emergency, request, made,
            _instant(told["expires_at"]),
        )  # fmt: skip
        self.book.offers[offer.id] = offer
        self.book.told["offer.proposed"] += 1
        return offer

    async def help_unasked(self, emergency: str, to: str, lot: Lot, quantity: int) -> Offer:
        body = {
            "emergency": emergency, "to": to, "lines": [{"stock": lot.id, "quantity": quantity}],
            "expires_at": text(self.now + timedelta(days=8)),
        }  # fmt: skip
        told = await self.desks[lot.society].say("/v1/offers", body)
        part = Part(told["lines"][0]["id"], lot, None, 1, quantity)
        until = _instant(told["expires_at"])
        offer = Offer(told["id"], lot.society, to, emergency, None, [part], until)
        self.book.offers[offer.id] = offer
        self.book.told["offer.proposed"] += 1
        return offer

    async def accept(self, offer: Offer, *counts: int) -> None:
        """Whole, or so much of each line."""
        body: Json | None = None
        parts: dict[str, int] | None = None
        if counts:
            parts = {part.id: n for part, n in zip(offer.parts, counts, strict=True)}
            body = {"lines": [{"line": line, "quantity": n} for line, n in parts.items()]}
        await self.desks[offer.to].say(f"/v1/offers/{offer.id}/accept", body)
        self.book.accept(offer, parts)

    async def decline(self, offer: Offer) -> None:
        await self._about(offer, offer.to, "decline")
        self.book.end(offer, "declined")

    async def withdraw(self, offer: Offer) -> None:
        await self._about(offer, offer.society, "withdraw")
        if offer.status == "proposed":
            self.book.end(offer, "withdrawn")
        else:
            self.book.undo(offer, "withdrawn")

    async def release(self, offer: Offer) -> None:
        await self._about(offer, offer.to, "release")
        self.book.undo(offer, "released")

    async def _about(self, offer: Offer, society: str, verb: str) -> None:
        reason = {"reason": "As agreed by telephone."}
        await self.desks[society].say(f"/v1/offers/{offer.id}/{verb}", reason)

    # What travels.

    async def consign(self, offer: Offer, *counts: int) -> Journey:
        """A consignment of so much of each line."""
        loads = {part.id: n for part, n in zip(offer.parts, counts, strict=True) if n}
        lines = [{"offer_line": line, "quantity": n} for line, n in loads.items()]
        body = {"offer": offer.id, "lines": lines, "mode": self.dice.choice(("road", "air"))}
        told = await self.desks[offer.society].say("/v1/consignments", body)
        lines_made = [line["id"] for line in told["lines"]]
        journey = Journey(told["id"], offer, loads, True, lines_made)
        self.book.plan(journey)
        return journey

    async def dispatch(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.society, "dispatch")
        self.book.send(journey, self.now)

    async def send(self, offer: Offer, *counts: int) -> Journey:
        """Planned and dispatched."""
        journey = await self.consign(offer, *counts)
        await self.dispatch(journey)
        return journey

    async def receive(self, journey: Journey, *found: tuple[int, int, int]) -> None:
        """(in good order, damaged, missing) of each line of the consignment."""
        lines = [
            {"line": line, "received": r, "damaged": d, "missing": m}
            for line, (r, d, m) in zip(journey.lines, found, strict=True)
        ]
        path = f"/v1/consignments/{journey.id}/receive"
        await self.desks[journey.offer.to].say(path, {"lines": lines})
        self.book.receive(journey, dict(zip(journey.loads, found, strict=True)))

    async def lose(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.society, "lost", {"reason": "Avalanche."})
        self.book.lose(journey)

    async def call_off(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.society, "cancel")
        self.book.call_off(journey)

    async def arrive(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.to, "arrive")
        self.book.arrive(journey)

    async def deploy(self, offer: Offer, part: Part, headcount: int) -> Journey:
        body = {"offer": offer.id, "offer_line": part.id, "headcount": headcount}
        told = await self.desks[offer.society].say("/v1/deployments", body)
        journey = Journey(told["id"], offer, {part.id: headcount}, is_goods=False)
        self.book.plan(journey)
        return journey

    async def mobilise(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.society, "mobilise")
        self.book.send(journey, self.now)

    async def let_go(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.to, "release")
        self.book.step(journey, "released")

    async def recall(self, journey: Journey) -> None:
        """Their own society calls them home."""
        await self._move(journey, journey.offer.society, "recall")
        self.book.step(journey, "released", "recalled")

    async def come_home(self, journey: Journey) -> None:
        await self._move(journey, journey.offer.society, "return")
        self.book.step(journey, "returned")

    async def _move(
        self, journey: Journey, society: str, verb: str, body: Json | None = None
    ) -> None:
        kind = "consignments" if journey.is_goods else "deployments"
        await self.desks[society].say(f"/v1/{kind}/{journey.id}/{verb}", body)


def _instant(told: str) -> datetime:
    return datetime.fromisoformat(told)
