"""Offers: propose, read, accept, decline, withdraw, release."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.access.guard import Provider, Reader, Requester
from app.calls import Exchange, IfMatch, Kept
from app.db import ReadTx, Tx
from app.offers import actions, proposing
from app.offers.schemas import (
    Acceptance,
    Offer,
    OfferId,
    OfferInput,
    OfferQuery,
    OfferReason,
    Withdrawal,
)
from app.pages import Page, page, read_cursor, single
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Offers"], route_class=Exchange)

_DECIDING = ("not_found", "role_forbidden", "wrong_state", "precondition_failed")


@router.post(
    "/offers",
    status_code=201,
    summary="Offer help",
    response_model=Offer,
    responses=answers(
        "role_forbidden",
        "unknown_reference",
        "not_a_match",
        "pack_mismatch",
        "lot_expired",
        "wrong_state",
        "duplicate_ref",
        "insufficient_stock",
        "insufficient_volunteers",
    )
    | {200: {"model": Offer, "description": "You made this offer before, under the same `ref`."}},
)
async def propose_offer(
    request: Request, body: OfferInput, caller: Provider, tx: Tx, kept: Kept
) -> Response:
    """Offer from your lots and pools. All lines are reserved in the same instant, or none.

    What is reserved is promised to nobody else until the offer is declined, withdrawn, expires,
    or its goods leave. With a `ref` of your own the call can be repeated: it is answered with the
    offer that it made (200). `warnings` tells what both parties should know, such as goods that
    expire soon.
    """
    new = proposing.NewOffer(
        request=body.request,
        emergency=body.emergency,
        to=body.to,
        lines=[
            proposing.NewLine(
                quantity=line.quantity or line.headcount or 0,
                stock=line.stock,
                pack=line.pack,
                volunteers=line.volunteers,
                request_line=line.request_line,
            )
            for line in body.lines
        ],
        expires_at=body.expires_at,
        eta=body.eta,
        message=body.message,
        ref=body.ref,
    )
    days: int = request.app.state.settings.offer_days
    offer, doc, made = await proposing.propose(tx, caller, new, days, kept)
    if not made:
        return single(doc)
    return single(doc, status=201, location=proposing.location(offer))


@router.get("/offers", summary="List offers", response_model=Page[Offer], responses=answers())
async def list_offers(
    request: Request, caller: Reader, tx: ReadTx, query: Annotated[OfferQuery, Query()]
) -> Response:
    """The offers that your society made or got, newest first; all of them for the secretariat."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.find(
        tx,
        caller,
        side=query.as_,
        request=query.request,
        status=query.status,
        after=after[0] if after else None,
        limit=query.limit + 1,
    )
    return page(request, rows, query.limit)


@router.get(
    "/offers/{id}",
    summary="Read an offer",
    response_model=Offer,
    responses=answers("not_found"),
)
async def get_offer(id: OfferId, caller: Reader, tx: ReadTx) -> Response:
    """One offer, for its two parties and the secretariat."""
    return single(await actions.show(tx, caller, id))


@router.post(
    "/offers/{id}/accept",
    summary="Accept an offer",
    response_model=Offer,
    responses=answers(*_DECIDING, "over_accepted", "unknown_reference", "pack_mismatch"),
)
async def accept_offer(
    id: OfferId,
    caller: Requester,
    tx: Tx,
    if_match: IfMatch,
    body: Acceptance | None = None,
) -> Response:
    """Accept a proposal made to you, in whole or in part. What you do not accept is freed."""
    parts = None
    if body is not None and body.lines is not None:
        parts = [actions.Part(line.line, line.quantity) for line in body.lines]
    surplus = body.allow_surplus if body else False
    return single(await actions.accept(tx, caller, id, parts, surplus, if_match))


@router.post(
    "/offers/{id}/decline",
    summary="Decline an offer",
    response_model=Offer,
    responses=answers(*_DECIDING),
)
async def decline_offer(
    id: OfferId,
    caller: Requester,
    tx: Tx,
    if_match: IfMatch,
    body: OfferReason | None = None,
) -> Response:
    """Decline a proposal made to you. Everything that it reserved is free again."""
    return single(await actions.decline(tx, caller, id, body.reason if body else None, if_match))


@router.post(
    "/offers/{id}/withdraw",
    summary="Withdraw an offer",
    response_model=Offer,
    responses=answers(*_DECIDING),
)
async def withdraw_offer(
    id: OfferId, caller: Provider, tx: Tx, if_match: IfMatch, body: Withdrawal | None = None
) -> Response:
    """Take your offer back: a proposal altogether, an accepted one as far as nothing has left.

    Where the call may wait before it is sent, give `decided_at`: an offer that was accepted since
    then is not undone (409 `wrong_state`), since the requester counts on it.
    """
    body = body or Withdrawal()
    return single(await actions.withdraw(tx, caller, id, body.reason, body.decided_at, if_match))


@router.post(
    "/offers/{id}/release",
    summary="Release an offer",
    response_model=Offer,
    responses=answers(*_DECIDING),
)
async def release_offer(
    id: OfferId,
    caller: Requester,
    tx: Tx,
    if_match: IfMatch,
    body: OfferReason | None = None,
) -> Response:
    """Give back what you accepted and what has not left yet; it is outstanding again."""
    return single(await actions.release(tx, caller, id, body.reason if body else None, if_match))
