"""The days that follow: goods travel and are signed for, people come, stay and go home."""

import asyncio

from app.client.errors import Refused
from app.exercise import kahramanmaras as facts
from app.exercise.kahramanmaras import Help, Journey
from app.exercise.stage import Stage, expect
from app.exercise.story import Taken
from app.exercise.telling import Json, amount, listed

Sent = list[tuple[Help, Journey, Json]]
"""What has left: whose, which journey, its consignment."""


async def send(stage: Stage, taken: Taken) -> Sent:
    """All providers plan, dispatch and report at the same time."""
    stage.telling.day("8 to 13 February", "Trucks, trains and planes. Days of travel: synthetic.")
    sent = await asyncio.gather(
        *(
            _send(stage, given, offer, journey)
            for given, offer in taken
            for journey in given.journeys
        )
    )
    return [(given, journey, consignment) for given, journey, consignment in sent if consignment]


async def _send(
    stage: Stage, given: Help, offer: Json, journey: Journey
) -> tuple[Help, Journey, Json]:
    system = stage.systems[given.society]
    cargo = listed([amount(load.quantity, given.lines[load.line].code) for load in journey.loads])
    consignment = await system.post(
        "/v1/consignments",
        {
            "offer": offer["id"],
            "lines": [
                {"offer_line": offer["lines"][load.line]["id"], "quantity": load.quantity}
                for load in journey.loads
            ],
            "mode": journey.mode,
            "waybill": f"{journey.waybill}-{stage.run}",
            "carrier": "Synthetic carrier",
        },
    )
    if journey.ends == "planned":
        stage.telling.says(given.society, f"{journey.waybill}: {cargo} planned, not gone yet.")
        return given, journey, {}
    path = f"/v1/consignments/{consignment['id']}"
    await system.post(f"{path}/dispatch")
    for load in journey.loads:
        line = given.lines[load.line]
        stage.count(line.need or line.code, given.society, dispatched=load.quantity)
    for place, at in journey.places:
        consignment = await system.post(f"{path}/checkpoints", {"place": place, "at": at})
    seen = [checkpoint["place"] for checkpoint in consignment["checkpoints"]]
    expect(seen == [place for place, _ in journey.places], f"{journey.waybill} was seen at {seen}")
    by = f", seen at {listed(seen)}" if seen else ""
    stage.telling.says(given.society, f"{journey.waybill} ({journey.mode}): {cargo} leave{by}.")
    return given, journey, consignment


async def receive(stage: Stage, sent: Sent) -> None:
    """What arrives is counted and signed for; what does not is reported."""
    stage.telling.day("9 to 16 February", "Counted and signed for. Damage and loss: synthetic.")
    await asyncio.gather(*(_receive(stage, *one) for one in sent))


async def _receive(stage: Stage, given: Help, journey: Journey, consignment: Json) -> None:
    path = f"/v1/consignments/{consignment['id']}"
    name = journey.waybill
    if journey.ends == "lost":
        reason = "The truck went off the road in the snow; the load is lost (synthetic)."
        lost = await stage.systems[given.society].post(f"{path}/lost", {"reason": reason})
        expect(lost["status"] == "lost", f"{name} is {lost['status']}")
        for load in journey.loads:
            stage.count(given.lines[load.line].need, given.society, lost=load.quantity)
        stage.telling.says(given.society, f"{name}: {reason}")
        return
    if journey.ends == "on the way":
        stage.telling.says(given.society, f"{name}: still on the way when the story ends.")
        return
    await stage.tur.post(f"{path}/arrive")
    found = [
        {
            "line": line["id"],
            "received": load.quantity - load.damaged - load.missing,
            "damaged": load.damaged,
            "missing": load.missing,
            "note": load.note and f"{load.note} (synthetic)",
        }
        for load, line in zip(journey.loads, consignment["lines"], strict=True)
    ]
    if any(load.missing for load in journey.loads):
        # A count that does not add up to what left is sent back: nobody loses a bale by a slip.
        short = [{**line, "missing": 0} for line in found]
        await stage.refused("TUR", f"{path}/receive", {"lines": short}, "receipt_mismatch")
        stage.telling.notes(f"{name}: the first count left out what is missing. It counts again.")
    received = await stage.tur.post(f"{path}/receive", {"lines": found})
    expect(received["status"] == "received", f"{name} is {received['status']}")
    told = []
    for load, line in zip(journey.loads, found, strict=True):
        asked = given.lines[load.line]
        stage.count(
            asked.need or asked.code,
            given.society,
            received=line["received"],
            damaged=load.damaged,
            lost=load.missing,
        )
        told.append(amount(line["received"], asked.code))
        if load.note:
            told[-1] += f" ({load.damaged:,} damaged, {load.missing:,} missing: {load.note})"
    stage.telling.says("TUR", f"Signs for {name} of {given.society}: {listed(told)}.")


async def deploy(stage: Stage, taken: Taken) -> None:
    """Teams leave, work, are asked to stay or released, and go home."""
    stage.telling.day("7 to 21 February", "The teams. Their names are synthetic, and sealed.")
    people = [(given, offer) for given, offer in taken if given in facts.PEOPLE]
    teams = await asyncio.gather(
        *(_come(stage, given, offer, n) for given, offer in people for n in range(len(given.lines)))
    )
    await _pry(stage, teams[0])
    await asyncio.gather(*(_end(stage, team) for team in teams))


async def _come(stage: Stage, given: Help, offer: Json, n: int) -> Json:
    system, line = stage.systems[given.society], given.lines[n]
    team = await system.post(
        "/v1/deployments",
        {
            "offer": offer["id"],
            "offer_line": offer["lines"][n]["id"],
            "headcount": line.accepted,
        },
    )
    path = f"/v1/deployments/{team['id']}"
    names = [
        {"name": f"Synthetic Person {given.society}-{k}", "role": role, "languages": ["ru", "tr"]}
        for k, role in enumerate(("team leader", "deputy", "interpreter"), 1)
    ]
    await system.put(f"{path}/manifest", {"people": names})
    await system.post(f"{path}/mobilise")
    there = await stage.tur.post(f"{path}/arrive")
    expect(there["status"] == "deployed", f"a team that arrived is {there['status']}")
    read = await stage.tur.get(f"{path}/manifest")
    expect(
        [person["name"] for person in read["people"]] == [person["name"] for person in names],
        "the receiver reads another manifest",
    )
    stage.count(line.need, given.society, dispatched=line.accepted, received=line.accepted)
    stage.telling.says(given.society, f"{amount(line.accepted, line.code)} leave and arrive.")
    return there


async def _pry(stage: Stage, team: Json) -> None:
    """Who comes is for the two parties alone: for anybody else the deployment is not there."""
    stranger = next(s for s in facts.SOCIETIES if s not in (team["society"], team["to"]))
    try:
        await stage.systems[stranger].get(f"/v1/deployments/{team['id']}/manifest")
    except Refused as refusal:
        expect(refusal.code == "not_found", str(refusal))
        stage.telling.notes(f"{stranger} asks who comes from {team['society']}:")
        stage.telling.refuses(stranger, refusal)
    else:
        expect(False, f"{stranger} read the manifest of {team['society']}")


async def _end(stage: Stage, team: Json) -> None:
    society, path = team["society"], f"/v1/deployments/{team['id']}"
    system, who = stage.systems[society], amount(team["headcount"], team["skill"])
    if society == facts.LONGEST_THERE:
        reason = "The search goes on in two districts (synthetic)."
        asked = await stage.tur.post(
            f"{path}/extension", {"until": facts.EXTENDED_UNTIL, "reason": reason}
        )
        expect(asked["extension"]["asked_by"] == "TUR", "the extension is not shown as asked")
        stage.telling.says("TUR", f"Asks {society} to leave its {who} until 28 February: {reason}")
        longer = await system.post(f"{path}/extension/accept")
        expect(longer["until"].startswith(facts.EXTENDED_UNTIL[:10]), f"until {longer['until']}")
        stage.telling.says(society, f"Agrees: {who} stay a week longer.")
        return
    await stage.tur.post(f"{path}/release", {"reason": "With thanks: the search has ended."})
    home = await system.post(f"{path}/return")
    expect(home["status"] == "returned", f"a team that is home is {home['status']}")
    stage.telling.says(society, f"{who}: released with thanks, and home again.")
