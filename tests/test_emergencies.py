"""A GLIDE number cannot be squatted: it comes free, and its country takes what is its own."""

import asyncio
from collections import Counter

import pytest

from tests.world import System, done, fresh, from_lot, goods, refused


def _glide(country: str = "TUR") -> str:
    return f"EQ-2026-{int(fresh('glide').rpartition('-')[2]):06}-{country}"


async def test_a_closed_emergency_frees_its_glide_number(tur: System, aze: System) -> None:
    glide = _glide()
    first = await aze.emergency(glide=glide)
    body = {k: first[k] for k in ("name", "hazard", "country", "lat", "lon", "started_on")}
    again = await tur.post("/v1/emergencies", body | {"glide": glide})
    refused(again, 409, "already_exists")
    await aze.move("emergencies", first, "close")
    second = await tur.emergency(glide=glide)
    found = done(await tur.get("/v1/emergencies", glide=glide))["items"]
    assert [(e["id"], e["status"]) for e in found] == [
        (second["id"], "open"), (first["id"], "closed"),
    ]  # fmt: skip
    await tur.move("emergencies", second, "close")


async def test_of_many_who_report_one_number_at_once_one_has_it(tur: System, aze: System) -> None:
    first = await aze.emergency(glide=_glide())
    await aze.move("emergencies", first, "close")
    body = {k: first[k] for k in ("name", "hazard", "glide", "country", "lat", "lon", "started_on")}
    answers = await asyncio.gather(*(s.post("/v1/emergencies", body) for s in (tur, aze) * 6))
    assert Counter(a.status_code for a in answers) == {201: 1, 409: 11}


async def test_the_society_of_the_country_takes_an_emergency_over_with_all_that_is_in_it(
    tur: System, aze: System, kaz: System
) -> None:
    squatted = await aze.emergency(glide=_glide())
    request = await kaz.request(goods(10), emergency=squatted["id"])
    offer = await aze.offer(request, from_lot(request, await aze.lot(10), 10))
    path = f"/v1/emergencies/{squatted['id']}/take-over"
    for other in (aze, kaz):
        refused(await other.post(path), 403, "role_forbidden")
    before = (await tur.get(f"/v1/emergencies/{squatted['id']}")).headers["ETag"]
    after = (await tur.told("emergency.opened", 0))[-1]["seq"]
    answers = await asyncio.gather(*(tur.post(path) for _ in range(6)))
    assert {done(a)["society"] for a in answers} == {"TUR"}
    told = await kaz.told("emergency.taken_over", after)
    assert [(e["society"], e["data"]["previous_society"]) for e in told] == [("TUR", "AZE")]
    assert told[0]["data"]["emergency"] == squatted["id"]
    assert (await kaz.own_request(request))["status"] == "open"
    assert (await kaz.accept(offer))["status"] == "accepted"
    refused(await tur.post(path, If_Match=before), 412, "precondition_failed")
    # Whoever had it has no say any more.
    refused(await aze.post(f"/v1/emergencies/{squatted['id']}/close"), 403, "role_forbidden")
    closed = await tur.move("emergencies", squatted, "close")
    assert closed["status"] == "closed"
    assert done(await tur.post(path)) == closed


async def test_a_closed_emergency_is_not_taken_over(tur: System, aze: System) -> None:
    ended = await aze.emergency()
    await aze.move("emergencies", ended, "close")
    answer = refused(await tur.post(f"/v1/emergencies/{ended['id']}/take-over"), 409, "wrong_state")
    assert answer["state"] == "closed"
    absent = "/v1/emergencies/0190dead-beef-7000-8000-000000000000/take-over"
    refused(await tur.post(absent), 404, "not_found")


@pytest.mark.parametrize(("country", "named"), [("AZE", "KAZ"), ("KAZ", "AZE"), ("KAZ", None)])
async def test_a_number_is_not_held_by_naming_another_country_beside_it(
    aze: System, kaz: System, country: str, named: str | None
) -> None:
    glide = _glide(named) if named else None
    squatted = await aze.emergency(country=country, glide=glide)
    taken = await kaz.post(f"/v1/emergencies/{squatted['id']}/take-over")
    assert done(taken)["society"] == "KAZ"
    await kaz.move("emergencies", squatted, "close")
