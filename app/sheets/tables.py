"""Text files of rows: CSV with comma, semicolon or tab, in a charset that is declared."""

import codecs
import csv
import re
from collections.abc import Iterator
from typing import IO

from app.sheets.forms import Form, Unreadable

LONGEST_ROW = 65_536
_CHUNK = 65_536
_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "windows-1251": "cp1251",
    "cp1251": "cp1251",
    "windows-1254": "cp1254",
    "cp1254": "cp1254",
    "iso-8859-9": "cp1254",
}
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\r?\n?", re.IGNORECASE)


def codec(charset: str | None) -> str:
    """The codec of a declared charset; UTF-8 where none is declared."""
    name = (charset or "utf-8").strip("\"' ").lower()
    if name not in _CHARSETS:
        raise Unreadable(
            "charset", "The charset must be utf-8, windows-1251 or windows-1254; save as UTF-8."
        )
    return _CHARSETS[name]


def lines(file: IO[bytes], encoding: str) -> Iterator[str]:
    """The lines of a file, with their ends. A line that is too long is refused while it is read."""
    start = file.read(len(codecs.BOM_UTF8))
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise Unreadable("charset", "This is UTF-16: save the sheet as CSV UTF-8.", row=1)
    if start[:2] == b"PK":
        raise Unreadable(
            "not_what_it_says", "This is a ZIP or XLSX file, not text: send it under its own type."
        )
    rest = b"" if start == codecs.BOM_UTF8 else start
    row = 0
    while True:
        chunk = file.read(_CHUNK)
        block = rest + chunk
        if not block:
            return
        end = len(block) if not chunk else block.rfind(b"\n") + 1
        rest = block[end:]
        if len(rest) > LONGEST_ROW:
            raise _too_long(row + block.count(b"\n") + 1)
        try:
            found = block[:end].decode(encoding)
        except UnicodeDecodeError as error:
            raise _undecodable(block, error.start, row, encoding) from None
        if "\0" in found:
            before = found[: found.index("\0")].count("\n")
            raise Unreadable(
                "not_text", "The file holds NUL bytes: not text.", row=row + before + 1
            )
        row += found.count("\n")
        yield from _split(found)


def _split(text: str) -> list[str]:
    # Not `splitlines`: it also splits at characters that may stand inside a cell, such as U+2028.
    parts = text.split("\n")
    last = parts.pop()
    whole = [part + "\n" for part in parts]
    return [*whole, last] if last else whole


def _undecodable(block: bytes, place: int, row: int, encoding: str) -> Unreadable:
    start = block.rfind(b"\n", 0, place) + 1
    line = row + block.count(b"\n", 0, place) + 1
    said = "UTF-8" if encoding == "utf-8" else encoding.replace("cp", "Windows-")
    return Unreadable(
        "encoding",
        f"Line {line}, byte {place - start + 1} is not {said}. Save as CSV UTF-8, or declare the "
        "charset: `Content-Type: text/csv; charset=windows-1254` (or windows-1251).",
        row=line,
    )


def _too_long(row: int) -> Unreadable:
    return Unreadable(
        "row_too_long",
        f"A row is longer than {LONGEST_ROW} characters. Is a quotation mark left open?",
        row=row,
    )


class _Measured:
    """Lines on their way into the parser, which joins them while a quotation mark is open."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self.pending = 0
        self.row = 1

    def __iter__(self) -> "_Measured":
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self.pending += len(line)
        if self.pending > LONGEST_ROW:
            raise _too_long(self.row)
        return line


def rows(file: IO[bytes], charset: str | None, form: Form) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells) of a text table; rows are counted as a spreadsheet shows them."""
    source = lines(file, codec(charset))
    first = next(source, "")
    told = _SEPARATOR_LINE.fullmatch(first)
    skipped = 0
    if told:
        # Excel's own way to name the delimiter; it shows the next line as row 1.
        first = next(source, "")
        skipped = 1
    if len(first) > LONGEST_ROW:
        raise _too_long(1)
    delimiter = told[1] if told else delimiter_of(first, form)
    measured = _Measured(_again(first, source))
    reader = csv.reader(measured, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(
                "csv_form", f"Not CSV as it should be: {error}.", row=measured.row + skipped
            ) from None
        measured.pending = 0
        yield measured.row, cells
        measured.row += 1


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def delimiter_of(header: str, form: Form) -> str:
    """Comma, semicolon or tab: whichever makes the most known columns of the header line."""

    def score(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return form.known(cells), len(cells)

    return max(",;\t", key=score)
