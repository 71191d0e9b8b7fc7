"""Consignments: plan, dispatch, report, arrive, receive, cancel, lose."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.access.guard import EitherParty, Provider, Reader, Requester
from app.calls import Exchange, IfMatch
from app.consignments import actions
from app.consignments.receipts import Found
from app.consignments.schemas import (
    Checkpoint,
    CheckpointInput,
    Consignment,
    ConsignmentId,
    ConsignmentInput,
    ConsignmentQuery,
    ConsignmentReason,
    ReceiptInput,
)
from app.db import ReadTx, Tx
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Consignments"], route_class=Exchange)

_MOVING = ("not_found", "role_forbidden", "wrong_state", "precondition_failed")


@router.post(
    "/consignments",
    status_code=201,
    summary="Plan a consignment",
    response_model=Consignment,
    responses=answers("role_forbidden", "unknown_reference", "wrong_state", "over_planned"),
)
async def plan_consignment(body: ConsignmentInput, caller: Provider, tx: Tx) -> Response:
    """Set accepted goods aside for one journey. An offer may travel in several consignments."""
    new = actions.NewConsignment(
        offer=body.offer,
        lines=[actions.Planned(line.offer_line, line.quantity) for line in body.lines],
        mode=body.mode,
        carrier=body.carrier,
        waybill=body.waybill,
        eta=body.eta,
    )
    consignment, doc = await actions.plan(tx, caller, new)
    return single(doc, status=201, location=f"/v1/consignments/{consignment}")


@router.get(
    "/consignments",
    summary="List consignments",
    response_model=Page[Consignment],
    responses=answers(),
)
async def list_consignments(
    request: Request,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[ConsignmentQuery, Query()],
) -> Response:
    """The consignments that your society sends or receives, newest first."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.find(
        tx,
        caller,
        offer=query.offer,
        status=query.status,
        after=after[0] if after else None,
        limit=query.limit + 1,
    )
    return page(request, rows, query.limit)


@router.get(
    "/consignments/{id}",
    summary="Read a consignment",
    response_model=Consignment,
    responses=answers("not_found"),
)
async def get_consignment(id: ConsignmentId, caller: Reader, tx: ReadTx) -> Response:
    """One consignment, for the two parties of its offer and the secretariat."""
    return single(await actions.show(tx, caller, id))


@router.post(
    "/consignments/{id}/dispatch",
    summary="Dispatch a consignment",
    response_model=Consignment,
    responses=answers(*_MOVING, "insufficient_stock"),
)
async def dispatch_consignment(
    id: ConsignmentId, caller: Provider, tx: Tx, if_match: IfMatch
) -> Response:
    """The goods leave. They are no longer reserved and no longer in your lots' count.

    More than you count in a lot cannot leave it: publish what is really there first.
    """
    return single(await actions.dispatch(tx, caller, id, if_match))


@router.post(
    "/consignments/{id}/checkpoints",
    status_code=201,
    summary="Report a checkpoint",
    response_model=Consignment,
    responses=answers(*_MOVING),
)
async def report_checkpoint(
    id: ConsignmentId,
    body: CheckpointInput,
    caller: Provider,
    tx: Tx,
    if_match: IfMatch,
) -> Response:
    """Say where a consignment on its way was seen."""
    doc = await actions.report(tx, caller, id, body.place, body.at, body.note, if_match)
    return single(doc, status=201, location=f"/v1/consignments/{id}")


@router.get(
    "/consignments/{id}/checkpoints",
    summary="List checkpoints",
    response_model=Page[Checkpoint],
    responses=answers("not_found"),
)
async def list_checkpoints(
    id: ConsignmentId,
    request: Request,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """Everywhere that a consignment was seen, the latest first."""
    place = read_cursor(query.cursor, datetime, UUID)
    before = (place[0], place[1]) if place else None
    rows = await actions.list_checkpoints(tx, caller, id, before, query.limit + 1)
    return page(request, rows, query.limit)


@router.post(
    "/consignments/{id}/arrive",
    summary="Arrive",
    response_model=Consignment,
    responses=answers(*_MOVING),
)
async def arrive_consignment(
    id: ConsignmentId, caller: EitherParty, tx: Tx, if_match: IfMatch
) -> Response:
    """The consignment is at its destination; either party may say so. It is not counted yet."""
    return single(await actions.arrive(tx, caller, id, if_match))


@router.post(
    "/consignments/{id}/receive",
    summary="Receive a consignment",
    response_model=Consignment,
    responses=answers(*_MOVING, "already_received", "receipt_mismatch", "unknown_reference"),
)
async def receive_consignment(
    id: ConsignmentId, body: ReceiptInput, caller: Requester, tx: Tx, if_match: IfMatch
) -> Response:
    """Sign for what you found. Received, damaged and missing must add up to what was sent.

    A receipt stands: the same one again is answered with the consignment as it is, another one is
    refused. What is damaged or missing is outstanding again in the request.
    """
    found = [
        Found(line.line, line.received, line.damaged, line.missing, line.note)
        for line in body.lines
    ]
    return single(await actions.receive(tx, caller, id, found, if_match))


@router.post(
    "/consignments/{id}/cancel",
    summary="Cancel a consignment",
    response_model=Consignment,
    responses=answers(*_MOVING),
)
async def cancel_consignment(
    id: ConsignmentId,
    caller: Provider,
    tx: Tx,
    if_match: IfMatch,
    body: ConsignmentReason | None = None,
) -> Response:
    """A planned consignment does not go. Its goods stay accepted and can be planned anew."""
    return single(await actions.cancel(tx, caller, id, body.reason if body else None, if_match))


@router.post(
    "/consignments/{id}/lost",
    summary="Report a consignment lost",
    response_model=Consignment,
    responses=answers(*_MOVING),
)
async def report_lost_consignment(
    id: ConsignmentId,
    caller: Provider,
    tx: Tx,
    if_match: IfMatch,
    body: ConsignmentReason | None = None,
) -> Response:
    """The consignment is lost on its way, with all that it carried."""
    return single(await actions.lose(tx, caller, id, body.reason if body else None, if_match))
