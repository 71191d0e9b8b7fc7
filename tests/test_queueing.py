"""Calls that want the same rows wait for their turn; none gives up or stands in another's way."""

import asyncio

from tests.world import System, from_lot, from_pool, goods, people


async def test_offers_from_the_same_lots_and_pools_wait_their_turn(
    tur: System, aze: System
) -> None:
    lots = [await aze.lot(1000) for _ in range(2)]
    pools = [await aze.pool(1000) for _ in range(2)]
    request = await tur.request(goods(1000), goods(1000), people(1000), people(1000))
    lines = [from_lot(request, lot, 1, n) for n, lot in enumerate(lots)]
    lines += [from_pool(request, pool, 1, n + 2) for n, pool in enumerate(pools)]
    turned = lines[::-1]
    answers = await asyncio.gather(
        *(aze.propose(request, *(lines if n % 2 else turned)) for n in range(24))
    )
    assert {a.status_code for a in answers} == {201}
    taken = await asyncio.gather(
        *(tur.post(f"/v1/offers/{a.json()['id']}/accept") for a in answers[:12]),
        *(aze.post(f"/v1/offers/{a.json()['id']}/withdraw") for a in answers[12:]),
        *(aze.propose(request, *(lines if n % 2 else turned)) for n in range(12)),
    )
    assert {a.status_code for a in taken} == {200, 201}
    assert (await aze.own_lot(lots[0]))["reserved"] == 24
