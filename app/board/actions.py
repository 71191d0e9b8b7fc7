"""Show the board of an emergency, and write it as a table."""

import csv
import io
import json
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.board import store
from app.errors import missing
from app.sheets.formulas import protect

# Column, and its tag of the Humanitarian Exchange Language (HXL 1.1, hxlstandard.org).
COLUMNS = (
    ("request", "#meta+id+request"),
    ("line", "#meta+id+line"),
    ("requester", "#org+requester+code"),
    ("title", "#activity+name"),
    ("priority", "#priority"),
    ("needed_by", "#date+needed"),
    ("status", "#status"),
    ("kind", "#sector+kind"),
    ("code", "#item+code"),
    ("unit", "#item+unit"),
    ("provider", "#org+provider+code"),
    ("requested", "#need+num"),
    ("offered", "#output+offered+num"),
    ("accepted", "#output+accepted+num"),
    ("dispatched", "#output+dispatched+num"),
    ("received", "#output+received+num"),
    ("damaged", "#output+damaged+num"),
    ("lost", "#output+lost+num"),
    ("outstanding", "#need+outstanding+num"),
    ("as_of", "#date+updated"),
)
_FIGURES = ("offered", "accepted", "dispatched", "received", "damaged", "lost")


Place = store.Place
BEGINNING = Place()
EVERYTHING = 1 << 31


async def show(
    tx: AsyncConnection, emergency: UUID, after: Place, limit: int, cancelled: bool
) -> tuple[str, Place | None]:
    """A page of the board as JSON: each line with its figures, by society, and how old they are;
    and where the page ended, if there is more."""
    found = await store.board(tx, emergency, clock.now(), after, limit, cancelled)
    if found is None:
        raise missing("emergency")
    return found


def as_csv(doc: str) -> str:
    """The board as CSV (RFC 4180), the second row its HXL tags.

    One row for each line (its `provider` empty) and one for each society that helps with it: the
    figures of the latter add up to those of the former. Unsolicited help has no `request`.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(name for name, _ in COLUMNS)
    writer.writerow(tag for _, tag in COLUMNS)
    board = json.loads(doc)
    for line in board["lines"]:
        shown = {
            **line,
            "requester": line["society"],
            "code": line["item"] or line["skill"],
            "provider": "",
        }
        _write(writer, shown)
        for given in line["societies"]:
            _write(writer, {**shown, "requested": "", "outstanding": "", **_given(given)})
    for given in board["unsolicited"]:
        shown = {
            "requester": given["to"],
            "status": "unsolicited",
            "kind": "stock" if given["item"] else "volunteers",
            "code": given["item"] or given["skill"],
            "unit": given["unit"],
        }
        _write(writer, shown | _given(given))
    return out.getvalue()


def _given(given: dict[str, object]) -> dict[str, object]:
    figures = {name: given[name] for name in _FIGURES}
    return figures | {"provider": given["society"], "as_of": given["as_of"]}


def _write(writer: Any, row: dict[str, object]) -> None:
    writer.writerow([_cell(row.get(name)) for name, _ in COLUMNS])


def _cell(value: object) -> object:
    # What people wrote, such as a title, must not run in the spreadsheet that opens the file.
    if isinstance(value, str):
        return protect(value)
    return "" if value is None else value
