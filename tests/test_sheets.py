"""Files of rows: what they mean, what is refused, and that what is written is read again."""

import csv
import gc
import io
import json
import re
import tempfile
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from app.board import actions as board
from app.sheets import cells, formulas, workbooks, writing
from app.sheets.checking import Checked
from app.sheets.forms import Unreadable, letter
from app.sheets.tables import LONGEST_ROW, delimiter_of
from app.stock.bulk import LOTS
from app.uploads import _hex_ids

HEAD = "ref,item,site,quantity"
# Letters and signs that show nothing: refused as what cannot be seen.
FILLERS = "\ufffd" + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
FILLERS += "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"


def read(body: bytes, kind: str = "csv", charset: str | None = None, most: int = 1000) -> Any:
    """(report, lines of the spool without number, mark and id) of a sheet of lots."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as spool:
        source.write(body)
        checked = Checked(LOTS, source, spool, _hex_ids, most)
        checked.open(kind, charset)
        while checked.step():
            pass
        lines = [line.split("\t") for line in checked.spool.read().decode().split("\n")[:-1]]
    return checked.report, [line[3:] for line in lines]


def refusal(body: bytes, kind: str = "csv", charset: str | None = None, most: int = 1000) -> Any:
    with pytest.raises(Unreadable) as caught:
        read(body, kind, charset, most)
    return caught.value


def faults(report: Any) -> list[tuple[int, str | None, str]]:
    return [(e["row"], e["field"], e["code"]) for e in report.errors]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100), (" 100 ", 100), ("100.0", 100), ("100,00", 100), ("1 000", 1000),
        ("1\u00a0000", 1000), ("1\u202f234\u202f567", 1234567), ("-5", -5), ("0", 0),
    ],
)  # fmt: skip
def test_a_whole_number_is_read_where_it_can_mean_one_thing_only(text: str, value: int) -> None:
    assert cells.whole(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1.000", "ambiguous_number"), ("1,000", "ambiguous_number"),
        ("1.000.000", "ambiguous_number"), ("1e3", "rounded_number"), ("1.5E+05", "rounded_number"),
        ("12.5", "not_whole"), ("10 00", "number_form"), ("ten", "number_form"),
        ("٣", "number_form"), ("", "number_form"), ("1" * 10_000, "number_form"),
        ("=1+1", "number_form"), ("true", "number_form"), ("0x10", "number_form"),
    ],
)  # fmt: skip
def test_a_whole_number_that_may_mean_another_is_refused(text: str, code: str) -> None:
    with pytest.raises(cells.Unfit) as caught:
        cells.whole(text)
    assert caught.value.code == code


@given(st.integers(min_value=0, max_value=10**12))
def test_every_quantity_is_read_as_people_and_programs_write_it(number: int) -> None:
    for text in (
        str(number),
        f"{number}.0",
        f"{number:,}".replace(",", " "),
        f"{number:,}".replace(",", "\u00a0"),
    ):
        assert cells.whole(text) == number


def test_a_date_with_dots_has_its_day_first_and_one_with_slashes_is_refused() -> None:
    assert cells.day("30.06.2027") == "2027-06-30"
    assert cells.day("2027-06-30 00:00:00") == "2027-06-30"
    with pytest.raises(cells.Unfit, match="slashes"):
        cells.day("06/07/2027")


awkward = st.text(
    st.characters(
        codec="utf-8",
        # What is refused, and the spaces that come back as the plain one.
        exclude_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"),
        include_characters=" ",
        exclude_characters=FILLERS,
    ),
    max_size=30,
).map(lambda text: unicodedata.normalize("NFC", text))
starts = st.sampled_from(["", "=", "+", "-", "@", "'", "''", "'=", "=HYPERLINK(", "\t", "\r"])
texts = st.builds(lambda a, b: a + b, starts, awkward)


@given(texts)
def test_what_is_protected_from_the_spreadsheet_is_unprotected_to_the_same(text: str) -> None:
    guarded = formulas.protect(text)
    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert formulas.unprotect(guarded) == text


pieces = st.lists(
    st.sampled_from([*"=+-@'\";,|\t\r\n ab1", "\u2028", "\u00a0", "＝", "'=", '"=']), max_size=14
).map("".join)


@settings(max_examples=500)
@given(pieces)
def test_a_text_is_guarded_wherever_a_reader_may_cut_it_and_comes_back_the_same(text: str) -> None:
    guarded = formulas.protect(text)
    assert formulas.unprotect(guarded) == text
    cells_of_a_reader = re.split(r"[;,|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", guarded)
    for cell in cells_of_a_reader:
        assert not cell.lstrip(' "\u00a0').startswith(("=", "+", "-", "@", "＝")), guarded


HOSTILE = [
    "=1+1", "Tents; =HYPERLINK(1)", "Tents;=1+1", 'Tents;"=1+1"', "Tents\t@SUM(1)", "Tents\n+1",
    'Tents";=1+1', "Tents\r\n-1", "Tents|=1", "Tents;\u00a0=1",
]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
@pytest.mark.parametrize("title", HOSTILE)
def test_no_title_runs_however_the_board_is_cut_into_cells(
    title: str, delimiter: str, quoting: Literal[0, 3]
) -> None:
    figures = dict.fromkeys(
        ("requested", "offered", "accepted", "dispatched", "received", "damaged", "lost"), 0
    )
    line: dict[str, Any] = figures | {
        "request": "r", "line": "l", "society": "TUR", "title": title, "priority": "high",
        "needed_by": "2026-12-10", "status": "open", "kind": "stock", "item": "X", "skill": None,
        "unit": "piece", "outstanding": 0, "as_of": "2026-12-01", "societies": [],
    }  # fmt: skip
    table = board.as_csv(json.dumps({"lines": [line], "unsolicited": []}))
    for row in csv.reader(io.StringIO(table), delimiter=delimiter, quoting=quoting):
        for cell in row:
            assert not cell.strip(' "\u00a0').startswith(("=", "+", "-", "@", "\t")), row


names = (
    st.builds(
        lambda a, b, c: a + b + c,
        starts.filter(str.isprintable),
        st.sampled_from(
            [
                "Şuşa ığdır əğöü",
                "Ақтөбе ңүұ",
                "Oʻzbekiston",
                "Ысык-Көл",
                "a;b,c|d",
                'say "x"',
                "_x0041_",
                " end ",
            ]
        ),
        awkward,
    )
    .map(lambda t: unicodedata.normalize("NFC", t))
    .filter(lambda t: bool(t.strip()) and len(t) <= 200)
)
rows = st.lists(
    st.tuples(
        st.uuids().map(str), st.integers(0, 10**12), st.integers(0, 10**6),
        st.none() | names, st.none() | st.dates(date(2000, 1, 1), date(2099, 12, 31)),
        st.none() | st.integers(0, 10**13),
        st.none() | st.lists(st.sampled_from(["TUR", "KAZ", "UZB"]), unique=True),
    ),
    min_size=1, max_size=20,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(["csv", "xlsx", "ndjson"]))
def test_what_is_exported_is_imported_again_unchanged(given_rows: Any, kind: str) -> None:
    lots = [
        (
            ref, "HSHEBLANPHT1", "baku-1", quantity, None, keep, name, day and day.isoformat(),
            None if value is None else value / 100, None if value is None else "USD",
            None if seen is None else sorted(seen), "2026-02-06T01:17:00.123456Z",
        )
        for ref, quantity, keep, name, day, value, seen in given_rows
    ]  # fmt: skip
    file = io.BytesIO()
    writing.write(kind, LOTS, lots, file)
    report, found = read(file.getvalue(), kind)
    assert report.errors == []
    expected = [
        [
            ref, item, site, str(quantity), r"\N", str(keep), cells.copied(name), day or r"\N",
            found[n][8] if value is not None else r"\N", currency or r"\N",
            r"\N" if seen is None else "{" + ",".join(seen) + "}", as_of,
        ]
        for n, (
            ref, item, site, quantity, _, keep, name, day, value, currency, seen, as_of,
        ) in enumerate(lots)
    ]  # fmt: skip
    assert found == expected
    for line, lot in zip(found, lots, strict=True):
        if lot[8] is not None:
            assert round(float(line[8]) * 100) == round(float(str(lot[8])) * 100)


@given(
    st.permutations(["ref", "item", "site", "quantity", "lot_number", "keep_back"]),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_the_delimiter_is_found_by_the_header(
    names: list[str], delimiter: str, quoted: bool
) -> None:
    header = delimiter.join(f'"{n}"' if quoted else n for n in names)
    assert delimiter_of(header, LOTS) == delimiter


def test_a_delimiter_inside_quotes_of_the_header_does_not_count() -> None:
    tags = '"Nr; Ref",x,y,z\n#meta+id+ref,#item+code,#loc+site+ref,#capacity+num\nA,B,c,1\n'
    assert read(tags.encode())[1][0][:4] == ["A", "B", "c", "1"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_sheet_is_read_as_any_spreadsheet_saves_it(delimiter: str, bom: bytes, end: str) -> None:
    lines = [HEAD, "A-1,HSHEBLANPHT1,baku-1,5", "", ",,,", "A-2,HSHEBLANPHT1,baku-1,6"]
    text = end.join(lines).replace(",", delimiter)
    report, found = read(bom + text.encode())
    assert (report.rows, report.errors) == (2, [])
    assert [line[0] for line in found] == ["A-1", "A-2"]


def test_excel_names_its_delimiter_in_a_line_of_its_own() -> None:
    assert read(f"sep=;\r\n{HEAD.replace(',', ';')}\r\nA;B;c;5\r\n".encode())[1][0][0] == "A"


@pytest.mark.parametrize(
    ("charset", "codec", "word"),
    [("windows-1254", "cp1254", "Şırnak ğüöç"), ("Windows-1251", "cp1251", "Алматы коймасы")],
)  # fmt: skip
def test_the_code_pages_of_the_network_are_read_where_they_are_declared(
    charset: str, codec: str, word: str
) -> None:
    body = f"{HEAD},lot_number\nA,B,c,5,{word}\n".encode(codec)
    assert read(body, charset=charset)[1][0][6] == word
    error = refusal(body)
    assert (error.code, error.row) == ("encoding", 2)
    assert "byte 9" in error.message


def test_a_row_of_hxl_tags_is_skipped_or_names_the_columns() -> None:
    tags = "#meta +id +ref,#item+code,#loc+ref+site,#capacity+num"
    for header in (HEAD, "Номер,Товар,Склад,Количество"):
        report, found = read(f"{header}\n{tags}\nA,B,c,5\n".encode())
        assert (report.rows, found[0][:4]) == (1, ["A", "B", "c", "5"])
    assert read(f"{tags}\nA,B,c,5\n".encode())[1][0][:4] == ["A", "B", "c", "5"]


@pytest.mark.parametrize(
    ("body", "code", "row"),
    [
        (b"", "empty_file", 0), (b"\n\n", "empty_file", 0), (HEAD.encode(), "empty_file", 1),
        (b"ref,item,site\nA,B,c\n", "missing_header", 1),
        (b"ref,item,site,quantity,ref\nA,B,c,1,A\n", "doubled_header", 1),
        (b"ref,item,site,quantity,colour\nA,B,c,1,x\n", "unknown_header", 1),
        (b"PK\x03\x04....", "not_what_it_says", 0), (b"\xff\xfer\0e\0f\0", "charset", 1),
        (HEAD.encode() + b"\nA,B,c,\0\n", "not_text", 2),
        (HEAD.encode() + b'\nA,"B"x,c,1\n', "csv_form", 2),
        (HEAD.encode() + b'\nA,B,c,1\n"' + b"x" * LONGEST_ROW, "row_too_long", 3),
        (HEAD.encode() + b'\nA,B,c,1\n"' + b"x\n" * LONGEST_ROW, "row_too_long", 3),
        (HEAD.encode() + b"\nA,B,c," + b"1" * 1_048_576 + b"\n", "row_too_long", 2),
        (HEAD.encode() + b"," * 10_000_000 + b"\n", "row_too_long", 1),
        (HEAD.encode() + b"," * 300 + b"x\nA,B,c,1\n", "too_many_columns", 1),
        (HEAD.encode() + b"\nA,B,c,1" * 1001, "too_many_rows", 1002),
    ],
)  # fmt: skip
def test_a_text_file_that_is_none_is_refused_with_its_place(
    body: bytes, code: str, row: int
) -> None:
    error = refusal(body)
    assert (error.code, error.row) == (code, row)


def test_a_cell_that_is_not_acceptable_is_told_with_row_and_field() -> None:
    report, found = read(
        f"{HEAD},unit_value,currency,visible_to\n"
        "A,HSHEBLANPHT1,c,=1+1,,,\n"
        ",HSHEBLANPHT1,c,5,,,\n"
        "B,HSHEBLANPHT1,c,5,12.5,,\n"
        "C,HSHEBLANPHT1,c,-5,,,tur\n"
        "D,HSHEBLANPHT1,c,5,,,,extra\n"
        "=E,HSHEBLANPHT1,c,5\n"
        "export,HSHEBLANPHT1,c,5\n"
        'F,HSHEBLANPHT1,c,5,"12,50",USD,none\n'.encode()
    )
    assert faults(report) == [
        (2, "quantity", "formula"), (3, "ref", "missing"), (4, "currency", "incomplete"),
        (5, "quantity", "greater_than_equal"), (5, "visible_to", "string_pattern_mismatch"),
        (6, None, "too_many_cells"), (7, "ref", "formula"),
        (8, "ref", "reference_form"),
    ]  # fmt: skip
    assert (report.rows, report.refused) == (8, 7)
    assert found[-1][0] == "F"
    assert found[-1][8:11] == ["12.50", "USD", "{}"]


def test_a_line_of_json_is_held_to_the_rules_of_put() -> None:
    good = {"ref": "A", "item": "HSHEBLANPHT1", "site": "c", "quantity": 5}
    lines = [
        json.dumps(good), json.dumps(good | {"quantity": "5"}), json.dumps(good | {"colour": 1}),
        '{"ref":"A","ref":"B"}', "[]", "", json.dumps(good | {"unit_value": 1.5}), '{"ref": NaN}',
    ]  # fmt: skip
    report, found = read("\n".join(lines).encode(), "ndjson")
    assert faults(report) == [
        (2, "quantity", "int_type"), (3, "colour", "extra_forbidden"), (4, None, "malformed_json"),
        (5, None, "model_type"), (7, "currency", "incomplete"), (8, None, "malformed_json"),
    ]  # fmt: skip
    assert len([line for line in found if line[0] == "A"]) == 4, "a refused row is still listed"


def workbook(sheet: str, strings: str = "", **more: bytes) -> bytes:
    """A workbook of one sheet, put together by hand."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
            "</Types>",
        )
        z.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{rel}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        z.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{rel}/worksheet" Target="worksheets/sheet1.xml"/>'
            "</Relationships>",
        )
        z.writestr(
            "xl/workbook.xml",
            f'<workbook {main} xmlns:r="{rel}"><sheets><sheet name="s" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>",
        )
        z.writestr("xl/worksheets/sheet1.xml", sheet.replace("<worksheet>", f"<worksheet {main}>"))
        for name, content in more.items():
            z.writestr(name, content)
    return file.getvalue()


def cell(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{text}</t></is></c>'


def line(*content: str) -> str:
    return "<row>" + "".join(content) + "</row>"


HEADER = line(*map(cell, HEAD.split(",")))


def sheet_of(*lines: str, before: str = "") -> bytes:
    body = f"{before}<worksheet><sheetData>{HEADER}{''.join(lines)}</sheetData></worksheet>"
    return workbook(body)


def test_a_workbook_is_read_as_it_shows_and_a_formula_never() -> None:
    report, found = read(
        sheet_of(
            line(cell("A"), cell("B"), cell("c"), "<c><v>100</v></c>"),
            line(cell("A2"), cell("B"), cell("c"), "<c><v>100.0</v></c>"),
            line(cell("A3"), cell("B"), cell("c"), "<c><f>1+1</f><v>2</v></c>"),
            line(cell("A4"), cell("B"), cell("c"), '<c t="b"><v>1</v></c>'),
            line("<c><v>77</v></c>", cell("B"), cell("c"), "<c><v>1.5</v></c>"),
        ),
        "xlsx",
    )
    assert [row[3] for row in found][:2] == ["100", "100"]
    assert faults(report) == [
        (4, "quantity", "formula"), (5, "quantity", "number_form"), (6, "quantity", "not_whole"),
    ]  # fmt: skip
    assert found[-1][0] == "77"


def test_a_hostile_workbook_is_refused_before_it_grows() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("xl/worksheets/sheet1.xml", b"0" * 300_000_000)
    laughs = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    good = line(cell("A"), cell("B"), cell("c"), "<c><v>1</v></c>")
    far = line(*map(cell, "ABc"), '<c r="ZZZ2"><v>1</v></c>')
    endless = "<c/><!-- <row></row> -->" * 40_000
    cases = {
        "unpacks_too_large": bomb.getvalue(),
        "entities": sheet_of(good, before=laughs),
        "row_too_long": sheet_of(
            "<row>"
            + "".join(f"<c><v>{n * 7919 % 1_000_003}</v></c>" for n in range(300_000))
            + "</row>"
        ),
        "too_many_columns": sheet_of(far),
        "encoding": sheet_of(good, before='<?xml version="1.0" encoding="cp037"?>'),
        "not_a_workbook": b"PK\x03\x04" + b"x" * 5000,
        "too_many_rows": sheet_of(*[good] * 1001),
    }
    for code, body in cases.items():
        assert refusal(body, "xlsx").code == code
    assert refusal(sheet_of(f"<row>{endless}</row>"), "xlsx").code == "row_too_long"
    assert refusal(sheet_of(good, '<row r="2"/>', good), "xlsx").code == "not_a_workbook"
    assert refusal(sheet_of(good)[:-200], "xlsx").code == "not_a_workbook"
    assert refusal(b"ref,item\n", "xlsx").code == "not_a_workbook"
    assert refusal(sheet_of('<row r="2000000000">' + cell("A") + "</row>"), "xlsx").code in (
        "empty_file", "too_many_rows",
    )  # fmt: skip


def test_a_workbook_is_read_as_its_desk_sees_it() -> None:
    book = Workbook()
    hidden, shown = book.active, book.create_sheet("Stock")
    assert hidden is not None
    hidden.append(["nothing", "of", "this"])
    hidden.sheet_state = "hidden"
    shown.append([])
    shown.append([*HEAD.split(","), "expires_on", "lot_number"])
    shown.append(["A", "B", "c", 1200, date(2027, 6, 30), "B_x0041_"])
    shown.append(["A2", "B", "c", 7, datetime(2027, 7, 1), "=no formula"])
    shown["F4"].data_type = "s"
    shown["D3"].number_format = "#,##0"
    file = io.BytesIO()
    book.save(file)
    # As Excel writes what would otherwise be read as an escape.
    escaped = zipfile.ZipFile(file)
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w") as z:
        for name in escaped.namelist():
            z.writestr(name, escaped.read(name).replace(b"B_x0041_", b"B_x005F_x0041_"))
    report, found = read(again.getvalue(), "xlsx")
    assert faults(report) == []
    assert [(row[0], row[3], row[6], row[7]) for row in found] == [
        ("A", "1200", "B_x0041_", "2027-06-30"), ("A2", "7", "=no formula", "2027-07-01"),
    ]  # fmt: skip


def test_columns_are_named_as_spreadsheets_name_them() -> None:
    assert [letter(n) for n in (0, 25, 26, 51, 701, 702)] == ["A", "Z", "AA", "AZ", "ZZ", "AAA"]


def lots(count: int) -> Any:
    # The different texts of a workbook stand in a table of their own, which is bounded and held as
    # a whole; so these come again and again.
    for n in range(count):
        yield f"R-{n % 500}", "HSHEBLANPHT1", "baku-1", n % 500, None, 0, *[None] * 6


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_memory_does_not_grow_with_the_file(kind: str) -> None:
    def highest(count: int) -> int:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as spool:
            writing.write(kind, LOTS, lots(count), source)
            checked = Checked(LOTS, source, spool, _hex_ids, count)
            tracemalloc.start()
            checked.open(kind, None)
            while checked.step():
                pass
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert (checked.report.rows, checked.report.refused) == (count, 0)
            return peak

    before = highest(5_000)
    assert highest(20_000) < 1.1 * before


def test_the_rows_of_a_workbook_leave_nothing_behind() -> None:
    def highest(reading: Iterator[Any]) -> int:
        gc.collect()
        tracemalloc.reset_peak()
        assert sum(1 for _ in islice(reading, 1_000)) == 1_000
        return tracemalloc.get_traced_memory()[1]

    with tempfile.TemporaryFile() as source:
        writing.write("xlsx", LOTS, lots(5_000), source)
        tracemalloc.start()
        peaks = [highest(reading) for reading in [workbooks.rows(source)] * 5]
        tracemalloc.stop()
    # Each row that stayed would be some seventy bytes at the least.
    assert peaks[-1] < peaks[1] + 100_000, peaks
