"""What is sent to ask for a plan."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app.fields import (
    Code,
    CountryCode,
    Day,
    Headcount,
    Id,
    Input,
    Instant,
    Latitude,
    Longitude,
    Name,
    Quantity,
    SocietyCode,
)
from app.matching.rules import CRITERIA

_EMERGENCY = "01935f8d-77aa-7d10-b3c2-5e8f90a1b2c3"
_REQUEST = "01935f8e-0c5a-7b3d-9e4d-6f1a2b3c4d5e"
_LOT = "01935f80-4a4b-7c4d-8e4f-5a5b5c5d5e5f"

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
Mode = Literal["road", "rail", "sea", "air"]
Societies = Annotated[list[SocietyCode], Field(max_length=50)]


class Weights(Input):
    """Time, fair share, consignments and cost as one sum, instead of one after the other."""

    time: Weight = Field(default=0, description="For a unit and a step of 6 hours.", examples=[1])
    fair_share: Weight = Field(
        default=0,
        description="For a unit from the k-th tenth of a society's stock, k times (0 to 9).",
        examples=[0.1],
    )
    consignments: Weight = Field(default=0, description="For a consignment.", examples=[500])
    cost: Weight = Field(default=0, description="For a US dollar of transport.", examples=[1])


class Options(Input):
    """How the plan is to be made."""

    at: Instant | None = Field(
        default=None,
        description="Reckon from this instant; now where left out.",
        examples=[None],
    )
    latest_arrival: Instant | None = Field(
        default=None,
        description="In place of each request's `needed_by`.",
        examples=["2026-12-10T12:00:00Z"],
    )
    max_consignments: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="No more journeys than this.", examples=[None]
    )
    leave_out: Societies = Field(
        default=[], description="Societies that the plan takes nothing from.", examples=[["KGZ"]]
    )
    weights: Weights | None = Field(
        default=None,
        description="Compare by one sum after coverage; left out, one criterion after the other.",
    )
    margin_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        default=30, description="Days that goods must stay good after they arrive.", examples=[30]
    )
    handling_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] = Field(
        default=12, description="Hours until goods leave.", examples=[12]
    )
    modes: Annotated[list[Mode], Field(min_length=1, max_length=4)] = Field(
        default=["road", "rail", "sea", "air"],
        description="By what things may travel; a plane does not carry ten thousand tents.",
        examples=[["road", "rail", "sea"]],
    )
    substitutes: bool = Field(
        default=True, description="Use substitutes where a line accepts them.", examples=[True]
    )
    count_proposed: bool = Field(
        default=False,
        description="Take what stands proposed for a line as if it were accepted.",
        examples=[False],
    )
    time_limit: Seconds = Field(
        default=10.0,
        description="Seconds to search; then the best found is told with its gap.",
        examples=[10],
    )

    def plain(self) -> dict[str, Any]:
        """As the planning process reads them."""
        return {
            "latest_arrival": self.latest_arrival.isoformat() if self.latest_arrival else None,
            "max_consignments": self.max_consignments,
            "leave_out": sorted(set(self.leave_out)),
            "weights": None
            if self.weights is None
            else {name: getattr(self.weights, name) for name in CRITERIA},
            "margin_days": self.margin_days,
            "handling_hours": self.handling_hours,
            "modes": sorted(set(self.modes)),
            "substitutes": self.substitutes,
            "count_proposed": self.count_proposed,
            "time_limit": self.time_limit,
        }


class SupposedLot(Input):
    """Stock as if it were there."""

    society: SocietyCode = Field(description="Whose it would be.", examples=["KAZ"])
    item: Code = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    quantity: Quantity = Field(description="How much, in base units.", examples=[5000])
    place: Name = Field(description="Where it would be.", examples=["Aktau"])
    country: CountryCode = Field(description="In which country.", examples=["KAZ"])
    lat: Latitude = Field(description="Latitude, degrees north.", examples=[43.65])
    lon: Longitude = Field(description="Longitude, degrees east.", examples=[51.16])
    expires_on: Day | None = Field(default=None, description="Until when.", examples=[None])


class LaterDeadline(Input):
    """A request as if it could wait, or could not."""

    request: Id = Field(description="The request.", examples=[_REQUEST])
    needed_by: Instant = Field(description="Until when.", examples=["2026-12-20T12:00:00Z"])


class WhatIf(Input):
    """Suppositions. Nothing of them is stored."""

    closed_legs: Annotated[list[Code], Field(max_length=200)] = Field(
        default=[], description="Legs as if they were closed.", examples=[["sea-aktau-baku"]]
    )
    lots: Annotated[list[SupposedLot], Field(max_length=200)] = Field(
        default=[], description="Lots as if they were published.", examples=[[]]
    )
    deadlines: Annotated[list[LaterDeadline], Field(max_length=200)] = Field(
        default=[], description="Other times until which requests are needed.", examples=[[]]
    )

    def plain(self) -> dict[str, Any]:
        """As the planning process reads them."""
        return {
            "closed_legs": self.closed_legs,
            "lots": [
                lot.model_dump()
                | {"expires_on": lot.expires_on.isoformat() if lot.expires_on else None}
                for lot in self.lots
            ],
            "deadlines": [
                {"request": str(d.request), "needed_by": d.needed_by.isoformat()}
                for d in self.deadlines
            ],
        }


class PlanInput(Options):
    """A question for the plan of an emergency."""

    requests: Annotated[list[Id], Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="Only these requests; all that are open where left out.",
        examples=[[_REQUEST]],
    )
    what_if: WhatIf | None = Field(
        default=None, description="Suppositions, to compare with the plan as it is."
    )


class NeedInput(Input):
    """What each person needs of an item."""

    item: Code = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    per_person: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = Field(
        description="How much for each person, in base units.", examples=[2]
    )


class PlaceInput(Input):
    """Where the scenario plays."""

    name: Name = Field(description="What people call it.", examples=["Almaty"])
    country: CountryCode = Field(description="ISO 3166-1 alpha-3 code.", examples=["KAZ"])
    lat: Latitude = Field(description="Latitude, degrees north.", examples=[43.24])
    lon: Longitude = Field(description="Longitude, degrees east.", examples=[76.89])


class ScenarioInput(Input):
    """A disaster as it might happen."""

    place: PlaceInput = Field(description="Where.")
    people: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        description="How many people need help.", examples=[20000]
    )
    within_hours: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = Field(
        default=72, description="Within how many hours.", examples=[72]
    )
    days: Annotated[int, Field(ge=1, le=365)] = Field(
        default=14, description="For how many days food is counted.", examples=[14]
    )
    at: Instant | None = Field(
        default=None,
        description="Reckon from this instant; now where left out.",
        examples=["2027-01-09T08:00:00Z"],
    )
    needs: Annotated[list[NeedInput], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="What each person needs; by the Sphere minimum standards where left out.",
    )
    margin_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        default=30, description="Days that goods must stay good after they arrive.", examples=[30]
    )
    handling_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] = Field(
        default=12, description="Hours until goods leave.", examples=[12]
    )


class ScreeningLine(Input):
    """What might be offered: `quantity` from a lot of yours, or `headcount` from a pool."""

    stock: Id | None = Field(default=None, description="A lot of yours.", examples=[_LOT])
    quantity: Quantity | None = Field(default=None, description="How much of it.", examples=[400])
    pack: Code | None = Field(default=None, description="In packs of this code.", examples=[None])
    volunteers: Id | None = Field(default=None, description="A pool of yours.", examples=[None])
    headcount: Headcount | None = Field(default=None, description="How many.", examples=[None])

    @model_validator(mode="after")
    def _goods_or_people(self) -> "ScreeningLine":
        goods = self.stock is not None and self.quantity is not None
        people = self.volunteers is not None and self.headcount is not None
        if goods == people:
            raise PydanticCustomError(
                "one_of", "Give `stock` with `quantity`, or `volunteers` with `headcount`."
            )
        return self


class ScreeningInput(Input):
    """An unsolicited offer as it might be made: the body of `POST /v1/offers`."""

    emergency: Id = Field(description="For which emergency.", examples=[_EMERGENCY])
    to: SocietyCode = Field(description="To which society.", examples=["AZE"])
    lines: Annotated[list[ScreeningLine], Field(min_length=1, max_length=200)] = Field(
        description="What might be offered.", examples=[[{"stock": _LOT, "quantity": 400}]]
    )
    expires_at: Instant | None = Field(default=None, description="Not looked at.", examples=[None])
    eta: Instant | None = Field(default=None, description="Not looked at.", examples=[None])
    message: str | None = Field(
        default=None, max_length=2000, description="Not looked at.", examples=[None]
    )
