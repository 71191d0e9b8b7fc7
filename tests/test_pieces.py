"""A file is cut between its rows, and every row keeps its number."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connector.pieces import Piece, cut, look
from app.connector.settings import Misused

CELL = st.text(st.sampled_from("ab1;,\t\"\n'#əЖ\u2028\x85 "), max_size=6)


def pieces(path: Path, size: int, charset: str | None = None, whole: bool = False) -> list[Piece]:
    source = look(path, "stock", charset)
    with path.open("rb") as file:
        return list(cut(source, file, whole=whole, size=size))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=30),
    delimiter=st.sampled_from(",;\t"),
    tags=st.booleans(),
    start=st.sampled_from(["", "\ufeff", "sep"]),
    size=st.integers(1, 200),
)
def test_pieces_hold_every_row_once_under_its_own_number(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    delimiter: str,
    tags: bool,
    start: str,
    size: int,
) -> None:
    # The first column is the row's number in the file, as a spreadsheet shows it.
    head = [["ref", "a", "b"]] + ([["#meta+id", "#x", "#y"]] if tags else [])
    table = head + [[str(n + len(head) + 1), *row] for n, row in enumerate(rows)]
    text = io.StringIO(f"sep={delimiter}\n" if start == "sep" else start)
    text.seek(0, io.SEEK_END)
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(table)
    path = tmp_path_factory.mktemp("cut") / "stock.csv"
    path.write_bytes(text.getvalue().encode())
    found = []
    for piece in pieces(path, size):
        body = io.StringIO(piece.content.decode().removeprefix("\ufeff"), newline="")
        if start == "sep":
            assert body.readline() == f"sep={delimiter}\n"
        read = list(csv.reader(body, delimiter=delimiter))
        assert read[: len(head)] == head
        for n, row in enumerate(read[len(head) :], len(head) + 1):
            assert row[0] == str(n + piece.shift)
            found.append(row)
    assert found == table[len(head) :]


def test_lines_of_json_are_cut_between_lines(tmp_path: Path) -> None:
    lines = [f'{{"ref": "{n}", "note": "a\u2028b"}}\n' for n in range(1, 20)]
    path = tmp_path / "stock.ndjson"
    path.write_text("".join(lines))
    found = []
    for piece in pieces(path, 90):
        rows = piece.content.decode().split("\n")[:-1]
        found += [(n + piece.shift, row + "\n") for n, row in enumerate(rows, 1)]
    assert found == list(enumerate(lines, 1))


def test_a_file_that_is_to_replace_everything_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    path.write_bytes(b"ref;item\n" + b"a;b\n" * 1000)
    [piece] = pieces(path, 10, whole=True)
    assert piece.content == path.read_bytes()


@pytest.mark.parametrize("charset", ["windows-1251", "windows-1254"])
def test_a_declared_charset_is_carried_as_it_is(tmp_path: Path, charset: str) -> None:
    word = "одеяло" if charset == "windows-1251" else "battaniye şğı"
    path = tmp_path / "stock.csv"
    path.write_bytes(f"ref;lot\n1;{word}\n2;{word}\n".encode(charset))
    assert [p.content.decode(charset) for p in pieces(path, 1, charset)] == [
        f"ref;lot\n1;{word}\n",
        f"ref;lot\n2;{word}\n",
    ]
    with pytest.raises(Misused, match="line 2 is not UTF-8"):
        pieces(path, 1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("stock.csv", b"", "empty"),
        ("stock.csv", b"\xef\xbb\xbf\r\n \n", "empty"),
        ("stock.csv", b"ref,item\n", "no rows below"),
        ("stock.csv", b"ref,item\n#meta+id,#item\n", "no rows below"),
        ("stock.csv", b"PK\x03\x04", "rename it to .xlsx"),
        ("stock.xlsx", b"ref,item\n1,2\n", "no XLSX"),
        ("stock.csv", b"ref,item\n\x00\x01,2\n", "no text"),
        ("stock.csv", "ref,item\n1,2\n".encode("utf-16"), "no text"),
        ("stock.csv", b"ref,item\n" + b"x" * 70_000 + b"\0\n", "line 2 holds NUL"),
        ("stock.csv", b'ref,item\n1,"open\n' + b"2,3\n" * 400_000, "quotation mark"),
        ("stock.csv", b'ref,item\n1,"open\n2,3\n', "row 2 is no CSV"),
        ("stock.csv", b"ref,item\n" + b"x" * 200_000, "line 2 has no end"),
        ("stock.pdf", b"%PDF", "send .csv"),
        ("things.csv", b"ref\n1\n", "--kind"),
        ("stock-missing.csv", None, "No such file"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_told_so(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misused, match=says):
        source = look(path, None, None)
        with path.open("rb") as file:
            list(cut(source, file, whole=False))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Stock 2026.csv", "stock"), ("our_volunteers.xlsx", "volunteers"), ("sites.ndjson", "sites")],
)
def test_the_name_of_a_file_tells_what_it_holds(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK" if name.endswith("xlsx") else b"{}")
    assert look(path, None, None).kind == kind
