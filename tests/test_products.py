"""Whatever two given numbers make together can be stored, or is refused in words."""

import asyncio

import pytest

from tests.conftest import Service
from tests.world import Json, System, done, fresh, from_lot, goods, refused

MOST = 1_000_000_000_000
PACK = 1_000_000_000


@pytest.fixture
async def vast(tur: System) -> tuple[str, str]:
    """(an item with a vast pack, what stands in for it)."""
    code, other = fresh("vast"), fresh("other")
    packs = [{"code": "vast", "quantity": PACK}]
    for item in (other, code):
        body = {"name": "Example", "unit": "piece", "packs": packs}
        done(await tur.put(f"/v1/items/{item}", body), 201)
    return code, other


def _pointer(problem: Json) -> str:
    pointer: str = problem["errors"][0]["pointer"]
    return pointer


async def test_more_packs_than_can_be_counted_are_refused_wherever_packs_are_given(
    tur: System, aze: System, vast: tuple[str, str]
) -> None:
    code, _ = vast
    vastly = {"quantity": MOST, "pack": "vast"}
    lot = await aze.lot(10, item=code)
    request = await tur.request(goods(10, item=code))
    answers = {
        "/quantity": await aze.put(
            f"/v1/my/stock/{fresh('vast')}", {"item": code, "site": "central", **vastly}
        ),
        "/lines/0/quantity": await tur.post(
            "/v1/requests", {**_asking(request), "lines": [goods(MOST, code, pack="vast")]}
        ),
    }
    line = from_lot(request, lot, MOST, pack="vast")
    answers["/lines/0/quantity "] = await aze.propose(request, line)
    screened = {
        "emergency": request["emergency"],
        "to": "TUR",
        "lines": [{"stock": lot["id"], **vastly}],
    }
    answers["/lines/0/quantity  "] = await aze.post("/v1/offers/screening", screened)
    for pointer, answer in answers.items():
        assert _pointer(refused(answer, 422, "invalid_input")) == pointer.strip()
    row = f"ref,item,site,quantity,pack\n{fresh('vast')},{code},central,{MOST},vast\n"
    report = done(
        await aze.http.post(
            "/v1/my/stock/import", content=row, headers={"Content-Type": "text/csv"}
        )
    )
    assert (report["refused"], report["created"]) == (1, 0)


def _asking(request: Json) -> Json:
    return {k: request[k] for k in ("emergency", "title", "priority", "needed_by", "destination")}


@pytest.mark.parametrize("share", [{"quantity": MOST}, {"per": MOST}, {"per": 100_001}])
async def test_a_ratio_that_no_quantity_survives_is_refused(
    tur: System, vast: tuple[str, str], share: Json
) -> None:
    code, other = vast
    body = {"name": "Example", "unit": "piece", "substitutes": [{"item": other, **share}]}
    problem = refused(await tur.put(f"/v1/items/{code}", body), 422, "invalid_input")
    assert _pointer(problem).startswith("/substitutes/0/")
    body["substitutes"] = [{"item": other, "per": 100_000}]
    done(await tur.put(f"/v1/items/{code}", body))


@pytest.mark.parametrize(("quantity", "per"), [(1, 100_000), (1, MOST), (MOST, 1)])
async def test_what_a_ratio_makes_of_a_quantity_is_never_more_than_can_be_counted(
    service: Service, tur: System, aze: System, vast: tuple[str, str], quantity: int, per: int
) -> None:
    code, other = vast
    # As an earlier version let it be stored.
    async with service.database.transaction() as tx:
        await tx.exec_driver_sql(
            "INSERT INTO substitutes (item, substitute, quantity, per) "
            f"VALUES ('{code}', '{other}', {quantity}, {per})"
        )
    lot = await aze.lot(MOST, item=other)
    request = await tur.request(goods(MOST, item=code, accept_substitutes=True))
    matches = await tur.get(f"/v1/requests/{request['id']}/matches")
    assert matches.status_code == 200, matches.text
    answer = await aze.propose(request, from_lot(request, lot, MOST))
    if quantity > 1:
        offer = done(answer, 201)
        assert (await tur.accept(offer))["status"] == "accepted"
    else:
        problem = refused(answer, 422, "invalid_input")
        assert problem["errors"][0]["code"] == "too_large"
        offer = await aze.offer(request, from_lot(request, lot, MOST // per))
    await asyncio.gather(*(s.get(f"/v1/offers/{offer['id']}") for s in (tur, aze)))
    board = await tur.get(f"/v1/emergencies/{request['emergency']}/board")
    assert board.status_code == 200
