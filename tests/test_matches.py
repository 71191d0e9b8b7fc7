"""Plans over HTTP: from what is published to offers that are accepted, and what stays uncovered."""

from typing import Any

from tests.world import Json, System, done, fresh, goods, people, refused

PLACES = {
    "AZE": (40.41, 49.87),
    "KAZ": (43.65, 51.16),
    "UZB": (41.31, 69.28),
    "KGZ": (42.87, 74.59),
    "TUR": (39.93, 32.86),
}
NOW = "2026-12-01T06:00:00+00:00"
SOON = "2026-12-12T12:00:00Z"


async def item(tur: System, *substitutes: Json, **more: Any) -> str:
    """An item that no other test uses."""
    code = fresh("MATCH").replace("-", "")
    body = {
        "unit": "piece",
        "names": {"en": f"Thing {code}"},
        "weight_kg": 10.0,
        "substitutes": list(substitutes),
        **more,
    }
    done(await tur.put(f"/v1/items/{code}", body), 201)
    return code


async def depot(system: System) -> str:
    """A site in its society's own country."""
    lat, lon = PLACES[system.society]
    site = {"name": "Depot", "country": system.society, "lat": lat, "lon": lon}
    assert (await system.put("/v1/my/sites/depot", site)).is_success
    return "depot"


async def lot(system: System, quantity: int, code: str, **more: Any) -> Json:
    body = {"item": code, "site": await depot(system), "quantity": quantity, **more}
    return done(await system.put(f"/v1/my/stock/{fresh('lot')}", body), 201)


async def matches(system: System, request: Json, **more: Any) -> Json:
    return done(await system.get(f"/v1/requests/{request['id']}/matches", at=NOW, **more))


async def planned(system: System, emergency: Json, **options: Any) -> Json:
    body = {"at": NOW, **options}
    return done(await system.post(f"/v1/emergencies/{emergency['id']}/plan", body))


def reasons(line: Json) -> list[str]:
    assert all(reason["sentence"].endswith(".") for reason in line["reasons"])
    return [reason["code"] for reason in line["reasons"]]


async def follow(plan: Json, systems: dict[str, System]) -> None:
    """Every society sends its offers as they are, every requester accepts them whole."""
    for ready in plan["offers"]:
        offer = done(await systems[ready["society"]].post("/v1/offers", ready["offer"]), 201)
        requester = systems[offer["to"]]
        done(await requester.post(f"/v1/offers/{offer['id']}/accept"))


async def test_a_whole_plan_becomes_offers_that_are_accepted_without_a_single_refusal(
    tur: System, aze: System, kaz: System, uzb: System, kgz: System
) -> None:
    small = await item(tur)
    can = await item(tur, {"item": small, "quantity": 2, "per": 1})
    for system, quantity in ((aze, 340), (kaz, 200), (uzb, 515)):
        await lot(system, quantity, can, keep_back=15)
        await lot(system, quantity // 2, small, expires_on="2027-08-01")
    for system, skill in ((uzb, "shelter"), (kgz, "shelter")):
        await system.pool(40, skill, site=await depot(system))
    emergency = await tur.emergency()
    first = await tur.request(
        goods(700, can, accept_substitutes=True),
        people(60, "shelter"),
        emergency=emergency["id"],
        needed_by="2027-02-01T12:00:00Z",
        priority="critical",
    )
    second = await kgz.request(
        goods(500, can, accept_substitutes=True),
        emergency=emergency["id"],
        needed_by="2027-02-01T12:00:00Z",
        destination={"name": "Osh", "country": "KGZ", "lat": 40.53, "lon": 72.8},
    )
    plan = await planned(tur, emergency)
    assert plan["optimal"], plan["stages"]
    assert plan["summary"]["covered"]["critical"] == 760
    await follow(plan, {s.society: s for s in (tur, aze, kaz, uzb, kgz)})
    for request in (first, second):
        figures = await tur.own_request(request)
        wanted = {x["request_line"]: x["covered"] for x in plan["lines"]}
        assert [x["accepted"] for x in figures["lines"]] == [
            wanted[x["id"]] for x in figures["lines"]
        ]
    # What is published: 1,010 whole cans beyond the floors, and 526 small ones that count half.
    assert sum(line["covered"] for line in plan["lines"] if line["kind"] == "stock") == 1200


async def test_each_pick_says_where_from_when_and_how(tur: System, aze: System) -> None:
    code = await item(tur, packs=[{"code": "box", "quantity": 20, "name": "Box"}])
    mine = await lot(aze, 300, code)
    request = await tur.request(goods(200, code), needed_by=SOON)
    plan = await matches(tur, request)
    [line] = plan["lines"]
    [pick] = line["picks"]
    assert (pick["stock"], pick["quantity"], pick["packs"]["count"]) == (mine["id"], 200, 10)
    assert (pick["weight_kg"], pick["society"]) == (2000.0, "AZE")
    route = plan["routes"][pick["route"]]
    assert route["stretches"][0]["start"] == "Depot"
    assert pick["hours"] >= route["hours"]
    assert NOW < pick["arrives"] < SOON
    assert plan["offers"][0]["offer"]["lines"] == [
        {"request_line": line["request_line"], "stock": mine["id"], "quantity": 200}
    ]
    assert plan["summary"]["consignments"] == 1


async def test_what_stays_uncovered_says_why(tur: System, aze: System, uzb: System) -> None:
    none, late, old, kept, few = [await item(tur) for _ in range(5)]
    await lot(uzb, 100, late)
    await lot(aze, 100, old, expires_on="2026-12-20")
    await lot(aze, 100, kept, keep_back=100)
    await lot(aze, 30, few)
    emergency = await tur.emergency()
    in_time = await tur.request(
        *(goods(50, code) for code in (none, old, kept, few)),
        needed_by=SOON,
        emergency=emergency["id"],
    )
    too_soon = await tur.request(
        goods(50, late), needed_by="2026-12-01T12:00:00Z", emergency=emergency["id"]
    )
    lines = (await matches(tur, in_time))["lines"]
    assert [reasons(line) for line in lines] == [
        ["none_published"], ["expires"], ["floor"], ["none_published"],
    ]  # fmt: skip
    assert [line["uncovered"] for line in lines] == [50, 50, 50, 20]
    [line] = (await matches(tur, too_soon))["lines"]
    assert reasons(line) == ["too_late"]
    assert "the first of them on 2026-12-0" in line["reasons"][0]["sentence"]
    later = await planned(tur, emergency, latest_arrival="2027-01-01T00:00:00Z")
    assert next(x for x in later["lines"] if x["code"] == late)["covered"] == 50


async def test_a_plan_sees_with_the_requesters_eyes(
    tur: System, aze: System, kaz: System, uzb: System
) -> None:
    code = await item(tur)
    await lot(aze, 100, code, visible_to=["TUR"])
    seen = await lot(uzb, 10, code)
    request = await kaz.request(goods(50, code), needed_by="2027-01-20T00:00:00Z")
    own = await matches(kaz, request)
    told = await matches(tur, request)
    for plan in (own, told):
        assert [p["stock"] for p in plan["lines"][0]["picks"]] == [seen["id"]]
    assert reasons(own["lines"][0]) == ["none_published"]
    assert "not_visible" in reasons(told["lines"][0])
    refused(await uzb.get(f"/v1/requests/{request['id']}/matches"), 403, "role_forbidden")


async def test_nobody_is_told_of_what_is_for_others_eyes(
    tur: System, aze: System, kaz: System, uzb: System
) -> None:
    """What one society published for another alone is not there for the secretariat either."""
    code = await item(tur)
    secret = await lot(uzb, 77, code, visible_to=["KAZ"])
    request = await kaz.request(goods(50, code), needed_by="2027-01-20T00:00:00Z")
    own = await matches(kaz, request)
    assert [p["stock"] for p in own["lines"][0]["picks"]] == [secret["id"]]
    emergency = {"id": request["emergency"]}
    for told in (await matches(tur, request), await planned(tur, emergency)):
        [line] = told["lines"]
        assert (line["picks"], reasons(line)) == ([], ["none_published"])
    scenario: Json = {
        "place": {"name": "Almaty", "country": "KAZ", "lat": 43.24, "lon": 76.89},
        "people": 10, "needs": [{"item": code, "per_person": 1}], "at": NOW,
    }  # fmt: skip
    for system, has in ((kaz, 0), (uzb, 0), (tur, 10), (aze, 10)):
        tried = done(await system.post("/v1/preparedness", scenario))
        assert tried["needs"][0]["missing_for_good"] == has


async def test_a_member_is_shown_its_own_part_of_the_one_plan(
    tur: System, aze: System, kaz: System, uzb: System
) -> None:
    code = await item(tur)
    await lot(uzb, 100, code)
    emergency = await tur.emergency()
    await tur.request(
        goods(80, code), emergency=emergency["id"], priority="critical", needed_by=SOON
    )
    await kaz.request(
        goods(80, code),
        emergency=emergency["id"],
        priority="normal",
        needed_by=SOON,
        destination={"name": "Shymkent", "country": "KAZ", "lat": 42.32, "lon": 69.6},
    )
    whole, part = await planned(tur, emergency), await planned(kaz, emergency)
    assert whole["summary"]["covered"] == {"critical": 80, "high": 0, "normal": 20}
    assert {line["society"] for line in part["lines"]} == {"KAZ"}
    assert part["summary"]["covered"] == {"critical": 0, "high": 0, "normal": 20}
    assert reasons(part["lines"][0]) == ["taken"]
    forbidden = await aze.post(f"/v1/emergencies/{emergency['id']}/plan", {})
    refused(forbidden, 403, "role_forbidden")


async def test_nothing_arrives_in_the_sea(tur: System, aze: System) -> None:
    code = await item(tur)
    await lot(aze, 100, code)
    sea = {"name": "Caspian", "country": "AZE", "lat": 41.0, "lon": 51.2}
    request = await tur.request(goods(50, code), destination=sea)
    [line] = (await matches(tur, request))["lines"]
    assert (line["covered"], reasons(line)) == (0, ["no_route"])


async def test_a_deadline_in_the_past_and_quantities_beyond_any_stock_are_answered(
    tur: System, aze: System
) -> None:
    code = await item(tur)
    await lot(aze, 999_999_999_999, code)
    huge = await tur.request(goods(1_000_000_000_000, code), needed_by=SOON)
    plan = await matches(tur, huge)
    assert plan["lines"][0]["covered"] == 999_999_999_999
    past = await tur.request(goods(10, code), needed_by="2026-11-01T00:00:00Z")
    [line] = (await matches(tur, past))["lines"]
    assert (line["covered"], reasons(line)) == (0, ["too_late"])


async def test_options_bound_the_plan(tur: System, aze: System, uzb: System) -> None:
    code = await item(tur)
    await lot(aze, 60, code)
    await lot(uzb, 60, code)
    emergency = await tur.emergency()
    await tur.request(goods(100, code), emergency=emergency["id"], needed_by="2027-01-20T00:00:00Z")
    free = await planned(tur, emergency)
    assert (free["summary"]["covered"]["high"], free["summary"]["consignments"]) == (100, 2)
    one = await planned(tur, emergency, max_consignments=1)
    assert (one["summary"]["covered"]["high"], one["summary"]["consignments"]) == (60, 1)
    assert reasons(one["lines"][0]) == ["consignments"]
    without = await planned(tur, emergency, leave_out=["AZE"])
    assert {p["society"] for p in without["lines"][0]["picks"]} == {"UZB"}
    weighed = await planned(tur, emergency, weights={"cost": 1})
    assert weighed["summary"]["covered"]["high"] == 100
    assert weighed["summary"]["cost"] <= free["summary"]["cost"]


async def test_the_same_call_is_answered_the_same(tur: System, aze: System) -> None:
    code = await item(tur)
    for _ in range(4):
        await lot(aze, 25, code)
    emergency = await tur.emergency()
    await tur.request(goods(60, code), goods(20, code), emergency=emergency["id"], needed_by=SOON)
    path = f"/v1/emergencies/{emergency['id']}/plan"
    assert await planned(tur, emergency) == await planned(tur, emergency)
    key = fresh("plan-key")
    first = await tur.post(path, {"at": NOW}, Idempotency_Key=key)
    again = await tur.post(path, {"at": NOW}, Idempotency_Key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    other = await tur.post(path, {"at": SOON}, Idempotency_Key=key)
    refused(other, 422, "idempotency_key_reused")


async def test_people_come_for_the_whole_of_the_window_and_speak_the_language(
    tur: System, aze: System
) -> None:
    site = await depot(aze)
    await aze.pool(30, "camp_management", site=site, languages=["ky"])
    speaks = await aze.pool(30, "camp_management", site=site, languages=["tr"])
    await aze.pool(30, "camp_management", site=site, available_until="2027-01-15T00:00:00Z")
    line = people(20, "camp_management") | {"languages": ["tr"]}
    request = await tur.request(line, needed_by="2027-01-10T00:00:00Z")
    [found] = (await matches(tur, request))["lines"]
    assert [(p["volunteers"], p["headcount"], p["speak"]) for p in found["picks"]] == [
        (speaks["id"], 20, ["tr"])
    ]


async def test_a_plan_with_options_out_of_range_is_refused(tur: System) -> None:
    emergency = await tur.emergency()
    path = f"/v1/emergencies/{emergency['id']}/plan"
    for body in ({"time_limit": 600}, {"max_consignments": 0}, {"weights": {"speed": 1}}):
        refused(await tur.post(path, body), 422, "invalid_input")
    other = await tur.request(goods(5))
    named: list[tuple[Json, str]] = [
        ({"requests": [other["id"]]}, "/requests/0"),
        (
            {"what_if": {"deadlines": [{"request": other["id"], "needed_by": SOON}]}},
            "/what_if/deadlines/0/request",
        ),
    ]
    for body, pointer in named:
        problem = refused(await tur.post(path, body), 422, "unknown_reference")
        assert problem["errors"][0]["pointer"] == pointer
    empty = done(await tur.post(path, {}))
    assert (empty["optimal"], empty["lines"]) == (True, [])


async def test_thousands_of_lines_are_answered_within_the_time(
    tur: System, aze: System, uzb: System
) -> None:
    codes = [await item(tur) for _ in range(5)]
    for code in codes:
        for system in (aze, uzb):
            for _ in range(2):
                await lot(system, 5_000, code)
    emergency = await tur.emergency()
    for n in range(4):
        await tur.request(
            *(goods(1 + (k * 7 + n) % 60, codes[k % 5]) for k in range(500)),
            emergency=emergency["id"],
            needed_by="2027-01-20T00:00:00Z",
        )
    plan = await planned(tur, emergency, time_limit=3)
    assert len(plan["lines"]) == 2000
    assert all(line["covered"] == line["outstanding"] for line in plan["lines"])
    assert all(len(ready["offer"]["lines"]) <= 200 for ready in plan["offers"])
