"""Write rows as CSV, XLSX or NDJSON, so that they can be read again unchanged."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

from app.json_text import dump
from app.sheets import workbooks
from app.sheets.cells import NOBODY
from app.sheets.forms import Form
from app.sheets.formulas import protect

MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ndjson": "application/x-ndjson",
}

Value = str | int | float | list[str] | None


def write(kind: str, form: Form, rows: Iterable[Sequence[Value]], file: IO[bytes]) -> None:
    """Write a header, the HXL tags and the rows, whose values stand in the form's order."""
    _WRITERS[kind](form, rows, file)


def _csv(form: Form, rows: Iterable[Sequence[Value]], file: IO[bytes]) -> None:
    # With a byte order mark: without one Excel takes UTF-8 for the code page of its country.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=False)
    csv.writer(text).writerows(_lines(form, rows))
    text.flush()
    text.detach()


def _xlsx(form: Form, rows: Iterable[Sequence[Value]], file: IO[bytes]) -> None:
    workbooks.write(file, form.name, _lines(form, rows))


def _ndjson(form: Form, rows: Iterable[Sequence[Value]], file: IO[bytes]) -> None:
    names = [column.name for column in form.columns]
    for row in rows:
        file.write(dump(dict(zip(names, row, strict=True))) + b"\n")


_WRITERS: dict[str, Callable[[Form, Iterable[Sequence[Value]], IO[bytes]], None]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "ndjson": _ndjson,
}


def _lines(form: Form, rows: Iterable[Sequence[Value]]) -> Iterator[list[Any]]:
    yield [column.name for column in form.columns]
    yield [column.tag for column in form.columns]
    defaults = [column.default for column in form.columns]
    for row in rows:
        yield [_cell(value, default) for value, default in zip(row, defaults, strict=True)]


def _cell(value: Value, default: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list):
        # An empty cell is the default; where that is not the empty list, the list needs a word.
        return "|".join(value) if value or default == [] else NOBODY
    return protect(value) if isinstance(value, str) else value
