"""Lots by the sheet: import and export as CSV, XLSX and NDJSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from app.access.guard import SiteWriter, StockReader, StockWriter
from app.calls import Exchange
from app.db import ReadTx, Tx
from app.fields import Ref
from app.problems import answers
from app.sheets import cells
from app.sheets.checking import Checked
from app.sheets.forms import Fault, form
from app.sheets.writing import Value
from app.stock import importing
from app.stock.schemas import LotInput, SiteInput
from app.uploads import (
    CountQuery,
    Format,
    ImportQuery,
    ImportReport,
    Taking,
    Upload,
    described,
    given,
    handed_out,
    refusals,
    told,
)

router = APIRouter(prefix="/v1", tags=["Stock"], route_class=Exchange)


class LotRow(LotInput):
    """A lot with its reference, as a row of a sheet."""

    ref: Ref = Field(description="Your own reference of the lot.", examples=["BLK-7"])


def _value_with_currency(columns: Mapping[str, Sequence[str]]) -> Iterable[Fault]:
    pairs = zip(columns["unit_value"], columns["currency"], strict=True)
    for n, (value, currency) in enumerate(pairs):
        if (value == cells.NULL) != (currency == cells.NULL):
            yield n, "currency", "incomplete", "Give `unit_value` and `currency` together."


LOTS = form(
    "stock",
    LotRow,
    (
        ("ref", "#meta+id+ref", cells.word),
        ("item", "#item+code", cells.word),
        ("site", "#loc+site+ref", cells.word),
        ("quantity", "#capacity+num", cells.whole),
        ("pack", "#item+pack+code", cells.word),
        ("keep_back", "#capacity+keep_back+num", cells.whole),
        ("lot_number", "#item+lot+id", cells.text),
        ("expires_on", "#date+expiry", cells.day),
        ("unit_value", "#value+unit", cells.money),
        ("currency", "#currency+code", cells.word),
        ("visible_to", "#org+visible_to+code+list", cells.words),
        ("as_of", "#date+counted", cells.word),
    ),
    distinct=("ref", "lot_number"),
    check=_value_with_currency,
)

_NDJSON = (
    '{"ref":"BLK-7","item":"HSHEBLANPHT1","site":"baku-1","quantity":500,"keep_back":50}\n'
    '{"ref":"ORS-2","item":"DORAORSA2S","site":"baku-1","quantity":12000,'
    '"expires_on":"2027-06-30","visible_to":["TUR","KAZ"]}\n'
)

Lots = Annotated[Checked, Depends(Taking(LOTS))]


async def import_lots(
    request: Request,
    caller: StockWriter,
    tx: Tx,
    sheet: Lots,
    query: Annotated[CountQuery, Query()],
) -> Response:
    """Publish a whole sheet of lots, each row with the effect of `PUT /v1/my/stock/{ref}`.

    CSV (comma, semicolon or tab; UTF-8, or Windows-1251 and -1254 where `charset` says so), XLSX
    (the first sheet, values only) or NDJSON. The first row names the columns: `ref`, `item`,
    `site` and `quantity` must be there; the others of PUT may. A second row of HXL tags is
    understood. What does not differ is left alone, so that a whole stock list can be sent every
    night. The answer tells each row at fault.
    """
    report = await importing.bring_in(
        tx,
        caller,
        sheet,
        query.options(request.app.state.settings.import_timeout),
    )
    return told(report)


router.add_api_route(
    "/my/stock/import",
    import_lots,
    methods=["POST"],
    route_class_override=Upload,
    summary="Import lots",
    response_model=ImportReport,
    responses=refusals(),
    openapi_extra=described(_NDJSON),
)  # fmt: skip


def _lot(row: list[str]) -> Sequence[Value]:
    ref, item, site, quantity, _, keep_back, lot_number, expires_on, value, *rest = row
    currency, visible_to, as_of = rest
    return (
        ref, item, site, int(quantity), None, int(keep_back), lot_number or None,
        expires_on or None, float(value) if value else None, currency or None,
        json.loads(visible_to) if visible_to else None, as_of,
    )  # fmt: skip


@router.get(
    "/my/stock/export",
    summary="Export your lots",
    response_class=Response,
    responses=answers() | given(_NDJSON),
)
async def export_lots(caller: StockReader, tx: ReadTx, format: Format = "csv") -> Response:
    """All your lots as a file that can be imported again unchanged, with HXL tags in the second
    row. Counts are in base units."""
    return await handed_out(LOTS, format, lambda file: importing.give_back(tx, caller, file), _lot)


class SiteRow(SiteInput):
    """A site with its reference, as a row of a sheet."""

    ref: Ref = Field(description="Your own reference of the site.", examples=["baku-1"])


SITES = form(
    "sites",
    SiteRow,
    (
        ("ref", "#meta+id+ref", cells.word),
        ("name", "#loc+name", cells.text),
        ("country", "#country+code", cells.word),
        ("lat", "#geo+lat", cells.degrees),
        ("lon", "#geo+lon", cells.degrees),
        ("kind", "#loc+type", cells.word),
    ),
    distinct=("ref", "name"),
)
_MOST_SITES = 5000

Sites = Annotated[Checked, Depends(Taking(SITES, _MOST_SITES))]


class SitesQuery(ImportQuery):
    """How to import sites: nothing is closed by an import."""

    mode: Literal["merge"] = Field(
        default="merge", description="What the file does not list stays.", examples=["merge"]
    )


async def import_sites(
    request: Request,
    caller: SiteWriter,
    tx: Tx,
    sheet: Sites,
    query: Annotated[SitesQuery, Query()],
) -> Response:
    """Publish your sites from a sheet, before the lots and pools that stand at them.

    CSV, XLSX or NDJSON with the columns `ref`, `name`, `country`, `lat`, `lon` and `kind`; up to
    5,000 rows. No site is closed by an import.
    """
    options = query.options(request.app.state.settings.import_timeout)
    return told(await importing.bring_in_sites(tx, caller, sheet, options))


router.add_api_route(
    "/my/sites/import",
    import_sites,
    methods=["POST"],
    route_class_override=Upload,
    summary="Import sites",
    response_model=ImportReport,
    responses=refusals(),
    openapi_extra=described(
        '{"ref":"baku-1","name":"Baku warehouse","country":"AZE","lat":40.41,"lon":49.87}\n',
    ),
)  # fmt: skip
