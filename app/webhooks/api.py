"""Webhooks: endpoints, their secrets, their deliveries.

Guarded by the scope `admin` of the own society, whatever its role: an observer reads the feed, and
may have it sent. The secretariat manages its own endpoints and nobody else's.
"""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.access.guard import Admin
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers
from app.webhooks import actions
from app.webhooks.schemas import (
    Delivery,
    DeliveryId,
    DeliveryQuery,
    Progress,
    ReplayInput,
    SecretRotation,
    Webhook,
    WebhookId,
    WebhookInput,
    WebhookPatch,
    WebhookWithSecret,
)

router = APIRouter(prefix="/v1", tags=["Webhooks"], route_class=Exchange)


@router.get(
    "/webhooks", summary="List your endpoints", response_model=Page[Webhook], responses=answers()
)
async def list_webhooks(
    request: Request, caller: Admin, tx: ReadTx, query: Annotated[PageQuery, Query()]
) -> Response:
    """Where your society's events are sent."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.find(tx, caller, after[0] if after else None, query.limit + 1)
    return page(request, rows, query.limit)


@router.post(
    "/webhooks",
    status_code=201,
    summary="Open an endpoint",
    response_model=WebhookWithSecret,
    responses=answers("unknown_reference", "conflict"),
)
async def open_webhook(request: Request, body: WebhookInput, caller: Admin, tx: Tx) -> Response:
    """Have events sent to a URL of yours, signed by Standard Webhooks 1.0.

    Its `secret` is shown in this answer and never again. What is sent is what your society sees in
    `GET /v1/events`; sealed envelopes are sent only where you ask for them (`sealed`).
    """
    webhook, doc, secret = await actions.open_endpoint(
        tx,
        caller,
        actions.Endpoint(
            url=body.url,
            description=body.description,
            types=tuple(body.types) if body.types is not None else None,
            emergency=body.emergency,
            mine=body.mine,
            sealed=body.sealed,
        ),
        None if body.from_ == "now" else body.from_,
        allow_private=request.app.state.settings.webhook_allow_private,
    )
    return single(
        _with_secret(doc, secret),
        status=201,
        location=f"/v1/webhooks/{webhook}",
        kept=_with_secret(doc, None),
        read=doc,
    )


@router.get(
    "/webhooks/{id}",
    summary="Read an endpoint",
    response_model=Webhook,
    responses=answers("not_found"),
)
async def get_webhook(id: WebhookId, caller: Admin, tx: ReadTx) -> Response:
    """One endpoint. How far it is stands under `progress`."""
    return single(await actions.show(tx, caller, id))


@router.patch(
    "/webhooks/{id}",
    summary="Change an endpoint",
    response_model=Webhook,
    responses=answers("not_found", "unknown_reference", "precondition_failed"),
)
async def change_webhook(
    request: Request, id: WebhookId, body: WebhookPatch, caller: Admin, tx: Tx, if_match: IfMatch
) -> Response:
    """Change its URL or what it wants. It counts from the next event that is sent."""
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    if "types" in fields and fields["types"] is not None:
        fields["types"] = tuple(fields["types"])
    for name in {"mine", "sealed"} & fields.keys():
        fields[name] = bool(fields[name])
    allow_private = request.app.state.settings.webhook_allow_private
    return single(
        await actions.change(tx, caller, id, fields, if_match, allow_private=allow_private)
    )


@router.delete(
    "/webhooks/{id}",
    status_code=204,
    summary="Delete an endpoint",
    responses=answers("not_found", "precondition_failed"),
)
async def close_webhook(id: WebhookId, caller: Admin, tx: Tx, if_match: IfMatch) -> Response:
    """Nothing more is sent. Its secrets and the list of its deliveries are forgotten."""
    await actions.close(tx, caller, id, if_match)
    return Response(status_code=204)


@router.post(
    "/webhooks/{id}/rotate",
    summary="Rotate an endpoint's secret",
    response_model=WebhookWithSecret,
    responses=answers("not_found"),
)
async def rotate_webhook(
    id: WebhookId, caller: Admin, tx: Tx, body: SecretRotation | None = None
) -> Response:
    """Give the endpoint a new secret. For the overlap every message has two signatures, one by
    each secret, so that you can change over whenever you like."""
    hours = (body or SecretRotation()).overlap_hours
    doc, secret = await actions.rotate(tx, caller, id, timedelta(hours=hours))
    return single(_with_secret(doc, secret), kept=_with_secret(doc, None), read=doc)


@router.post(
    "/webhooks/{id}/test",
    status_code=202,
    summary="Send a test",
    response_model=Webhook,
    responses=answers("not_found", "wrong_state"),
)
async def test_webhook(id: WebhookId, caller: Admin, tx: Tx) -> Response:
    """Send the event `webhook.test` to this endpoint, whatever its filters: as soon as it has what
    happened before."""
    return single(await actions.test(tx, caller, id), status=202)


@router.post(
    "/webhooks/{id}/resume",
    summary="Resume an endpoint",
    response_model=Webhook,
    responses=answers("not_found"),
)
async def resume_webhook(id: WebhookId, caller: Admin, tx: Tx) -> Response:
    """Send again, from where it stopped. What failed or was given up is tried again at once, too.

    Of an active endpoint it ends the rest that is given to a receiver that does not answer.
    """
    return single(await actions.resume(tx, caller, id))


@router.get(
    "/webhooks/{id}/progress",
    summary="Read how far an endpoint is",
    response_model=Progress,
    responses=answers("not_found"),
)
async def get_progress(id: WebhookId, caller: Admin, tx: ReadTx) -> Response:
    """Its place in the ledger, what waits, and what fails."""
    return single(await actions.progress(tx, caller, id))


@router.get(
    "/webhooks/{id}/deliveries",
    summary="List an endpoint's deliveries",
    response_model=Page[Delivery],
    responses=answers("not_found"),
)
async def list_deliveries(
    request: Request,
    id: WebhookId,
    caller: Admin,
    tx: ReadTx,
    query: Annotated[DeliveryQuery, Query()],
) -> Response:
    """What was sent, what came back, and what is tried again; newest first. What was delivered is
    listed for 30 days."""
    before = read_cursor(query.cursor, int)
    rows = await actions.deliveries(
        tx,
        caller,
        id,
        status=query.status,
        types=[query.type] if query.type else None,
        before=before[0] if before else None,
        limit=query.limit + 1,
    )
    return page(request, rows, query.limit)


@router.post(
    "/webhooks/{id}/deliveries/{delivery}/replay",
    status_code=202,
    summary="Send a delivery once more",
    response_model=Delivery,
    responses=answers("not_found"),
)
async def replay_delivery(id: WebhookId, delivery: DeliveryId, caller: Admin, tx: Tx) -> Response:
    """Send one event again, with the same `webhook-id`; where the endpoint is paused, when it is
    resumed."""
    return single(await actions.replay_one(tx, caller, id, delivery), status=202)


@router.post(
    "/webhooks/{id}/replay",
    status_code=202,
    summary="Send a range once more",
    response_model=Progress,
    responses=answers("not_found", "conflict"),
)
async def replay_range(id: WebhookId, body: ReplayInput, caller: Admin, tx: Tx) -> Response:
    """Send again what the endpoint wants of everything after a `seq`, each event with the same
    `webhook-id` as before. New events go before it. One replay at a time."""
    return single(await actions.replay(tx, caller, id, body.after, body.until), status=202)


def _with_secret(doc: str, secret: str | None) -> str:
    shown = f'"{secret}"' if secret else "null"
    return f'{doc[:-1]},"secret":{shown}}}'
