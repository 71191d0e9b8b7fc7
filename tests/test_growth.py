"""What a change costs does not grow with the tables, whatever stood in them when it was planned."""

import asyncio

from app.config import Settings
from tests.elsewhere import exchange_of_its_own, superuser
from tests.world import done, from_lot, from_pool, goods, people

_SCANS = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY($1)"
_GROW = (
    "consignments", "consignment_lines", "deployments", "idempotency_answers", "lots", "offers",
    "offer_lines", "pledges", "pools", "promises", "records", "requests", "request_lines",
    "reservations", "seals",
)  # fmt: skip


async def test_no_change_reads_a_table_through_though_all_were_empty_when_it_was_planned(
    settings: Settings,
) -> None:
    # An emptied table with fresh statistics is the trap: reading it through looks free, and the
    # plan is kept while the table grows.
    async with exchange_of_its_own(settings) as exchange:
        aze, tur = await exchange.system("AZE"), await exchange.system("TUR")
        own = await superuser(exchange.url)
        await own.execute("ANALYZE")
        before = {row["relname"]: row["seq_scan"] for row in await own.fetch(_SCANS, _GROW)}

        lot, pool = await aze.lot(100), await aze.pool(100)
        request = await tur.request(goods(100), people(100))
        for n in range(5):
            lines = from_lot(request, lot, 5), from_pool(request, pool, 5, line=1)
            offer = done(await aze.propose(request, *lines, Idempotency_Key=f"offer-{n}"), 201)
            await tur.accept(offer)
            consignment = await aze.consign(offer, 5)
            await aze.move("consignments", consignment, "dispatch")
            done(await tur.receive(consignment, 5))
            deployment = await aze.deploy(offer, 5, line=1)
            for verb in ("mobilise", "arrive"):
                await aze.move("deployments", deployment, verb)

        # A connection tells what it read when it ends, or up to ten seconds later.
        await exchange.service.database.close()
        await asyncio.sleep(0.3)
        after = {row["relname"]: row["seq_scan"] for row in await own.fetch(_SCANS, _GROW)}
        await own.close()
    assert {table: n for table, n in after.items() if n != before[table]} == {}
