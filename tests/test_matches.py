"""Plans over HTTP: from what is published to offers that are accepted."""

from tests.world import BLANKET, System, done, goods, refused


async def test_a_plan_becomes_offers_that_are_accepted_as_they_are(
    tur: System, aze: System
) -> None:
    lot = await aze.lot(500, keep_back=50, item="KRELCOOSETA")
    request = await tur.request(goods(400, "KRELCOOSETA"))
    plan = done(await tur.get(f"/v1/requests/{request['id']}/matches"))
    print(plan)
    assert plan["optimal"] is True
