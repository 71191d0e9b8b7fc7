"""Goods do not fly straight: the Caspian is in the way, borders cost hours, ferries close."""

from datetime import date

import pytest

from app.transport.finding import Network, Route
from app.transport.rules import Hub, Leg, Place, joins, sea_at
from tests.world import Json, System, done, refused

TASHKENT = Place("Tashkent depot", "UZB", 41.31, 69.28)
AKTAU = Place("Aktau depot", "KAZ", 43.65, 51.16)
BAKU = Place("Baku depot", "AZE", 40.41, 49.87)
PAZARCIK = Place("Pazarcık", "TUR", 37.49, 37.3)
WINTER = date(2027, 1, 15)

HUBS = [
    Hub("BAKU", BAKU),
    Hub("AKTAU", AKTAU),
    Hub("TASHKENT", TASHKENT),
    Hub("GAZIANTEP", Place("Gaziantep", "TUR", 37.07, 37.38)),
]
FERRY = Leg("ferry", "AKTAU", "BAKU", "sea", 24, 12, 45)
STEPPE = Leg("steppe", "TASHKENT", "AKTAU", "road", 40, 6, 150)
BORDER = Leg("caucasus", "BAKU", "GAZIANTEP", "road", 40, 12, 200)
FLIGHT = Leg("flight", "TASHKENT", "GAZIANTEP", "air", 9, 3, 2000)


def route(by: str, *legs: Leg, start: Place = TASHKENT, end: Place = PAZARCIK) -> Route | None:
    ways = Network(HUBS, legs, WINTER).towards(end)
    return ways.soonest_from(start) if by == "hours" else ways.cheapest_from(start)


def legs_of(found: Route | None) -> list[str]:
    assert found is not None
    return [stretch.leg for stretch in found.stretches if stretch.leg]


def test_the_soonest_way_flies_and_the_cheapest_takes_the_ferry() -> None:
    every = (FERRY, STEPPE, BORDER, FLIGHT)
    soonest, cheapest = route("hours", *every), route("cost", *every)
    assert legs_of(soonest) == ["flight"]
    assert legs_of(cheapest) == ["steppe", "ferry", "caucasus"]
    assert soonest is not None
    assert cheapest is not None
    assert soonest.mode == "air"
    assert cheapest.hours > soonest.hours
    assert cheapest.cost_per_tonne < soonest.cost_per_tonne
    assert cheapest.hours == pytest.approx(
        40 + 6 + 24 + 12 + 40 + 12 + sum(s.hours for s in cheapest.stretches if s.leg is None)
    )


def test_a_closed_ferry_changes_the_way_at_once() -> None:
    closed = Leg("ferry", "AKTAU", "BAKU", "sea", 24, 12, 45, closed=True)
    assert legs_of(route("cost", closed, STEPPE, BORDER, FLIGHT)) == ["flight"]
    assert route("cost", closed, STEPPE, BORDER) is None


def test_a_leg_out_of_season_is_no_way() -> None:
    summer = Leg("ferry", "AKTAU", "BAKU", "sea", 24, 12, 45, months=frozenset({6, 7, 8}))
    assert route("cost", summer, STEPPE, BORDER) is None
    in_july = Network(HUBS, (summer, STEPPE, BORDER), date(2027, 7, 1)).towards(PAZARCIK)
    assert in_july.cheapest_from(TASHKENT) is not None


def test_two_towns_of_a_country_are_joined_by_its_roads() -> None:
    near = Place("Adıyaman", "TUR", 37.76, 38.28)
    found = route("hours", start=near)
    assert found is not None
    assert [stretch.leg for stretch in found.stretches] == [None]
    assert found.hours < 5


def test_nothing_drives_into_the_sea() -> None:
    middle = Place("Middle of the Caspian", "AZE", 41.0, 51.2)
    assert sea_at(middle) == "Caspian Sea"
    assert joins(middle, HUBS) == []
    assert route("hours", FERRY, STEPPE, BORDER, FLIGHT, end=middle) is None
    for town in (BAKU, AKTAU, PAZARCIK, TASHKENT, Place("Türkmenbaşy", "TKM", 40.02, 52.97)):
        assert sea_at(town) is None
    assert {join.hub for join in joins(AKTAU, HUBS)} == {"AKTAU"}, "no road crosses to Baku"


async def _route(system: System, start: Place, end: Place, **more: str) -> Json:
    return done(
        await system.get(
            "/v1/routes",
            **{"from": f"{start.lat},{start.lon}", "to": f"{end.lat},{end.lon}"},
            from_country=start.country,
            to_country=end.country,
            **more,
        )
    )


async def test_closing_the_ferry_changes_the_route_that_is_shown(tur: System, kaz: System) -> None:
    cheapest = await _route(kaz, AKTAU, PAZARCIK, by="cost")
    assert "sea-aktau-baku" in [s["leg"] for s in cheapest["stretches"]]
    leg = done(await tur.get("/v1/legs/sea-aktau-baku"))
    body = {k: v for k, v in leg.items() if k != "code"} | {"closed": True, "note": "Storm."}
    refused(await kaz.put("/v1/legs/sea-aktau-baku", body), 403, "role_forbidden")
    try:
        done(await tur.put("/v1/legs/sea-aktau-baku", body))
        around = await _route(kaz, AKTAU, PAZARCIK, by="cost")
        assert "sea-aktau-baku" not in [s["leg"] for s in around["stretches"]]
        assert around["cost_per_tonne"] > cheapest["cost_per_tonne"]
    finally:
        done(await tur.put("/v1/legs/sea-aktau-baku", body | {"closed": False, "note": None}))
    assert await _route(kaz, AKTAU, PAZARCIK, by="cost") == cheapest


async def test_where_there_is_no_way_the_answer_says_why(tur: System) -> None:
    sea = await _route(tur, AKTAU, Place("", "AZE", 41.0, 51.2))
    assert (sea["found"], sea["reason"]) == (False, "The destination lies in the Caspian Sea.")
    far = await _route(tur, AKTAU, Place("", "NZL", -41.3, 174.8))
    assert far["found"] is False


async def test_the_secretariat_keeps_the_hubs(tur: System, aze: System) -> None:
    hub = {"name": "Nakhchivan", "country": "AZE", "lat": 39.21, "lon": 45.41}
    refused(await aze.put("/v1/hubs/NAKHCHIVAN", hub), 403, "role_forbidden")
    done(await tur.put("/v1/hubs/NAKHCHIVAN", hub), 201)
    leg = {"start": "NAKHCHIVAN", "end": "KARS", "mode": "road", "hours": 5, "cost_per_tonne": 30}
    absent = refused(
        await tur.put("/v1/legs/road-x", leg | {"end": "NOWHERE"}), 422, "unknown_reference"
    )
    assert absent["errors"][0]["pointer"] == "/end"
    done(await tur.put("/v1/legs/road-nakhchivan-kars", leg), 201)
    refused(await tur.http.delete("/v1/hubs/NAKHCHIVAN"), 409, "conflict")
    assert (await tur.http.delete("/v1/legs/road-nakhchivan-kars")).status_code == 204
    assert (await tur.http.delete("/v1/hubs/NAKHCHIVAN")).status_code == 204
    refused(await tur.get("/v1/hubs/NAKHCHIVAN"), 404, "not_found")
