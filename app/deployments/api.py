"""Deployments: plan, mobilise, arrive, extend, release, return, cancel; the manifest."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.access.guard import EitherParty, Provider, Reader, Requester
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.deployments import actions, manifests
from app.deployments.schemas import (
    Deployment,
    DeploymentId,
    DeploymentInput,
    DeploymentQuery,
    DeploymentReason,
    ExtensionInput,
    Manifest,
    ManifestInput,
)
from app.pages import Page, page, read_cursor, single
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Deployments"], route_class=Exchange)

_MOVING = ("not_found", "role_forbidden", "wrong_state", "precondition_failed")


@router.post(
    "/deployments",
    status_code=201,
    summary="Plan a deployment",
    response_model=Deployment,
    responses=answers("role_forbidden", "unknown_reference", "wrong_state", "over_planned"),
)
async def plan_deployment(body: DeploymentInput, caller: Provider, tx: Tx) -> Response:
    """Set accepted people aside for one deployment. An offer line may have several."""
    new = actions.NewDeployment(body.offer, body.offer_line, body.headcount, body.eta)
    deployment, doc = await actions.plan(tx, caller, new)
    return single(doc, status=201, location=f"/v1/deployments/{deployment}")


@router.get(
    "/deployments",
    summary="List deployments",
    response_model=Page[Deployment],
    responses=answers(),
)
async def list_deployments(
    request: Request,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[DeploymentQuery, Query()],
) -> Response:
    """The deployments that your society sends or receives, newest first."""
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
    "/deployments/{id}",
    summary="Read a deployment",
    response_model=Deployment,
    responses=answers("not_found"),
)
async def get_deployment(id: DeploymentId, caller: Reader, tx: ReadTx) -> Response:
    """One deployment, for the two parties of its offer and the secretariat."""
    return single(await actions.show(tx, caller, id))


@router.put(
    "/deployments/{id}/manifest",
    summary="Write the manifest",
    response_model=Manifest,
    responses=answers(*_MOVING)
    | {201: {"model": Manifest, "description": "The manifest was created."}},
)
async def put_manifest(
    id: DeploymentId, body: ManifestInput, caller: Provider, tx: Tx, if_match: IfMatch
) -> Response:
    """Say who comes. Only the two parties can read it; the ledger holds a commitment alone."""
    people = [person.model_dump() for person in body.people]
    created, doc = await manifests.seal(tx, caller, id, people, if_match)
    if created:
        return single(doc, status=201, location=f"/v1/deployments/{id}/manifest")
    return single(doc)


@router.get(
    "/deployments/{id}/manifest",
    summary="Read the manifest",
    response_model=Manifest,
    responses=answers("not_found", "role_forbidden", "manifest_erased"),
)
async def get_manifest(id: DeploymentId, caller: EitherParty, tx: ReadTx) -> Response:
    """Who comes: for the two parties alone.

    Erased 30 days after the return, or after `until` where nobody says that they are back; 180
    days after `until` at the latest.
    """
    return single(await manifests.show(tx, caller, id))


@router.post(
    "/deployments/{id}/mobilise",
    summary="Mobilise a deployment",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def mobilise_deployment(
    id: DeploymentId, caller: Provider, tx: Tx, if_match: IfMatch
) -> Response:
    """The people leave."""
    return single(await actions.mobilise(tx, caller, id, if_match))


@router.post(
    "/deployments/{id}/arrive",
    summary="Arrive",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def arrive_deployment(
    id: DeploymentId, caller: EitherParty, tx: Tx, if_match: IfMatch
) -> Response:
    """The people are there and at work; either party may say so."""
    return single(await actions.arrive(tx, caller, id, if_match))


@router.post(
    "/deployments/{id}/extension",
    summary="Ask for an extension",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def ask_extension(
    id: DeploymentId,
    body: ExtensionInput,
    caller: EitherParty,
    tx: Tx,
    if_match: IfMatch,
) -> Response:
    """Ask the other party for a longer deployment. Nothing changes until it agrees."""
    return single(await actions.ask_extension(tx, caller, id, body.until, body.reason, if_match))


@router.post(
    "/deployments/{id}/extension/accept",
    summary="Accept an extension",
    response_model=Deployment,
    responses=answers(*_MOVING, "insufficient_volunteers"),
)
async def accept_extension(
    id: DeploymentId, caller: EitherParty, tx: Tx, if_match: IfMatch
) -> Response:
    """Agree to the longer deployment that the other party asked for."""
    return single(await actions.accept_extension(tx, caller, id, if_match))


@router.post(
    "/deployments/{id}/extension/decline",
    summary="Decline an extension",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def decline_extension(
    id: DeploymentId,
    caller: EitherParty,
    tx: Tx,
    if_match: IfMatch,
    body: DeploymentReason | None = None,
) -> Response:
    """Do not agree; the deployment ends as it was agreed before."""
    reason = body.reason if body else None
    return single(await actions.decline_extension(tx, caller, id, reason, if_match))


@router.post(
    "/deployments/{id}/release",
    summary="Release a deployment",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def release_deployment(
    id: DeploymentId,
    caller: Requester,
    tx: Tx,
    if_match: IfMatch,
    body: DeploymentReason | None = None,
) -> Response:
    """You need them no longer: they may go home."""
    return single(await actions.release(tx, caller, id, body.reason if body else None, if_match))


@router.post(
    "/deployments/{id}/recall",
    summary="Recall a deployment",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def recall_deployment(
    id: DeploymentId,
    caller: Provider,
    tx: Tx,
    if_match: IfMatch,
    body: DeploymentReason | None = None,
) -> Response:
    """You need your people at home, whether or not the requester has released them.

    The deployment is `released`; it ends by `return`, when they are back. Until then they are away
    and cannot be offered again.
    """
    return single(await actions.recall(tx, caller, id, body.reason if body else None, if_match))


@router.post(
    "/deployments/{id}/return",
    summary="Return",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def return_deployment(
    id: DeploymentId, caller: Provider, tx: Tx, if_match: IfMatch
) -> Response:
    """The people are home: your pool can promise them again."""
    return single(await actions.bring_back(tx, caller, id, if_match))


@router.post(
    "/deployments/{id}/cancel",
    summary="Cancel a deployment",
    response_model=Deployment,
    responses=answers(*_MOVING),
)
async def cancel_deployment(
    id: DeploymentId,
    caller: Provider,
    tx: Tx,
    if_match: IfMatch,
    body: DeploymentReason | None = None,
) -> Response:
    """The people do not go, or turn back on the way. They can be planned anew."""
    return single(await actions.cancel(tx, caller, id, body.reason if body else None, if_match))
