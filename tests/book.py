"""What two parties would write down by hand: lots, pools, requests, offers and journeys.

It knows nothing of the exchange. Every figure is reckoned anew from what was said, in the simplest
way there is; no running total is kept that could drift together with the exchange's own.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NEVER = datetime(2100, 1, 1, tzinfo=UTC)
FIGURES = ("offered", "accepted", "dispatched", "received", "damaged", "lost")


@dataclass(eq=False)
class Lot:
    """Goods of a society: what it counted last, and what has left since."""

    society: str
    ref: str
    item: str
    id: str
    keep_back: int
    visible_to: frozenset[str] | None
    counted: int
    counted_at: datetime
    left: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def quantity(self) -> int:
        """A count holds for its moment; what left after it is no longer there."""
        return self.counted - sum(count for at, count in self.left if at > self.counted_at)

    def is_seen_by(self, society: str) -> bool:
        return self.visible_to is None or society in {self.society, *self.visible_to}


@dataclass(eq=False)
class Pool:
    """People of a society."""

    society: str
    ref: str
    skill: str
    id: str
    headcount: int
    window: tuple[datetime, datetime]


@dataclass(eq=False)
class Ask:
    """A line of a request."""

    id: str
    code: str
    requested: int
    window: tuple[datetime, datetime] | None = None
    substitutes: bool = False

    @property
    def is_goods(self) -> bool:
        return self.window is None


@dataclass(eq=False)
class Request:
    """What a society asks for."""

    id: str
    society: str
    emergency: str
    title: str
    asks: list[Ask]
    status: str = "open"


@dataclass(eq=False)
class Part:
    """A line of an offer, in units of the lot: `ratio` of them stand for one that is asked for."""

    id: str
    source: Lot | Pool
    ask: Ask | None
    ratio: int
    quantity: int
    accepted: int = 0
    dispatched: int = 0
    received: int = 0
    damaged: int = 0
    lost: int = 0

    @property
    def to_send(self) -> int:
        return self.accepted - self.dispatched

    @property
    def on_the_way(self) -> int:
        return self.dispatched - self.received - self.damaged - self.lost


@dataclass(eq=False)
class Offer:
    """What another society answers."""

    id: str
    society: str
    to: str
    emergency: str
    request: Request | None
    parts: list[Part]
    expires_at: datetime
    status: str = "proposed"

    @property
    def stands(self) -> bool:
        return self.status in ("proposed", "accepted", "completed")


@dataclass(eq=False)
class Journey:
    """A consignment or a deployment: so much of each part."""

    id: str
    offer: Offer
    loads: dict[str, int]
    is_goods: bool
    lines: list[str] = field(default_factory=list)
    status: str = "planned"
    left_at: datetime | None = None

    @property
    def is_away(self) -> bool:
        """People who have left and are not home: also past the day that was agreed."""
        return self.status in ("mobilised", "deployed", "released")


class Book:
    """Everything that was said, and what follows from it."""

    def __init__(self) -> None:
        self.lots: dict[str, Lot] = {}
        self.pools: dict[str, Pool] = {}
        self.requests: dict[str, Request] = {}
        self.offers: dict[str, Offer] = {}
        self.journeys: dict[str, Journey] = {}
        self.told: Counter[str] = Counter()
        """How often each kind of thing has happened: what is said twice happens once."""

    # What is said.

    def accept(self, offer: Offer, parts: dict[str, int] | None = None) -> None:
        for part in offer.parts:
            part.accepted = part.quantity if parts is None else parts.get(part.id, 0)
        offer.status = "accepted"
        self.told["offer.accepted"] += 1

    def end(self, offer: Offer, status: str) -> None:
        """A proposal is declined, withdrawn, or its time is over."""
        assert offer.status == "proposed"
        offer.status = status
        self.told[f"offer.{status}"] += 1

    def undo(self, offer: Offer, verb: str) -> None:
        """What was accepted and has not left is given back, by either side."""
        for journey in self.journeys_of(offer):
            if journey.status == "planned":
                self.call_off(journey)
        for part in offer.parts:
            part.accepted = part.dispatched
        offer.status = "accepted" if any(part.dispatched for part in offer.parts) else "withdrawn"
        if offer.status == "accepted" and _is_done(offer):
            offer.status = "completed"
        self.told[f"offer.{verb}"] += 1

    def plan(self, journey: Journey) -> None:
        self.journeys[journey.id] = journey
        self.told[f"{_kind(journey)}.planned"] += 1

    def call_off(self, journey: Journey) -> None:
        journey.status = "cancelled"
        self.told[f"{_kind(journey)}.cancelled"] += 1

    def send(self, journey: Journey, at: datetime) -> None:
        """A consignment leaves its warehouse, or people leave home."""
        for part, count in self.loads(journey):
            part.dispatched += count
            if isinstance(part.source, Lot):
                part.source.left.append((at, count))
        journey.left_at = at
        journey.status = "dispatched" if journey.is_goods else "mobilised"
        self.told[f"{_kind(journey)}.{journey.status}"] += 1

    def receive(self, journey: Journey, found: dict[str, tuple[int, int, int]]) -> None:
        """(in good order, damaged, missing) of each part."""
        for part, count in self.loads(journey):
            received, damaged, missing = found[part.id]
            assert received + damaged + missing == count
            part.received += received
            part.damaged += damaged
            part.lost += missing
        journey.status = "received"
        self.told["consignment.received"] += 1
        self._complete(journey.offer)

    def lose(self, journey: Journey) -> None:
        for part, count in self.loads(journey):
            part.lost += count
        journey.status = "lost"
        self.told["consignment.lost"] += 1
        self._complete(journey.offer)

    def arrive(self, journey: Journey) -> None:
        if journey.is_goods:
            journey.status = "arrived"
        else:
            for part, count in self.loads(journey):
                part.received += count
            journey.status = "deployed"
        self.told[f"{_kind(journey)}.{journey.status}"] += 1
        self._complete(journey.offer)

    def step(self, journey: Journey, status: str, verb: str | None = None) -> None:
        """A deployment is released or recalled, or its people are home."""
        journey.status = status
        self.told[f"deployment.{verb or status}"] += 1

    def pass_time(self, now: datetime) -> list[Offer]:
        """Proposals whose time is over, or whose request has ended, reserve nothing any more."""
        over = [o for o in self.offers.values() if o.status == "proposed" and self._is_over(o, now)]
        for offer in over:
            self.end(offer, "expired")
        return over

    def _is_over(self, offer: Offer, now: datetime) -> bool:
        ended = offer.request is not None and offer.request.status != "open"
        return ended or offer.expires_at <= now

    def _complete(self, offer: Offer) -> None:
        if offer.status == "accepted" and _is_done(offer):
            offer.status = "completed"
            self.told["offer.completed"] += 1

    # What follows from it.

    def journeys_of(self, offer: Offer) -> list[Journey]:
        return [journey for journey in self.journeys.values() if journey.offer is offer]

    def loads(self, journey: Journey) -> Iterator[tuple[Part, int]]:
        for part in journey.offer.parts:
            if part.id in journey.loads:
                yield part, journey.loads[part.id]

    def planned(self, part: Part) -> int:
        """What of a part is in journeys that were not called off."""
        return sum(
            j.loads[part.id]
            for j in self.journeys.values()
            if part.id in j.loads and j.status != "cancelled"
        )

    def parts(self) -> Iterator[tuple[Offer, Part]]:
        for offer in self.offers.values():
            for part in offer.parts:
                yield offer, part

    def reserved(self, lot: Lot) -> int:
        """What is promised of a lot and has not left."""
        held = 0
        for offer, part in self.parts():
            if part.source is lot:
                held += part.quantity if offer.status == "proposed" else part.to_send
        return held

    def available(self, lot: Lot) -> int:
        return max(0, lot.quantity - lot.keep_back - self.reserved(lot))

    def shortfall(self, lot: Lot) -> int:
        return max(0, self.reserved(lot) - lot.quantity)

    def stays(self, pool: Pool, now: datetime) -> list[tuple[datetime, datetime, int]]:
        """Who of a pool is promised from when until when."""
        found = []
        for offer, part in self.parts():
            if part.source is not pool or part.ask is None or part.ask.window is None:
                continue
            start, end = part.ask.window
            if offer.status == "proposed":
                found.append((start, end, part.quantity))
            elif offer.stands:
                found.append((start, end, part.accepted - self.planned(part)))
            for journey in self.journeys_of(offer):
                if part.id not in journey.loads:
                    continue
                if journey.status == "planned":
                    found.append((start, end, journey.loads[part.id]))
                elif journey.is_away and journey.left_at is not None:
                    # Their time is over, and they are not home: nobody knows until when.
                    until = NEVER if end <= now else end
                    found.append((min(start, journey.left_at), until, journey.loads[part.id]))
        return [stay for stay in found if stay[2]]

    def promised(self, pool: Pool, start: datetime, end: datetime, now: datetime) -> int:
        """The most people of a pool that are promised at any hour of a window."""
        stays = self.stays(pool, now)
        most, hour = 0, start
        while hour < end:
            there = sum(count for since, until, count in stays if since <= hour < until)
            most, hour = max(most, there), hour + timedelta(hours=1)
        return most

    def figures(self, ask: Ask, society: str | None = None) -> dict[str, int]:
        """What became of a request line, all in all or by one society, in the units asked for."""
        sums = dict.fromkeys(FIGURES, 0)
        for offer, part in self.parts():
            if part.ask is ask and society in (None, offer.society):
                sums["offered"] += standing(offer, part) // part.ratio
                for name in FIGURES[1:]:
                    amount = getattr(part, name)
                    assert amount % part.ratio == 0, "the story keeps to whole numbers"
                    sums[name] += amount // part.ratio
        return sums

    def outstanding(self, ask: Ask) -> int:
        """What is still needed: lost and damaged goods do not help anybody."""
        sums = self.figures(ask)
        return max(0, ask.requested - (sums["accepted"] - sums["lost"] - sums["damaged"]))


def _is_done(offer: Offer) -> bool:
    return not any(part.to_send or part.on_the_way for part in offer.parts)


def standing(offer: Offer, part: Part) -> int:
    """What of a part stands offered: of a proposal all, of what was accepted so much."""
    return part.quantity if offer.status == "proposed" else part.accepted


def _kind(journey: Journey) -> str:
    return "consignment" if journey.is_goods else "deployment"
