"""A file becomes pieces that a poor link can carry, cut between rows, with the header repeated."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.client.publishing import Form, Kind
from app.connector.settings import Misused

PIECE = 131_072
"""Bytes of a piece, about: what a slow link carries in well under a minute."""
_LONGEST_ROW = 131_072
"""Bytes; the exchange takes no row that is longer than half of that."""
_FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".xlsx": "xlsx",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
_WORDS: dict[str, Kind] = {
    "stock": "stock",
    "lot": "stock",
    "volunteer": "volunteers",
    "pool": "volunteers",
    "site": "sites",
    "warehouse": "sites",
}
_CHARSETS = {"utf-8": "utf-8", "windows-1251": "cp1251", "windows-1254": "cp1254"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was looked at."""

    path: Path
    kind: Kind
    form: Form
    charset: str | None

    @property
    def encoding(self) -> str:
        """As Python names it."""
        return _CHARSETS[self.charset or "utf-8"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a file. Row `n` of the piece is row `n + shift` of the file."""

    content: bytes
    rows: int | None
    shift: int


def look(path: Path, kind: Kind | None, charset: str | None) -> Source:
    """What a file is, by its name and how it begins; raises Misused."""
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise Misused(f"{path.name}: send .csv, .xlsx or .ndjson; this ends in {path.suffix!r}.")
    kind = kind or next((k for word, k in _WORDS.items() if word in path.stem.lower()), None)
    if kind is None:
        raise Misused(f"{path.name}: say what it holds: --kind stock, volunteers or sites.")
    if charset is not None:
        charset = charset.strip().lower().replace("cp", "windows-").replace("utf8", "utf-8")
        if charset not in _CHARSETS:
            raise Misused(f"--charset is one of: {', '.join(_CHARSETS)}.")
    try:
        with path.open("rb") as file:
            start = file.read(65_536)
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from None
    if not start.strip(b"\xef\xbb\xbf \t\r\n"):
        raise Misused(f"{path.name} is empty.")
    if form == "xlsx" and not start.startswith(b"PK"):
        raise Misused(f"{path.name} is no XLSX file, whatever its name says.")
    if form != "xlsx" and start.startswith(b"PK"):
        raise Misused(f"{path.name} is a ZIP or XLSX file and no text: rename it to .xlsx.")
    if form != "xlsx" and b"\0" in start:
        raise Misused(f"{path.name} is no text in a charset that is understood: save as CSV UTF-8.")
    return Source(path, kind, form, charset)


def cut(source: Source, file: BinaryIO, *, whole: bool, size: int = PIECE) -> Iterator[Piece]:
    """The pieces of a file in order; `whole` leaves it as it is. Raises Misused with the row."""
    if whole or source.form == "xlsx":
        yield Piece(file.read(), None, 0)
    elif source.form == "ndjson":
        yield from _gathered(b"", 0, _lines(source, file), size)
    else:
        head, head_rows, records = _headed(source, _records(source, file))
        yield from _gathered(head, head_rows, records, size)


Numbered = Iterator[tuple[int, bytes]]


def _gathered(head: bytes, head_rows: int, records: Numbered, size: int) -> Iterator[Piece]:
    content, first, count = bytearray(), 0, 0
    for row, raw in records:
        if content and len(content) + len(raw) > size:
            yield Piece(head + content, count, first - 1 - head_rows)
            content, count = bytearray(), 0
        if not content:
            first = row
        content += raw
        # Empty rows keep their number, so that those after them keep theirs.
        count = row - first + 1
    if content:
        yield Piece(head + content, count, first - 1 - head_rows)


def _lines(source: Source, file: BinaryIO) -> Numbered:
    for row, raw in enumerate(iter(lambda: file.readline(_LONGEST_ROW + 1), b""), 1):
        _text(source, raw, row)
        yield row, raw


def _text(source: Source, raw: bytes, line: int) -> str:
    if len(raw) > _LONGEST_ROW:
        raise Misused(f"{source.path.name}: line {line} has no end. Is this a table?")
    try:
        text = raw.decode(source.encoding)
    except UnicodeDecodeError:
        raise Misused(
            f"{source.path.name}: line {line} is not {source.charset or 'UTF-8'}. Save the sheet "
            "as CSV UTF-8, or say --charset windows-1251 or windows-1254."
        ) from None
    if "\0" in text:
        raise Misused(f"{source.path.name}: line {line} holds NUL bytes; this is no text.")
    return text


class _Taken:
    """Lines on their way into the CSV parser, which takes as many as a row has."""

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self._lines = _lines(source, file)
        self._source = source
        self.raw: list[bytes] = []
        self.size = 0

    def __iter__(self) -> "_Taken":
        return self

    def __next__(self) -> str:
        line, raw = next(self._lines)
        self.raw.append(raw)
        self.size += len(raw)
        if self.size > _LONGEST_ROW:
            raise Misused(
                f"{self._source.path.name}: line {line} belongs to a row that has no end. "
                "Is a quotation mark left open?"
            )
        return _text(self._source, raw, line).removeprefix("\ufeff")

    def give(self) -> bytes:
        """The bytes of the lines since the last time."""
        whole = b"".join(self.raw)
        self.raw, self.size = [], 0
        return whole


def _records(source: Source, file: BinaryIO) -> Iterator[tuple[int, bytes, list[str]]]:
    """(row number, its bytes, its cells); rows as a spreadsheet counts them."""
    first = file.readline(_LONGEST_ROW + 1)
    told = _text(source, first, 1).removeprefix("\ufeff").rstrip("\r\n").lower()
    before = b""
    if told.startswith("sep=") and len(told) == 5:
        # Excel's own way to name the delimiter: no row of the sheet.
        before, delimiter = first, told[4]
    else:
        file.seek(0)
        delimiter = max(",;\t", key=_text(source, first, 1).count)
    taken = _Taken(source, file)
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    row = 0
    while True:
        row += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise Misused(f"{source.path.name}: row {row} is no CSV: {error}.") from None
        if cells is None:
            return
        yield row, before + taken.give(), cells
        before = b""


def _headed(
    source: Source, records: Iterator[tuple[int, bytes, list[str]]]
) -> tuple[bytes, int, Numbered]:
    """The header with its row of HXL tags, how many rows they are, and the rows below."""
    head, rows = b"", 0
    for row, raw, cells in records:
        head, rows = head + raw, row
        if any(c.strip() for c in cells):
            break
    second = next(records, None)
    if second is not None and _is_tags(second[2]):
        head, rows = head + second[1], second[0]
        second = next(records, None)
    if second is None:
        raise Misused(f"{source.path.name} has no rows below its header.")
    first_row, first_raw, _ = second

    def below() -> Numbered:
        yield first_row, first_raw
        for row, raw, _ in records:
            yield row, raw

    return head, rows, below()


def _is_tags(cells: list[str]) -> bool:
    filled = [c.strip() for c in cells if c.strip()]
    return bool(filled) and all(c.startswith("#") and len(c) > 1 for c in filled)
