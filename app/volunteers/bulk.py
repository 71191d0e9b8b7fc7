"""Pools by the sheet: import and export as CSV, XLSX and NDJSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from app.access.guard import VolunteerReader, VolunteerWriter
from app.calls import Exchange
from app.db import ReadTx, Tx
from app.fields import Ref
from app.problems import answers
from app.sheets import cells
from app.sheets.checking import Checked
from app.sheets.forms import Fault, form
from app.sheets.writing import Value
from app.uploads import (
    CountQuery,
    Format,
    ImportReport,
    Taking,
    Upload,
    described,
    given,
    handed_out,
    refusals,
    told,
)
from app.volunteers import importing
from app.volunteers.api import PoolInput

router = APIRouter(prefix="/v1", tags=["Volunteers"], route_class=Exchange)


class PoolRow(PoolInput):
    """A pool with its reference, as a row of a sheet."""

    ref: Ref = Field(description="Your own reference of the pool.", examples=["usar-a"])


def _in_order(columns: Mapping[str, Sequence[str]]) -> Iterable[Fault]:
    # Instants are written in one way only, so that their texts have the order of time.
    windows = zip(columns["available_from"], columns["available_until"], strict=True)
    for n, (start, end) in enumerate(windows):
        if cells.NULL not in (start, end) and end <= start:
            yield (
                n, "available_until", "before_from",
                "`available_until` must be later than `available_from`.",
            )  # fmt: skip


POOLS = form(
    "volunteers",
    PoolRow,
    (
        ("ref", "#meta+id+ref", cells.word),
        ("skill", "#capacity+skill+code", cells.word),
        ("languages", "#language+code+list", cells.words),
        ("headcount", "#capacity+num", cells.whole),
        ("available_from", "#date+start", cells.word),
        ("available_until", "#date+end", cells.word),
        ("notice_hours", "#capacity+notice+hours", cells.whole),
        ("site", "#loc+site+ref", cells.word),
        ("visible_to", "#org+visible_to+code+list", cells.words),
        ("as_of", "#date+counted", cells.word),
    ),
    distinct=("ref",),
    check=_in_order,
)

_NDJSON = (
    '{"ref":"usar-a","skill":"usar","languages":["ky","ru","tr"],"headcount":40,'
    '"available_from":"2026-02-07T06:00:00Z","available_until":"2026-03-31T18:00:00Z",'
    '"notice_hours":12,"site":"bishkek-base"}\n'
)

Pools = Annotated[Checked, Depends(Taking(POOLS))]


async def import_pools(
    request: Request,
    caller: VolunteerWriter,
    tx: Tx,
    sheet: Pools,
    query: Annotated[CountQuery, Query()],
) -> Response:
    """Publish a whole sheet of pools, each row with the effect of `PUT /v1/my/volunteers/{ref}`.

    CSV, XLSX or NDJSON, as `POST /v1/my/stock/import` tells. Lists (`languages`, `visible_to`) are
    separated by `|` or spaces. No names, ever.
    """
    report = await importing.bring_in(
        tx,
        caller,
        sheet,
        query.options(request.app.state.settings.import_timeout),
    )
    return told(report)


router.add_api_route(
    "/my/volunteers/import",
    import_pools,
    methods=["POST"],
    route_class_override=Upload,
    summary="Import pools",
    response_model=ImportReport,
    responses=refusals(),
    openapi_extra=described(_NDJSON),
)  # fmt: skip


def _pool(row: list[str]) -> Sequence[Value]:
    ref, skill, languages, headcount, start, end, notice_hours, site, visible_to, as_of = row
    return (
        ref, skill, json.loads(languages), int(headcount), start, end, int(notice_hours), site,
        json.loads(visible_to) if visible_to else None, as_of,
    )  # fmt: skip


@router.get(
    "/my/volunteers/export",
    summary="Export your pools",
    response_class=Response,
    responses=answers() | given(_NDJSON),
)
async def export_pools(caller: VolunteerReader, tx: ReadTx, format: Format = "csv") -> Response:
    """All your pools as a file that can be imported again unchanged, with HXL tags in the second
    row."""
    return await handed_out(
        POOLS, format, lambda file: importing.give_back(tx, caller, file), _pool
    )
