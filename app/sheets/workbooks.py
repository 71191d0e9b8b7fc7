"""XLSX: the first sheet of a workbook, read row by row and never evaluated; and written so.

A workbook is a ZIP of XML. The library reads its small parts as a whole, so that they are bounded
before; it would keep a trace of every row and read the sheet twice, so that rows and texts are
taken from the stream here, and each is given to the library alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any
from xml.etree.ElementTree import XMLPullParser
from zipfile import BadZipFile, ZipFile

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.text import Text
from openpyxl.packaging.manifest import Manifest
from openpyxl.reader.workbook import WorkbookParser
from openpyxl.styles.stylesheet import Stylesheet
from openpyxl.utils.datetime import from_excel
from openpyxl.worksheet._reader import WorkSheetParser
from openpyxl.xml.constants import (
    ARC_CONTENT_TYPES,
    ARC_STYLE,
    ARC_WORKBOOK,
    SHARED_STRINGS,
    SHEET_MAIN_NS,
    XLSM,
    XLSX,
    XLTX,
)
from openpyxl.xml.functions import fromstring

from app.sheets.cells import LONGEST_CELL
from app.sheets.forms import MOST_COLUMNS, Unreadable, letter

_MOST_UNPACKED = 256 * 1024 * 1024
_MOST_RATIO = 250
_SMALL = 1024 * 1024
_MOST_PARTS = 500
_MOST_TEXT = 32 * 1024 * 1024
_MOST_TEXTS = 1_000_000
_MOST_ELSE = 4 * 1024 * 1024
_MOST_MARKS = 100_000
_WIDEST = 256 * 1024
_BLOCK = 32 * 1024
_LAST_ROW = 1_048_576
_FORBIDDEN = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""")
_ENCODINGS = frozenset({b"utf-8", b"us-ascii", b"ascii"})


def rows(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells as text) of the first sheet that is shown; raises Unreadable."""
    number = 0
    try:
        with _Archive(file) as archive:
            archive.weigh()
            sheet = _Sheet(archive)
            for found, cells in sheet.rows():
                if found > _LAST_ROW:
                    raise Unreadable("too_many_rows", "No workbook has so many rows.", row=number)
                if found <= number:
                    raise ValueError("rows out of order")
                number = found
                yield number, cells
    except (Unreadable, GeneratorExit, MemoryError):
        raise
    except Exception as error:
        # The library meets a broken file with whatever its parts raise.
        what = "not a whole ZIP" if isinstance(error, BadZipFile) else "broken"
        raise Unreadable(
            "not_a_workbook",
            f"The file is not XLSX, but {what}: open it in a spreadsheet and save it again.",
            row=number + 1 if number else 0,
        ) from error


def _bomb() -> Unreadable:
    return Unreadable("unpacks_too_large", "The workbook unpacks to more than is accepted.")


class _Archive(ZipFile):
    """The ZIP of a workbook, bounded. Unpacking a part stops at the size that is told of it."""

    def weigh(self) -> None:
        """Refuse what its directory tells to be too much, before anything is unpacked."""
        parts = self.infolist()
        unpacked = sum(part.file_size for part in parts)
        packed = sum(part.compress_size for part in parts)
        if (
            len(parts) > _MOST_PARTS
            or unpacked > _MOST_UNPACKED
            or (unpacked > _SMALL and unpacked > _MOST_RATIO * max(1, packed))
        ):
            raise _bomb()
        if any(part.flag_bits & 1 for part in parts):
            raise Unreadable("encrypted", "The workbook is encrypted: save it without.")

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """A whole part, which must be small: the library parses it as a tree."""
        if self.getinfo(name).file_size > _MOST_ELSE:
            raise _bomb()
        content = super().read(name, pwd)
        if content.count(b"<") > _MOST_MARKS:
            raise _bomb()
        _refuse_foreign(content)
        _refuse_entities(content)
        return content

    def tree(self, name: str) -> Any:
        """A small part as the library takes it."""
        return fromstring(self.read(name))

    def elements(self, name: str, inside: str, tag: str) -> Iterator[Any]:
        """Each element of this tag in the one around it, when it has ended; none is kept."""
        parser: Any = XMLPullParser(("start", "end"))
        around: Any = None
        since, tail, count = 0, b"", 0
        with self.open(name) as part:
            while block := part.read(_BLOCK):
                if not tail:
                    _refuse_foreign(block)
                # Enough of the block before to find what stands across the two.
                _refuse_entities(tail + block)
                tail = block[-16:]
                parser.feed(block)
                since += len(block)
                for event, element in parser.read_events():
                    if event == "start":
                        around = element if element.tag == inside else around
                    elif element.tag == tag and around is not None:
                        yield element
                        around.clear()
                        since, count = 0, count + 1
                    elif element is around:
                        return
                if since > _WIDEST:
                    # What has not ended is in memory, whatever it is.
                    raise Unreadable("row_too_long", "A row or a text is too long.", row=count + 1)
        parser.close()


def _refuse_foreign(start: bytes) -> None:
    declared = _DECLARED.match(start.removeprefix(b"\xef\xbb\xbf"))
    if (
        start[:2] in (b"\xff\xfe", b"\xfe\xff")
        or b"\0" in start[:8]
        or (declared and declared[1].lower() not in _ENCODINGS)
    ):
        raise Unreadable("encoding", "The workbook's parts must be UTF-8.")


def _refuse_entities(content: bytes) -> None:
    if _FORBIDDEN.search(content):
        raise Unreadable("entities", "The workbook declares entities: not accepted.")


class _Cells(WorkSheetParser):
    """The library's reader of single rows."""

    def parse_formula(self, element: Any) -> str:
        """That there is one is enough: to work it out for each cell that shares it is costly."""
        return "="


class _Sheet:
    """The first sheet that is shown."""

    def __init__(self, archive: _Archive) -> None:
        self._archive = archive
        package: Any = Manifest.from_tree(archive.tree(ARC_CONTENT_TYPES))
        main = next(filter(None, map(package.find, (XLSX, XLSM, XLTX))), None)
        book = WorkbookParser(
            archive, main.PartName[1:] if main else ARC_WORKBOOK, keep_links=False
        )
        book.parse()
        self._epoch = book.wb.epoch
        self._name = self._first(book)
        self._dates: frozenset[int] = frozenset()
        self._spans: frozenset[int] = frozenset()
        if ARC_STYLE in archive.namelist():
            styles: Any = Stylesheet.from_tree(archive.tree(ARC_STYLE))
            self._dates = frozenset(styles.date_formats)
            self._spans = frozenset(styles.timedelta_formats)
        strings = package.find(SHARED_STRINGS)
        self._texts = self._shared(strings.PartName[1:]) if strings else []

    def _first(self, book: Any) -> str:
        for sheet, relation in book.find_sheets():
            if "chartsheet" not in relation.Type and sheet.state == "visible":
                target: str = relation.target
                return target
        raise Unreadable("empty_file", "The workbook has no sheet.")

    def _shared(self, name: str) -> list[str]:
        """The table of texts that cells refer to; all of it, since they do so in any order."""
        if self._archive.getinfo(name).file_size > _MOST_TEXT:
            raise _bomb()
        found: list[str] = []
        for element in self._archive.elements(name, _tag("sst"), _tag("si")):
            if len(found) >= _MOST_TEXTS:
                raise _bomb()
            text: Any = Text.from_tree(element)
            found.append(_decoded(text.content))
        return found

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(row number, cells as text)."""
        nothing: Any = None
        reader = _Cells(nothing, self._texts)
        for element in self._archive.elements(self._name, _tag("sheetData"), _tag("row")):
            number, cells = reader.parse_row(element)
            # It would remember the height and the style of every row.
            reader.row_dimensions.clear()
            texts = {cell["column"]: text for cell in cells if (text := self._text(cell))}
            width = max(texts, default=0)
            if width > MOST_COLUMNS:
                raise Unreadable(
                    "too_many_columns",
                    f"The sheet has more than {MOST_COLUMNS} columns.",
                    row=number,
                    column=letter(MOST_COLUMNS),
                )
            yield number, [texts.get(column, "") for column in range(1, width + 1)]

    def _text(self, cell: Any) -> str:
        """A cell as the text that CSV would have for it."""
        value, kind = cell["value"], cell["data_type"]
        if value is None:
            return ""
        if kind == "f":
            return "=formula"
        if kind == "e":
            return "=error"
        if kind == "n" and cell["style_id"] in self._dates:
            try:
                value = from_excel(value, self._epoch, timedelta=cell["style_id"] in self._spans)
            except (OverflowError, ValueError):
                return "=error"
        return _written(value)


def _tag(name: str) -> str:
    return f"{{{SHEET_MAIN_NS}}}{name}"


_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


class _Decoded(str):
    """A text of the table, as it is to be read: thousands of cells may refer to one of them."""

    __slots__ = ()


def _decoded(value: str) -> _Decoded:
    # What is only spaces is as good as empty, and what is too long need not be kept to be refused.
    # Four kilobytes would otherwise become a gigabyte, a copy for each cell.
    if not value or value.isspace():
        return _Decoded()
    text = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), value) if "_x" in value else value
    # A text that begins with `=` is no formula here: its cell says so.
    text = "'" + text if text.startswith("=") else text
    return _Decoded(text[: LONGEST_CELL + 1])


def _written(value: Any) -> str:
    if isinstance(value, _Decoded):
        return value
    if isinstance(value, str):
        return _decoded(value)
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
