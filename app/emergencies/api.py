"""Emergencies: report, read, take over, close."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from app import specimens
from app.access.guard import Reader, Requester
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.emergencies import actions
from app.fields import (
    CountryCode,
    Day,
    Id,
    Input,
    Latitude,
    Longitude,
    Name,
    Shown,
    SocietyCode,
)
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Emergencies"], route_class=Exchange)


Hazard = Literal[
    "earthquake",
    "flood",
    "flash_flood",
    "landslide",
    "mudflow",
    "avalanche",
    "cold_wave",
    "heat_wave",
    "drought",
    "wildfire",
    "storm",
    "epidemic",
    "technological",
    "population_movement",
    "complex_emergency",
    "other",
]
Glide = Annotated[str, Field(pattern=r"^[A-Z]{2}-[0-9]{4}-[0-9]{6}-[A-Z]{3}$", max_length=18)]

EmergencyId = Annotated[Id, Path(description="The emergency's id.", examples=[specimens.EMERGENCY])]


class EmergencyInput(Input):
    """A disaster as it is reported."""

    name: Name = Field(description="What it is called.", examples=["Kahramanmaraş earthquakes"])
    hazard: Hazard = Field(description="What kind of disaster it is.", examples=["earthquake"])
    glide: Glide | None = Field(
        default=None,
        description="GLIDE number, where there is one: hazard, year, number, country.",
        examples=["EQ-2023-000015-TUR"],
    )
    country: CountryCode = Field(
        description="ISO 3166-1 alpha-3 code of the country that is hit.",
        examples=["TUR"],
    )
    lat: Latitude = Field(description="Latitude, degrees north (WGS 84).", examples=[37.58])
    lon: Longitude = Field(description="Longitude, degrees east (WGS 84).", examples=[36.93])
    started_on: Day = Field(description="The day it began.", examples=["2023-02-06"])


class Emergency(Shown):
    """A disaster."""

    id: UUID = Field(
        description="The emergency, which requests name.", examples=[specimens.EMERGENCY]
    )
    society: str = Field(
        description="Whose it is: who reported it, or took it over.", examples=["TUR"]
    )
    name: str = Field(description="What it is called.", examples=["Kahramanmaraş earthquakes"])
    hazard: Hazard = Field(description="What kind of disaster it is.", examples=["earthquake"])
    glide: str | None = Field(description="GLIDE number.", examples=["EQ-2023-000015-TUR"])
    country: str = Field(description="The country that is hit.", examples=["TUR"])
    lat: float = Field(description="Latitude, degrees north.", examples=[37.58])
    lon: float = Field(description="Longitude, degrees east.", examples=[36.93])
    started_on: str = Field(description="The day it began.", examples=["2023-02-06"])
    status: Literal["open", "closed"] = Field(description="Open or closed.", examples=["open"])
    created_at: str = Field(
        description="When it was reported.", examples=["2023-02-06T02:10:00+00:00"]
    )
    closed_at: str | None = Field(description="When it was closed.", examples=[None])


class EmergencyQuery(PageQuery):
    """Which emergencies."""

    status: Literal["open", "closed"] | None = Field(
        default=None, description="In which state.", examples=["open"]
    )
    hazard: Hazard | None = Field(
        default=None, description="Of which kind.", examples=["earthquake"]
    )
    country: CountryCode | None = Field(default=None, description="Where.", examples=["TUR"])
    society: SocietyCode | None = Field(default=None, description="Whose it is.", examples=["TUR"])
    glide: Glide | None = Field(
        default=None,
        description="With this GLIDE number.",
        examples=["EQ-2023-000015-TUR"],
    )


@router.post(
    "/emergencies",
    status_code=201,
    summary="Report an emergency",
    response_model=Emergency,
    responses=answers("role_forbidden", "already_exists"),
)
async def open_emergency(body: EmergencyInput, caller: Requester, tx: Tx) -> Response:
    """Report a disaster, so that requests can belong to it.

    Of open emergencies one alone has a GLIDE number; it is free again when that one is closed. If
    somebody else has reported yours, take it over.
    """
    new = actions.NewEmergency(
        name=body.name,
        hazard=body.hazard,
        glide=body.glide,
        country=body.country,
        lat=body.lat,
        lon=body.lon,
        started_on=body.started_on,
    )
    emergency, doc = await actions.open_emergency(tx, caller, new)
    return single(doc, status=201, location=f"/v1/emergencies/{emergency}")


@router.get(
    "/emergencies",
    summary="List emergencies",
    response_model=Page[Emergency],
    responses=answers(),
)
async def list_emergencies(
    request: Request,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[EmergencyQuery, Query()],
) -> Response:
    """The emergencies that the network works on, newest first."""
    after = read_cursor(query.cursor, UUID)
    names = ("status", "hazard", "country", "society", "glide")
    filters = {name: getattr(query, name) for name in names}
    rows = await actions.find(tx, filters, after[0] if after else None, query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/emergencies/{id}",
    summary="Read an emergency",
    response_model=Emergency,
    responses=answers("not_found"),
)
async def get_emergency(id: EmergencyId, caller: Reader, tx: ReadTx) -> Response:
    """One emergency."""
    return single(await actions.show(tx, id))


@router.post(
    "/emergencies/{id}/take-over",
    summary="Take an emergency over",
    response_model=Emergency,
    responses=answers("not_found", "role_forbidden", "wrong_state", "precondition_failed"),
)
async def take_over_emergency(
    id: EmergencyId, caller: Requester, tx: Tx, if_match: IfMatch
) -> Response:
    """Make an open emergency your own, where it is your country that is hit, or that its GLIDE
    number names. You may close it from then on, and who had it may not. Requests and offers stay.
    """
    return single(await actions.take_over(tx, caller, id, if_match))


@router.post(
    "/emergencies/{id}/close",
    summary="Close an emergency",
    response_model=Emergency,
    responses=answers("not_found", "role_forbidden", "precondition_failed"),
)
async def close_emergency(
    id: EmergencyId, caller: Requester, tx: Tx, if_match: IfMatch
) -> Response:
    """No further requests are opened for it. Requests that are open go on to their own end. Its
    GLIDE number is free again."""
    return single(await actions.close(tx, caller, id, if_match))
