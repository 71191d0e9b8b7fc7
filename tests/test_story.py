"""The story from the first published blanket to the signed-for truck."""

from datetime import datetime

from app import clock
from tests.test_operations import eventually
from tests.world import (
    BLANKET,
    JERRYCAN,
    SMALL_JERRYCAN,
    WOOL_BLANKET,
    System,
    done,
    fresh,
    from_lot,
    from_pool,
    goods,
    people,
    refused,
)


async def test_a_blanket_goes_from_one_society_to_another_and_both_see_the_same_figures(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(500, keep_back=50)
    request = await tur.request(goods(400))
    offer = await aze.offer(request, from_lot(request, lot, 300))
    assert offer["status"] == "proposed"
    assert (await aze.own_lot(lot))["reserved"] == 300
    accepted = await tur.accept(offer, lines=[{"line": offer["lines"][0]["id"], "quantity": 250}])
    assert accepted["lines"][0]["accepted"] == 250
    assert (await aze.own_lot(lot))["available"] == 200, "what is not accepted is freed at once"
    first = await aze.consign(offer, 200)
    second = await aze.consign(offer, 50)
    await aze.move("consignments", first, "dispatch")
    own = await aze.own_lot(lot)
    assert (own["quantity"], own["reserved"]) == (300, 50), "what left is no longer there"
    report = {"place": "Sarpi", "at": "2026-11-24T10:00:00Z"}
    seen = done(await aze.post(f"/v1/consignments/{first['id']}/checkpoints", report), 201)
    assert [c["place"] for c in seen["checkpoints"]] == ["Sarpi"]
    await tur.move("consignments", first, "arrive")
    refused(await tur.receive(first, 190, 8, 1), 422, "receipt_mismatch")
    received = done(await tur.receive(first, 190, 8, 2))
    assert received["status"] == "received"
    await aze.move("consignments", second, "dispatch")
    done(await tur.receive(second, 50), 200)
    line = (await aze.own_request(request))["lines"][0]
    figures = ("requested", "offered", "accepted", "dispatched", "received", "damaged", "lost")
    assert [line[f] for f in figures] == [400, 250, 250, 250, 240, 8, 2]
    # What was damaged or lost serves nobody: the need for it is open again.
    assert line["outstanding"] == 160
    assert (await tur.see_offer(offer))["status"] == "completed"
    assert (await tur.own_request(request)) == (await aze.own_request(request))


async def test_volunteers_go_from_mobilisation_to_return(tur: System, kgz: System) -> None:
    pool = await kgz.pool(40)
    request = await tur.request(people(30))
    offer = await kgz.offer(request, from_pool(request, pool, 30))
    await tur.accept(offer)
    deployment = await kgz.deploy(offer, 20)
    path = f"/v1/deployments/{deployment['id']}"
    names = {"people": [{"name": "Example Person", "role": "medic", "languages": ["ky"]}]}
    manifest = done(await kgz.put(f"{path}/manifest", names), 201)
    assert done(await tur.get(f"{path}/manifest"))["people"] == manifest["people"]
    await kgz.move("deployments", deployment, "mobilise")
    there = await tur.move("deployments", deployment, "arrive")
    assert (there["status"], there["manifest"]) == ("deployed", "sealed")
    await tur.move("deployments", deployment, "extension", {"until": "2097-02-05T00:00:00Z"})
    refused(await tur.post(f"{path}/extension/accept"), 403, "role_forbidden")
    longer = await kgz.move("deployments", deployment, "extension/accept")
    assert longer["until"].startswith("2097-02-05")
    assert await kgz.move("deployments", deployment, "extension/accept") == longer
    await tur.move("deployments", deployment, "release", {"reason": "Relieved."})
    assert (await kgz.own_pool(pool))["promised"] == 30
    home = await kgz.move("deployments", deployment, "return")
    assert home["status"] == "returned"
    assert (await kgz.own_pool(pool))["promised"] == 10, "those who are home can be promised again"
    await tur.move("offers", offer, "release", {"reason": "No more needed."})
    assert (await kgz.own_pool(pool))["promised"] == 0
    line = (await tur.own_request(request))["lines"][0]
    assert [line[f] for f in ("accepted", "dispatched", "received")] == [20, 20, 20]


async def test_people_who_turn_back_can_be_planned_anew(tur: System, kaz: System) -> None:
    pool = await kaz.pool(10)
    request = await tur.request(people(10))
    offer = await kaz.offer(request, from_pool(request, pool, 10))
    await tur.accept(offer)
    first = await kaz.deploy(offer, 10)
    await kaz.move("deployments", first, "mobilise")
    assert (await kaz.move("deployments", first, "cancel"))["status"] == "cancelled"
    assert (await tur.own_request(request))["lines"][0]["dispatched"] == 0
    second = await kaz.deploy(offer, 10)
    assert second["status"] == "planned"
    assert (await kaz.own_pool(pool))["promised"] == 10


async def test_a_lost_consignment_counts_as_lost_and_completes_the_offer(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(10)
    request = await tur.request(goods(10))
    offer = await aze.offer(request, from_lot(request, lot, 10))
    await tur.accept(offer)
    consignment = await aze.consign(offer, 10)
    await aze.move("consignments", consignment, "dispatch")
    lost = await aze.move("consignments", consignment, "lost", {"reason": "Avalanche."})
    assert (lost["status"], lost["reason"]) == ("lost", "Avalanche.")
    line = (await tur.own_request(request))["lines"][0]
    assert (line["dispatched"], line["lost"], line["received"]) == (10, 10, 0)
    assert (await aze.see_offer(offer))["status"] == "completed"


async def test_a_cancelled_consignment_can_be_planned_anew(tur: System, aze: System) -> None:
    lot = await aze.lot(10)
    request = await tur.request(goods(10))
    offer = await aze.offer(request, from_lot(request, lot, 10))
    await tur.accept(offer)
    consignment = await aze.consign(offer, 10)
    over = {
        "offer": offer["id"],
        "lines": [{"offer_line": offer["lines"][0]["id"], "quantity": 1}],
        "mode": "air",
    }
    problem = refused(await aze.post("/v1/consignments", over), 409, "over_planned")
    assert problem["lines"] == [{"line": 0, "planned": 1, "left": 0}]
    await aze.move("consignments", consignment, "cancel")
    again = await aze.consign(offer, 10)
    await aze.move("consignments", again, "dispatch")
    refused(await aze.post(f"/v1/consignments/{again['id']}/cancel"), 409, "wrong_state")


async def test_a_withdrawn_offer_frees_what_has_not_left(tur: System, aze: System) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await aze.offer(request, from_lot(request, lot, 100))
    await tur.accept(offer)
    await aze.consign(offer, 30)
    sent = await aze.consign(offer, 20)
    await aze.move("consignments", sent, "dispatch")
    still = await aze.move("offers", offer, "withdraw", {"reason": "Needed at home."})
    assert still["status"] == "accepted", "20 are on their way"
    own = await aze.own_lot(lot)
    assert (own["quantity"], own["reserved"]) == (80, 0)
    line = (await tur.own_request(request))["lines"][0]
    assert (line["accepted"], line["outstanding"]) == (20, 80)
    done(await tur.receive(sent, 20))
    assert (await tur.see_offer(offer))["status"] == "completed"


async def test_a_declined_offer_reserves_nothing_any_more(tur: System, uzb: System) -> None:
    lot = await uzb.lot(10)
    request = await tur.request(goods(10))
    offer = await uzb.offer(request, from_lot(request, lot, 10))
    refused(await uzb.post(f"/v1/offers/{offer['id']}/decline"), 403, "role_forbidden")
    declined = await tur.move("offers", offer, "decline", {"reason": "Too late."})
    assert (declined["status"], declined["reason"]) == ("declined", "Too late.")
    assert (await uzb.own_lot(lot))["available"] == 10
    assert await tur.move("offers", offer, "decline") == declined, "doing it again changes nothing"
    problem = refused(await tur.post(f"/v1/offers/{offer['id']}/accept"), 409, "wrong_state")
    assert problem["state"] == "declined"


async def test_help_can_be_offered_without_being_asked_for(tur: System, uzb: System) -> None:
    emergency = await tur.emergency()
    lot = await uzb.lot(1000, "FCERRICELGGR")
    body = {
        "emergency": emergency["id"],
        "to": "TUR",
        "lines": [{"stock": lot["id"], "quantity": 600}],
    }
    offer = done(await uzb.post("/v1/offers", body), 201)
    assert (offer["request"], offer["to"]) == (None, "TUR")
    await tur.accept(offer, lines=[{"line": offer["lines"][0]["id"], "quantity": 500}])
    consignment = await uzb.consign(offer, 500)
    await uzb.move("consignments", consignment, "dispatch")
    done(await tur.receive(consignment, 500))
    board = done(await tur.get(f"/v1/emergencies/{emergency['id']}/board"))
    [help_] = board["unsolicited"]
    assert (help_["society"], help_["offered"], help_["received"]) == ("UZB", 500, 500)


async def test_a_substitute_counts_at_its_ratio(tur: System, aze: System) -> None:
    small = await aze.lot(100, SMALL_JERRYCAN)
    strict = await tur.request(goods(10, JERRYCAN))
    refused(await aze.propose(strict, from_lot(strict, small, 20)), 422, "not_a_match")
    request = await tur.request(goods(10, JERRYCAN, accept_substitutes=True))
    odd = refused(await aze.propose(request, from_lot(request, small, 13)), 422, "pack_mismatch")
    assert "12 or 14" in odd["errors"][0]["message"]
    offer = await aze.offer(request, from_lot(request, small, 20))
    assert (await tur.own_request(request))["lines"][0]["offered"] == 10
    await tur.accept(offer)
    consignment = await aze.consign(offer, 20)
    await aze.move("consignments", consignment, "dispatch")
    done(await tur.receive(consignment, 15, 3, 2))
    line = (await tur.own_request(request))["lines"][0]
    assert line["accepted"] == line["dispatched"] == 10
    assert line["received"] + line["damaged"] + line["lost"] == 10


async def test_a_substitute_blanket_stands_in_one_to_one(tur: System, kaz: System) -> None:
    wool = await kaz.lot(10, WOOL_BLANKET)
    request = await tur.request(goods(10, BLANKET, accept_substitutes=True))
    await kaz.offer(request, from_lot(request, wool, 10))
    found = done(await tur.get("/v1/stock", item=BLANKET, substitutes=True, society="KAZ"))
    assert WOOL_BLANKET in {lot["item"] for lot in found["items"]}


async def test_a_line_never_asks_for_less_than_is_accepted(tur: System, aze: System) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    await tur.accept(await aze.offer(request, from_lot(request, lot, 60)))
    line = request["lines"][0]["id"]
    path = f"/v1/requests/{request['id']}"
    less = await tur.http.patch(path, json={"lines": [{"id": line, "quantity": 59}]})
    refused(less, 409, "below_accepted")
    fits = done(await tur.http.patch(path, json={"lines": [{"id": line, "quantity": 60}]}))
    assert fits["progress"]["accepted"] == "complete"
    refused(await tur.post(f"{path}/cancel"), 409, "below_accepted")
    closed = done(await tur.post(f"{path}/close"))
    assert closed["status"] == "closed"
    assert done(await tur.post(f"{path}/close")) == closed


async def test_more_than_is_outstanding_needs_the_requesters_word(tur: System, aze: System) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(10))
    offer = await aze.offer(request, from_lot(request, lot, 15))
    problem = refused(await tur.post(f"/v1/offers/{offer['id']}/accept"), 409, "over_accepted")
    assert problem["lines"] == [{"line": 0, "accepted": 15, "outstanding": 10}]
    taken = await tur.accept(offer, allow_surplus=True)
    assert taken["lines"][0]["accepted"] == 15


async def test_a_count_below_what_is_promised_is_accepted_and_told_to_both_parties(
    tur: System, aze: System, kgz: System
) -> None:
    head = done(await tur.get("/v1/events/head"))["seq"]
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await aze.offer(request, from_lot(request, lot, 80))
    short = await aze.lot(50, ref=lot["ref"])
    assert (short["shortfall"], short["available"]) == (30, 0)
    refused(await aze.propose(request, from_lot(request, lot, 1)), 409, "insufficient_stock")
    await _told(tur, head, "stock.shortfall", lot["id"], {"shortfall": 30})
    await _told(aze, head, "stock.shortfall", lot["id"], {"shortfall": 30})
    # It is in the feed by now, and not for everybody.
    assert await _seen(kgz, head, "stock.shortfall", lot["id"]) is None
    await aze.move("offers", offer, "withdraw")
    assert (await aze.own_lot(lot))["shortfall"] == 0


async def test_a_pool_that_shrinks_below_its_promises_tells_both_parties(
    tur: System, kgz: System
) -> None:
    head = done(await tur.get("/v1/events/head"))["seq"]
    pool = await kgz.pool(20)
    request = await tur.request(people(20))
    await kgz.offer(request, from_pool(request, pool, 15))
    assert (await kgz.pool(12, ref=pool["ref"]))["shortfall"] == 3
    await _told(tur, head, "volunteers.shortfall", pool["id"], {"shortfall": 3})
    early = await kgz.pool(20, ref=pool["ref"], available_until="2097-01-15T00:00:00Z")
    assert early["shortfall"] == 15, "nobody is available after the window"


async def _seen(system: System, after: int, kind: str, subject: str) -> dict[str, object] | None:
    for event in await system.events(after, type=kind):
        if event["subject"]["id"] == subject:
            return dict(event["data"])
    return None


async def _told(
    system: System, after: int, kind: str, subject: str, expected: dict[str, object]
) -> None:
    async def is_told() -> bool:
        return await _seen(system, after, kind, subject) is not None

    await eventually(is_told)
    data = await _seen(system, after, kind, subject)
    assert data is not None
    assert expected.items() <= data.items()


async def test_packs_are_converted_exactly_on_the_way_in(tur: System, aze: System) -> None:
    lot = await aze.lot(5, pack="bale-20", ref=fresh("bales"))
    assert lot["quantity"] == 100
    request = await tur.request(goods(2, pack="bale-20"))
    assert request["lines"][0]["requested"] == 40
    offer = await aze.offer(request, from_lot(request, lot, 2, pack="bale-20"))
    assert offer["lines"][0]["quantity"] == 40
    bad = await aze.propose(request, from_lot(request, lot, 1, pack="sack-7"))
    assert refused(bad, 422, "unknown_reference")["errors"][0]["pointer"] == "/lines/0/pack"


async def test_a_request_that_ends_takes_no_more_offers(tur: System, aze: System) -> None:
    lot = await aze.lot(10)
    request = await tur.request(goods(10))
    await tur.move("requests", request, "cancel")
    problem = refused(await aze.propose(request, from_lot(request, lot, 1)), 409, "wrong_state")
    assert problem["state"] == "cancelled"
    emergency = await tur.emergency()
    await tur.move("emergencies", emergency, "close")
    body = {**_request_body(emergency["id"])}
    refused(await tur.post("/v1/requests", body), 409, "wrong_state")


def _request_body(emergency: str) -> dict[str, object]:
    return {
        "emergency": emergency,
        "title": "Late",
        "needed_by": "2097-02-01T12:00:00Z",
        "destination": {"name": "P", "country": "TUR", "lat": 37.5, "lon": 37.3},
        "lines": [goods(1)],
    }


async def test_the_same_count_again_changes_nothing_unless_it_is_dated(
    aze: System, tur: System
) -> None:
    first = await aze.lot(10)
    again = await aze.lot(10, ref=first["ref"])
    assert again == first
    now = clock.text(clock.now())
    dated = await aze.lot(10, ref=first["ref"], as_of=now)
    assert datetime.fromisoformat(dated["as_of"]) == datetime.fromisoformat(now)
    pool = await aze.pool(5)
    assert await aze.pool(5, ref=pool["ref"]) == pool


async def test_the_board_as_a_table_is_not_sent_again_where_nothing_has_changed(
    tur: System,
) -> None:
    emergency = await tur.emergency()
    path = f"/v1/emergencies/{emergency['id']}/board?format=csv"
    table = await tur.http.get(path)
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    again = await tur.http.get(path, headers={"If-None-Match": table.headers["etag"]})
    assert again.status_code == 304
    await tur.request(goods(1), emergency=emergency["id"])
    changed = await tur.http.get(path, headers={"If-None-Match": table.headers["etag"]})
    assert changed.status_code == 200
