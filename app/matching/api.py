"""Plans: for a request, for an emergency; what if; preparedness; screening."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app import json_text
from app.access.guard import Provider, Reader
from app.calls import Question
from app.emergencies.api import EmergencyId
from app.fields import Instant
from app.matching import actions, preparing
from app.matching.hosting import Thinking
from app.matching.schemas import Options, PlanInput, ScenarioInput, ScreeningInput, Seconds
from app.matching.shown import Plan, Preparedness, Screening
from app.pages import single
from app.problems import answers
from app.requests.schemas import RequestId
from app.shares import Snapshots

router = APIRouter(prefix="/v1", tags=["Matching"], route_class=Question)


async def _thinking(request: Request) -> Thinking:
    thinking: Thinking = request.app.state.thinking
    return thinking


Thinker = Annotated[Thinking, Depends(_thinking)]
At = Annotated[
    Instant | None,
    Query(description="Reckon from this instant; now where left out.", examples=[None]),
]
Limit = Annotated[Seconds, Query(description="Seconds to search.", examples=[10])]


@router.get(
    "/requests/{id}/matches",
    summary="Plan for a request",
    response_model=Plan,
    responses=answers("not_found", "role_forbidden", "wrong_state", "plan_failed"),
)
async def get_matches(
    id: RequestId,
    caller: Reader,
    database: Snapshots,
    thinking: Thinker,
    at: At = None,
    time_limit: Limit = 10.0,
) -> Response:
    """Who could cover an open request best, and when it would arrive. Nothing is reserved.

    For the requester and the secretariat. The plan covers as much as can arrive in time, then as
    soon as possible, with a fair share of each society's stock, in the fewest consignments, at the
    lowest cost, from what expires first. It uses what the requester may see.
    """
    asking = actions.Asking(at, Options(time_limit=time_limit).plain())
    return single(await actions.match(database, thinking, caller, id, asking))


@router.post(
    "/emergencies/{id}/plan",
    summary="Plan for an emergency",
    response_model=Plan,
    responses=answers("not_found", "role_forbidden", "unknown_reference", "plan_failed"),
)
async def plan_emergency(
    id: EmergencyId, body: PlanInput, caller: Reader, database: Snapshots, thinking: Thinker
) -> Response:
    """The best plan for all open requests of an emergency together. Nothing is stored.

    For the secretariat and for members with an open request in the emergency. Critical comes
    before high before normal; a member is shown what concerns its own requests, and the secretariat
    plans with what it may see itself. `what_if` supposes closed legs, further lots, other
    deadlines, and compares.
    """
    what_if = body.what_if.plain() if body.what_if else None
    asking = actions.Asking(body.at, body.plain(), what_if, body.requests)
    return single(await actions.plan(database, thinking, caller, id, asking))


@router.post(
    "/preparedness",
    summary="Try a scenario",
    response_model=Preparedness,
    responses=answers("unknown_reference", "plan_failed"),
)
async def try_scenario(
    body: ScenarioInput, caller: Reader, database: Snapshots, thinking: Thinker
) -> Response:
    """How many hours until the network's present stock covers a scenario, and what is missing.

    Needs are those of the Sphere minimum standards (2018), each with its source, unless you give
    your own. It reckons with what you may see, including your own stock. Nothing is stored.
    """
    place = body.place
    scenario = {
        "place": [place.name, place.country, place.lat, place.lon],
        "people": body.people,
        "within_hours": body.within_hours,
        "days": body.days,
        "needs": None if body.needs is None else [need.model_dump() for need in body.needs],
        "items": preparing.ITEMS if body.needs is None else [need.item for need in body.needs],
    }
    options = Options(margin_days=body.margin_days, handling_hours=body.handling_hours)
    asking = actions.Asking(body.at, options.plain())
    return single(await actions.prepare(database, thinking, caller, scenario, asking))


@router.post(
    "/offers/screening",
    summary="Screen an unsolicited offer",
    response_model=Screening,
    responses=answers("not_found", "unknown_reference", "pack_mismatch"),
)
async def screen_offer(body: ScreeningInput, caller: Provider, database: Snapshots) -> Response:
    """Whether an open request needs what you would offer unasked, and what is needed instead.

    Takes the body of an unsolicited `POST /v1/offers`. Nothing is stored: ask before you offer,
    since what nobody needs becomes waste where it arrives.
    """
    lots = [
        (line.stock, line.quantity, line.pack)
        for line in body.lines
        if line.stock is not None and line.quantity is not None
    ]
    pools = [
        (line.volunteers, line.headcount)
        for line in body.lines
        if line.volunteers is not None and line.headcount is not None
    ]
    offer = actions.Unasked(body.emergency, body.to, lots, pools)
    found = await actions.screen(database, caller, offer)
    return single(json_text.dump(found).decode())
