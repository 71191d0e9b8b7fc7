"""Seven days of two disasters at once: each evening all figures are held against a book.

Everything goes through HTTP, over two services on one database, and everything is said twice: half
of it at the same moment to both, the other half again hours or days later.
"""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from app import clock
from app.config import Settings
from tests.book import Ask, Journey, Lot, Offer, Part, Pool, Request
from tests.conftest import Service, free_port, make_key, serving_on
from tests.desks import Calendar, Desk, Post
from tests.elsewhere import exchange_of_its_own
from tests.reckoning import let_time_pass, reckon
from tests.week import Week, text
from tests.world import (
    BLANKET,
    JERRYCAN,
    SMALL_JERRYCAN,
    TENT,
    WOOL_BLANKET,
    System,
    goods,
    people,
)

RICE, KITCHEN, SHELTER_KIT = "FCERRICELGGR", "KRELCOOSETA", "KRELSHEK01"
MONDAY = datetime(2027, 3, 1, 6, tzinfo=UTC)
HOMES = ("TUR", "KGZ", "AZE", "KAZ", "UZB")


def day(number: int, hour: int = 6) -> datetime:
    """The first day is Monday."""
    return (MONDAY + timedelta(days=number - 1)).replace(hour=hour)


def window(first: int, last: int) -> tuple[str, str]:
    """From the morning of a day until that of another."""
    return text(day(first)), text(day(last))


@pytest.fixture
def calendar() -> Iterator[Calendar]:
    """The time of the story, for everything in this process."""
    told = Calendar(MONDAY)
    clock.set_source(told)
    yield told
    clock.set_source(None)


@pytest_asyncio.fixture
async def stage(settings: Settings, calendar: Calendar) -> AsyncIterator[tuple[Week, str]]:
    """Six societies, each with a way to both of two services on one database; and its address."""
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(exchange_of_its_own(settings))
        other = replace(exchange.service.settings, port=free_port())
        services = (exchange.service, await stack.enter_async_context(serving_on(other)))
        post = Post(calendar, random.Random(20270301))
        desks: dict[str, Desk] = {}
        for society in (*HOMES, "TKM"):
            if society == "TKM":
                await desks["TUR"].publish(
                    "/v1/societies/TKM", {"name": "Turkmen Red Crescent", "role": "observer"}
                )
            key = await make_key(exchange.service, society)
            doors = [await _door(stack, service, society, key) for service in services]
            desks[society] = Desk(society, doors, post)
        yield Week(desks, post), exchange.url


async def _door(stack: AsyncExitStack, service: Service, society: str, key: str) -> System:
    headers = {"Authorization": f"Bearer {key}"}
    http = httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60)
    return System(society, await stack.enter_async_context(http))


async def test_a_hard_week_shows_both_sides_the_figures_of_the_book_every_evening(
    stage: tuple[Week, str],
) -> None:
    week, url = stage
    story = Story(week)
    days = (
        story.monday, story.tuesday, story.wednesday, story.thursday, story.friday,
        story.saturday, story.sunday,
    )  # fmt: skip
    for number, happens in enumerate(days, 1):
        if number > 1:
            week.calendar.go_to(day(number))
            await let_time_pass(week)
        await happens()
        week.calendar.go_to(day(number, 20))
        await week.post.deliver()
        await reckon(week, url)
    # The last repeats arrive two days later, and change nothing.
    week.calendar.go_to(day(10))
    await week.post.deliver()
    await reckon(week, url)
    assert not week.post.repeats
    assert len(week.book.requests) == 25
    assert week.post.at_once > 120 and week.post.calls > 250


class Story:
    """Who did what, and when."""

    def __init__(self, week: Week) -> None:
        self.week = week
        self.offline: set[str] = set()
        self.named: list[Request] = []
        """What the story itself tells of; all others are left to the dice."""

    async def monday(self) -> None:
        """The earth shakes in Türkiye, mud comes down on Suzak, and depots are opened."""
        week = self.week
        self.quake = await week.emergency("TUR", "Earthquake", "earthquake")
        self.mud = await week.emergency("KGZ", "Mudflow", "mudflow")
        await self._open_depots()
        await self._watch()
        ask, quake, mud = week.ask, self.quake, self.mud
        self.pazarcik = await ask("TUR", quake, "Pazarcık", goods(600), goods(100, TENT))
        self.elbistan = await ask(
            "TUR", quake, "Elbistan", goods(200, JERRYCAN, accept_substitutes=True)
        )
        self.nurdagi = await ask("TUR", quake, "Nurdağı", people(30, "usar", *window(2, 5)))
        self.islahiye = await ask("TUR", quake, "İslahiye", goods(3000, RICE))
        self.suzak = await ask(
            "KGZ", mud, "Suzak", goods(80, TENT), goods(300, accept_substitutes=True)
        )
        await ask("KGZ", mud, "Clinic", people(12, "first_aid", *window(2, 9)))
        await ask("TUR", quake, "Türkoğlu", goods(80, KITCHEN))
        await ask("KGZ", mud, "Kara-Kulja", goods(1500, RICE))
        await ask("KGZ", mud, "Özgön", goods(100, JERRYCAN))

        self.named += [self.pazarcik, self.elbistan, self.nurdagi, self.islahiye, self.suzak]

        blankets, tents = self.pazarcik.asks
        self.first = await week.offer(
            self.pazarcik, (blankets, self.aze_blankets, 400), (tents, self.aze_tents, 60)
        )
        await week.accept(self.first, 300, 60)
        [cans] = self.elbistan.asks
        # Two small canisters stand for one large.
        self.small = await week.offer(self.elbistan, (cans, self.kaz_small, 320), ratio=2)
        await week.accept(self.small, 280)
        [rescuers] = self.nurdagi.asks
        self.rescue = await week.offer(self.nurdagi, (rescuers, self.aze_usar, 24))
        await week.accept(self.rescue, 22)
        # Stands until tomorrow noon, and nobody will answer it.
        [rice] = self.islahiye.asks
        self.forgotten = await week.offer(self.islahiye, (rice, self.uzb_rice, 2500), hours=29)
        self.unasked = await week.help_unasked(self.quake, "TUR", self.kaz_kits, 40)
        await self._refusals()

    async def tuesday(self) -> None:
        """The first columns leave; one offer runs out at noon, one is declined, one taken back."""
        week, ask = self.week, self.week.ask
        await ask("TUR", self.quake, "Bales", goods(10, pack="bale-20"))
        await ask("TUR", self.quake, "Field hospital", people(10, "first_aid", *window(3, 8)))
        self.jalal = await ask("KGZ", self.mud, "Jalal-Abad", goods(200))
        await ask("KGZ", self.mud, "Roofs", goods(60, SHELTER_KIT))
        self.named += [self.jalal]
        self.on_the_road = await week.send(self.first, 200, 30)
        self.cans_sent = await week.send(self.small, 200)
        self.team = await week.deploy(self.rescue, self.rescue.parts[0], 16)
        await week.mobilise(self.team)
        tents, blankets = self.suzak.asks
        # Wool stands for fleece, one to one.
        self.wool = await week.offer(self.suzak, (blankets, self.uzb_wool, 120))
        await week.accept(self.wool)
        self.tents = await week.offer(self.suzak, (tents, self.kaz_tents, 50))
        await week.accept(self.tents)
        await week.send(self.tents, 40)
        [cold] = self.jalal.asks
        declined = await week.offer(self.jalal, (cold, self.kaz_blankets, 100))
        await week.decline(declined)
        taken_back = await week.offer(self.jalal, (cold, self.uzb_blankets, 60))
        await week.withdraw(taken_back)
        # Kazakhstan's link will fail tomorrow; this is what it has still said.
        self.kept = await week.offer(self.jalal, (cold, self.kaz_blankets, 80), ref="DN-17")
        await self._same_reference(cold)
        self.asked_late = await week.offer(self.jalal, (cold, self.kaz_blankets, 50), hours=36)
        await week.accept(self.unasked)
        self.kits = await week.consign(self.unasked, 40)
        week.calendar.go_to(day(2, 13))
        await self._business()

    async def wednesday(self) -> None:
        """Kazakhstan is cut off. Uzbekistan counts again and finds less than it promised."""
        week, ask = self.week, self.week.ask
        self.offline.add("KAZ")
        await ask("TUR", self.quake, "Container town", goods(60, TENT))
        await ask("TUR", self.quake, "Wells", people(8, "wash", *window(4, 10)))
        self.ridge = await ask("KGZ", self.mud, "Ridge", goods(100), goods(30, TENT))
        await ask("KGZ", self.mud, "Kitchens", goods(40, KITCHEN))
        self.named += [self.ridge]
        cold, _ = self.ridge.asks
        # Pazarcık needs more tents than it thought, and fewer blankets.
        blankets, tents = self.pazarcik.asks
        await week.change(self.pazarcik, tents, 120)
        await week.change(self.pazarcik, blankets, 500)
        self._fill_outbox()
        self.promised = await week.offer(self.ridge, (cold, self.uzb_blankets, 80))
        await week.accept(self.promised)
        await week.stock("UZB", "blankets", BLANKET, 50)
        assert week.book.shortfall(self.uzb_blankets) >= 30
        more = week.proposal(self.ridge, (cold, self.uzb_blankets, 1))
        await week.desks["UZB"].refused("/v1/offers", more, "insufficient_stock")
        # What is not there cannot leave, although it is promised.
        too_much = await week.consign(self.promised, 80)
        path = f"/v1/consignments/{too_much.id}/dispatch"
        await week.desks["UZB"].refused(path, None, "insufficient_stock")
        await week.call_off(too_much)
        await week.send(self.promised, 50)
        await week.arrive(self.on_the_road)
        await week.arrive(self.team)
        # 200 small canisters were sent for 100 large: 12 of them broken, 8 gone.
        await week.receive(self.cans_sent, (180, 12, 8))
        found = {"line": self.cans_sent.lines[0], "received": 200, "damaged": 0, "missing": 0}
        path = f"/v1/consignments/{self.cans_sent.id}/receive"
        await week.desks["TUR"].refused(path, {"lines": [found]}, "already_received")
        await week.receive(self.on_the_road, (190, 6, 4), (30, 0, 0))
        await self._business()

    async def thursday(self) -> None:
        """An avalanche takes a whole column; the need is there again."""
        week, ask = self.week, self.week.ask
        await ask("TUR", self.quake, "Bread", goods(1000, RICE))
        await ask("KGZ", self.mud, "Searchers", people(10, "usar", *window(5, 9)))
        await ask("KGZ", self.mud, "School", goods(150))
        await ask("TUR", self.quake, "Stadium", goods(100))
        await week.lose(await week.send(self.wool, 120))
        old = week.proposal(self.islahiye, (self.islahiye.asks[0], self.old_rice, 100))
        await week.desks["UZB"].refused("/v1/offers", old, "lot_expired")
        # They will not be home on Friday morning, as it was agreed.
        rest = await week.deploy(self.rescue, self.rescue.parts[0], 6)
        await week.mobilise(rest)
        await week.arrive(rest)
        self.late = rest
        # Answered while Kazakhstan cannot hear it.
        await week.accept(self.kept, 60)
        await self._business()

    async def friday(self) -> None:
        """What is no longer needed is given back."""
        week, ask = self.week, self.week.ask
        await ask("TUR", self.quake, "Harbour", goods(120, WOOL_BLANKET))
        bridge = await ask("KGZ", self.mud, "Bridge", goods(20, TENT))
        await week.offer(bridge, (bridge.asks[0], self.aze_tents, 20))
        await week.close(bridge, "cancel")
        await self._need_again()
        await week.stock("UZB", "blankets", BLANKET, 400)
        await week.release(self.first)
        await week.let_go(self.team)
        await week.come_home(self.team)
        for request in self._open()[:2]:
            await week.close(request)
        await self._business()

    async def saturday(self) -> None:
        """Kazakhstan is back, and its outbox goes out: three days old, in its order."""
        ask = self.week.ask
        await ask("KGZ", self.mud, "Winter", goods(200, accept_substitutes=True))
        await ask("TUR", self.quake, "Spring", goods(500, RICE))
        # Azerbaijan's people are still away, a day past their time: it calls them home.
        await self.week.recall(self.late)
        await self.week.come_home(self.late)
        await self._outbox()
        self.offline.clear()
        await self._business()

    async def sunday(self) -> None:
        """The last columns arrive, and the people go home."""
        week = self.week
        for journey in list(week.book.journeys.values()):
            if journey.is_goods and journey.status in ("dispatched", "arrived"):
                await self._receive(journey)
            elif journey.status == "deployed":
                await week.let_go(journey)
                await week.come_home(journey)
        assert week.book.told["consignment.lost"] == 1

    async def _open_depots(self) -> None:
        stock, people = self.week.stock, self.week.people
        for society in HOMES:
            await self.week.site(society)
        self.aze_blankets = await stock("AZE", "blankets", BLANKET, 900, keep_back=100)
        self.aze_tents = await stock("AZE", "tents", TENT, 200)
        await stock("AZE", "rice", RICE, 4000)
        await stock("AZE", "wool", WOOL_BLANKET, 300, visible_to=["TUR"])
        self.kaz_blankets = await stock("KAZ", "blankets", BLANKET, 1200)
        self.kaz_tents = await stock("KAZ", "tents", TENT, 300, keep_back=50)
        self.kaz_small = await stock("KAZ", "small-cans", SMALL_JERRYCAN, 2000)
        self.kaz_kits = await stock("KAZ", "kits", SHELTER_KIT, 150)
        self.uzb_blankets = await stock("UZB", "blankets", BLANKET, 40, each=20, pack="bale-20")
        self.uzb_rice = await stock("UZB", "rice", RICE, 6000)
        self.old_rice = await stock("UZB", "old-rice", RICE, 500, expires_on="2027-03-03")
        await stock("UZB", "kitchens", KITCHEN, 120, expires_on="2029-01-01")
        self.uzb_wool = await stock("UZB", "wool", WOOL_BLANKET, 200)
        await stock("KGZ", "tents", TENT, 40, keep_back=40)
        await stock("TUR", "kitchens", KITCHEN, 100)
        await stock("TUR", "cans", JERRYCAN, 150)
        days = (day(1, 0), day(29, 0))
        self.aze_usar = await people("AZE", "usar", "usar", 40, days)
        await people("KAZ", "medics", "first_aid", 30, days)
        await people("KAZ", "usar", "usar", 25, days)
        await people("UZB", "wells", "wash", 20, days)
        await people("TUR", "medics", "first_aid", 15, days)

    async def _watch(self) -> None:
        """Turkmenistan attends as an observer: it reads, and may not trade."""
        week = self.week
        me = await week.desks["TKM"].get("/v1/me")
        assert me["role"] == "observer"
        body = {
            "emergency": self.mud, "title": "Ours", "priority": "high",
            "lines": [goods(1)], "needed_by": text(day(9)),
            "destination": {"name": "D", "country": "TKM", "lat": 38.0, "lon": 58.0},
        }  # fmt: skip
        await week.desks["TKM"].refused("/v1/requests", body, "role_forbidden")

    async def _refusals(self) -> None:
        """What may not be done is refused however it is sent."""
        week = self.week
        [rice] = self.islahiye.asks
        most = week.book.available(self.uzb_rice)
        over = week.proposal(self.islahiye, (rice, self.uzb_rice, most + 1))
        await week.desks["UZB"].refused("/v1/offers", over, "insufficient_stock")
        [rescuers] = self.nurdagi.asks
        too_many = week.proposal(self.nurdagi, (rescuers, self.aze_usar, 19))
        await week.desks["AZE"].refused("/v1/offers", too_many, "insufficient_volunteers")
        accept = f"/v1/offers/{self.forgotten.id}/accept"
        await week.desks["KGZ"].refused(accept, None, "not_found")
        plan = {
            "offer": self.first.id, "mode": "road",
            "lines": [{"offer_line": self.first.parts[0].id, "quantity": 301}],
        }  # fmt: skip
        await week.desks["AZE"].refused("/v1/consignments", plan, "over_planned")

    async def _same_reference(self, cold: Ask) -> None:
        """A system that lost its keys offers again under its own reference, and reserves once."""
        week, kaz = self.week, self.week.desks["KAZ"]
        again = await kaz.send(0, "/v1/offers", week.sent[self.kept.id])
        assert (again.status_code, again.json()["id"]) == (200, self.kept.id)
        other = week.proposal(self.jalal, (cold, self.kaz_blankets, 82)) | {"ref": "DN-17"}
        await kaz.refused("/v1/offers", other, "duplicate_ref")

    async def _need_again(self) -> None:
        """What the avalanche took is outstanding again, and can be accepted once more."""
        week = self.week
        _, cold = self.suzak.asks
        assert week.book.outstanding(cold) == 300
        more = await week.offer(self.suzak, (cold, self.aze_blankets, 302))
        path = f"/v1/offers/{more.id}/accept"
        await week.desks["KGZ"].refused(path, None, "over_accepted")
        await week.accept(more, 300)
        assert week.book.figures(cold)["accepted"] == 420
        await week.send(more, 300)

    def _fill_outbox(self) -> None:
        """What Kazakhstan writes down while it is offline, each with its key."""
        week, key = self.week, self.week.desks["KAZ"].key
        self.counted = week.count_of(SHELTER_KIT, 150, as_of=text(day(3, 7)))
        self.overtaken = week.count_of(SHELTER_KIT, 999, as_of=text(day(2, 7)))
        tents = (self.ridge.asks[1], self.kaz_tents, 20)
        late = (self.elbistan.asks[0], self.kaz_small, 20)
        decided = {"reason": "Needed at home.", "decided_at": text(week.now)}
        self.queued = {
            "tents": (week.proposal(self.ridge, tents), key()),
            "cans": (week.proposal(self.elbistan, late), key()),
            "withdrawal": (decided, ""),
        }
        self.queued_tents = tents

    async def _outbox(self) -> None:
        """It goes out in its order, and each thing is judged by when it was decided."""
        week, kaz = self.week, self.week.desks["KAZ"]
        await week.dispatch(self.kits)
        # 150 were counted on Wednesday, before these 40 left.
        shown = await kaz.publish("/v1/my/stock/kits", self.counted)
        self.kaz_kits.counted, self.kaz_kits.counted_at = 150, day(3, 7)
        assert shown["quantity"] == 110
        await kaz.count_refused("/v1/my/stock/kits", self.overtaken, "stale_count")
        body, key = self.queued["tents"]
        told = await kaz.say("/v1/offers", body, key)
        offer = week.note_offer(told, self.ridge, (self.queued_tents,))
        await week.accept(offer, 14)
        await week.send(offer, 14)
        # Elbistan was closed on Friday.
        body, key = self.queued["cans"]
        assert _code(await kaz.ask("/v1/offers", body, key)) == "wrong_state"
        # Jalal-Abad accepted on Thursday, which Kazakhstan did not know on Wednesday.
        body, _ = self.queued["withdrawal"]
        for offer in (self.kept, self.asked_late):
            path = f"/v1/offers/{offer.id}/withdraw"
            assert _code(await kaz.ask(path, body, kaz.key())) == "wrong_state"
        assert (self.kept.status, self.asked_late.status) == ("accepted", "expired")
        await week.send(self.kept, 60)

    # Ordinary business, by dice.

    def _open(self) -> list[Request]:
        return [r for r in self.week.book.requests.values() if r.status == "open"]

    async def _business(self) -> None:
        """What else is offered, answered, sent and received on a day like this."""
        book, dice = self.week.book, self.week.dice
        for journey in list(book.journeys.values()):
            is_coming = journey.is_goods and journey.status in ("dispatched", "arrived")
            if is_coming and not self._is_named(journey.offer) and dice.random() < 0.5:
                await self._receive(journey)
        for request in self._open():
            if request in self.named:
                continue
            for ask in request.asks:
                if dice.random() < 0.6:
                    await self._offer(request, ask)
        for offer in [o for o in book.offers.values() if o.status == "proposed"]:
            if offer.expires_at > self.week.now and offer.request in self._open():
                await self._answer(offer)
        for offer in [o for o in book.offers.values() if o.status == "accepted"]:
            if offer.society not in self.offline and not self._is_named(offer):
                await self._send(offer)

    async def _offer(self, request: Request, ask: Ask) -> None:
        week, book, dice = self.week, self.week.book, self.week.dice
        figures = book.figures(ask)
        missing = ask.requested - figures["offered"] + figures["lost"] + figures["damaged"]
        sources: list[tuple[Lot | Pool, int]] = [
            (lot, book.available(lot))
            for lot in book.lots.values()
            if ask.is_goods and lot.item == ask.code and self._may(lot, request)
            if lot is not self.old_rice
        ]
        sources += [
            (pool, pool.headcount - book.promised(pool, *ask.window, week.now))
            for pool in book.pools.values()
            if ask.window is not None and pool.skill == ask.code and self._may(pool, request)
        ]
        there = [(source, most) for source, most in sources if most >= 2]
        if missing < 2 or not there:
            return
        source, most = dice.choice(there)
        count = min(missing, most, dice.choice((10, 40, 100, 1000))) // 2 * 2
        await week.offer(request, (ask, source, count), hours=dice.choice((20, 40, 200)))

    def _is_named(self, offer: Offer) -> bool:
        return offer.request is None or offer.request in self.named

    def _may(self, source: Lot | Pool, request: Request) -> bool:
        return source.society != request.society and source.society not in self.offline

    async def _answer(self, offer: Offer) -> None:
        week, book, dice = self.week, self.week.book, self.week.dice
        if self._is_named(offer):
            return
        [part] = offer.parts
        assert part.ask is not None
        room = book.outstanding(part.ask) * part.ratio
        wish = dice.random()
        if wish < 0.15 or not room:
            await week.decline(offer)
        elif wish < 0.25 and offer.society not in self.offline:
            await week.withdraw(offer)
        elif wish < 0.6 or part.quantity > room:
            await week.accept(offer, max(1, min(room, part.quantity // 2)))
        elif wish < 0.9:
            await week.accept(offer)

    async def _send(self, offer: Offer) -> None:
        week, book, dice = self.week, self.week.book, self.week.dice
        for journey in book.journeys_of(offer):
            if journey.status == "mobilised":
                await week.arrive(journey)
        left = [part.accepted - book.planned(part) for part in offer.parts]
        if not any(left) or dice.random() < 0.2:
            return
        if isinstance(offer.parts[0].source, Pool):
            journey = await week.deploy(offer, offer.parts[0], left[0])
            if dice.random() < 0.8:
                await week.mobilise(journey)
        else:
            journey = await week.consign(offer, *left)
            if dice.random() < 0.15:
                await week.call_off(journey)
            elif self._is_there(journey):
                await week.dispatch(journey)

    def _is_there(self, journey: Journey) -> bool:
        """Nobody can send what is not in the depot."""
        return all(
            isinstance(part.source, Lot) and part.source.quantity >= count
            for part, count in self.week.book.loads(journey)
        )

    async def _receive(self, journey: Journey) -> None:
        found = [self._found(part, count) for part, count in self.week.book.loads(journey)]
        await self.week.receive(journey, *found)

    def _found(self, part: Part, count: int) -> tuple[int, int, int]:
        damaged = self.week.dice.choice((0, 0, 2)) if count >= 8 else 0
        missing = self.week.dice.choice((0, 0, 0, 4)) if count >= 8 else 0
        return count - damaged - missing, damaged, missing


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["code"])
