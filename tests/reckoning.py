"""The evening: what each society is shown, and what the ledger proves, is held against the book."""

import asyncio
import hashlib
from collections import Counter
from datetime import timedelta

import rfc8785

from tests.book import FIGURES, Ask, Book, Journey, Lot, Offer, Part, Pool, Request, standing
from tests.desks import Desk
from tests.processes import komek
from tests.week import Week
from tests.world import Json


async def reckon(week: Week, url: str) -> None:
    """Hold everything that anybody can read against the book."""
    await let_time_pass(week)
    for desk in week.desks.values():
        await _stock(week, desk)
        await _people(week, desk)
        await _requests(week.book, desk)
        await _offers(week.book, desk)
        await _journeys(week.book, desk)
    await _boards(week)
    await _feeds(week)
    await _proof(week, url)


async def let_time_pass(week: Week) -> None:
    """Proposals end by themselves, a moment after their time."""
    for offer in week.book.pass_time(week.now):
        async with asyncio.timeout(30):
            path = f"/v1/offers/{offer.id}"
            desk = week.desks[offer.to]
            while (await desk.get(path))["status"] == "proposed":  # noqa: ASYNC110 - not ours to tell
                await asyncio.sleep(0.05)


async def _stock(week: Week, desk: Desk) -> None:
    book = week.book
    own = {
        lot.ref: (lot.quantity, book.reserved(lot), book.available(lot), book.shortfall(lot))
        for lot in book.lots.values()
        if lot.society == desk.society
    }
    names = ("quantity", "reserved", "available", "shortfall")
    assert own == {
        shown["ref"]: tuple(shown[name] for name in names)
        for shown in await desk.all("/v1/my/stock")
    }, desk.society
    seen = {x.id: book.available(x) for x in book.lots.values() if x.is_seen_by(desk.society)}
    shown = {lot["id"]: lot["available"] for lot in await desk.all("/v1/stock")}
    assert shown == seen, desk.society


async def _people(week: Week, desk: Desk) -> None:
    def free(pool: Pool) -> tuple[int, int]:
        start = max(week.now, pool.window[0])
        promised = week.book.promised(pool, start, pool.window[1], week.now)
        return promised, max(0, pool.headcount - promised)

    book = week.book
    own = {p.ref: (p.headcount, *free(p)) for p in book.pools.values() if _is_of(p, desk)}
    assert own == {
        shown["ref"]: (shown["headcount"], shown["promised"], shown["available"])
        for shown in await desk.all("/v1/my/volunteers")
    }, desk.society
    shown = {pool["id"]: pool["available"] for pool in await desk.all("/v1/volunteers")}
    assert shown == {pool.id: free(pool)[1] for pool in book.pools.values()}, desk.society
    # Of a single day, which may be long past what the whole window allows.
    for days in (1, 5):
        start = (week.now + timedelta(days=days)).replace(hour=0, minute=0)
        end = start + timedelta(days=1)
        window = {"from": start.isoformat(), "until": end.isoformat()}
        listed = await desk.all("/v1/volunteers", **window)
        then = {pool["id"]: pool["available"] for pool in listed}
        assert then == {
            p.id: max(0, p.headcount - book.promised(p, start, end, week.now))
            for p in book.pools.values()
        }, (desk.society, start)


def _is_of(pool: Pool, desk: Desk) -> bool:
    return pool.society == desk.society


async def _requests(book: Book, desk: Desk) -> None:
    listed = {request["id"]: request for request in await desk.all("/v1/requests")}
    assert listed.keys() == book.requests.keys(), desk.society
    for request in book.requests.values():
        shown = await desk.get(f"/v1/requests/{request.id}")
        assert shown == listed[request.id]
        assert shown["status"] == request.status, request.title
        for ask, line in zip(request.asks, shown["lines"], strict=True):
            assert _of_line(line) == _figures(book, ask), (desk.society, request.title)
        assert shown["progress"] == _progress(book, request), request.title


def _of_line(shown: Json) -> dict[str, int]:
    return {name: shown[name] for name in ("requested", *FIGURES, "outstanding")}


def _figures(book: Book, ask: Ask) -> dict[str, int]:
    outstanding = book.outstanding(ask)
    return {"requested": ask.requested, **book.figures(ask), "outstanding": outstanding}


def _progress(book: Book, request: Request) -> dict[str, str]:
    told = {}
    for name in ("offered", "accepted", "dispatched", "received"):
        lines = [(ask.requested, _of_use(book.figures(ask), name)) for ask in request.asks]
        if all(count >= requested for requested, count in lines):
            told[name] = "complete"
        else:
            told[name] = "partial" if any(count > 0 for _, count in lines) else "none"
    return told


def _of_use(figures: dict[str, int], name: str) -> int:
    """What is lost or damaged brings nobody further."""
    gone = 0 if name == "received" else figures["lost"] + figures["damaged"]
    return figures[name] - gone


async def _offers(book: Book, desk: Desk) -> None:
    given = {o.id: o for o in book.offers.values() if o.society == desk.society}
    got = {o.id: o for o in book.offers.values() if o.to == desk.society}
    for side, expected in (("provider", given), ("requester", got)):
        listed = {offer["id"]: offer for offer in await desk.all("/v1/offers", as_=side)}
        assert listed.keys() == expected.keys(), (desk.society, side)
        for id_, offer in expected.items():
            shown = listed[id_]
            assert shown["status"] == offer.status, (desk.society, id_)
            assert [_part(line) for line in shown["lines"]] == [
                _written(book, offer, part) for part in offer.parts
            ], (desk.society, side, id_)


_OF_PARTS = ("accepted", "planned", "dispatched", "received", "damaged", "lost")


def _part(line: Json) -> tuple[object, ...]:
    count = line["quantity"] if "quantity" in line else line["headcount"]
    return line["id"], count, {name: line[name] for name in _OF_PARTS}


def _written(book: Book, offer: Offer, part: Part) -> tuple[object, ...]:
    figures = {name: getattr(part, name) for name in _OF_PARTS if name != "planned"}
    return part.id, part.quantity, figures | {"planned": book.planned(part)}


async def _journeys(book: Book, desk: Desk) -> None:
    for kind, is_goods in (("consignments", True), ("deployments", False)):
        shown = {}
        for journey in await desk.all(f"/v1/{kind}"):
            if desk.society in (journey["society"], journey["to"]):
                counts = [x["quantity"] for x in journey["lines"]] if is_goods else None
                shown[journey["id"]] = (journey["status"], counts or [journey["headcount"]])
        assert shown == {
            j.id: (j.status, list(j.loads.values()))
            for j in book.journeys.values()
            if j.is_goods == is_goods and _takes_part(j, desk)
        }, (desk.society, kind)


def _takes_part(journey: Journey, desk: Desk) -> bool:
    return desk.society in (journey.offer.society, journey.offer.to)


async def _boards(week: Week) -> None:
    for emergency in {request.emergency for request in week.book.requests.values()}:
        for cancelled in (False, True):
            boards = [await _board(d, emergency, cancelled) for d in week.desks.values()]
            assert all(board == boards[0] for board in boards), "everybody sees one board"
            _on_board(week, boards[0], emergency, cancelled)


async def _board(desk: Desk, emergency: str, cancelled: bool) -> Json:
    """The pages of a board, put together; its totals are the same on each."""
    asked: Json = {"limit": 7, "include_cancelled": cancelled}
    board = page = await desk.get(f"/v1/emergencies/{emergency}/board", **asked)
    while page["next"] is not None:
        more = {**asked, "cursor": page["next"]}
        page = await desk.get(f"/v1/emergencies/{emergency}/board", **more)
        assert page["totals"] == board["totals"]
        board["lines"] += page["lines"]
        board["unsolicited"] += page["unsolicited"]
    return board | {"next": None}


def _on_board(week: Week, board: Json, emergency: str, cancelled: bool) -> None:
    book = week.book
    lines = {line["line"]: line for line in board["lines"]}
    asks = {
        ask.id: ask
        for request in book.requests.values()
        if request.emergency == emergency and (cancelled or request.status != "cancelled")
        for ask in request.asks
    }
    assert lines.keys() == asks.keys()
    totals: dict[str, Counter[str]] = {}
    for id_, ask in asks.items():
        figures = _figures(book, ask)
        totals.setdefault(ask.code, Counter()).update(figures | {"lines": 1})
        assert _of_line(lines[id_]) == figures, id_
        given = {x["society"]: {name: x[name] for name in FIGURES} for x in lines[id_]["societies"]}
        assert {s: f for s, f in given.items() if any(f.values())} == {
            s: f for s in week.desks if any((f := book.figures(ask, s)).values())
        }
    assert totals == {
        total["item"] or total["skill"]: {**_of_line(total), "lines": total["lines"]}
        for total in board["totals"]
    }
    unasked = {
        (x["society"], x["to"], x["item"]): {name: x[name] for name in FIGURES}
        for x in board["unsolicited"]
    }
    assert unasked == _unasked(book, emergency)


def _unasked(book: Book, emergency: str) -> dict[tuple[str, str, str], dict[str, int]]:
    found: dict[tuple[str, str, str], dict[str, int]] = {}
    for offer, part in book.parts():
        if offer.request is None and offer.emergency == emergency and offer.stands:
            assert isinstance(part.source, Lot)
            place = found.setdefault((offer.society, offer.to, part.source.item), Counter())
            place["offered"] += standing(offer, part)
            for name in FIGURES[1:]:
                place[name] += getattr(part, name)
    return found


_COUNTED = ("emergency.", "request.", "offer.", "consignment.", "deployment.")


async def _feeds(week: Week) -> None:
    """Everybody's feed is the same chain without a gap, and together they tell what happened."""
    feeds = {society: await _feed(desk) for society, desk in week.desks.items()}
    async with asyncio.timeout(30):
        while _happened(feeds) != +week.book.told:
            await asyncio.sleep(0.1)
            assert not (surplus := _happened(feeds) - week.book.told), f"told twice: {surplus}"
            feeds = {society: await _feed(desk) for society, desk in week.desks.items()}
    length = min(len(feed) for feed in feeds.values())
    chains = {tuple(event["hash"] for event in feed[:length]) for feed in feeds.values()}
    assert len(chains) == 1, "everybody is shown one chain"
    for society, feed in feeds.items():
        _check_chain(society, feed)
    if week.heads:
        seq, _, kept = week.heads[-1].partition(":")
        assert feeds["TUR"][int(seq) - 1]["hash"] == kept, "yesterday's head still stands"
    last = feeds["TUR"][length - 1]
    week.heads.append(f"{last['seq']}:{last['hash']}")


async def _feed(desk: Desk) -> list[Json]:
    events: list[Json] = []
    while True:
        after = events[-1]["seq"] if events else 0
        page = (await desk.get("/v1/events", after=after, limit=200))["items"]
        if not page:
            return events
        events += page


def _happened(feeds: dict[str, list[Json]]) -> Counter[str]:
    """How often each kind was told, to whomever may see it."""
    told = {e["seq"]: e["type"] for feed in feeds.values() for e in feed if e["salt"] is not None}
    return Counter(kind for kind in told.values() if kind.startswith(_COUNTED))


_COMMITTED = ("id", "type", "at", "society", "subject", "data")


def _check_chain(society: str, feed: list[Json]) -> None:
    assert [event["seq"] for event in feed] == list(range(1, len(feed) + 1)), society
    previous = bytes(32)
    for event in feed:
        if event["salt"] is None:
            assert event["type"] == "sealed" and event["data"] is None
        else:
            content = rfc8785.dumps({name: event[name] for name in _COMMITTED})
            digest = hashlib.sha256(bytes.fromhex(event["salt"]) + content).hexdigest()
            assert digest == event["commitment"], (society, event["seq"])
            if event.get("private"):
                sealed = bytes.fromhex(event["private"]["salt"])
                own = hashlib.sha256(sealed + rfc8785.dumps(event["private"]["content"]))
                assert own.hexdigest() == event["data"]["private_commitment"]
        assert event["previous_hash"] == previous.hex(), (society, event["seq"])
        chained = previous + event["seq"].to_bytes(8, "big") + bytes.fromhex(event["commitment"])
        previous = hashlib.sha256(chained).digest()
        assert event["hash"] == previous.hex(), (society, event["seq"])


async def _proof(week: Week, url: str) -> None:
    """The operator's own command, with the head that was written down the evening before."""
    head = ("--head", week.heads[-2]) if len(week.heads) > 1 else ()
    proved = await asyncio.to_thread(komek, "verify", *head, within=60, KOMEK_DATABASE_URL=url)
    assert proved.returncode == 0, proved.stdout + proved.stderr
