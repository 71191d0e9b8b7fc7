"""What is shown of plans."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.fields import Shown
from app.transport.api import Stretch

_LINE = "01935f8e-0c5b-7c21-8a10-2b7d9e0f1a2c"
_REQUEST = "01935f8e-0c5a-7b3d-9e4d-6f1a2b3c4d5e"
_LOT = "01935f80-4a4b-7c4d-8e4f-5a5b5c5d5e5f"

Priority = Literal["critical", "high", "normal"]


class ByPriority(Shown):
    """A figure by priority."""

    critical: int = Field(description="Of critical requests.", examples=[400])
    high: int = Field(description="Of high ones.", examples=[100])
    normal: int = Field(description="Of normal ones.", examples=[0])


class StartingSite(Shown):
    """The site that something would leave from."""

    name: str = Field(description="What its owner calls it.", examples=["Baku warehouse"])
    country: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["AZE"])
    lat: float = Field(description="Latitude.", examples=[40.41])
    lon: float = Field(description="Longitude.", examples=[49.87])


class Packs(Shown):
    """The quantity in packs."""

    pack: str = Field(description="The pack's code.", examples=["bale"])
    count: int = Field(description="How many.", examples=[16])


class _Pick(Shown):
    society: str = Field(description="Who would help.", examples=["AZE"])
    covers: int = Field(description="What it covers of the line, in its units.", examples=[400])
    arrives: str = Field(description="When it arrives.", examples=["2026-12-03T14:20:00+00:00"])
    hours: float = Field(description="Hours until then.", examples=[57.3])
    site: StartingSite = Field(description="Where it is now.")
    route: int = Field(description="Its route: the number in `routes`.", examples=[0])


class GoodsPick(_Pick):
    """Goods from a lot."""

    stock: UUID | None = Field(description="The lot; null where it is supposed.", examples=[_LOT])
    supposed: bool = Field(description="Whether the lot is a what-if.", examples=[False])
    item: str = Field(description="The lot's item.", examples=["HSHEBLANPHT1"])
    quantity: int = Field(description="How much of the lot, in base units.", examples=[400])
    unit: str = Field(description="The item's base unit.", examples=["piece"])
    packs: Packs | None = Field(description="In the largest packs that hold it exactly.")
    expires_on: str | None = Field(description="The lot's expiry.", examples=[None])
    weight_kg: float | None = Field(description="Weight, where known.", examples=[800.0])
    volume_l: float | None = Field(description="Volume, where known.", examples=[None])
    cost: float | None = Field(description="Transport, in US dollars.", examples=[310.5])


class PeoplePick(_Pick):
    """People from a pool."""

    volunteers: UUID = Field(description="The pool.", examples=[_LOT])
    headcount: int = Field(description="How many people.", examples=[40])
    skill: str = Field(description="What they can do.", examples=["usar"])
    speak: list[str] = Field(
        description="Languages of the line that they speak.", examples=[["tr"]]
    )


class Reason(Shown):
    """Why something stays uncovered."""

    code: str = Field(description="For programs.", examples=["too_late"])
    sentence: str = Field(
        description="For people.",
        examples=["300 (piece) would arrive too late, the first of them on 2026-12-11."],
    )
    quantity: int | None = Field(description="How much it concerns.", examples=[300])


class PlannedLine(Shown):
    """A line, what is planned for it, and what is not."""

    request: UUID = Field(description="The request.", examples=[_REQUEST])
    request_line: UUID = Field(description="The line.", examples=[_LINE])
    society: str = Field(description="Who asks.", examples=["TUR"])
    title: str = Field(description="The request's title.", examples=["Winter shelter"])
    priority: Priority = Field(description="How urgent.", examples=["critical"])
    needed_by: str = Field(description="Until when.", examples=["2026-12-10T12:00:00+00:00"])
    kind: Literal["stock", "volunteers"] = Field(description="Goods or people.", examples=["stock"])
    code: str = Field(description="The item or the skill.", examples=["HSHEBLANPHT1"])
    requested: int = Field(description="What is asked for.", examples=[1000])
    outstanding: int = Field(description="What is planned for.", examples=[700])
    proposed: int = Field(description="What stands proposed and is not accepted.", examples=[0])
    covered: int = Field(description="What the plan covers.", examples=[400])
    uncovered: int = Field(description="What it does not.", examples=[300])
    reasons: list[Reason] = Field(description="Why not.")
    picks: list[GoodsPick | PeoplePick] = Field(description="From where, and when it arrives.")


class PlannedRoute(Shown):
    """A route that picks travel by."""

    mode: str = Field(description="What a consignment is booked as.", examples=["road"])
    hours: float = Field(description="Hours on the way.", examples=[45.3])
    cost_per_tonne: float = Field(description="US dollars for a tonne.", examples=[388.0])
    stretches: list[Stretch] = Field(description="Its legs.")


class Total(Shown):
    """What a society would give of an item or a skill."""

    society: str = Field(description="Who.", examples=["AZE"])
    code: str = Field(description="What.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="In which unit.", examples=["piece"])
    quantity: int = Field(description="How much.", examples=[400])
    weight_kg: float = Field(description="Weight, as far as known.", examples=[800.0])
    volume_l: float = Field(description="Volume, as far as known.", examples=[0.0])
    cost: float = Field(description="Transport, US dollars.", examples=[310.5])


class ReadyOffer(Shown):
    """An offer that the society can send as it is."""

    society: str = Field(description="Whose offer it would be.", examples=["AZE"])
    request: UUID = Field(description="For which request.", examples=[_REQUEST])
    offer: dict[str, Any] = Field(
        description="The body for `POST /v1/offers`.",
        examples=[
            {
                "request": _REQUEST,
                "lines": [{"request_line": _LINE, "stock": _LOT, "quantity": 400}],
                "eta": "2026-12-03T14:20:00+00:00",
            }
        ],
    )


class Stage(Shown):
    """How far one criterion is proven."""

    criterion: str = Field(description="Which.", examples=["consignments"])
    proven: bool = Field(description="Whether no plan is better in it.", examples=[True])
    gap: float = Field(description="How far the bound is, as a part of the value.", examples=[0.0])


class Summary(Shown):
    """The plan in figures."""

    outstanding: ByPriority = Field(description="What is planned for, in units of the lines.")
    covered: ByPriority = Field(description="What the plan covers.")
    consignments: int = Field(description="Journeys of goods.", examples=[3])
    teams: int = Field(description="Journeys of people.", examples=[1])
    mean_hours: float | None = Field(description="Mean hours to arrival of a unit.", examples=[52])
    last_arrival: str | None = Field(
        description="When the last arrives.", examples=["2026-12-03T14:20:00+00:00"]
    )
    weight_kg: float = Field(description="Weight, as far as known.", examples=[800.0])
    cost: float = Field(description="Transport, in US dollars.", examples=[310.5])


class Compared(Shown):
    """Some figures of a plan."""

    covered: ByPriority = Field(description="What it covers.")
    consignments: int = Field(description="Journeys of goods.", examples=[3])
    teams: int = Field(description="Journeys of people.", examples=[1])
    mean_hours: float | None = Field(description="Mean hours to arrival.", examples=[52])
    last_arrival: str | None = Field(
        description="When the last arrives.", examples=["2026-12-03T14:20:00+00:00"]
    )
    cost: float = Field(description="Transport, in US dollars.", examples=[310.5])


class Comparison(Shown):
    """The plan as things are, and as they are supposed."""

    as_it_is: Compared = Field(description="Without the suppositions.")
    supposed: Compared = Field(description="With them.")


class NotPlanned(Shown):
    """What a society has beyond its share of what a plan takes."""

    society: str = Field(description="Who.", examples=["KAZ"])
    lines: int = Field(
        description="How many of its open lines are left out, the least urgent.", examples=[500]
    )
    lots: int = Field(
        description="How many of its lots are left out, those with the least in them.",
        examples=[0],
    )


_NOT_PLANNED = (
    "Where more is asked for or published than a plan takes (10,000 lines, 200,000 lots), each "
    "society has its share planned; this is left out. Plan it by itself: name its `requests`."
)


class Plan(Shown):
    """A plan. Nothing of it is reserved."""

    as_of: str = Field(description="From when it reckons.", examples=["2026-12-01T05:00:00+00:00"])
    optimal: bool = Field(description="Whether no plan is better.", examples=[True])
    stages: list[Stage] = Field(
        description="The criteria in their order; told to the secretariat and of single requests."
    )
    summary: Summary = Field(description="In figures.")
    lines: list[PlannedLine] = Field(description="Line by line.")
    routes: list[PlannedRoute] = Field(description="The routes of the picks.")
    societies: list[Total] = Field(description="By society.")
    offers: list[ReadyOffer] = Field(description="What each society can send.")
    nearest_first: Compared = Field(
        description="What it would be if each line in turn took the nearest: the plan's baseline."
    )
    not_planned: list[NotPlanned] = Field(description=_NOT_PLANNED, examples=[[]])
    compared: Comparison | None = Field(
        default=None, description="Where something was supposed: before and after."
    )


class InTime(Shown):
    """What a society has there in time."""

    society: str = Field(description="Who.", examples=["KAZ"])
    in_time: int = Field(description="In the unit of the need.", examples=[5000])


class CoveredNeed(Shown):
    """A need of the scenario."""

    name: str = Field(description="What.", examples=["blankets"])
    unit: str = Field(description="How it is counted.", examples=["blankets"])
    items: list[str] = Field(description="Which items meet it.", examples=[["HSHEBLANPHT1"]])
    needed: int = Field(description="How much is needed.", examples=[20000])
    in_time: int = Field(description="How much of it is there in time.", examples=[15000])
    missing: int = Field(description="How much is not.", examples=[5000])
    covered_after_hours: float | None = Field(
        description="Hours until it is covered; null where it never is.", examples=[96.4]
    )
    missing_for_good: int = Field(description="What nobody has.", examples=[0])
    societies: list[InTime] = Field(description="Who has it there in time.")
    source: str = Field(description="Where the figure comes from.", examples=["Sphere 2018 …"])


class Preparedness(Shown):
    """How well the network is prepared for a scenario."""

    as_of: str = Field(description="From when it reckons.", examples=["2026-12-01T05:00:00+00:00"])
    people: int = Field(description="How many people.", examples=[20000])
    within_hours: float = Field(description="Within how many hours.", examples=[72])
    covered_after_hours: float | None = Field(
        description="Hours until all is covered; null where it never is.", examples=[None]
    )
    covered_in_time: bool = Field(description="Whether nothing is missing.", examples=[False])
    needs: list[CoveredNeed] = Field(description="Need by need.")
    not_planned: list[NotPlanned] = Field(description=_NOT_PLANNED, examples=[[]])


class ScreenedLine(Shown):
    """Whether a line of the offer is needed."""

    code: str = Field(description="The item or the skill.", examples=["HSHEMNETRL"])
    quantity: int = Field(description="What would be offered, in base units.", examples=[2000])
    outstanding: int = Field(description="What is still asked for.", examples=[0])
    needed: bool = Field(description="Whether any of it is.", examples=[False])
    reason: str = Field(
        description="In one sentence.",
        examples=["No open request of TUR in this emergency asks for HSHEMNETRL."],
    )


class Needed(Shown):
    """What is needed."""

    code: str = Field(description="The item or the skill.", examples=["HSHEBLANPHT1"])
    name: str | None = Field(description="Its English name.", examples=["Blanket"])
    unit: str = Field(description="Its base unit.", examples=["piece"])
    outstanding: int = Field(description="How much is still asked for.", examples=[12000])


class Screening(Shown):
    """Whether an offer would be needed. Nothing is stored."""

    needed: bool = Field(description="Whether every line is.", examples=[False])
    lines: list[ScreenedLine] = Field(description="Line by line.")
    needed_instead: list[Needed] = Field(description="What is needed, where not all of it is.")
