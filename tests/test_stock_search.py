"""Whoever looks for stock finds what is there, what stands in for it, and what is nearest."""

import httpx

from tests.world import JERRYCAN, SMALL_JERRYCAN, Json, System, done, fresh, refused

GENERATOR = "EGENDIGE030T"
PLACES = {
    "almaty": (43.24, 76.89),
    "shymkent": (42.32, 69.60),
    "astana": (51.17, 71.43),
    "aktau": (43.65, 51.16),
}
BISHKEK = "42.87,74.59"
NEAREST_FIRST = ["almaty", "shymkent", "astana", "aktau"]


async def _published(kaz: System, item: str = GENERATOR) -> dict[str, list[str]]:
    """Three lots at each of four places, by place."""
    lots: dict[str, list[str]] = {}
    for name, (lat, lon) in PLACES.items():
        ref = fresh(name)
        body = {"name": name, "country": "KAZ", "lat": lat, "lon": lon}
        done(await kaz.put(f"/v1/my/sites/{ref}", body), 201)
        for quantity in (1, 5, 9):
            lot = done(
                await kaz.put(
                    f"/v1/my/stock/{fresh('gen')}",
                    {"item": item, "site": ref, "quantity": quantity, "lot_number": ref},
                ),
                201,
            )
            lots.setdefault(name, []).append(lot["id"])
    return lots


async def _walk(system: System, limit: int, **params: object) -> list[Json]:
    """Every lot that a search finds, page by page along `Link`."""
    answer = await system.get("/v1/stock", limit=limit, **params)
    found: list[Json] = []
    while True:
        found += done(answer)["items"]
        if done(answer)["next"] is None:
            assert "next" not in answer.links
            return found
        answer = await system.http.get(answer.links["next"]["url"])


async def test_the_nearest_stock_comes_first_and_every_page_goes_on_where_the_last_ended(
    kaz: System, kgz: System
) -> None:
    lots = await _published(kaz)
    ours = {lot: place for place, ids in lots.items() for lot in ids}
    for limit in (1, 2, 3, 50):
        found = [
            lot
            for lot in await _walk(kgz, limit, item=GENERATOR, near=BISHKEK, society="KAZ")
            if lot["id"] in ours
        ]
        assert len({lot["id"] for lot in found}) == len(found) == 12
        places = list(dict.fromkeys(ours[lot["id"]] for lot in found))
        assert places == NEAREST_FIRST
        distances = [lot["distance_km"] for lot in found]
        assert distances == sorted(distances)
    almaty = next(lot for lot in found if ours[lot["id"]] == "almaty")
    assert 185 < almaty["distance_km"] < 200, "Bishkek to Almaty is some 191 km as the crow flies"
    near = await _walk(kgz, 50, item=GENERATOR, near=BISHKEK, within_km=600)
    assert {ours[lot["id"]] for lot in near if lot["id"] in ours} == {"almaty", "shymkent"}


async def test_filters_leave_what_was_asked_for(kaz: System, uzb: System) -> None:
    lots = await _published(kaz, "EGENDIGE006T")
    ours = {lot for ids in lots.values() for lot in ids}
    item = "EGENDIGE006T"

    async def found(**params: object) -> set[str]:
        return {lot["id"] for lot in await _walk(uzb, 200, **params)} & ours

    assert await found(item=item, min_available=5) == {i for ids in lots.values() for i in ids[1:]}
    assert await found(item=item, society="UZB") == set()
    assert await found(item=item, country="KAZ") == ours
    assert await found(item=item, country="UZB") == set()
    assert await found(item=item, country="KAZ", near=BISHKEK, min_available=9) == {
        ids[2] for ids in lots.values()
    }


async def test_what_expires_too_soon_is_left_out_and_what_never_expires_is_not(
    kaz: System, tur: System
) -> None:
    flour = "FCERWHEAFL01"
    soon = await kaz.lot(10, flour, expires_on="2027-01-01")
    late = await kaz.lot(10, flour, expires_on="2028-01-01")
    never = await kaz.lot(10, flour)
    found = await _walk(tur, 200, item=flour, expires_after="2027-06-30")
    ids = {lot["id"] for lot in found}
    assert {late["id"], never["id"]} <= ids
    assert soon["id"] not in ids


async def test_what_stands_in_is_found_where_it_is_asked_for(kaz: System, tur: System) -> None:
    small = await kaz.lot(10, SMALL_JERRYCAN)
    rigid = await kaz.lot(10, JERRYCAN)
    strict = {lot["id"] for lot in await _walk(tur, 200, item=JERRYCAN)}
    assert rigid["id"] in strict
    assert small["id"] not in strict
    for more in ({}, {"near": BISHKEK}):
        wide = {lot["id"] for lot in await _walk(tur, 200, item=JERRYCAN, substitutes=True, **more)}
        assert {rigid["id"], small["id"]} <= wide


async def test_a_lot_is_seen_by_those_named_and_by_nobody_else(
    kaz: System, kgz: System, uzb: System
) -> None:
    lot = await kaz.lot(10, GENERATOR, visible_to=["KGZ"])
    for more in ({}, {"near": BISHKEK}):
        seen = {x["id"] for x in await _walk(kgz, 200, item=GENERATOR, **more)}
        unseen = {x["id"] for x in await _walk(uzb, 200, item=GENERATOR, **more)}
        assert lot["id"] in seen
        assert lot["id"] not in unseen
    assert done(await kgz.get(f"/v1/stock/{lot['id']}"))["available"] == 10
    hidden = await uzb.get(f"/v1/stock/{lot['id']}")
    absent = await uzb.get("/v1/stock/01935f8e-0c5a-7b3d-9e4d-6f1a2b3c4d5e")
    assert _without_id(hidden) == _without_id(absent)


def _without_id(answer: httpx.Response) -> Json:
    problem = refused(answer, 404, "not_found")
    return {k: v for k, v in problem.items() if k != "request_id"}


async def test_a_distance_needs_a_place(tur: System) -> None:
    problem = refused(await tur.get("/v1/stock", within_km=5), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "query/within_km"
    for strange in ("1", "1,2,3", "91,0", "0,181", "NaN,NaN", "inf,0", ","):
        refused(await tur.get("/v1/stock", near=strange), 422, "invalid_input")
