"""The first days: publish, report, ask, offer, accept; and one lot that two desks want."""

import asyncio
from datetime import timedelta

from app import clock
from app.client.errors import Refused
from app.client.exchange import Exchange
from app.exercise import kahramanmaras as facts
from app.exercise.kahramanmaras import Help, Line
from app.exercise.stage import Stage, Unexpected, expect
from app.exercise.telling import Json, amount, listed

Taken = list[tuple[Help, Json]]
"""What was accepted: the help and its offer."""


async def publish(stage: Stage) -> None:
    """Each society publishes its sites, lots and pools, all five at once."""
    stage.telling.day("Before", "The five publish what they have. All counts are synthetic.")
    await asyncio.gather(*(_publish(stage, society) for society in stage.systems))


async def _publish(stage: Stage, society: str) -> None:
    system, run = stage.systems[society], stage.run
    sites = [site for site in facts.SITES if site.society == society]
    for site in sites:
        await system.put(
            f"/v1/my/sites/exercise-{site.ref}",
            {
                "name": f"{site.name} (exercise)",
                "country": society,
                "lat": site.lat,
                "lon": site.lon,
                "kind": site.kind,
            },
        )
    lots = [lot for lot in facts.LOTS if lot.society == society]
    for lot in lots:
        ref = f"synthetic-{lot.item}-{run}"
        stage.lots[society, lot.item] = await system.put(
            f"/v1/my/stock/{ref}",
            {
                "item": lot.item,
                "site": f"exercise-{lot.site}",
                "quantity": lot.quantity,
                "keep_back": lot.keep_back,
                "lot_number": f"SYNTHETIC-{society}-{run}",
                "expires_on": _expiry(lot),
                "as_of": "2023-02-05T18:00:00Z",
            },
        )
    pools = [pool for pool in facts.POOLS if pool.society == society]
    for pool in pools:
        ref = f"synthetic-{pool.skill}-{run}"
        stage.pools[society, pool.skill] = await system.put(
            f"/v1/my/volunteers/{ref}",
            {
                "skill": pool.skill,
                "site": f"exercise-{pool.site}",
                "headcount": pool.headcount,
                "languages": list(pool.languages),
                "available_from": facts.POOLS_FROM,
                "available_until": facts.POOLS_UNTIL,
                "notice_hours": 12,
                "as_of": "2023-02-06T03:00:00Z",
            },
        )
    has = [amount(lot.quantity, lot.item) for lot in lots]
    has += [amount(pool.headcount, pool.skill) for pool in pools]
    places = listed([site.name for site in sites])
    stage.telling.says(society, f"{places}: {listed(has)}.")


def _expiry(lot: facts.Lot) -> str | None:
    # From today on: expired goods cannot be offered, in whichever year the exercise is played.
    if lot.good_for is None:
        return None
    return (clock.now().date() + timedelta(days=lot.good_for)).isoformat()


async def report(stage: Stage) -> None:
    """Türkiye reports the earthquake and asks for help."""
    stage.telling.day("6 February 2023", "The earth quakes at Kahramanmaraş.")
    body: Json = {
        **facts.EMERGENCY,
        "name": f"Kahramanmaraş earthquakes (exercise {stage.run})",
        "glide": facts.GLIDE,
    }
    try:
        stage.emergency = await stage.tur.post("/v1/emergencies", body)
    except Refused as refusal:
        expect(refusal.code == "already_exists", str(refusal))
        stage.telling.notes(f"{facts.GLIDE} is an earlier run's; this one goes without a number.")
        stage.emergency = await stage.tur.post("/v1/emergencies", body | {"glide": None})
    glide = stage.emergency["glide"]
    number = f" GLIDE {glide} (synthetic)." if glide else ""
    stage.telling.says("TUR", f"Reports: {stage.emergency['name']}.{number}")
    for request in facts.REQUESTS:
        await _ask(stage, request)


async def _ask(stage: Stage, request: facts.Request) -> None:
    name, lat, lon = request.place
    asked = await stage.tur.post(
        "/v1/requests",
        {
            "emergency": stage.emergency["id"],
            "title": f"{request.title} (synthetic)",
            "priority": request.priority,
            "needed_by": request.needed_by,
            "destination": {"name": name, "country": "TUR", "lat": lat, "lon": lon},
            "lines": [_line(need) for need in request.needs],
            "notes": "Exercise: the quantities asked for are synthetic.",
        },
    )
    for need, line in zip(request.needs, asked["lines"], strict=True):
        stage.needs[need.name] = asked["id"], line["id"]
    wants = listed([amount(need.requested, need.code) for need in request.needs])
    stage.telling.says("TUR", f"{request.title} ({request.priority}), to {name}: asks for {wants}.")


def _line(need: facts.Need) -> Json:
    if need.code in (facts.RESCUE, facts.MEDICINE):
        return {
            "kind": "volunteers",
            "skill": need.code,
            "headcount": need.requested,
            "from": facts.RESCUE_FROM,
            "until": facts.RESCUE_UNTIL,
            "languages": ["tr"],
        }
    return {
        "kind": "stock",
        "item": need.code,
        "quantity": need.requested,
        "accept_substitutes": True,
    }


async def offer(stage: Stage) -> Taken:
    """The four offer what they have, at the same time. Türkiye accepts: whole, or in part."""
    stage.telling.day("7 February", "Four societies offer. What is offered is reserved at once.")
    helps = (*facts.PEOPLE, *facts.GOODS)
    offers = await asyncio.gather(*(propose(stage, given) for given in helps))
    await _repeat(stage)
    stage.telling.day("7 February", "Türkiye accepts, whole or in part.")
    taken = list(zip(helps, offers, strict=True))
    for given, proposed in taken:
        await accept(stage, given, proposed)
    return taken


async def propose(stage: Stage, given: Help, by: Exchange | None = None) -> Json:
    """Offer, and tell it."""
    system = by or stage.systems[given.society]
    proposed = await system.post("/v1/offers", stage.offer_body(given))
    expect(proposed["status"] == "proposed", f"a new offer is {proposed['status']}")
    what = listed([amount(line.offered, line.code) for line in given.lines])
    origin = f"reported: {given.real}" if given.real else "synthetic"
    stage.telling.says(given.society, f"Offers {what} ({origin}).")
    return proposed


async def _repeat(stage: Stage) -> None:
    """A call whose answer is lost on the way is repeated: the key gives it one effect."""
    system, key = stage.systems["KGZ"], f"exercise-{stage.run}-lost-answer"
    lot = stage.lots["KGZ", facts.FLOUR]
    spare = Help("KGZ", (Line("flour", facts.FLOUR, 3_000, 0),), None)
    before = await system.get(f"/v1/my/stock/{lot['ref']}")
    body = stage.offer_body(spare)
    first = await system.post("/v1/offers", body, once=key)
    again = await system.post("/v1/offers", body, once=key)
    after = await system.get(f"/v1/my/stock/{lot['ref']}")
    expect(first.created, "the offer was not created")
    expect(again.replayed, "the repeat was not recognised")
    expect(again == first, "the repeat was answered otherwise")
    expect(after["reserved"] - before["reserved"] == 3_000, "the repeat reserved once more")
    stage.telling.says(
        "KGZ",
        "Offers 3,000 kg of flour more; the answer is lost on the way. It repeats the call with "
        "the same Idempotency-Key: the same offer again, reserved once.",
    )
    await system.post(f"/v1/offers/{first['id']}/withdraw", {"reason": "Needed at home."})
    stage.telling.says("KGZ", "Withdraws it: needed at home. The 3,000 kg are free again.")


async def accept(stage: Stage, given: Help, proposed: Json) -> None:
    """Accept an offer as far as the story does, and count it."""
    parts = [
        {"line": made["id"], "quantity": line.accepted}
        for line, made in zip(given.lines, proposed["lines"], strict=True)
    ]
    whole = all(line.accepted == line.offered for line in given.lines)
    accepted = await stage.tur.post(
        f"/v1/offers/{proposed['id']}/accept", None if whole else {"lines": parts}
    )
    expect(accepted["status"] == "accepted", f"an accepted offer is {accepted['status']}")
    for line, made in zip(given.lines, accepted["lines"], strict=True):
        expect(made["accepted"] == line.accepted, f"{made['accepted']} of {line.need} accepted")
        need = line.need or line.code
        # What is not accepted is freed, and stands offered no longer.
        stage.count(need, given.society, offered=line.accepted, accepted=line.accepted)
        if given.real:
            stage.reported[need, given.society] = given.real
        if line.accepted < line.offered:
            own = await stage.systems[given.society].get(
                f"/v1/my/stock/{stage.lots[given.society, line.code]['ref']}"
            )
            expect(own["reserved"] == line.accepted, "what is not accepted is still reserved")
    took = [
        amount(line.accepted, line.code)
        + (f" of {line.offered:,}, the rest is free again" if line.accepted < line.offered else "")
        for line in given.lines
    ]
    stage.telling.says("TUR", f"Accepts from {given.society}: {listed(took)}.")


async def help_unasked(stage: Stage) -> Taken:
    """Two offers that nobody asked for: one is declined, one is taken in part."""
    stage.telling.day("8 February", "Help that nobody asked for is looked at before it travels.")
    nets, parcels = await asyncio.gather(
        propose(stage, facts.UNWANTED), propose(stage, facts.UNSOLICITED)
    )
    reason = "It is winter: no mosquitoes. Please keep them for the summer."
    declined = await stage.tur.post(f"/v1/offers/{nets['id']}/decline", {"reason": reason})
    expect(declined["status"] == "declined", f"a declined offer is {declined['status']}")
    stage.telling.says("TUR", f"Declines the nets: {reason}")
    own = await stage.systems["KAZ"].get(f"/v1/my/stock/{stage.lots['KAZ', facts.NET]['ref']}")
    expect(own["reserved"] == 0, "what is declined is still reserved")
    await accept(stage, facts.UNSOLICITED, parcels)
    return [(facts.UNSOLICITED, parcels)]


async def contest(stage: Stage) -> Taken:
    """Two systems of one society promise the same blankets at the same instant: one may.

    Which one is decided in the database, and the story goes on with either.
    """
    stage.telling.day("8 February", "One lot, two desks, the same instant.")
    baku = stage.systems["AZE"]
    lot = await baku.get(f"/v1/my/stock/{stage.lots['AZE', facts.BLANKET]['ref']}")
    made = await baku.post(
        "/v1/clients", {"name": "Exercise: Ganja desk", "scopes": ["read", "offers:write"]}
    )
    stage.telling.says(
        "AZE",
        f"Has {lot['available']:,} blankets left. Its Baku desk offers {_BOTH:,} to Gaziantep and "
        f"its Ganja desk {_BOTH:,} to Pazarcık; neither knows of the other.",
    )
    tries = [_contested("AZE", need) for need in facts.CONTESTED]
    async with Exchange(baku.url, made["key"]) as ganja:
        answers = await asyncio.gather(
            *(
                desk.post("/v1/offers", stage.offer_body(given))
                for desk, given in zip((baku, ganja), tries, strict=True)
            ),
            return_exceptions=True,
        )
    first = 1 if isinstance(answers[0], BaseException) else 0
    offered, refusal = answers[first], answers[1 - first]
    won, lost = tries[first], tries[1 - first]
    if isinstance(offered, BaseException) or not isinstance(refusal, Refused):
        raise Unexpected(f"of two desks one should have promised: {answers}")
    expect(refusal.code == "insufficient_stock", str(refusal))
    expect("lines" in refusal.problem, f"{refusal}: it does not say which line is at fault")
    left = refusal.problem["lines"][0]["available"]
    expect(left == lot["available"] - _BOTH, f"{left} blankets are said to be available")
    desks = ("Baku", "Ganja")
    stage.telling.says(
        "AZE", f"✓ 201: {_BOTH:,} are reserved for the {desks[first]} desk ({won.lines[0].need})."
    )
    stage.telling.refuses("AZE", refusal)
    stage.telling.notes(
        f"The {desks[1 - first]} desk offered {_BOTH:,}, {left:,} were available, and nothing of "
        "its offer was reserved. No blanket is promised twice."
    )
    await accept(stage, won, offered)
    other = _contested("KGZ", lost.lines[0].need)
    stepping_in = await propose(stage, other)
    await accept(stage, other, stepping_in)
    return [(won, offered), (other, stepping_in)]


_BOTH = facts.CONTESTED_QUANTITY


def _contested(society: str, need: str) -> Help:
    line = Line(need, facts.BLANKET, _BOTH, _BOTH)
    real, journey = facts.CONTESTED_BY[society]
    return Help(society, (line,), real, (journey,))
