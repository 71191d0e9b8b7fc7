"""Offers that wait for the same lot wait in a queue: a COMMIT wakes one of them and not all."""

import asyncio
from collections import Counter

import pytest

from app.config import Settings
from tests.elsewhere import exchange_of_its_own, superuser
from tests.receivers import eventually
from tests.world import done, from_lot, goods

_WAITING = """
SELECT wait_event FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.mark.parametrize("lots", [1, 2])
async def test_of_the_offers_that_wait_for_a_lot_only_the_first_stands_at_its_row(
    settings: Settings, lots: int
) -> None:
    # At the row they would all wake whenever one has ended, and look for the next to wait for.
    async with exchange_of_its_own(settings) as exchange:
        aze, tur = await exchange.system("AZE"), await exchange.system("TUR")
        own = [await aze.lot(100) for _ in range(lots)]
        request = await tur.request(*(goods(100) for _ in own))
        lines = [from_lot(request, lot, 1, line=n) for n, lot in enumerate(own)]
        holder, watch = await superuser(exchange.url), await superuser(exchange.url)

        async def waits() -> Counter[str] | None:
            found = Counter(row["wait_event"] for row in await watch.fetch(_WAITING))
            return found if found.total() == 6 else None

        held = holder.transaction()
        await held.start()
        await holder.execute("UPDATE lots SET updated_at = updated_at")
        offers = [asyncio.create_task(aze.propose(request, *lines)) for _ in range(6)]
        assert await eventually(waits) == {"advisory": 5, "transactionid": 1}
        await held.rollback()
        for answer in await asyncio.gather(*offers):
            done(answer, 201)
        await holder.close()
        await watch.close()
        assert [(await aze.own_lot(lot))["reserved"] for lot in own] == [6] * lots
