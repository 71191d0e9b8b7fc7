"""What if a ferry closes, what if it happens here, what if we send this: nothing is stored."""

from tests.test_matches import item, lot, planned
from tests.world import Json, System, done, goods, refused


async def test_what_if_the_ferry_closes(tur: System, kaz: System, aze: System) -> None:
    code = await item(tur)
    await lot(kaz, 100, code)
    emergency = await tur.emergency()
    await tur.request(goods(100, code), emergency=emergency["id"], needed_by="2027-01-20T00:00:00Z")
    by_land = {"modes": ["road", "rail", "sea"]}
    before = await planned(tur, emergency, **by_land)
    legs = [x["leg"] for x in before["routes"][0]["stretches"]]
    assert "sea-aktau-baku" in legs
    events = len(await tur.events())
    no_ferry = {"closed_legs": ["sea-aktau-baku"]}
    closed = await planned(tur, emergency, **by_land, what_if=no_ferry)
    as_it_is, supposed = closed["compared"]["as_it_is"], closed["compared"]["supposed"]
    assert "sea-aktau-baku" not in [x["leg"] for r in closed["routes"] for x in r["stretches"]]
    assert as_it_is["covered"] == before["summary"]["covered"]
    assert supposed["mean_hours"] > as_it_is["mean_hours"]
    near = {
        "society": "AZE", "item": code, "quantity": 60, "place": "Ganja", "country": "AZE",
        "lat": 40.68, "lon": 46.36,
    }  # fmt: skip
    more = await planned(tur, emergency, **by_land, what_if={"lots": [near]})
    assert more["compared"]["supposed"]["mean_hours"] < as_it_is["mean_hours"]
    assert [o["society"] for o in more["offers"]] == ["KAZ"], "nobody can offer what is supposed"
    assert len(await tur.events()) == events, "a supposition was stored"
    assert await planned(tur, emergency, **by_land) == before
    wrong = await tur.post(
        f"/v1/emergencies/{emergency['id']}/plan", {"what_if": {"closed_legs": ["no-such-leg"]}}
    )
    assert refused(wrong, 422, "unknown_reference")["errors"][0]["pointer"] == (
        "/what_if/closed_legs/0"
    )


async def test_closing_the_ferry_changes_plans_at_once(tur: System, kaz: System) -> None:
    code = await item(tur, weight_kg=100.0)
    await lot(kaz, 100, code)
    request = await tur.request(goods(100, code), needed_by="2027-01-20T00:00:00Z")
    emergency = {"id": request["emergency"]}

    async def legs() -> list[str]:
        plan = await planned(tur, emergency, modes=["road", "rail", "sea"])
        assert plan["lines"][0]["covered"] == 100
        return [x["leg"] for r in plan["routes"] for x in r["stretches"]]

    ferry = done(await tur.get("/v1/legs/sea-aktau-baku"))
    body = {k: v for k, v in ferry.items() if k != "code"}
    before = await legs()
    assert "sea-aktau-baku" in before
    try:
        done(await tur.put("/v1/legs/sea-aktau-baku", body | {"closed": True}))
        assert "sea-aktau-baku" not in await legs()
    finally:
        done(await tur.put("/v1/legs/sea-aktau-baku", body))
    assert await legs() == before


async def test_an_offer_that_nobody_needs_is_told_so_before_it_is_made(
    tur: System, kaz: System
) -> None:
    needed, useless = await item(tur), await item(tur)
    emergency = await tur.emergency()
    await tur.request(goods(40, needed), emergency=emergency["id"])
    nets, blankets = await lot(kaz, 100, useless), await lot(kaz, 100, needed)

    async def screened(body: Json, *lots: tuple[Json, int]) -> Json:
        lines = [{"stock": one["id"], "quantity": quantity} for one, quantity in lots]
        return done(await kaz.post("/v1/offers/screening", body | {"lines": lines}))

    asked = {"emergency": emergency["id"], "to": "TUR"}
    told = await screened(asked, (nets, 50))
    assert (told["needed"], told["lines"][0]["outstanding"]) == (False, 0)
    assert [(n["code"], n["outstanding"]) for n in told["needed_instead"]] == [(needed, 40)]
    welcome = await screened(asked, (blankets, 30))
    assert (welcome["needed"], welcome["needed_instead"]) == (True, [])
    foreign = {"stock": nets["id"], "quantity": 1}
    answer = await tur.post("/v1/offers/screening", asked | {"to": "KAZ", "lines": [foreign]})
    refused(answer, 422, "unknown_reference")


async def test_preparedness_tells_when_the_stock_covers_a_scenario_and_what_is_missing(
    tur: System, aze: System, uzb: System
) -> None:
    code = await item(tur)
    await lot(aze, 100, code)
    await lot(uzb, 100, code)
    place = {"name": "Shamakhi", "country": "AZE", "lat": 40.63, "lon": 48.64}
    scenario: Json = {"place": place, "people": 75, "needs": [{"item": code, "per_person": 2}]}
    tried = done(await tur.post("/v1/preparedness", scenario | {"within_hours": 24}))
    [need] = tried["needs"]
    assert (need["needed"], need["in_time"], need["missing"]) == (150, 100, 50)
    assert need["covered_after_hours"] > 24
    assert need["missing_for_good"] == 0
    assert tried["covered_in_time"] is False
    sphere = done(await tur.post("/v1/preparedness", {"place": place, "people": 1000}))
    assert all("Sphere 2018" in need["source"] for need in sphere["needs"])
    food = next(need for need in sphere["needs"] if need["name"] == "food")
    assert food["needed"] == 1000 * 14 * 2100
