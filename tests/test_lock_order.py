"""Offers of the same lots and pools, in whatever order, never stand in each other's way."""

import asyncio
from itertools import pairwise

from tests.world import System, from_lot, from_pool, goods, people


async def test_offers_of_the_same_lots_in_both_orders_all_succeed(tur: System, aze: System) -> None:
    lots = [await aze.lot(1000) for _ in range(12)]
    request = await tur.request(goods(1_000_000))

    async def offers(n: int) -> None:
        order = lots if n % 2 else lots[::-1]
        for a, b in pairwise(order):
            answer = await aze.propose(request, from_lot(request, a, 7), from_lot(request, b, 3))
            assert answer.status_code == 201, answer.text

    await asyncio.gather(*(offers(n) for n in range(8)))


async def test_offers_of_the_same_pools_in_both_orders_all_succeed(
    tur: System, kgz: System
) -> None:
    pools = [await kgz.pool(1000) for _ in range(12)]
    request = await tur.request(people(10_000))

    async def offers(n: int) -> None:
        order = pools if n % 2 else pools[::-1]
        for a, b in pairwise(order):
            answer = await kgz.propose(request, from_pool(request, a, 2), from_pool(request, b, 1))
            assert answer.status_code == 201, answer.text

    await asyncio.gather(*(offers(n) for n in range(8)))
