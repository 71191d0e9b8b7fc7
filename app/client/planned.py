"""What is asked of plans, and what they say: plans, scenarios, screening.

One type for each schema of the OpenAPI document, under its name; see shown.py.
"""

from typing import Any, Literal, NotRequired, TypedDict

from app.client.agreed import Mode, Priority
from app.client.roads import Stretch


class Weights(TypedDict):
    """Time, fair share, consignments and cost as one sum."""

    time: NotRequired[float]
    fair_share: NotRequired[float]
    consignments: NotRequired[float]
    cost: NotRequired[float]


class SupposedLot(TypedDict):
    """Stock as if it were there."""

    society: str
    item: str
    quantity: int
    place: str
    country: str
    lat: float
    lon: float
    expires_on: NotRequired[str | None]


class LaterDeadline(TypedDict):
    """A request as if it could wait, or could not."""

    request: str
    needed_by: str


class WhatIf(TypedDict):
    """Suppositions. Nothing of them is stored."""

    closed_legs: NotRequired[list[str]]
    lots: NotRequired[list[SupposedLot]]
    deadlines: NotRequired[list[LaterDeadline]]


class PlanInput(TypedDict):
    """A question for the plan of an emergency."""

    at: NotRequired[str | None]
    latest_arrival: NotRequired[str | None]
    max_consignments: NotRequired[int | None]
    leave_out: NotRequired[list[str]]
    weights: NotRequired[Weights | None]
    margin_days: NotRequired[int]
    handling_hours: NotRequired[float]
    modes: NotRequired[list[Mode]]
    substitutes: NotRequired[bool]
    count_proposed: NotRequired[bool]
    time_limit: NotRequired[float]
    requests: NotRequired[list[str] | None]
    what_if: NotRequired[WhatIf | None]


class Stage(TypedDict):
    """How far one criterion is proven."""

    criterion: str
    proven: bool
    gap: float


class ByPriority(TypedDict):
    """A figure by priority."""

    critical: int
    high: int
    normal: int


class Summary(TypedDict):
    """The plan in figures."""

    outstanding: ByPriority
    covered: ByPriority
    consignments: int
    teams: int
    mean_hours: float | None
    last_arrival: str | None
    weight_kg: float
    cost: float


class Reason(TypedDict):
    """Why something stays uncovered."""

    code: str
    sentence: str
    quantity: int | None


class StartingSite(TypedDict):
    """The site that something would leave from."""

    name: str
    country: str
    lat: float
    lon: float


class Packs(TypedDict):
    """The quantity in packs."""

    pack: str
    count: int


class GoodsPick(TypedDict):
    """Goods from a lot."""

    society: str
    covers: int
    arrives: str
    hours: float
    site: StartingSite
    route: int
    stock: str | None
    supposed: bool
    item: str
    quantity: int
    unit: str
    packs: Packs | None
    expires_on: str | None
    weight_kg: float | None
    volume_l: float | None
    cost: float | None


class PeoplePick(TypedDict):
    """People from a pool."""

    society: str
    covers: int
    arrives: str
    hours: float
    site: StartingSite
    route: int
    volunteers: str
    headcount: int
    skill: str
    speak: list[str]


class PlannedLine(TypedDict):
    """A line, what is planned for it, and what is not."""

    request: str
    request_line: str
    society: str
    title: str
    priority: Priority
    needed_by: str
    kind: Literal["stock", "volunteers"]
    code: str
    requested: int
    outstanding: int
    proposed: int
    covered: int
    uncovered: int
    reasons: list[Reason]
    picks: list[GoodsPick | PeoplePick]


class PlannedRoute(TypedDict):
    """A route that picks travel by."""

    mode: str
    hours: float
    cost_per_tonne: float
    stretches: list[Stretch]


class Total(TypedDict):
    """What a society would give of an item or a skill."""

    society: str
    code: str
    unit: str
    quantity: int
    weight_kg: float
    volume_l: float
    cost: float


class ReadyOffer(TypedDict):
    """An offer that the society can send as it is."""

    society: str
    request: str
    offer: dict[str, Any]


class Compared(TypedDict):
    """Some figures of a plan."""

    covered: ByPriority
    consignments: int
    teams: int
    mean_hours: float | None
    last_arrival: str | None
    cost: float


class Comparison(TypedDict):
    """The plan as things are, and as they are supposed."""

    as_it_is: Compared
    supposed: Compared


class NotPlanned(TypedDict):
    """What a society has beyond its share of what a plan takes."""

    society: str
    lines: int
    lots: int


class Plan(TypedDict):
    """A plan. Nothing of it is reserved."""

    as_of: str
    optimal: bool
    stages: list[Stage]
    summary: Summary
    lines: list[PlannedLine]
    routes: list[PlannedRoute]
    societies: list[Total]
    offers: list[ReadyOffer]
    nearest_first: Compared
    not_planned: list[NotPlanned]
    compared: NotRequired[Comparison | None]


class PlaceInput(TypedDict):
    """Where the scenario plays."""

    name: str
    country: str
    lat: float
    lon: float


class NeedInput(TypedDict):
    """What each person needs of an item."""

    item: str
    per_person: float


class ScenarioInput(TypedDict):
    """A disaster as it might happen."""

    place: PlaceInput
    people: int
    within_hours: NotRequired[float]
    days: NotRequired[int]
    at: NotRequired[str | None]
    needs: NotRequired[list[NeedInput] | None]
    margin_days: NotRequired[int]
    handling_hours: NotRequired[float]


class InTime(TypedDict):
    """What a society has there in time."""

    society: str
    in_time: int


class CoveredNeed(TypedDict):
    """A need of the scenario."""

    name: str
    unit: str
    items: list[str]
    needed: int
    in_time: int
    missing: int
    covered_after_hours: float | None
    missing_for_good: int
    societies: list[InTime]
    source: str


class Preparedness(TypedDict):
    """How well the network is prepared for a scenario."""

    as_of: str
    people: int
    within_hours: float
    covered_after_hours: float | None
    covered_in_time: bool
    needs: list[CoveredNeed]
    not_planned: list[NotPlanned]


class ScreeningLine(TypedDict):
    """What might be offered: from a lot, or from a pool."""

    stock: NotRequired[str | None]
    quantity: NotRequired[int | None]
    pack: NotRequired[str | None]
    volunteers: NotRequired[str | None]
    headcount: NotRequired[int | None]


class ScreeningInput(TypedDict):
    """An unsolicited offer as it might be made."""

    emergency: str
    to: str
    lines: list[ScreeningLine]
    expires_at: NotRequired[str | None]
    eta: NotRequired[str | None]
    message: NotRequired[str | None]


class ScreenedLine(TypedDict):
    """Whether a line of the offer is needed."""

    code: str
    quantity: int
    outstanding: int
    needed: bool
    reason: str


class Needed(TypedDict):
    """What is needed."""

    code: str
    name: str | None
    unit: str
    outstanding: int


class Screening(TypedDict):
    """Whether an offer would be needed. Nothing is stored."""

    needed: bool
    lines: list[ScreenedLine]
    needed_instead: list[Needed]
