"""The board of an emergency, as JSON or as CSV with HXL tags."""

import asyncio
import json
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app import specimens
from app.access.guard import Reader
from app.board import actions
from app.calls import Exchange
from app.db import ReadTx
from app.emergencies.api import EmergencyId
from app.errors import AppError
from app.fields import Shown
from app.pages import Cursor, etag, following_link, read_cursor, single, write_cursor
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Board"], route_class=Exchange)

_USUAL = 50
_AT = "2026-02-08T09:30:00+00:00"


class _Sums(Shown):
    offered: int = Field(
        description="What stands offered: open proposals and what was accepted.",
        examples=[900],
    )
    accepted: int = Field(description="What the requester accepted.", examples=[600])
    dispatched: int = Field(description="What has left.", examples=[600])
    received: int = Field(description="What arrived in good order.", examples=[590])
    damaged: int = Field(description="What arrived damaged.", examples=[8])
    lost: int = Field(description="What was missing or lost on the way.", examples=[2])


class _Figures(_Sums):
    as_of: str = Field(description="When the newest of these figures changed.", examples=[_AT])


class SocietyFigures(_Figures):
    """What one society does for a line."""

    society: str = Field(description="Who helps.", examples=["AZE"])


class BoardLine(_Figures):
    """A request line with what was asked for, and what became of it."""

    request: UUID = Field(description="The request.", examples=[specimens.REQUEST])
    line: UUID = Field(description="Its line.", examples=[specimens.REQUEST_LINE])
    society: str = Field(description="Who asks.", examples=["TUR"])
    title: str = Field(description="The request's title.", examples=["Winter shelter"])
    priority: str = Field(description="How urgent it is.", examples=["critical"])
    needed_by: str = Field(description="When it should have arrived.", examples=[_AT])
    status: str = Field(description="The state of the request.", examples=["open"])
    kind: Literal["stock", "volunteers"] = Field(description="Goods or people.", examples=["stock"])
    item: str | None = Field(description="The item, for goods.", examples=["HSHEBLANPHT1"])
    skill: str | None = Field(description="The skill, for people.", examples=[None])
    unit: str = Field(description="What is counted.", examples=["piece"])
    requested: int = Field(description="What is asked for.", examples=[1000])
    outstanding: int = Field(description="Requested less accepted.", examples=[400])
    societies: list[SocietyFigures] = Field(description="The same figures by who helps.")


class Unsolicited(_Figures):
    """Help that was offered without being asked for."""

    society: str = Field(description="Who helps.", examples=["UZB"])
    to: str = Field(description="Whom.", examples=["TUR"])
    item: str | None = Field(description="The item, for goods.", examples=["FCERRICELGGR"])
    skill: str | None = Field(description="The skill, for people.", examples=[None])
    unit: str = Field(description="What is counted.", examples=["kg"])


class BoardTotal(_Sums):
    """The sum over all lines that ask for the same, whichever page they are on."""

    kind: Literal["stock", "volunteers"] = Field(description="Goods or people.", examples=["stock"])
    item: str | None = Field(description="The item, for goods.", examples=["HSHEBLANPHT1"])
    skill: str | None = Field(description="The skill, for people.", examples=[None])
    unit: str = Field(description="What is counted.", examples=["piece"])
    lines: int = Field(description="How many lines ask for it.", examples=[3])
    requested: int = Field(description="What is asked for.", examples=[1000])
    outstanding: int = Field(
        description="What is outstanding of these lines, added up.", examples=[400]
    )


class Board(Shown):
    """The mobilisation table of an emergency: one set of figures for everybody."""

    emergency: UUID = Field(description="The emergency.", examples=[specimens.EMERGENCY])
    name: str = Field(description="What it is called.", examples=["Kahramanmaraş earthquakes"])
    glide: str | None = Field(description="GLIDE number.", examples=["EQ-2023-000015-TUR"])
    status: str = Field(description="Open or closed.", examples=["open"])
    as_of: str = Field(description="When the table was drawn.", examples=[_AT])
    lines: list[BoardLine] = Field(description="What was asked for, line by line.")
    unsolicited: list[Unsolicited] = Field(
        description="What was offered without being asked for; it comes after the last line."
    )
    totals: list[BoardTotal] = Field(
        description="What was asked for and what became of it, by item and skill. Over all lines, "
        "on every page, of the same instant as the page."
    )
    next: str | None = Field(
        description="`cursor` of the next page; null on the last one.", examples=[None]
    )


class BoardQuery(BaseModel):
    """Which page, and in which form."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] | None = Field(
        default=None,
        description="How many rows at most, lines and unsolicited help together, 1 to 200. 50 "
        "where left out; a table as CSV is whole then.",
        examples=[50],
    )
    cursor: Cursor | None = Field(
        default=None,
        description="`next` of the page before; leave it out for the first page.",
        examples=["WyIwMTkzNWY4ZS0wYzVhLTdiM2QtOWU0ZC02ZjFhMmIzYzRkNWUiLDFd"],
    )
    include_cancelled: bool = Field(
        default=False,
        description="With the lines of cancelled requests. Nothing was ever accepted of them.",
        examples=[False],
    )

    format: Literal["json", "csv"] | None = Field(
        default=None,
        description="`csv` for a spreadsheet, with HXL tags; the same as `Accept: text/csv`.",
        examples=["json"],
    )


@router.get(
    "/emergencies/{id}/board",
    summary="Read the board",
    response_model=Board,
    responses=answers("not_found")
    | {
        200: {
            "description": "The board.",
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "request,line,requester\r\n"
                    "#meta+id+request,#meta+id+line,#org+requester+code\r\n",
                }
            },
        }
    },
)
async def get_board(
    request: Request,
    id: EmergencyId,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[BoardQuery, Query()],
) -> Response:
    """Per line and society: asked, offered, accepted, dispatched, received, lost; and how old.

    In pages, as every list; `totals` tells the whole on each of them. What was cancelled is left
    out unless it is asked for.
    """
    accepts = request.headers.get("accept", "")
    table = query.format == "csv" or (query.format is None and accepts.startswith("text/csv"))
    whole = table and query.limit is None and query.cursor is None
    limit = actions.EVERYTHING if whole else query.limit or _USUAL
    doc, last = await actions.show(tx, id, _place(query.cursor), limit, query.include_cancelled)
    following = None if last is None else _cursor(last)
    headers = {"Vary": "Accept"} | following_link(request, following)
    if table:
        # In a thread: a table of thousands of rows must not keep every other call waiting.
        text = await asyncio.to_thread(actions.as_csv, doc)
        headers |= {
            "ETag": etag(text),
            "Content-Disposition": f'attachment; filename="board-{id}.csv"',
        }
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
    response = single(f'{doc[:-1]},"next":{json.dumps(following)}}}')
    response.headers.update(headers)
    return response


def _cursor(place: actions.Place) -> str:
    if place.request is not None:
        return write_cursor(place.request, place.position)
    return write_cursor(place.key)


def _place(cursor: str | None) -> actions.Place:
    """The place behind a cursor: of a line it has two parts, else one."""
    if cursor is None:
        return actions.BEGINNING
    try:
        line = read_cursor(cursor, UUID, int)
    except AppError:
        key = read_cursor(cursor, str)
        assert key is not None
        return actions.Place(key=key[0])
    assert line is not None
    return actions.Place(line[0], line[1])
