"""What the text of a cell means: exact and unambiguous, or refused with the reason. Pure."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from app import clock
from app.fields import said
from app.sheets.formulas import unprotect

LONGEST_CELL = 4000
"""Characters; no field takes so many."""


class Unfit(Exception):
    """Why a cell is not acceptable; never quotes it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refuse_formula(cell: str) -> None:
    """Refuse what a spreadsheet would run: it is never evaluated here."""
    if cell.lstrip().startswith("="):
        raise Unfit(
            "formula",
            "Formulas are not accepted: save values. Write `'=` where the text begins with `=`.",
        )


# Thousands may be set apart by spaces, which nothing else can mean. A comma or a full stop before
# three digits may be either: 1.000 is a thousand to one desk and one to the next.
_SPACES = "[ \u00a0\u2009\u202f]"
_WHOLE = re.compile(rf"([+-]?)(\d+|\d{{1,3}}(?:{_SPACES}\d{{3}})+)(?:[.,]0{{1,2}})?", re.ASCII)
_DECIMAL = re.compile(rf"([+-]?)(\d+|\d{{1,3}}(?:{_SPACES}\d{{3}})+)(?:[.,](\d{{1,2}}))?", re.ASCII)
_AMBIGUOUS = re.compile(r"[+-]?\d{1,3}([.,]\d{3})+", re.ASCII)
_FRACTION = re.compile(r"[+-]?[\d\u00a0\u202f ]+[.,]\d+", re.ASCII)
_EXPONENT = re.compile(r"[+-]?\d+([.,]\d+)?[eE][+-]?\d+", re.ASCII)
_DEGREES = re.compile(r"([+-]?\d{1,3})(?:[.,](\d{1,15}))?", re.ASCII)
_LONGEST_NUMBER = 20


def _digits(text: str) -> str:
    return re.sub(_SPACES, "", text)


def _no_number(text: str) -> Unfit:
    if _AMBIGUOUS.fullmatch(text):
        return Unfit(
            "ambiguous_number",
            "This can mean thousands or decimals: write the digits without a separator.",
        )
    if _EXPONENT.fullmatch(text):
        return Unfit(
            "rounded_number",
            "Numbers with an exponent may be rounded: format the column as whole numbers.",
        )
    if _FRACTION.fullmatch(text):
        return Unfit("not_whole", "This has more decimals than can be kept exactly.")
    return Unfit("number_form", "This is not a number.")


def whole(text: str) -> int:
    """A whole number: `100`, `100.0`, `1 000`."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER:
        return int(text)
    found = _WHOLE.fullmatch(text) if len(text) < 40 else None
    if found is None or len(found[2]) > 30:
        raise _no_number(text[:60])
    value = int(_digits(found[2]))
    return -value if found[1] == "-" else value


def money(text: str) -> Decimal:
    """A number with at most two decimals: `12.5`, `12,50`, `1 200.00`."""
    text = text.strip()
    found = _DECIMAL.fullmatch(text) if len(text) < 40 else None
    if found is None:
        raise _no_number(text[:60])
    return Decimal(f"{found[1]}{_digits(found[2])}.{found[3] or '0'}")


def degrees(text: str) -> float:
    """A latitude or longitude. Above 180 there are none, so that a comma can only be decimal."""
    found = _DEGREES.fullmatch(text.strip())
    if found is None:
        raise Unfit("number_form", "Degrees are a number such as 40.41.")
    return float(f"{found[1]}.{found[2] or '0'}")


_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00:00", re.ASCII)


def day(text: str) -> str:
    """A date: `2027-06-30`, or `30.06.2027` as spreadsheets from Ankara to Bishkek write it."""
    text = text.strip()
    if dotted := _DOTTED.fullmatch(text):
        return f"{dotted[3]}-{int(dotted[2]):02}-{int(dotted[1]):02}"
    if midnight := _MIDNIGHT.fullmatch(text):
        return midnight[1]
    if "/" in text:
        raise Unfit(
            "ambiguous_date",
            "With slashes the day and the month cannot be told apart: write 2027-06-30.",
        )
    return text


def text(cell: str) -> str:
    """A text as it stands."""
    return unprotect(cell)


def word(cell: str) -> str:
    """A text without the spaces around it."""
    return unprotect(cell.strip()).strip()


NOBODY = "none"
"""Stands for the empty list where an empty cell means something else."""


def words(cell: str) -> list[str]:
    """A list: words with `|`, spaces, commas or semicolons between them."""
    found = [w for w in re.split(r"[|\s,;]+", unprotect(cell.strip())) if w]
    return [] if found == [NOBODY] else found


def accepting(field: FieldInfo) -> Callable[[Any], Any]:
    """The check of a request model's field, by the very rules of the model."""
    annotation: Any = field.annotation
    for part in field.metadata:
        annotation = Annotated[annotation, part]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(strict=True))

    def accept(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            kind = str(first["type"])
            raise Unfit(kind, said(kind, str(first["msg"]))) from None

    return accept


NULL = r"\N"
"""Nothing, in the text form of COPY."""

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copied(value: Any) -> str:
    """A value in the text form of PostgreSQL's COPY."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, list):
        # Codes of letters alone: nothing in them needs quotes.
        return "{" + ",".join(sorted(set(value))) + "}"
    if isinstance(value, datetime):
        return clock.text(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
