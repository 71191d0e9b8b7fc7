"""Hubs and legs as the secretariat keeps them, and the routes that they make."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app import clock, json_text
from app.access.guard import AnyClient, MasterData
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.errors import invalid
from app.fields import (
    Code,
    CountryCode,
    Day,
    Input,
    Latitude,
    Longitude,
    Name,
    Shown,
    Text,
    read_degrees,
)
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers
from app.transport import actions
from app.transport.rules import Place

router = APIRouter(prefix="/v1", tags=["Transport"], route_class=Exchange)

Mode = Literal["road", "air", "rail", "sea"]
Hours = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
Month = Annotated[int, Field(ge=1, le=12)]
Money = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class HubInput(Input):
    """A town where legs meet."""

    name: Name = Field(description="What people call it.", examples=["Aktau"])
    country: CountryCode = Field(description="ISO 3166-1 alpha-3 code.", examples=["KAZ"])
    lat: Latitude = Field(description="Latitude, degrees north (WGS 84).", examples=[43.65])
    lon: Longitude = Field(description="Longitude, degrees east (WGS 84).", examples=[51.16])


class Hub(Shown):
    """A town where legs meet."""

    code: str = Field(description="The hub's code.", examples=["AKTAU"])
    name: str = Field(description="What people call it.", examples=["Aktau"])
    country: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["KAZ"])
    lat: float = Field(description="Latitude, degrees north.", examples=[43.65])
    lon: float = Field(description="Longitude, degrees east.", examples=[51.16])


class LegInput(Input):
    """A way between two hubs, in both directions."""

    start: Code = Field(description="The hub at one end.", examples=["AKTAU"])
    end: Code = Field(description="The hub at the other end.", examples=["BAKU"])
    mode: Mode = Field(description="How goods travel on it.", examples=["sea"])
    hours: Hours = Field(
        description="Hours from end to end, loading and waiting included.", examples=[24]
    )
    border_hours: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        default=0, description="Hours at the border, beside `hours`.", examples=[12]
    )
    cost_per_tonne: Money = Field(description="US dollars for a tonne.", examples=[45])
    capacity_t: Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)] | None = Field(
        default=None, description="Tonnes that one departure carries, where known.", examples=[3000]
    )
    months: Annotated[list[Month], Field(min_length=1, max_length=12)] | None = Field(
        default=None,
        description="The months in which it can be used; all the year where left out.",
        examples=[[4, 5, 6, 7, 8, 9, 10]],
        json_schema_extra={"uniqueItems": True},
    )
    closed: bool = Field(
        default=False, description="Whether it is out of use at present.", examples=[False]
    )
    note: Text | None = Field(
        default=None, description="For people to read.", examples=["Storm; reopens on Friday."]
    )


class Leg(Shown):
    """A way between two hubs, in both directions."""

    code: str = Field(description="The leg's code.", examples=["sea-aktau-baku"])
    start: str = Field(description="The hub at one end.", examples=["AKTAU"])
    end: str = Field(description="The hub at the other end.", examples=["BAKU"])
    mode: Mode = Field(description="How goods travel on it.", examples=["sea"])
    hours: float = Field(description="Hours from end to end.", examples=[24])
    border_hours: float = Field(description="Hours at the border.", examples=[12])
    cost_per_tonne: float = Field(description="US dollars for a tonne.", examples=[45])
    capacity_t: float | None = Field(
        description="Tonnes that one departure carries.", examples=[3000]
    )
    months: list[int] | None = Field(
        description="The months of its season; null: all the year.", examples=[None]
    )
    closed: bool = Field(description="Whether it is out of use.", examples=[False])
    note: str | None = Field(description="For people to read.", examples=[None])


class Stretch(Shown):
    """A part of a route."""

    leg: str | None = Field(
        description="The leg; null on the road between a place and a hub.",
        examples=["sea-aktau-baku"],
    )
    start: str = Field(description="Where it begins.", examples=["AKTAU"])
    end: str = Field(description="Where it ends.", examples=["BAKU"])
    mode: Mode = Field(description="How goods travel on it.", examples=["sea"])
    hours: float = Field(description="Hours on it.", examples=[24])
    border_hours: float = Field(description="Hours at the border.", examples=[12])
    cost_per_tonne: float = Field(description="US dollars for a tonne.", examples=[45])
    capacity_t: float | None = Field(
        description="Tonnes that one departure carries.", examples=[3000]
    )


class Route(Shown):
    """A way from a place to another, or why there is none."""

    found: bool = Field(description="Whether there is one.", examples=[True])
    reason: str | None = Field(description="Why there is none.", examples=[None])
    mode: Mode | None = Field(
        default=None, description="The mode of most of its hours.", examples=["road"]
    )
    hours: float | None = Field(
        default=None, description="Hours from departure to arrival.", examples=[96.5]
    )
    cost_per_tonne: float | None = Field(
        default=None, description="US dollars for a tonne.", examples=[312.4]
    )
    stretches: list[Stretch] = Field(default=[], description="Its parts, in order.")


HubCode = Annotated[Code, Path(description="The hub's code.", examples=["AKTAU"])]
LegCode = Annotated[Code, Path(description="The leg's code.", examples=["sea-aktau-baku"])]
Point = Annotated[str, Field(max_length=60), BeforeValidator(read_degrees)]


class RouteQuery(BaseModel):
    """From where to where."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: Point = Field(
        alias="from", description="`lat,lon` where it begins.", examples=["41.31,69.28"]
    )
    start_country: CountryCode = Field(
        alias="from_country", description="The country there.", examples=["UZB"]
    )
    end: Point = Field(alias="to", description="`lat,lon` where it ends.", examples=["37.58,36.93"])
    end_country: CountryCode = Field(
        alias="to_country", description="The country there.", examples=["TUR"]
    )
    by: Literal["hours", "cost"] = Field(
        default="hours", description="The soonest, or the cheapest.", examples=["hours"]
    )
    on: Day | None = Field(
        default=None,
        description="The day of departure, for legs with a season; today where left out.",
        examples=["2026-12-01"],
    )


@router.get("/hubs", summary="List the hubs", response_model=Page[Hub], responses=answers())
async def list_hubs(
    request: Request, caller: AnyClient, tx: ReadTx, query: Annotated[PageQuery, Query()]
) -> Response:
    """The towns where legs meet, in the order of their codes."""
    after = read_cursor(query.cursor, str)
    rows = await actions.list_hubs(tx, after[0] if after else "", query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/hubs/{code}", summary="Read a hub", response_model=Hub, responses=answers("not_found")
)
async def get_hub(code: HubCode, caller: AnyClient, tx: ReadTx) -> Response:
    """One hub."""
    return single(await actions.show_hub(tx, code))


@router.put(
    "/hubs/{code}",
    summary="Put a hub",
    response_model=Hub,
    responses=answers("role_forbidden", "precondition_failed")
    | {201: {"model": Hub, "description": "The hub was created."}},
)
async def put_hub(
    code: HubCode, body: HubInput, caller: MasterData, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace a hub. The secretariat's alone."""
    values = body.model_dump() | {"code": code}
    created, doc = await actions.put_hub(tx, caller, values, if_match)
    return _put(created, doc, f"/v1/hubs/{code}")


@router.delete(
    "/hubs/{code}",
    status_code=204,
    summary="Delete a hub",
    responses=answers("not_found", "role_forbidden", "conflict", "precondition_failed"),
)
async def delete_hub(code: HubCode, caller: MasterData, tx: Tx, if_match: IfMatch) -> Response:
    """Delete a hub at which no leg ends. The secretariat's alone."""
    await actions.drop_hub(tx, caller, code, if_match)
    return Response(status_code=204)


@router.get("/legs", summary="List the legs", response_model=Page[Leg], responses=answers())
async def list_legs(
    request: Request, caller: AnyClient, tx: ReadTx, query: Annotated[PageQuery, Query()]
) -> Response:
    """The ways between hubs, in the order of their codes."""
    after = read_cursor(query.cursor, str)
    rows = await actions.list_legs(tx, after[0] if after else "", query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/legs/{code}", summary="Read a leg", response_model=Leg, responses=answers("not_found")
)
async def get_leg(code: LegCode, caller: AnyClient, tx: ReadTx) -> Response:
    """One leg."""
    return single(await actions.show_leg(tx, code))


@router.put(
    "/legs/{code}",
    summary="Put a leg",
    response_model=Leg,
    responses=answers("role_forbidden", "unknown_reference", "precondition_failed")
    | {201: {"model": Leg, "description": "The leg was created."}},
)
async def put_leg(
    code: LegCode, body: LegInput, caller: MasterData, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace a leg, or close and open it: every plan reckons with it at once."""
    if body.start == body.end:
        raise invalid("/end", "itself", "A leg leads from one hub to another.")
    if body.months is not None and len(set(body.months)) != len(body.months):
        raise invalid("/months", "twice", "Each month once.")
    values = body.model_dump() | {"code": code}
    created, doc = await actions.put_leg(tx, caller, values, if_match)
    return _put(created, doc, f"/v1/legs/{code}")


@router.delete(
    "/legs/{code}",
    status_code=204,
    summary="Delete a leg",
    responses=answers("not_found", "role_forbidden", "precondition_failed"),
)
async def delete_leg(code: LegCode, caller: MasterData, tx: Tx, if_match: IfMatch) -> Response:
    """Delete a leg. One that is out of use for a time is better closed."""
    await actions.drop_leg(tx, caller, code, if_match)
    return Response(status_code=204)


@router.get("/routes", summary="Find a route", response_model=Route, responses=answers())
async def find_route(
    caller: AnyClient, tx: ReadTx, query: Annotated[RouteQuery, Query()]
) -> Response:
    """The soonest or the cheapest way between two places over the legs that are open."""
    on: date = query.on or clock.now().date()
    start = _place("start", query.start, query.start_country)
    end = _place("destination", query.end, query.end_country)
    found = await actions.find_route(tx, start, end, query.by, on)
    return single(json_text.dump(found).decode())


def _place(name: str, point: str, country: str) -> Place:
    lat, _, lon = point.partition(",")
    return Place(name, country, float(lat), float(lon))


def _put(created: bool, doc: str, location: str) -> Response:
    if created:
        return single(doc, status=201, location=location)
    return single(doc)
