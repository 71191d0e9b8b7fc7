"""Imports that race with offers and with each other promise nothing twice and lose nothing."""

import asyncio
from itertools import pairwise
from typing import Any

from tests.conftest import Service
from tests.test_import_stock import bring, counts, recorded, sent, sheet
from tests.world import BLANKET, System, done, fresh, from_lot, goods, refused


async def test_imports_that_race_with_offers_never_promise_too_much(
    tur: System, aze: System
) -> None:
    lots = [await aze.lot(100) for _ in range(12)]
    site = await aze.site()
    request = await tur.request(goods(1_000_000))

    def table(quantity: int, step: int) -> str:
        return sheet(*(f"{lot['ref']},{BLANKET},{site},{quantity}" for lot in lots[::step]))

    async def offers(n: int) -> int:
        order = lots if n % 2 else lots[::-1]
        made = 0
        for lot, next_lot in pairwise(order):
            answer = await aze.propose(
                request, from_lot(request, lot, 7), from_lot(request, next_lot, 3)
            )
            assert answer.status_code in (201, 409), answer.text
            made += answer.status_code == 201
        return made

    async def imports(n: int) -> None:
        for turn in range(4):
            report = await bring(aze, table(60 + 10 * ((n + turn) % 5), (-1) ** n))
            assert report["refused"] == 0

    made = await asyncio.gather(*(offers(n) for n in range(6)), *(imports(n) for n in range(4)))
    assert sum(m or 0 for m in made) > 0
    for lot in lots:
        own = await aze.own_lot(lot)
        highest = max(100, own["quantity"])
        assert 0 < own["reserved"] <= highest
        assert own["shortfall"] == max(0, own["reserved"] - own["quantity"])
    # Whether each single promise fitted the count of its moment, the proof of the ledger tells at
    # the end of the run.


async def test_two_imports_of_a_society_at_once_leave_what_one_of_them_says(
    kaz: System,
) -> None:
    site = await kaz.site()
    refs = [fresh("twin") for _ in range(300)]
    tables = [sheet(*(f"{ref},{BLANKET},{site},{count}" for ref in refs)) for count in (1, 2, 3, 4)]
    tables[1] = sheet(*tables[1].splitlines()[:0:-1])
    reports = await asyncio.gather(*(bring(kaz, table) for table in tables))
    assert sum(r["created"] for r in reports) == 300
    assert sum(r["created"] + r["changed"] for r in reports) == 1200
    counted = {done(await kaz.get(f"/v1/my/stock/{ref}"))["quantity"] for ref in refs[::30]}
    assert len(counted) == 1


async def test_the_same_import_sent_many_times_at_once_takes_effect_once(
    aze: System, service: Service
) -> None:
    site, key = await aze.site(), fresh("at-once")
    table = sheet(*(f"{fresh('once')},{BLANKET},{site},5" for _ in range(200)))
    before = await recorded(service, "AZE")
    answers = await asyncio.gather(*(sent(aze, table, key=key) for _ in range(6)))
    taken = [answer for answer in answers if answer.status_code == 200]
    for answer in answers:
        if answer.status_code == 429:
            # So many files of one society are not taken at once.
            refused(answer, 429, "rate_limited")
        elif answer.status_code != 200:
            refused(answer, 409, "idempotency_in_progress")
    assert taken and {answer.json()["created"] for answer in taken} == {200}
    assert [a.headers.get("idempotency-replayed") for a in taken].count(None) == 1
    assert (await sent(aze, table, key=key)).json() == taken[0].json()
    assert await recorded(service, "AZE") == before + 200


async def test_an_import_and_single_publications_of_the_same_references_both_take_effect(
    aze: System,
) -> None:
    site = await aze.site()
    refs = [fresh("mixed") for _ in range(150)]
    table = sheet(*(f"{ref},{BLANKET},{site},5" for ref in refs))

    async def put(ref: str) -> Any:
        body = {"item": BLANKET, "site": site, "quantity": 5}
        return (await aze.put(f"/v1/my/stock/{ref}", body)).status_code

    answers = await asyncio.gather(
        sent(aze, table), *(put(ref) for ref in refs[::2]), *(put(ref) for ref in refs[1::2])
    )
    report = done(answers[0])
    assert counts(report)[5] == 0
    assert answers[1:].count(201) + report["created"] == 150, "each is created once"
