"""Which columns a kind of sheet has, and which column of a file is which. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from app.sheets.cells import LONGEST_CELL, Unfit, accepting, copied, refuse_formula

MOST_COLUMNS = 200


class Unreadable(Exception):
    """Why a file as a whole cannot be read: where, which kind, and what to do."""

    def __init__(self, code: str, message: str, *, row: int = 0, column: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.row = row
        self.column = column


@dataclass(frozen=True)
class Column:
    """A column: the field that it is, its HXL tag, and how the text of its cells is read.

    `distinct` columns hardly hold a value twice; of the others the reading is remembered.
    """

    name: str
    tag: str
    read: Callable[[str], Any]
    accept: Callable[[Any], Any]
    required: bool = False
    default: Any = None
    distinct: bool = False

    def copied(self, cell: str) -> str:
        """A cell in the text form of COPY; raises Unfit."""
        if len(cell) > LONGEST_CELL:
            # Before anybody looks at each of its characters, once for every row that has it.
            raise Unfit("string_too_long", f"This is longer than {LONGEST_CELL} characters.")
        if not cell or cell.isspace():
            if self.required:
                raise Unfit("missing", "This is required.")
            return copied(self.default)
        refuse_formula(cell)
        return copied(self.accept(self.read(cell)))


Fault = tuple[int, str, str, str]
"""(place in the batch, field, code, message)."""


def _nothing(columns: Mapping[str, Sequence[str]]) -> Iterable[Fault]:
    return ()


@dataclass(frozen=True)
class Form:
    """A kind of sheet: its columns, the model of one row, and what must hold across columns.

    `check` gets whole columns of a batch, in the text form of COPY; the first is always `ref`.
    """

    name: str
    columns: tuple[Column, ...]
    model: type[BaseModel]
    check: Callable[[Mapping[str, Sequence[str]]], Iterable[Fault]] = _nothing
    by_name: Mapping[str, Column] = field(init=False)
    by_tag: Mapping[frozenset[str], Column] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {c.name: c for c in self.columns})
        object.__setattr__(self, "by_tag", {tag_parts(c.tag): c for c in self.columns})

    def known(self, cells: Sequence[str]) -> int:
        """How many of these cells are headers or tags of this form."""
        return sum(
            _heading(c) in self.by_name or tag_parts(c) in self.by_tag for c in cells[:MOST_COLUMNS]
        )


def form(
    name: str,
    model: type[BaseModel],
    columns: Sequence[tuple[str, str, Callable[[str], Any]]],
    distinct: Sequence[str],
    check: Callable[[Mapping[str, Sequence[str]]], Iterable[Fault]] = _nothing,
) -> Form:
    """A form whose columns follow the rules of the model's fields."""
    made = []
    for column, tag, read in columns:
        info = model.model_fields[column]
        made.append(
            Column(
                column,
                tag,
                read,
                accepting(info),
                required=info.is_required(),
                default=None if info.is_required() else info.default,
                distinct=column in distinct,
            )
        )
    return Form(name, tuple(made), model, check)


def tag_parts(cell: str) -> frozenset[str]:
    """An HXL tag with its attributes, whose order and spacing mean nothing."""
    text = cell.strip().lower()
    if not text.startswith("#"):
        return frozenset({text})
    tag, *attributes = [part.strip() for part in text.split("+")]
    return frozenset({tag, *(f"+{a}" for a in attributes if a)})


def is_tag_row(cells: Sequence[str]) -> bool:
    """Whether a row holds HXL tags: every cell that is not empty begins with `#`."""
    filled = [c.strip() for c in cells if c.strip()]
    return bool(filled) and all(c.startswith("#") and len(c) > 1 for c in filled)


def _heading(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_")


def letter(index: int) -> str:
    """The name of a column as spreadsheets show it: A, B … Z, AA …"""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def matched(form: Form, header: Sequence[str], tags: Sequence[str] | None) -> dict[int, Column]:
    """Which column of the file is which of the form's; raises Unreadable."""
    if len(header) > MOST_COLUMNS:
        raise Unreadable(
            "too_many_columns",
            f"The sheet has more than {MOST_COLUMNS} columns.",
            row=1,
            column=letter(MOST_COLUMNS),
        )
    found: dict[int, Column] = {}
    places: dict[str, int] = {}
    width = max(len(header), len(tags or ()))
    for index in range(width):
        head = header[index] if index < len(header) else ""
        tag = tags[index] if tags and index < len(tags) else ""
        if not head.strip() and not tag.strip():
            continue
        column = form.by_name.get(_heading(head)) or form.by_tag.get(tag_parts(tag or head))
        if column is None:
            raise Unreadable(
                "unknown_header",
                "There is no such column. The columns are: "
                + ", ".join(c.name for c in form.columns)
                + ".",
                row=1,
                column=letter(index),
            )
        if column.name in places:
            raise Unreadable(
                "doubled_header",
                f"`{column.name}` stands twice: in columns {letter(places[column.name])} and "
                f"{letter(index)}.",
                row=1,
                column=letter(index),
            )
        places[column.name] = index
        found[index] = column
    absent = [c.name for c in form.columns if c.required and c.name not in places]
    if absent:
        raise Unreadable(
            "missing_header",
            "The first row must name the columns; missing: " + ", ".join(absent) + ".",
            row=1,
        )
    return found
