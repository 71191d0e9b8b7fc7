"""The plan: asked for on the first day for everything, and followed for what nobody offered."""

import asyncio

from app.exercise import kahramanmaras as facts
from app.exercise.stage import Stage, expect
from app.exercise.telling import Json, amount, listed


async def look_ahead(stage: Stage) -> None:
    """The secretariat asks who could cover everything best, and how much that is worth."""
    stage.telling.day("6 February", "What would be best? The plan; nothing of it is reserved.")
    plan = await stage.tur.post(
        f"/v1/emergencies/{stage.emergency['id']}/plan", {"at": facts.PLANNED_FIRST_AT}
    )
    best, nearest = plan["summary"], plan["nearest_first"]
    for priority in ("critical", "high"):
        expect(
            best["covered"][priority] >= nearest["covered"][priority]
            or best["covered"]["critical"] > nearest["covered"]["critical"],
            f"the plan covers less {priority} need than nearest first",
        )
    proven = "no plan is better" if plan["optimal"] else "the best found in time"
    stage.telling.says("TUR", f"Asks for a plan: {_told(best)} ({proven}).")
    stage.telling.notes(f"Each line from its nearest stock would make {_told(nearest)}.")
    stage.telling.notes(f"Beside that the plan has {_beside(best, nearest)}.")
    for line in plan["lines"]:
        if line["uncovered"]:
            why = line["reasons"][0]["sentence"]
            stage.telling.notes(f"Open: {amount(line['uncovered'], line['code'])}. {why}")


def _told(figures: Json) -> str:
    covered = figures["covered"]
    return (
        f"{covered['critical']:,} critical and {covered['high']:,} high units and people, on "
        f"average after {figures['mean_hours']} hours, in "
        f"{figures['consignments']} consignments and "
        f"{figures['teams']} teams, for {figures['cost']:,.0f} US dollars of transport"
    )


def _beside(best: Json, nearest: Json) -> str:
    def journeys(figures: Json) -> int:
        return int(figures["consignments"] + figures["teams"])

    more = sum(best["covered"].values()) - sum(nearest["covered"].values())
    return (
        f"{more:+,} units and people, {best['mean_hours'] - nearest['mean_hours']:+,.1f} hours, "
        f"{journeys(best) - journeys(nearest):+} journeys, "
        f"{best['cost'] - nearest['cost']:+,.0f} US dollars"
    )


async def follow(stage: Stage) -> None:
    """Adıyaman has no offer yet. The plan names who can help, and each sends what it is given."""
    stage.telling.day("8 February", "Nobody has offered for Adıyaman. The plan says who can.")
    request, _ = stage.needs[facts.PLANNED]
    plan = await stage.tur.get(f"/v1/requests/{request}/matches", at=facts.PLANNED_AT)
    need_of = {line: need for need, (_, line) in stage.needs.items()}
    for line in plan["lines"]:
        parts = [f"{amount(p['quantity'], p['item'])} of {p['society']}" for p in line["picks"]]
        last = max((pick["arrives"] for pick in line["picks"]), default="never")
        stage.telling.says(
            "TUR", f"{need_of[line['request_line']]}: {listed(parts)}, all there by {last[:16]}."
        )
        expect(line["uncovered"] == 0, f"{line['uncovered']} of {line['code']} are in no plan")
    offers = await asyncio.gather(
        *(
            stage.systems[ready["society"]].post("/v1/offers", ready["offer"])
            for ready in plan["offers"]
        )
    )
    for offer in offers:
        await stage.tur.post(f"/v1/offers/{offer['id']}/accept")
    names = listed(sorted({ready["society"] for ready in plan["offers"]}))
    stage.telling.says("TUR", f"{names} sent their offers as the plan made them; all are accepted.")
    modes = {
        pick["society"]: plan["routes"][pick["route"]]["mode"]
        for line in plan["lines"]
        for pick in line["picks"]
    }
    for offer in offers:
        await _send(stage, offer, modes[offer["society"]])
    for line in plan["lines"]:
        for pick in line["picks"]:
            need, n = need_of[line["request_line"]], pick["covers"]
            stage.count(need, pick["society"], offered=n, accepted=n, dispatched=n)


async def _send(stage: Stage, offer: Json, mode: str) -> None:
    """It leaves as the plan says, and is still on the way when the story ends."""
    system = stage.systems[offer["society"]]
    lines = [{"offer_line": x["id"], "quantity": x["quantity"]} for x in offer["lines"]]
    body = {"offer": offer["id"], "lines": lines, "mode": mode, "carrier": "Synthetic carrier"}
    consignment = await system.post("/v1/consignments", body)
    await system.post(f"/v1/consignments/{consignment['id']}/dispatch")
    cargo = listed([amount(x["quantity"], x["item"]) for x in offer["lines"]])
    stage.telling.says(offer["society"], f"{cargo} leave for Adıyaman ({mode}).")
