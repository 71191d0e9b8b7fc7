"""XLSX: the first sheet of a workbook, read row by row and never evaluated; and written so."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell

from app.sheets.forms import MOST_COLUMNS, Unreadable, letter

# A workbook is a ZIP of XML. What it unpacks to is bounded before anything is parsed: by the sizes
# that its directory tells (unpacking stops there, whatever follows), and by the marks in the text.
_MOST_UNPACKED = 256 * 1024 * 1024
_MOST_RATIO = 250
_SMALL = 1024 * 1024
_MOST_PARTS = 500
_MOST_STRINGS = 64 * 1024 * 1024
_MOST_ELSE = 4 * 1024 * 1024
_MOST_MARKS = 100_000
_WIDEST = 256 * 1024
_BLOCK = 64 * 1024
_FORBIDDEN = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_ANY = re.compile(rb"<")
_ROW = re.compile(rb"<(?:\w{1,20}:)?row[\s/>]")
_STRING = re.compile(rb"<(?:\w{1,20}:)?si[\s/>]")


def rows(file: IO[bytes], most: int) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells as text) of the first sheet; at most `most` rows, empty ones included."""
    _inspect(file)
    number = 0
    try:
        with warnings.catch_warnings():
            # It tells of decorations that it does not keep.
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=False, keep_links=False)
        sheets = book.worksheets
        if not sheets:
            raise Unreadable("empty_file", "The workbook has no sheet.")
        sheet: Any = sheets[0]
        # What the file claims of its size may be wrong; only what is there counts.
        sheet.reset_dimensions()
        for cells in sheet.iter_rows():
            number += 1
            if number > most:
                return
            if len(cells) > MOST_COLUMNS:
                raise Unreadable(
                    "too_many_columns",
                    f"The sheet has more than {MOST_COLUMNS} columns.",
                    row=number,
                    column=letter(MOST_COLUMNS),
                )
            yield number, [_text(cell) for cell in cells]
    except (Unreadable, GeneratorExit):
        raise
    except Exception as error:
        # The library meets a broken file with whatever its parts raise.
        raise Unreadable(
            "not_a_workbook",
            "The file cannot be read as XLSX: open it in a spreadsheet and save it again.",
            row=number + 1,
        ) from error


def _inspect(file: IO[bytes]) -> None:
    try:
        with ZipFile(file) as archive:
            parts = archive.infolist()
            if len(parts) > _MOST_PARTS:
                raise _bomb()
            unpacked = sum(part.file_size for part in parts)
            packed = sum(part.compress_size for part in parts)
            if unpacked > _MOST_UNPACKED or (
                unpacked > _SMALL and unpacked > _MOST_RATIO * max(1, packed)
            ):
                raise _bomb()
            for part in parts:
                if part.flag_bits & 1:
                    raise Unreadable("encrypted", "The workbook is encrypted: save it without.")
                if part.filename.lower().endswith((".xml", ".rels")):
                    _inspect_part(archive, part.filename)
    except (BadZipFile, NotImplementedError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise Unreadable("not_a_workbook", "The file is not XLSX: not a whole ZIP.") from error
    file.seek(0)


def _bomb() -> Unreadable:
    return Unreadable("unpacks_too_large", "The workbook unpacks to more than is accepted.")


def _inspect_part(archive: ZipFile, name: str) -> None:
    """Refuse what would grow while it is parsed: entities, endless rows, endless strings."""
    mark, most, marks = _ANY, _MOST_ELSE, _MOST_MARKS
    if name.startswith("xl/worksheets/"):
        mark, most, marks = _ROW, _MOST_UNPACKED, 10_000_000
    elif name.lower() == "xl/sharedstrings.xml":
        mark, most, marks = _STRING, _MOST_STRINGS, 2_000_000
    size = since = count = 0
    tail = b""
    with archive.open(name) as part:
        while block := part.read(_BLOCK):
            if not size and (block[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in block[:8]):
                raise Unreadable("encoding", "The workbook's parts must be UTF-8.")
            size += len(block)
            # Enough of the block before to find what stands across the two.
            text = tail + block
            if _FORBIDDEN.search(text):
                raise Unreadable("entities", "The workbook declares entities: not accepted.")
            places = [found.end() for found in mark.finditer(text) if found.end() > len(tail)]
            count += len(places)
            since = len(text) - places[-1] if places else since + len(block)
            if since > _WIDEST:
                raise Unreadable("row_too_long", "A row or a text is too long.", row=max(1, count))
            if size > most or count > marks:
                raise _bomb()
            tail = text[-64:]


_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _text(cell: Any) -> str:
    """A cell as the text that CSV would have for it."""
    value, kind = cell.value, cell.data_type
    if value is None:
        return ""
    if kind == "f":
        return "=formula"
    if isinstance(value, str):
        if kind == "e":
            return "=error"
        if "_x" in value:
            value = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), value)
        # A text that begins with `=` is no formula here: its cell says so.
        return "'" + value if value.startswith("=") else value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


_NEEDS_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f]")


def _escaped(text: str) -> str:
    return _NEEDS_ESCAPE.sub(lambda m: f"_x{ord(m[0]):04X}_", text)


def write(file: IO[bytes], title: str, lines: Iterable[Sequence[Any]]) -> None:
    """Write a workbook of one sheet, row by row."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for line in lines:
        sheet.append([_cell(sheet, value) for value in line])
    book.save(file)


def _cell(sheet: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return float(value) if isinstance(value, Decimal) else value
    cell = WriteOnlyCell(sheet, _escaped(value))
    # Said outright: otherwise the library would take a text that begins with `=` for a formula.
    cell.data_type = "s"
    return cell
