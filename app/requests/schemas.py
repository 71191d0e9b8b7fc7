"""What is sent and shown of requests."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import Field

from app import specimens
from app.fields import (
    Code,
    Count,
    CountryCode,
    Headcount,
    Id,
    Input,
    Instant,
    Language,
    Latitude,
    Longitude,
    Name,
    Quantity,
    Ref,
    Shown,
    SocietyCode,
    Text,
)
from app.pages import PageQuery

Priority = Literal["critical", "high", "normal"]
Status = Literal["open", "closed", "cancelled"]
Figure = Literal["none", "partial", "complete"]

RequestId = Annotated[Id, Path(description="The request's id.", examples=[specimens.REQUEST])]


class DestinationInput(Input):
    """Where the help is to go."""

    name: Name = Field(description="What people call it.", examples=["Kahramanmaraş airport"])
    country: CountryCode = Field(description="ISO 3166-1 alpha-3 code.", examples=["TUR"])
    lat: Latitude = Field(description="Latitude, degrees north (WGS 84).", examples=[37.54])
    lon: Longitude = Field(description="Longitude, degrees east (WGS 84).", examples=[36.95])


class StockLineInput(Input):
    """Goods that are asked for."""

    kind: Literal["stock"] = Field(description="Goods.", examples=["stock"])
    item: Code = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    quantity: Quantity = Field(
        description="How much, in the item's base unit, or in packs where `pack` is given.",
        examples=[1000],
    )
    pack: Code | None = Field(
        default=None, description="Ask in packs of this code.", examples=[None]
    )
    accept_substitutes: bool = Field(
        default=False,
        description="Whether what may stand in for the item is welcome too.",
        examples=[True],
    )


class VolunteersLineInput(Input):
    """People that are asked for."""

    kind: Literal["volunteers"] = Field(description="People.", examples=["volunteers"])
    skill: Code = Field(description="What they can do.", examples=["usar"])
    headcount: Headcount = Field(description="How many people.", examples=[60])
    from_: Instant = Field(
        alias="from", description="From when.", examples=["2026-02-07T06:00:00Z"]
    )
    until: Instant = Field(
        description="Until when; later than `from`.", examples=["2026-02-21T06:00:00Z"]
    )
    languages: Annotated[list[Language], Field(max_length=20)] = Field(
        default=[],
        description="Languages that help, ISO 639-1.",
        examples=[["tr", "en"]],
    )


LineInput = Annotated[StockLineInput | VolunteersLineInput, Field(discriminator="kind")]


class RequestInput(Input):
    """A request as it is opened."""

    emergency: Id = Field(
        description="The emergency it belongs to.", examples=[specimens.EMERGENCY]
    )
    ref: Ref | None = Field(
        default=None,
        description="Your own reference, once for each request.",
        examples=["R-12"],
    )
    title: Name = Field(description="In a few words.", examples=["Winter shelter for Pazarcık"])
    priority: Priority = Field(
        default="normal", description="How urgent it is.", examples=["critical"]
    )
    needed_by: Instant = Field(
        description="When it should have arrived.", examples=["2026-02-10T12:00:00Z"]
    )
    destination: DestinationInput = Field(description="Where it is to go.")
    lines: Annotated[list[LineInput], Field(min_length=1, max_length=500)] = Field(
        description="What is asked for: goods, people, or both.",
        examples=[[{"kind": "stock", "item": "HSHEBLANPHT1", "quantity": 1000}]],
    )
    notes: Text | None = Field(
        default=None,
        description="For people to read.",
        examples=["Road open for trucks to 20 t."],
    )


class LineChange(Input):
    """A line of the request that is to ask for another quantity."""

    id: Id = Field(description="The line.", examples=[specimens.REQUEST_LINE])
    quantity: Count | None = Field(
        default=None,
        description="Goods: how much, in base units; 0 where they are not needed any more.",
        examples=[800],
    )
    headcount: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None,
        description="People: how many; 0 where they are not needed any more.",
        examples=[None],
    )
    accept_substitutes: bool | None = Field(
        default=None, description="Whether substitutes are welcome.", examples=[True]
    )


class RequestChange(Input):
    """What changes; everything left out stays as it is."""

    title: Name | None = Field(default=None, description="In a few words.", examples=["Shelter"])
    priority: Priority | None = Field(
        default=None, description="How urgent it is.", examples=["high"]
    )
    needed_by: Instant | None = Field(
        default=None,
        description="When it should have arrived.",
        examples=["2026-02-11T12:00:00Z"],
    )
    destination: DestinationInput | None = Field(
        default=None,
        description="Where it is to go.",
        examples=[{"name": "Adana airport", "country": "TUR", "lat": 36.98, "lon": 35.28}],
    )
    notes: Text | None = Field(default=None, description="For people.", examples=["Road closed."])
    lines: Annotated[list[LineChange], Field(max_length=500)] = Field(
        default=[],
        description="Lines that ask for another quantity.",
        examples=[[{"id": specimens.REQUEST_LINE, "quantity": 800}]],
    )
    add_lines: Annotated[list[LineInput], Field(max_length=500)] = Field(
        default=[], description="Further lines.", examples=[[]]
    )


class Destination(Shown):
    """Where the help is to go."""

    name: str = Field(description="What people call it.", examples=["Kahramanmaraş airport"])
    country: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["TUR"])
    lat: float = Field(description="Latitude, degrees north.", examples=[37.54])
    lon: float = Field(description="Longitude, degrees east.", examples=[36.95])


class _Figures(Shown):
    requested: int = Field(description="What is asked for.", examples=[1000])
    offered: int = Field(
        description="What stands offered: open proposals and what was accepted.",
        examples=[900],
    )
    accepted: int = Field(description="What the requester accepted.", examples=[600])
    dispatched: int = Field(
        description="What has left; of volunteers, those mobilised.", examples=[600]
    )
    received: int = Field(
        description="What arrived in good order; of volunteers, those who arrived.",
        examples=[590],
    )
    damaged: int = Field(description="What arrived damaged.", examples=[8])
    lost: int = Field(description="What was missing or lost on the way.", examples=[2])
    outstanding: int = Field(description="Requested less accepted.", examples=[400])


class StockLine(_Figures):
    """Goods that are asked for, and how far that is."""

    id: UUID = Field(description="The line, which offers name.", examples=[specimens.REQUEST_LINE])
    kind: Literal["stock"] = Field(description="Goods.", examples=["stock"])
    item: str = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="The item's base unit.", examples=["piece"])
    quantity: int = Field(description="What is asked for, in base units.", examples=[1000])
    accept_substitutes: bool = Field(
        description="Whether substitutes are welcome.", examples=[True]
    )


class VolunteersLine(_Figures):
    """People that are asked for, and how far that is."""

    id: UUID = Field(description="The line, which offers name.", examples=[specimens.PEOPLE_LINE])
    kind: Literal["volunteers"] = Field(description="People.", examples=["volunteers"])
    skill: str = Field(description="What they can do.", examples=["usar"])
    headcount: int = Field(description="How many are asked for.", examples=[60])
    from_: str = Field(
        alias="from", description="From when.", examples=["2026-02-07T06:00:00+00:00"]
    )
    until: str = Field(description="Until when.", examples=["2026-02-21T06:00:00+00:00"])
    languages: list[str] = Field(description="Languages that help.", examples=[["tr", "en"]])


class RequestProgress(Shown):
    """How far the request is in each figure, over all of its lines."""

    offered: Figure = Field(description="Offered.", examples=["complete"])
    accepted: Figure = Field(description="Accepted.", examples=["partial"])
    dispatched: Figure = Field(description="Dispatched.", examples=["partial"])
    received: Figure = Field(description="Received.", examples=["none"])


class Request(Shown):
    """A request with its lines and figures: the same for both sides."""

    id: UUID = Field(description="The request.", examples=[specimens.REQUEST])
    emergency: UUID = Field(description="The emergency.", examples=[specimens.EMERGENCY])
    society: str = Field(description="Who asks.", examples=["TUR"])
    ref: str | None = Field(description="The requester's own reference.", examples=["R-12"])
    title: str = Field(description="In a few words.", examples=["Winter shelter for Pazarcık"])
    priority: Priority = Field(description="How urgent it is.", examples=["critical"])
    needed_by: str = Field(
        description="When it should have arrived.",
        examples=["2026-02-10T12:00:00+00:00"],
    )
    destination: Destination = Field(description="Where it is to go.")
    status: Status = Field(description="Open, closed or cancelled.", examples=["open"])
    progress: RequestProgress = Field(description="How far it is.")
    lines: list[Annotated[StockLine | VolunteersLine, Field(discriminator="kind")]] = Field(
        description="What is asked for."
    )
    notes: str | None = Field(description="For people to read.", examples=[None])
    created_at: str = Field(
        description="When it was opened.", examples=["2026-02-06T02:00:00+00:00"]
    )
    updated_at: str = Field(
        description="When it last changed by the requester's hand.",
        examples=["2026-02-06T02:00:00+00:00"],
    )
    ended_at: str | None = Field(description="When it was closed or cancelled.", examples=[None])


class RequestQuery(PageQuery):
    """Which requests."""

    status: Status | None = Field(default=None, description="In which state.", examples=["open"])
    emergency: Id | None = Field(
        default=None, description="Of which emergency.", examples=[specimens.EMERGENCY]
    )
    society: SocietyCode | None = Field(default=None, description="Who asks.", examples=["TUR"])
    priority: Priority | None = Field(
        default=None, description="How urgent.", examples=["critical"]
    )
