"""Requests: open, read, change, close, cancel."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from app.access.guard import Reader, Requester
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.errors import invalid
from app.pages import Page, page, read_cursor, single
from app.problems import answers
from app.requests import actions
from app.requests.schemas import (
    DestinationInput,
    Request,
    RequestChange,
    RequestId,
    RequestInput,
    RequestQuery,
    StockLineInput,
    VolunteersLineInput,
)

router = APIRouter(prefix="/v1", tags=["Requests"], route_class=Exchange)


def _line(line: StockLineInput | VolunteersLineInput) -> actions.NewLine:
    if isinstance(line, StockLineInput):
        return actions.NewLine(
            "stock",
            line.quantity,
            item=line.item,
            pack=line.pack,
            accept_substitutes=line.accept_substitutes,
        )
    return actions.NewLine(
        "volunteers",
        line.headcount,
        skill=line.skill,
        start=line.from_,
        end=line.until,
        languages=tuple(line.languages),
    )


def _place(destination: DestinationInput) -> actions.Destination:
    return actions.Destination(
        destination.name, destination.country, destination.lat, destination.lon
    )


@router.post(
    "/requests",
    status_code=201,
    summary="Ask for help",
    response_model=Request,
    responses=answers(
        "role_forbidden", "unknown_reference", "wrong_state", "already_exists", "limit_reached"
    ),
)
async def open_request(body: RequestInput, caller: Requester, tx: Tx) -> Response:
    """Open a request for goods, people, or both. Every society sees it."""
    new = actions.NewRequest(
        emergency=body.emergency,
        ref=body.ref,
        title=body.title,
        priority=body.priority,
        needed_by=body.needed_by,
        destination=_place(body.destination),
        lines=[_line(line) for line in body.lines],
        notes=body.notes,
    )
    request, doc = await actions.open_request(tx, caller, new)
    return single(doc, status=201, location=f"/v1/requests/{request}")


@router.get(
    "/requests",
    summary="List requests",
    response_model=Page[Request],
    responses=answers(),
)
async def list_requests(
    request: HttpRequest,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[RequestQuery, Query()],
) -> Response:
    """Requests of every society, newest first, each with the figures of its lines."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.find(
        tx,
        status=query.status,
        emergency=query.emergency,
        society=query.society,
        priority=query.priority,
        after=after[0] if after else None,
        limit=query.limit + 1,
    )
    return page(request, rows, query.limit)


@router.get(
    "/requests/{id}",
    summary="Read a request",
    response_model=Request,
    responses=answers("not_found"),
)
async def get_request(id: RequestId, caller: Reader, tx: ReadTx) -> Response:
    """One request: both sides, and everybody else, see the same figures."""
    return single(await actions.show(tx, id))


@router.patch(
    "/requests/{id}",
    summary="Change a request",
    response_model=Request,
    responses=answers(
        "not_found",
        "role_forbidden",
        "unknown_reference",
        "wrong_state",
        "below_accepted",
        "limit_reached",
        "precondition_failed",
    ),
)
async def change_request(
    id: RequestId, body: RequestChange, caller: Requester, tx: Tx, if_match: IfMatch
) -> Response:
    """Change an open request of yours. A line never asks for less than is accepted already."""
    fields: dict[str, Any] = {
        name: getattr(body, name)
        for name in ("title", "priority", "needed_by", "notes")
        if name in body.model_fields_set
    }
    for name in ("title", "priority", "needed_by"):
        if name in fields and fields[name] is None:
            raise invalid(f"/{name}", "null", "This cannot be null; leave it out to keep it.")
    if body.destination is not None:
        place = body.destination
        fields |= {
            "place": place.name, "country": place.country, "lat": place.lat, "lon": place.lon,
        }  # fmt: skip
    resized = []
    for n, line in enumerate(body.lines):
        if (line.quantity is None) == (line.headcount is None):
            raise invalid(
                f"/lines/{n}",
                "one_of",
                "Give `quantity` for goods or `headcount` for people.",
            )
        goods = line.quantity is not None
        quantity = line.quantity if goods else line.headcount
        assert quantity is not None
        kind = "stock" if goods else "volunteers"
        resized.append(actions.Resized(line.id, kind, quantity, line.accept_substitutes))
    added = [_line(line) for line in body.add_lines]
    return single(await actions.change(tx, caller, id, fields, resized, added, if_match))


@router.post(
    "/requests/{id}/close",
    summary="Close a request",
    response_model=Request,
    responses=answers("not_found", "role_forbidden", "wrong_state", "precondition_failed"),
)
async def close_request(id: RequestId, caller: Requester, tx: Tx, if_match: IfMatch) -> Response:
    """Close a request: no further offers. What was accepted goes on; open proposals lapse."""
    return single(await actions.end(tx, caller, id, "closed", if_match))


@router.post(
    "/requests/{id}/cancel",
    summary="Cancel a request",
    response_model=Request,
    responses=answers(
        "not_found",
        "role_forbidden",
        "wrong_state",
        "below_accepted",
        "precondition_failed",
    ),
)
async def cancel_request(id: RequestId, caller: Requester, tx: Tx, if_match: IfMatch) -> Response:
    """Cancel a request of which nothing is accepted. Open proposals lapse."""
    return single(await actions.end(tx, caller, id, "cancelled", if_match))
