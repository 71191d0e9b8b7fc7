"""How much one society can ask for, so that the others can still be planned and shown with it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access import actions as access
from app.matching import actions as matching
from app.matching.rules import fair_share
from app.requests import actions as requests
from tests.conftest import Enrol
from tests.test_matches import SOON, item, lot, planned
from tests.world import System, done, goods, refused


async def test_a_request_has_only_so_many_lines(
    tur: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_LINES", 4)
    request = await tur.request(goods(1), goods(2), goods(3))
    path = f"/v1/requests/{request['id']}"
    more = [goods(4), goods(5)]
    problem = refused(await tur.http.patch(path, json={"add_lines": more}), 409, "limit_reached")
    assert "4 lines" in problem["detail"]
    assert await tur.own_request(request) == request, "nothing was changed"
    assert len(done(await tur.http.patch(path, json={"add_lines": more[:1]}))["lines"]) == 4


async def test_a_society_has_only_so_many_lines_open_in_an_emergency(
    tur: System, kaz: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_OPEN_LINES", 5)
    emergency = (await tur.emergency())["id"]
    first = await tur.request(*[goods(1)] * 4, emergency=emergency)
    body = {
        "emergency": emergency, "title": "More", "priority": "high", "needed_by": SOON,
        "destination": {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3},
        "lines": [goods(1), goods(2)],
    }  # fmt: skip
    problem = refused(await tur.post("/v1/requests", body), 409, "limit_reached")
    assert "5 lines" in problem["detail"]
    change = await tur.http.patch(
        f"/v1/requests/{first['id']}", json={"add_lines": [goods(5), goods(6)]}
    )
    refused(change, 409, "limit_reached")
    await kaz.request(*[goods(1)] * 5, emergency=emergency)
    await tur.move("requests", first, "cancel")
    done(await tur.post("/v1/requests", body), 201)


async def test_calls_at_once_do_not_slip_past_the_limit_together(
    tur: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_OPEN_LINES", 6)
    emergency = (await tur.emergency())["id"]
    body = {
        "emergency": emergency, "title": "More", "priority": "high", "needed_by": SOON,
        "destination": {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3},
        "lines": [goods(1), goods(2)],
    }  # fmt: skip
    answers = await asyncio.gather(*(tur.post("/v1/requests", body) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [201] * 3 + [409] * 9


async def test_a_society_has_only_so_many_clients(
    enrol: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    secretariat = await enrol("TUR")
    named = {"name": "Observers", "role": "observer"}
    answer = await secretariat.put("/v1/societies/OBS", named)
    assert answer.status_code in (200, 201)
    system = await enrol("OBS")
    monkeypatch.setattr(access, "MOST_CLIENTS", 3)
    made = [
        done(await system.post("/v1/clients", {"name": f"c{n}", "scopes": ["read"]}), 201)
        for n in range(2)
    ]
    body = {"name": "one more", "scopes": ["read"]}
    problem = refused(await system.post("/v1/clients", body), 409, "limit_reached")
    assert "3 clients" in problem["detail"]
    assert (await system.http.delete(f"/v1/clients/{made[0]['id']}")).status_code == 204
    done(await system.post("/v1/clients", body), 201)


async def test_an_emergency_with_more_than_can_be_planned_is_planned_for_all(
    tur: System, kaz: System, aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await item(tur)
    await lot(aze, 1000, code)
    emergency = await tur.emergency()
    more: dict[str, Any] = {"emergency": emergency["id"], "needed_by": SOON}
    await kaz.request(*[goods(1, code)] * 8, priority="normal", **more)
    urgent = await kaz.request(goods(2, code), goods(3, code), priority="critical", **more)
    await tur.request(*[goods(5, code)] * 3, **more)
    everything = await planned(tur, emergency)
    assert everything["not_planned"] == []
    assert len(everything["lines"]) == 13
    monkeypatch.setattr(matching, "MOST_LINES", 8)
    plan = await planned(tur, emergency)
    assert plan["not_planned"] == [{"society": "KAZ", "lines": 5, "lots": 0}]
    lines = [(line["society"], line["priority"]) for line in plan["lines"]]
    assert lines.count(("TUR", "high")) == 3, "who asks for little keeps all of it"
    assert lines.count(("KAZ", "critical")) == len(urgent["lines"]), "the most urgent are in"
    assert lines.count(("KAZ", "normal")) == 3
    assert sum(line["covered"] for line in plan["lines"] if line["society"] == "TUR") == 15


async def test_more_lots_than_can_be_planned_are_shared_out_as_well(
    tur: System, kaz: System, aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await item(tur)
    for quantity in range(1, 7):
        await lot(kaz, quantity, code)
    await lot(aze, 100, code)
    request = await tur.request(goods(150, code), needed_by=SOON)
    monkeypatch.setattr(matching, "MOST_LOTS", 4)
    plan = done(await tur.get(f"/v1/requests/{request['id']}/matches"))
    assert plan["not_planned"] == [{"society": "KAZ", "lines": 0, "lots": 3}]
    assert plan["lines"][0]["covered"] == 100 + 6 + 5 + 4
    body = {
        "place": {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3},
        "people": 1000, "within_hours": 72, "needs": [{"item": code, "per_person": 1}],
    }  # fmt: skip
    prepared = done(await tur.post("/v1/preparedness", body))
    assert prepared["not_planned"] == plan["not_planned"]


@given(counts=st.lists(st.integers(0, 60), max_size=8), most=st.integers(0, 200))
def test_the_fair_share_is_the_largest_that_fits(counts: list[int], most: int) -> None:
    share = fair_share(counts, most)
    assert sum(min(count, share) for count in counts) <= most
    if max(counts, default=0) > share:
        assert sum(min(count, share + 1) for count in counts) > most
