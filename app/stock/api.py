"""A society's own sites and lots, and the network's stock as others see it."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.access.guard import Reader, SiteReader, SiteWriter, StockReader, StockWriter
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.errors import invalid
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers
from app.stock import actions
from app.stock.schemas import (
    LotId,
    LotInput,
    LotRef,
    LotShown,
    OwnLot,
    Site,
    SiteInput,
    SiteRef,
    StockQuery,
)
from app.stock.search import Wanted

router = APIRouter(prefix="/v1", tags=["Stock"], route_class=Exchange)


@router.get(
    "/my/sites",
    summary="List your sites",
    response_model=Page[Site],
    responses=answers(),
)
async def list_sites(
    request: Request,
    caller: SiteReader,
    tx: ReadTx,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """Your society's own sites, in the order of your references."""
    after = read_cursor(query.cursor, str)
    rows = await actions.list_sites(tx, caller, after[0] if after else "", query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/my/sites/{ref}",
    summary="Read a site",
    response_model=Site,
    responses=answers("not_found"),
)
async def get_site(ref: SiteRef, caller: SiteReader, tx: ReadTx) -> Response:
    """One of your sites, by your own reference."""
    return single(await actions.show_site(tx, caller, ref))


@router.put(
    "/my/sites/{ref}",
    summary="Publish a site",
    response_model=Site,
    responses=answers("role_forbidden", "precondition_failed")
    | {201: {"model": Site, "description": "The site was created."}},
)
async def publish_site(
    ref: SiteRef, body: SiteInput, caller: SiteWriter, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace one of your sites. Lots and pools stand at sites."""
    site = actions.Site(body.name, body.country, body.lat, body.lon, body.kind)
    created, doc = await actions.put_site(tx, caller, ref, site, if_match)
    return _put(created, doc, f"/v1/my/sites/{quote(ref)}")


@router.delete(
    "/my/sites/{ref}",
    status_code=204,
    summary="Close a site",
    responses=answers("not_found", "site_in_use", "precondition_failed"),
)
async def close_site(ref: SiteRef, caller: SiteWriter, tx: Tx, if_match: IfMatch) -> Response:
    """Delete a site at which no lot and no pool was ever published."""
    await actions.close_site(tx, caller, ref, if_match)
    return Response(status_code=204)


@router.get(
    "/my/stock",
    summary="List your lots",
    response_model=Page[OwnLot],
    responses=answers(),
)
async def list_own_lots(
    request: Request,
    caller: StockReader,
    tx: ReadTx,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """Your society's own lots with count, floor and reservations, oldest first."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.list_own(tx, caller, after[0] if after else UUID(int=0), query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/my/stock/{ref}",
    summary="Read a lot",
    response_model=OwnLot,
    responses=answers("not_found"),
)
async def get_own_lot(ref: LotRef, caller: StockReader, tx: ReadTx) -> Response:
    """One of your lots, by your own reference."""
    return single(await actions.show_own(tx, caller, ref))


@router.put(
    "/my/stock/{ref}",
    summary="Publish a lot",
    response_model=OwnLot,
    responses=answers(
        "role_forbidden", "unknown_reference", "lot_reserved", "stale_count", "precondition_failed"
    )
    | {201: {"model": OwnLot, "description": "The lot was created."}},
)
async def publish_lot(
    ref: LotRef, body: LotInput, caller: StockWriter, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace one of your lots. Repeating the same call changes nothing.

    Your count is the truth: a count below what is reserved is accepted, sets `shortfall`, stops
    new promises and tells both parties by `stock.shortfall`.
    """
    created, doc = await actions.publish(
        tx,
        caller,
        ref,
        actions.Lot(**{k: getattr(body, k) for k in _LOT_FIELDS}),
        if_match,
    )
    return _put(created, doc, f"/v1/my/stock/{quote(ref)}")


_LOT_FIELDS = tuple(actions.Lot.__dataclass_fields__)


@router.delete(
    "/my/stock/{ref}",
    status_code=204,
    summary="Withdraw a lot",
    responses=answers("not_found", "lot_reserved", "precondition_failed"),
)
async def withdraw_lot(ref: LotRef, caller: StockWriter, tx: Tx, if_match: IfMatch) -> Response:
    """Take a lot off the exchange. Refused while anything of it is promised."""
    await actions.withdraw(tx, caller, ref, if_match)
    return Response(status_code=204)


@router.get(
    "/stock",
    summary="Search the network's stock",
    response_model=Page[LotShown],
    responses=answers(),
)
async def find_lots(
    request: Request, caller: Reader, tx: ReadTx, query: Annotated[StockQuery, Query()]
) -> Response:
    """What the societies have available, as far as they let you see it."""
    if query.within_km is not None and query.near is None:
        raise invalid("query/within_km", "incomplete", "`within_km` goes with `near`.")
    items: list[str] | None = None
    if query.item is not None:
        items = await actions.with_stand_ins(tx, query.item) if query.substitutes else [query.item]
    near = None
    kinds: tuple[type, ...] = (UUID,)
    if query.near is not None:
        lat, _, lon = query.near.partition(",")
        near = (float(lat), float(lon))
        kinds = (float, UUID)
    wanted = Wanted(
        items=items,
        society=query.society,
        country=query.country,
        min_available=query.min_available,
        expires_after=query.expires_after,
        near=near,
        within_km=query.within_km,
    )
    after = read_cursor(query.cursor, *kinds)
    rows = await actions.find(tx, caller, wanted, after, query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/stock/{id}",
    summary="Read a lot of the network",
    response_model=LotShown,
    responses=answers("not_found"),
)
async def get_lot(id: LotId, caller: Reader, tx: ReadTx) -> Response:
    """One lot of the network; the same view for everyone who may see it."""
    return single(await actions.show(tx, caller, id))


def _put(created: bool, doc: str, location: str) -> Response:
    if created:
        return single(doc, status=201, location=location)
    return single(doc)
