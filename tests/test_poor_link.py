"""Over a link that delays, throttles and cuts, everything happens exactly once."""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack

from app.client.exchange import Exchange
from app.client.retrying import Rules
from app.ledger.verifying import verify
from tests.conftest import Service, make_key
from tests.proxy import PoorLink
from tests.world import BLANKET, System, done, fresh

WORKFLOWS = 1000 if os.environ.get("KOMEK_HYPOTHESIS") == "long" else 100
"""Publish, request, offer, accept: so many times."""
AT_ONCE = 12
RULES = Rules(first=0.05)


async def test_each_workflow_over_a_poor_link_ends_exactly_once(
    service: Service, tur: System, aze: System
) -> None:
    emergency = await tur.emergency()
    site = await aze.site()
    start = done(await tur.get("/v1/events/head"))["seq"]
    link = PoorLink(service.settings.port, seed=2026)
    async with link.open(), AsyncExitStack() as stack:
        asking, helping = [
            await stack.enter_async_context(
                Exchange(link.url, await make_key(service, society), rules=RULES)
            )
            for society in ("TUR", "AZE")
        ]
        door = asyncio.Semaphore(AT_ONCE)

        async def workflow(n: int) -> tuple[str, str, str]:
            async with door:
                lot = await helping.publish_lot(
                    fresh("poor"), {"item": BLANKET, "site": site, "quantity": 100 + n}
                )
                request = await asking.open_request(
                    {
                        "emergency": emergency["id"],
                        "title": f"Workflow {n}",
                        "needed_by": "2027-02-01T12:00:00Z",
                        "destination": {"name": "P", "country": "TUR", "lat": 37.5, "lon": 37.3},
                        "lines": [{"kind": "stock", "item": BLANKET, "quantity": 60}],
                    }
                )
                line = {
                    "request_line": request["lines"][0]["id"],
                    "stock": lot["id"],
                    "quantity": 60,
                }
                offer = await helping.offer({"request": request["id"], "lines": [line]})  # type: ignore[list-item]
                await asking.accept(offer["id"])
                return lot["ref"], request["id"], offer["id"]

        ended = await asyncio.gather(*(workflow(n) for n in range(WORKFLOWS)))
        repeats = asking.called.repeats + helping.called.repeats
        replayed = asking.called.replayed + helping.called.replayed
    print(
        f"{WORKFLOWS} workflows: {link.passed} requests passed, {link.cut_before} cut before and "
        f"{link.cut_after} after they were sent on; {repeats} repeats, {replayed} replayed"
    )
    assert link.cut_before > WORKFLOWS / 10
    assert link.cut_after > WORKFLOWS / 10
    assert replayed > WORKFLOWS / 50, "what was done already was asked for again"

    requests = [r async for r in tur.exchange.requests(emergency=emergency["id"])]
    assert {r["id"] for r in requests} == {request for _, request, _ in ended}
    assert len(requests) == WORKFLOWS
    for request in requests:
        [line] = request["lines"]
        assert (line["offered"], line["accepted"]) == (60, 60)
        assert [o["id"] async for o in tur.exchange.offers(request=request["id"])] == [
            offer for _, asked, offer in ended if asked == request["id"]
        ]
    for n, (ref, _, _) in enumerate(ended):
        own = done(await aze.get(f"/v1/my/stock/{ref}"))
        assert (own["quantity"], own["reserved"]) == (100 + n, 60)
    happened: Counter[str] = Counter()
    for kind in ("request.opened", "offer.proposed", "offer.accepted"):
        events = await _events(tur, start, kind, WORKFLOWS, emergency["id"])
        happened[kind] = len(events)
    assert set(happened.values()) == {WORKFLOWS}
    assert service.settings.database_url is not None
    assert (await verify(service.settings.database_url)).faults == []


async def _events(
    system: System, after: int, kind: str, expected: int, emergency: str
) -> list[object]:
    """What happened of a kind; sealed a moment after it happened."""
    async with asyncio.timeout(30):
        while True:
            wanted = {"types": [kind], "emergency": emergency}
            found: list[object] = [e async for e in system.exchange.events(after, **wanted)]  # type: ignore[arg-type]
            if len(found) >= expected:
                return found
            await asyncio.sleep(0.05)
