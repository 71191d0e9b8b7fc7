"""Check a file row by row, into a spool that PostgreSQL's COPY takes as it is.

All of it happens before a transaction is open, in bounded batches, so that neither memory grows
with the file nor another call waits for it. A batch is turned into columns: of most columns every
value occurs again and again, and is read and checked once.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import IO, Any

from pydantic import ValidationError

from app.fields import said
from app.json_text import MalformedJson, load
from app.sheets import tables, workbooks
from app.sheets.cells import NULL, Unfit, copied
from app.sheets.forms import Column, Form, Unreadable, is_tag_row, letter, matched
from app.sheets.reports import Report

CSV, XLSX, NDJSON = "csv", "xlsx", "ndjson"
_BATCH = 2000
_MOST_SIZE = 2 * 1024 * 1024
_MOST_REMEMBERED = 5_000
_LONGEST_LINE = 65_536

# What any text or reference may be, and stands in COPY as it is: most references are so.
_PLAIN = re.compile(r"(?!(?:import|export)$)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}").fullmatch

Ids = Callable[[int], list[str]]


class Checked:
    """A file on its way into the spool. `step` checks one batch and returns whether more is left.

    The spool has one line for each row with a readable `ref`: row number, whether it is refused, a
    fresh id, and the columns of the form in their order.
    """

    def __init__(
        self, form: Form, source: IO[bytes], spool: IO[bytes], ids: Ids, most: int
    ) -> None:
        self.report = Report()
        self.unnamed = 0
        """Rows whose `ref` could not be read: nobody knows which object they mean."""
        self.form = form
        self.source = source
        self.file = spool
        self.most = most
        self._ids = ids
        self._batches: Iterator[Any] | None = None
        self._take: Callable[[Any], None] = self._take_cells
        self._memories = {column.name: _Memory(column) for column in form.columns}
        self._places: dict[int, Column] = {}

    def open(self, kind: str, charset: str | None) -> None:
        """Read the head of the file; raises Unreadable."""
        self.source.seek(0)
        rows: Iterator[Any]
        if kind == NDJSON:
            rows = self._bounded(_json_lines(self.source, charset))
            self._take = self._take_objects
        else:
            found = (
                workbooks.rows(self.source)
                if kind == XLSX
                else tables.rows(self.source, charset, self.form)
            )
            rows = self._bounded(self._headed(found))
        self._batches = _in_batches(rows)

    @property
    def spool(self) -> IO[bytes]:
        """What was checked, from its beginning."""
        self.file.seek(0)
        return self.file

    def adopt(self, report: Report, unnamed: int) -> None:
        """Take over what another process has found, which wrote the spool."""
        self.report = report
        self.unnamed = unnamed

    def begin(self, *, dry_run: bool) -> Report:
        """The report so far, to be continued: a fresh one for every attempt."""
        report = deepcopy(self.report)
        report.dry_run = dry_run
        return report

    def step(self) -> bool:
        """Check one batch."""
        assert self._batches is not None
        batch = next(self._batches, None)
        if batch is None:
            if not self.report.rows:
                raise Unreadable("empty_file", "The file has no rows below its header.", row=1)
            self.file.flush()
            self.file.seek(0)
            return False
        self.report.rows += len(batch)
        self._take(batch)
        return True

    def _bounded(self, rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        for count, row in enumerate(rows):
            if count >= self.most:
                raise Unreadable(
                    "too_many_rows",
                    f"The file has more than {self.most} rows: send it in parts.",
                    row=row[0],
                )
            yield row

    def _headed(self, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
        filled = (row for row in rows if any(cell and not cell.isspace() for cell in row[1]))
        _, header = next(filled, (0, None))
        if header is None:
            raise Unreadable("empty_file", "The file is empty.")
        second = next(filled, None)
        tags = None
        if second is not None and not is_tag_row(header) and is_tag_row(second[1]):
            tags, second = second[1], None
        self._places = matched(self.form, header, tags)
        if second is not None:
            yield second
        yield from filled

    def _take_cells(self, batch: list[tuple[int, list[str]]]) -> None:
        numbers, rows = zip(*batch, strict=True)
        faults: dict[int, list[tuple[str | None, str, str]]] = {}
        width = max(self._places) + 1
        for n, row in enumerate(rows):
            if len(row) != width:
                if any(cell and not cell.isspace() for cell in row[width:]):
                    faults[n] = [
                        (None, "too_many_cells", f"There is something beyond the last column, in "
                         f"column {letter(len(row) - 1)}. Is a quotation mark missing?")
                    ]  # fmt: skip
                row[width:] = [""] * (width - len(row))
        by_place = list(zip(*rows, strict=True))
        columns: dict[str, Sequence[str]] = {}
        for place, column in self._places.items():
            memory = self._memories[column.name]
            values: list[Any] = list(map(memory.__getitem__, by_place[place]))
            if memory.faulty:
                for n, value in enumerate(values):
                    if type(value) is Unfit:
                        faults.setdefault(n, []).append((column.name, value.code, value.message))
                        values[n] = NULL
            columns[column.name] = values
        for column in self.form.columns:
            if column.name not in columns:
                columns[column.name] = [copied(column.default)] * len(batch)
        self._write(numbers, columns, faults)

    def _take_objects(self, batch: list[tuple[int, bytes]]) -> None:
        numbers = [number for number, _ in batch]
        faults: dict[int, list[tuple[str | None, str, str]]] = {}
        columns: dict[str, list[str]] = {column.name: [] for column in self.form.columns}
        nothing = [NULL] * len(columns)
        for n, (_, line) in enumerate(batch):
            values = nothing
            try:
                sent = load(line)
                found = self.form.model.model_validate(sent)
                values = [copied(getattr(found, name)) for name in columns]
            except MalformedJson as error:
                faults[n] = [(None, "malformed_json", str(error))]
            except ValidationError as error:
                listed = error.errors(include_url=False, include_input=False, include_context=False)
                faults[n] = [_told(fault) for fault in listed[:10]]
                values = [self._ref_of(sent), *nothing[1:]]
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
        self._write(numbers, columns, faults)

    def _ref_of(self, sent: Any) -> str:
        """The `ref` of an object that is refused for something else."""
        ref = sent.get("ref") if isinstance(sent, dict) else None
        if not isinstance(ref, str):
            return NULL
        try:
            return copied(self.form.columns[0].accept(ref))
        except Unfit:
            return NULL

    def _write(
        self,
        numbers: Sequence[int],
        columns: Mapping[str, Sequence[str]],
        faults: dict[int, list[tuple[str | None, str, str]]],
    ) -> None:
        for n, name, code, message in self.form.check(columns):
            if n not in faults:
                faults[n] = [(name, code, message)]
        for n in sorted(faults):
            self.report.refused += 1
            for field, kind, reason in faults[n]:
                self.report.fault(numbers[n], field, kind, reason)
        marks = ["f"] * len(numbers)
        ordered = [columns[column.name] for column in self.form.columns]
        if faults:
            emptied = [list(values) for values in ordered]
            for n in faults:
                marks[n] = "t"
                for values in emptied[1:]:
                    values[n] = NULL
            ordered = list(emptied)
        lines = zip(map(str, numbers), marks, self._ids(len(numbers)), *ordered, strict=True)
        if faults:
            refs = ordered[0]
            self.unnamed += sum(refs[n] == NULL for n in faults)
            kept = (line for n, line in enumerate(lines) if refs[n] != NULL)
            text = "".join("\t".join(line) + "\n" for line in kept)
        else:
            text = "\n".join(map("\t".join, lines)) + "\n"
        self.file.write(text.encode())


def _in_batches(rows: Iterator[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Rows in lists that are bounded by their number and by their size."""
    batch: list[tuple[int, Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        cells = row[1]
        size += len(cells) if isinstance(cells, bytes) else sum(map(len, cells))
        if len(batch) >= _BATCH or size >= _MOST_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Memory(dict[str, Any]):
    """What the cells of a column mean: the text for COPY, or an Unfit. Read once each."""

    def __init__(self, column: Column) -> None:
        super().__init__()
        self._column = column
        self.faulty = False

    def __missing__(self, cell: str) -> Any:
        if self._column.distinct and _PLAIN(cell):
            return cell
        try:
            value: Any = self._column.copied(cell)
        except Unfit as error:
            error.__traceback__ = None
            value = error
            self.faulty = True
        if not self._column.distinct and len(self) < _MOST_REMEMBERED and len(cell) < 200:
            self[cell] = value
        return value


def _told(fault: Any) -> tuple[str | None, str, str]:
    kind = str(fault["type"])
    name = str(fault["loc"][0])[:100] if fault["loc"] else None
    return name, kind, said(kind, str(fault["msg"]))


def _json_lines(file: IO[bytes], charset: str | None) -> Iterator[tuple[int, bytes]]:
    if charset is not None and tables.codec(charset) != "utf-8":
        raise Unreadable("charset", "NDJSON is always UTF-8.")
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise Unreadable(
                "row_too_long", f"A line is longer than {_LONGEST_LINE} bytes.", row=number
            )
        if number == 1 and line.startswith(b"PK"):
            raise Unreadable("not_what_it_says", "This is a ZIP or XLSX file, not NDJSON.")
        if line.strip():
            yield number, line
