"""Losses reopen the need, a count is the truth of its time, and no figure is told twice."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app import clock
from app.consignments import store as consignments
from app.deployments import manifests
from app.ledger.verifying import verify
from app.offers import store as offers
from app.requests import pledges
from app.stock import store as stock
from app.volunteers import store as volunteers
from tests.conftest import Service
from tests.world import (
    BLANKET,
    JERRYCAN,
    SMALL_JERRYCAN,
    Json,
    System,
    done,
    fresh,
    from_lot,
    from_pool,
    goods,
    people,
    refused,
)


def ago(**time: float) -> str:
    return clock.text(clock.now() - timedelta(**time))


def ahead(**time: float) -> str:
    return clock.text(clock.now() + timedelta(**time))


async def sent(provider: System, offer: Json, quantity: int, line: int = 0) -> Json:
    """A consignment on its way."""
    consignment = await provider.consign(offer, quantity, line)
    return await provider.move("consignments", consignment, "dispatch")


async def proven(service: Service) -> None:
    assert service.settings.database_url is not None
    assert (await verify(service.settings.database_url)).faults == []


# One line named twice


async def test_two_pallets_of_one_offer_line_travel_on_one_journey(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 100)))
    line = offer["lines"][0]["id"]
    pallets = [{"offer_line": line, "quantity": 30}, {"offer_line": line, "quantity": 20}]
    body = {"offer": offer["id"], "lines": pallets, "mode": "road"}
    consignment = done(await aze.post("/v1/consignments", body), 201)
    assert (await aze.see_offer(offer))["lines"][0]["planned"] == 50
    await aze.move("consignments", consignment, "dispatch")
    first, second = (x["id"] for x in consignment["lines"])
    receipt = [
        {"line": first, "received": 25, "damaged": 5},
        {"line": second, "received": 17, "damaged": 0, "missing": 3},
    ]
    await tur.move("consignments", consignment, "receive", {"lines": receipt})
    told = (await aze.see_offer(offer))["lines"][0]
    figures = ("planned", "dispatched", "received", "damaged", "lost")
    assert [told[f] for f in figures] == [50, 50, 42, 5, 3]
    asked = (await tur.own_request(request))["lines"][0]
    assert [asked[f] for f in ("dispatched", "received", "damaged", "lost")] == [50, 42, 5, 3]
    assert (await aze.own_lot(lot))["quantity"] == 50
    done(await aze.post("/v1/consignments", body), 201)
    done(await tur.post(f"/v1/offers/{offer['id']}/release"))
    await proven(service)


NOBODY = UUID(int=0)
CHANGES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "offers.set_accepted": lambda tx: offers.set_accepted(tx, [(NOBODY, 1)]),
    "offers.add_figures": lambda tx: offers.add_figures(
        tx,
        {"lines": [NOBODY]}
        | {n: [1] for n in ("planned", "dispatched", "received", "damaged", "lost")},
    ),
    "offers.move": lambda tx: offers.move(tx, NOBODY, "proposed", "accepted", clock.now()),
    "pledges.unpledge": lambda tx: pledges.unpledge(tx, [NOBODY]),
    "pledges.release": lambda tx: pledges.release(tx, [(NOBODY, 1)]),
    "pledges.accept": lambda tx: pledges.accept(tx, [(NOBODY, NOBODY, 1)], False),
    "pledges.advance": lambda tx: pledges.advance(
        tx,
        {"holders": [NOBODY]} | {n: [1] for n in ("dispatched", "received", "damaged", "lost")},
    ),
    "stock.free": lambda tx: stock.free(tx, [(NOBODY, 1)]),
    "stock.issue": lambda tx: stock.issue(tx, [(NOBODY, 1)], clock.now()),
    "stock.withdraw_lot": lambda tx: stock.withdraw_lot(tx, NOBODY, clock.now()),
    "volunteers.free": lambda tx: volunteers.free(tx, [(NOBODY, 1)]),
    "volunteers.prolong": lambda tx: volunteers.prolong(tx, NOBODY, clock.now()),
    "volunteers.depart": lambda tx: volunteers.depart(tx, NOBODY, clock.now()),
    "consignments.move": lambda tx: consignments.move(tx, NOBODY, "arrived", clock.now(), None),
    "consignments.count": lambda tx: consignments.count(
        tx, [{"id": NOBODY, "received": 1, "damaged": 0, "missing": 0, "note": None}]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_statement_that_changes_less_than_it_was_given_commits_nothing(
    service: Service, change: str
) -> None:
    with pytest.raises(RuntimeError, match="nothing is committed"):
        async with service.database.transaction() as tx:
            await CHANGES[change](tx)


async def test_amounts_that_name_one_row_twice_commit_nothing(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await aze.offer(request, from_lot(request, lot, 100))
    line = UUID(offer["lines"][0]["id"])
    for change in (stock.free, lambda tx, parts: stock.issue(tx, parts, clock.now())):
        with pytest.raises(RuntimeError, match="nothing is committed"):
            async with service.database.transaction() as tx:
                await change(tx, [(line, 10), (line, 20)])
    assert (await aze.own_lot(lot))["reserved"] == 100


# Counts of their time


async def test_what_left_after_a_count_is_subtracted_from_it(tur: System, aze: System) -> None:
    lot = await aze.lot(1000, as_of=ago(days=2))
    request = await tur.request(goods(1000))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 600)))
    await sent(aze, offer, 600)
    counted = ago(days=1)
    again = await aze.lot(1000, ref=lot["ref"], as_of=counted)
    assert again["quantity"] == again["available"] == 400
    assert datetime.fromisoformat(again["as_of"]) == datetime.fromisoformat(counted)
    # The same count again changes nothing, and so does what was read and is sent back.
    assert await aze.lot(1000, ref=lot["ref"], as_of=counted) == again
    assert await aze.lot(400, ref=lot["ref"], as_of=again["as_of"]) == again
    # A count of this moment knows what has left.
    assert (await aze.lot(1000, ref=lot["ref"], as_of=ago(seconds=0)))["quantity"] == 1000


async def test_an_older_count_than_the_last_is_refused(aze: System) -> None:
    lot, pool = await aze.lot(10, as_of=ago(hours=1)), await aze.pool(10, as_of=ago(hours=1))
    body = {"item": BLANKET, "site": "central", "quantity": 99, "as_of": ago(hours=2)}
    problem = refused(await aze.put(f"/v1/my/stock/{lot['ref']}", body), 409, "stale_count")
    assert datetime.fromisoformat(problem["as_of"]) == datetime.fromisoformat(lot["as_of"])
    assert problem["errors"][0]["pointer"] == "/as_of"
    body = {k: pool[k] for k in ("skill", "available_from", "available_until", "site")}
    body |= {"headcount": 99, "as_of": ago(hours=2)}
    refused(await aze.put(f"/v1/my/volunteers/{pool['ref']}", body), 409, "stale_count")
    assert await aze.own_lot(lot) == lot
    assert await aze.own_pool(pool) == pool


async def test_a_count_cannot_be_of_the_future(aze: System) -> None:
    for as_of, status in ((ahead(seconds=2), 201), (ahead(seconds=60), 422)):
        body = {"item": BLANKET, "site": await aze.site(), "quantity": 9, "as_of": as_of}
        answer = await aze.put(f"/v1/my/stock/{fresh('lot')}", body)
        assert answer.status_code == status, answer.text
    error = answer.json()["errors"][0]
    assert (error["pointer"], error["code"]) == ("/as_of", "in_the_future")


async def test_in_a_sheet_the_stale_row_alone_is_refused(tur: System, aze: System) -> None:
    kept = await aze.lot(50, as_of=ago(hours=1))
    left = await aze.lot(1000, as_of=ago(days=2))
    request = await tur.request(goods(1000))
    offer = await tur.accept(await aze.offer(request, from_lot(request, left, 600)))
    await sent(aze, offer, 600)
    new = fresh("lot")
    rows = [
        ("ref", "item", "site", "quantity", "as_of"),
        (kept["ref"], BLANKET, "central", "99", ago(hours=2)),
        (left["ref"], BLANKET, "central", "1000", ""),
        (new, BLANKET, "central", "7", ""),
        (fresh("lot"), BLANKET, "central", "7", ahead(minutes=1)),
    ]
    csv = "\n".join(",".join(row) for row in rows)
    yesterday = ago(days=1)
    answer = await aze.http.post(
        "/v1/my/stock/import",
        params={"as_of": yesterday},
        content=csv,
        headers={"Content-Type": "text/csv"},
    )
    report = done(answer)
    assert (report["created"], report["changed"], report["refused"]) == (1, 1, 2)
    assert {(e["row"], e["field"], e["code"]) for e in report["errors"]} == {
        (2, "as_of", "stale_count"), (5, "as_of", "in_the_future"),
    }  # fmt: skip
    assert await aze.own_lot(kept) == kept
    told = await aze.own_lot(left)
    assert told["quantity"] == 400
    assert datetime.fromisoformat(told["as_of"]) == datetime.fromisoformat(yesterday)
    # What is exported can be imported again, and nothing has changed.
    export = await aze.http.get("/v1/my/stock/export")
    again = await aze.http.post(
        "/v1/my/stock/import", content=export.content, headers={"Content-Type": "text/csv"}
    )
    assert done(again)["changed"] == 0
    assert await aze.own_lot(left) == told


async def test_counts_and_departures_at_once_leave_the_right_figure(
    service: Service, tur: System, aze: System
) -> None:
    """Whichever comes first, what has left is subtracted once from a count that is older."""
    counted = ago(hours=1)
    lot = await aze.lot(1000, as_of=counted)
    request = await tur.request(goods(1000))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 300)))
    journeys = [await aze.consign(offer, 10) for _ in range(30)]
    body = {"item": BLANKET, "site": "central", "quantity": 1000, "as_of": counted}
    answers = await asyncio.gather(
        *(aze.post(f"/v1/consignments/{j['id']}/dispatch") for j in journeys),
        *(aze.put(f"/v1/my/stock/{lot['ref']}", body) for _ in range(30)),
    )
    assert {a.status_code for a in answers} == {200}
    assert (await aze.own_lot(lot))["quantity"] == 700
    assert (await aze.lot(1000, ref=lot["ref"], as_of=counted))["quantity"] == 700
    await proven(service)


async def test_more_than_is_counted_cannot_leave(tur: System, aze: System) -> None:
    lot = await aze.lot(1500)
    request = await tur.request(goods(1500))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 1500)))
    assert (await aze.lot(700, ref=lot["ref"]))["shortfall"] == 800
    consignment = await aze.consign(offer, 1500)
    path = f"/v1/consignments/{consignment['id']}/dispatch"
    problem = refused(await aze.post(path), 409, "insufficient_stock")
    line = offer["lines"][0]["id"]
    assert problem["lines"] == [{"line": line, "planned": 1500, "available": 700}]
    assert (await aze.own_lot(lot))["reserved"] == 1500
    await aze.move("consignments", consignment, "cancel")
    await sent(aze, offer, 700)
    assert [(await aze.own_lot(lot))[f] for f in ("quantity", "reserved")] == [0, 800]
    await aze.lot(800, ref=lot["ref"])
    await sent(aze, offer, 800)


# People


async def test_people_past_their_time_are_away_until_they_are_back(
    tur: System, kgz: System, at: Callable[[str], None]
) -> None:
    at("2031-03-01T00:00:00Z")
    pool = await kgz.pool(10)
    asked = people(10, start="2031-03-02T00:00:00Z", end="2031-03-10T00:00:00Z")
    request = await tur.request(asked)
    offer = await tur.accept(await kgz.offer(request, from_pool(request, pool, 10)))
    deployment = await kgz.deploy(offer, 10)
    for verb in ("mobilise", "arrive"):
        await kgz.move("deployments", deployment, verb)
    at("2031-03-05T00:00:00Z")
    assert (await kgz.own_pool(pool))["shortfall"] == 0
    at("2031-03-12T00:00:00Z")
    told = await kgz.own_pool(pool)
    assert (told["promised"], told["available"], told["shortfall"]) == (10, 0, 0)
    later = people(1, start="2031-03-20T00:00:00Z", end="2031-03-30T00:00:00Z")
    second = await tur.request(later)
    found = done(await tur.get(f"/v1/volunteers/{pool['id']}"))
    assert found["available"] == 0
    refused(await kgz.propose(second, from_pool(second, pool, 1)), 409, "insufficient_volunteers")
    # An extension is for the same people, who stand in nobody's way but their own.
    await tur.move("deployments", deployment, "extension", {"until": "2031-03-15T00:00:00Z"})
    await kgz.move("deployments", deployment, "extension/accept")
    assert (await kgz.offer(second, from_pool(second, pool, 1)))["status"] == "proposed"


async def test_a_society_can_call_its_people_home(
    tur: System, kgz: System, service: Service
) -> None:
    pool = await kgz.pool(5)
    request = await tur.request(people(5))
    offer = await tur.accept(await kgz.offer(request, from_pool(request, pool, 5)))
    deployment = await kgz.deploy(offer, 5)
    path = f"/v1/deployments/{deployment['id']}/recall"
    refused(await kgz.post(path), 409, "wrong_state")
    for verb in ("mobilise", "arrive"):
        await kgz.move("deployments", deployment, verb)
    refused(await tur.post(path), 403, "role_forbidden")
    recalled = await kgz.move("deployments", deployment, "recall", {"reason": "Flood at home."})
    assert (recalled["status"], recalled["reason"]) == ("released", "Flood at home.")
    assert await kgz.move("deployments", deployment, "recall") == recalled
    events = await tur.events(type="deployment.recalled")
    assert events[-1]["data"]["reason"] == "Flood at home."
    assert (await kgz.own_pool(pool))["promised"] == 5
    await kgz.move("deployments", deployment, "return")
    assert (await kgz.own_pool(pool))["promised"] == 0


async def test_names_are_erased_after_the_return_or_after_the_time_that_was_agreed(
    service: Service, tur: System, kgz: System, at: Callable[[str], None]
) -> None:
    at("2032-03-01T00:00:00Z")
    pool = await kgz.pool(10)
    window = people(10, start="2032-03-02T00:00:00Z", end="2032-03-10T00:00:00Z")
    request = await tur.request(window)
    offer = await tur.accept(await kgz.offer(request, from_pool(request, pool, 10)))
    planned, late, back = [await kgz.deploy(offer, n) for n in (1, 2, 3)]
    for deployment in (planned, late, back):
        path = f"/v1/deployments/{deployment['id']}/manifest"
        done(await kgz.put(path, {"people": [{"name": "Example One"}]}), 201)
    for verb in ("mobilise", "arrive"):
        await kgz.move("deployments", late, verb)
        await kgz.move("deployments", back, verb)

    async def kept(moment: str) -> list[bool]:
        at(moment)
        async with service.database.transaction() as tx:
            while (due := await manifests.find_due(tx, ())) is not None:
                await manifests.erase(tx, due)
        answers = [
            await tur.get(f"/v1/deployments/{d['id']}/manifest") for d in (planned, late, back)
        ]
        assert {a.status_code for a in answers} <= {200, 410}
        return [a.status_code == 200 for a in answers]

    assert await kept("2032-03-15T00:00:00Z") == [True, True, True]
    await kgz.move("deployments", back, "recall")
    await kgz.move("deployments", back, "return")
    # Nobody has said that the others are back: their time counts, and that of the return for these.
    assert await kept("2032-04-08T23:00:00Z") == [True, True, True]
    assert await kept("2032-04-09T00:00:01Z") == [False, False, True]
    assert await kept("2032-04-14T00:00:01Z") == [False, False, False]


async def test_names_are_erased_180_days_after_the_time_that_was_agreed_at_the_latest(
    service: Service, tur: System, kgz: System, at: Callable[[str], None]
) -> None:
    at("2033-03-01T00:00:00Z")
    pool = await kgz.pool(1)
    window = people(1, start="2033-03-02T00:00:00Z", end="2033-03-10T00:00:00Z")
    request = await tur.request(window)
    offer = await tur.accept(await kgz.offer(request, from_pool(request, pool, 1)))
    deployment = await kgz.deploy(offer, 1)
    at("2033-09-05T00:00:00Z")
    path = f"/v1/deployments/{deployment['id']}/manifest"
    done(await kgz.put(path, {"people": [{"name": "Example One"}]}), 201)
    await kgz.move("deployments", deployment, "cancel")
    at("2033-09-06T00:00:01Z")
    async with service.database.transaction() as tx:
        due = await manifests.find_due(tx, ())
        assert due is not None
        await manifests.erase(tx, due)
    refused(await tur.get(path), 410, "manifest_erased")


# Losses


async def test_what_is_lost_or_damaged_can_be_accepted_again(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(1000)
    request = await tur.request(goods(100))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 100)))
    done(await tur.receive(await sent(aze, offer, 60), 40, damaged=15, missing=5))
    lost = await sent(aze, offer, 40)
    await aze.move("consignments", lost, "lost")
    told = await tur.own_request(request)
    line = told["lines"][0]
    assert [line[f] for f in ("accepted", "damaged", "lost", "outstanding")] == [100, 15, 45, 60]
    assert told["progress"]["accepted"] == "partial"
    board = done(await tur.get(f"/v1/emergencies/{request['emergency']}/board"))
    assert board["lines"][0]["outstanding"] == 60
    plan = done(await tur.get(f"/v1/requests/{request['id']}/matches"))
    assert plan["lines"][0]["outstanding"] == 60
    too_much = await aze.offer(request, from_lot(request, lot, 61))
    path = f"/v1/offers/{too_much['id']}/accept"
    problem = refused(await tur.post(path), 409, "over_accepted")
    assert problem["lines"][0]["outstanding"] == 60
    right = await tur.accept(await aze.offer(request, from_lot(request, lot, 60)))
    line = (await tur.own_request(request))["lines"][0]
    assert [line[f] for f in ("accepted", "outstanding")] == [160, 0]
    done(await tur.receive(await sent(aze, right, 60), 60))
    assert (await tur.own_request(request))["progress"]["received"] == "complete"
    await proven(service)


async def test_after_a_loss_no_two_acceptances_fill_the_same_gap(tur: System, aze: System) -> None:
    lot = await aze.lot(1000)
    request = await tur.request(goods(100))
    first = await tur.accept(await aze.offer(request, from_lot(request, lot, 100)))
    done(await tur.receive(await sent(aze, first, 100), 70, missing=30))
    rivals = [await aze.offer(request, from_lot(request, lot, 10)) for _ in range(12)]
    answers = await asyncio.gather(*(tur.post(f"/v1/offers/{o['id']}/accept") for o in rivals))
    assert sorted(a.status_code for a in answers) == [200] * 3 + [409] * 9
    assert (await tur.own_request(request))["lines"][0]["outstanding"] == 0


async def test_no_figure_of_a_line_falls_where_two_pieces_stand_for_one(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(1000, item=SMALL_JERRYCAN)
    request = await tur.request(goods(10, item=JERRYCAN, accept_substitutes=True))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 8)))
    seen = []
    for received, damaged, missing in ((1, 1, 0), (2, 0, 0), (1, 0, 1), (1, 1, 0)):
        consignment = await sent(aze, offer, received + damaged + missing)
        done(await tur.receive(consignment, received, damaged, missing))
        line = (await tur.own_request(request))["lines"][0]
        seen.append([line[f] for f in ("dispatched", "received", "damaged", "lost")])
        assert line["received"] + line["damaged"] + line["lost"] == line["dispatched"]
    for before, after in itertools.pairwise(seen):
        assert all(b <= a for b, a in zip(before, after, strict=True)), seen
    await proven(service)


async def test_a_receipt_is_signed_once(tur: System, aze: System) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 100)))
    consignment = await sent(aze, offer, 100)
    first = done(await tur.receive(consignment, 90, 10))
    assert done(await tur.receive(consignment, 90, 10)) == first
    refused(await tur.receive(consignment, 95, 5), 409, "already_received")
    line = {"line": consignment["lines"][0]["id"], "received": 90, "damaged": 10, "note": "Wet."}
    path = f"/v1/consignments/{consignment['id']}/receive"
    refused(await tur.post(path, {"lines": [line]}), 409, "already_received")


async def test_a_line_can_be_raised_beyond_its_surplus_and_lowered_to_nothing(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(1000)
    request = await tur.request(goods(100), goods(40))
    offer = await aze.offer(request, from_lot(request, lot, 120))
    await tur.accept(offer, allow_surplus=True)
    first, second = (x["id"] for x in request["lines"])
    path = f"/v1/requests/{request['id']}"

    async def ask(line: str, quantity: int) -> Any:
        return await tur.http.patch(path, json={"lines": [{"id": line, "quantity": quantity}]})

    raised = done(await ask(first, 110))["lines"][0]
    assert [raised[f] for f in ("requested", "accepted", "outstanding")] == [110, 120, 0]
    refused(await ask(first, 109), 409, "below_accepted")
    assert done(await ask(first, 150))["lines"][0]["outstanding"] == 30
    over = await aze.offer(request, from_lot(request, lot, 31))
    refused(await tur.post(f"/v1/offers/{over['id']}/accept"), 409, "over_accepted")
    nothing = done(await ask(second, 0))["lines"][1]
    assert [nothing[f] for f in ("requested", "outstanding")] == [0, 0]
    refused(await ask(first, 0), 409, "below_accepted")


# Offers


async def test_expired_goods_are_not_offered_and_those_that_expire_soon_carry_a_warning(
    tur: System, aze: System
) -> None:
    today = datetime.now(UTC).date()
    gone = await aze.lot(10, expires_on=(today - timedelta(days=1)).isoformat())
    soon = await aze.lot(10, expires_on=(today + timedelta(days=60)).isoformat())
    good = await aze.lot(10, expires_on=(today + timedelta(days=120)).isoformat())
    request = await tur.request(goods(30))
    problem = refused(
        await aze.propose(request, from_lot(request, good, 1), from_lot(request, gone, 1)),
        422,
        "lot_expired",
    )
    assert problem["errors"][0]["pointer"] == "/lines/1/stock"
    offer = await aze.offer(request, from_lot(request, good, 5), from_lot(request, soon, 5))
    assert [(w["pointer"], w["code"]) for w in offer["warnings"]] == [
        ("/lines/1/stock", "expires_soon")
    ]
    assert (await tur.see_offer(offer))["warnings"] == offer["warnings"]
    assert (await aze.offer(request, from_lot(request, good, 5)))["warnings"] == []


async def test_a_withdrawal_does_not_undo_an_acceptance_that_it_did_not_know_of(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await aze.offer(request, from_lot(request, lot, 100))
    decided = clock.text(clock.now())
    await tur.accept(offer)
    path = f"/v1/offers/{offer['id']}/withdraw"
    problem = refused(await aze.post(path, {"decided_at": decided}), 409, "wrong_state")
    assert problem["state"] == "accepted"
    assert (await tur.see_offer(offer))["status"] == "accepted"
    body = {"decided_at": clock.text(clock.now())}
    assert done(await aze.post(path, body))["status"] == "withdrawn"


async def test_the_same_offer_under_the_same_reference_is_made_once(
    service: Service, tur: System, aze: System
) -> None:
    lot, pool = await aze.lot(100), await aze.pool(5)
    request = await tur.request(goods(100), people(5))
    body = {
        "request": request["id"],
        "lines": [from_lot(request, lot, 60), from_pool(request, pool, 5, line=1)],
        "ref": fresh("DN"),
    }
    answers = await asyncio.gather(*(aze.post("/v1/offers", body) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [200] * 11 + [201]
    assert len({a.text for a in answers}) == 1
    assert answers[0].json()["ref"] == body["ref"]
    assert (await aze.own_lot(lot))["reserved"] == 60
    other = body | {"lines": [from_lot(request, lot, 40)]}
    problem = refused(await aze.post("/v1/offers", other), 409, "duplicate_ref")
    assert problem["errors"][0]["pointer"] == "/ref"
    # Also where an Idempotency-Key comes along, and for another society it is another reference.
    again = await aze.post("/v1/offers", body, Idempotency_Key=fresh("key"))
    assert (again.status_code, again.json()) == (200, answers[0].json())
    await proven(service)


async def test_what_is_counted_is_remembered_only_as_long_as_it_is_asked_for(
    service: Service, tur: System, aze: System
) -> None:
    lot = await aze.lot(100, as_of=ago(hours=1))
    request = await tur.request(goods(100))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 60)))
    await sent(aze, offer, 60)

    async def kept() -> int:
        async with service.database.reading() as tx:
            return await stock.issued_after(tx, UUID(lot["id"]), datetime(2000, 1, 1, tzinfo=UTC))

    assert await kept() == 60
    await aze.lot(41, ref=lot["ref"])
    assert await kept() == 0
