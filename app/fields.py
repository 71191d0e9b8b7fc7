"""The types of input fields. Each says what it takes, and refuses what would be stored otherwise.

Every request model inherits `Input`: strict (no `"3"` or `true` for a number) and closed (an
unknown field is an error, since a misspelt one would vanish without a word).
"""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app import clock
from app.quantity import MOST


class Input(BaseModel):
    """What a caller sends."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Shown(BaseModel):
    """What the exchange shows. The database writes the JSON; the model describes it."""

    model_config = ConfigDict(extra="forbid")


# One text has one spelling here: NFC. `é` of one keyboard is one character and of another two, and
# both look the same; without this they would be two references, and two lots of one thing.
#
# What cannot be seen is refused rather than taken out, since nothing is dropped in silence: format
# characters (zero width spaces and joiners, marks and overrides of direction, soft hyphens), other
# controls, halves of surrogate pairs (PostgreSQL and UTF-8 have no place for them), private and
# unassigned characters (of which nobody knows how they are normalised), separators of lines and
# paragraphs. None of them is needed to write Azerbaijani, Kazakh, Kyrgyz, Turkish, Uzbek, Russian
# or English. `str.isprintable` is false for exactly these, and for spaces that are no plain space.
_UNSEEN = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cs": "half a character",
    "Co": "a private character",
    "Cn": "not assigned",
    "Zl": "a separator",
    "Zp": "a separator",
}
# Of other categories, and just as invisible: fillers, joiners of graphemes, an empty Braille cell.
_BLANK = r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0"
_SELECTORS = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"
# What a decoder puts in the place of bytes that are no text: of two texts it would make one.
_DAMAGED = r"\ufffd"
_FREE = re.compile(f"[{_BLANK}]")
_STRICT = re.compile(f"[{_BLANK}{_SELECTORS}{_DAMAGED}]")
_LINES = "\n\r\t"
# Emoji are joined with it, which people write to people.
_JOINER = "\u200d"
# Putting long runs of marks in order takes time by their square; nothing accepted is so long.
_LONGEST_NORMALISED = 8_000


def _unacceptable(place: int, character: str) -> PydanticCustomError:
    kind = _UNSEEN.get(unicodedata.category(character), "it cannot be seen")
    name = unicodedata.name(character, kind)
    return PydanticCustomError(
        "text_character",
        "U+{code} ({name}), the character at place {place}, is not accepted here.",
        {"code": f"{ord(character):04X}", "name": name, "place": place},
    )


def _seen(value: str, refused: re.Pattern[str], spared: str) -> None:
    """Refuse what cannot be seen, but for what is spared."""
    if not value.isprintable():
        for place, character in enumerate(value, 1):
            if character not in spared and unicodedata.category(character) in _UNSEEN:
                raise _unacceptable(place, character)
    if not value.isascii() and (found := refused.search(value)):
        raise _unacceptable(found.start() + 1, found[0])


def _free(value: Any) -> Any:
    """Text for people, as it is but for its normal form; lines and emoji are theirs."""
    if not isinstance(value, str) or len(value) > _LONGEST_NORMALISED:
        return value
    _seen(value, _FREE, _LINES + _JOINER)
    return unicodedata.normalize("NFC", value)


def _words(value: Any) -> Any:
    """A few words, such as a number on a label."""
    if not isinstance(value, str) or len(value) > _LONGEST_NORMALISED:
        return value
    _seen(value, _FREE, _LINES)
    return unicodedata.normalize("NFC", value)


def _line(value: Any) -> Any:
    """One line by which something is known: every space in it is the plain one."""
    if not isinstance(value, str) or len(value) > _LONGEST_NORMALISED:
        return value
    _seen(value, _STRICT, "")
    if value.isascii():
        return value
    # Spreadsheets and web pages have no-break spaces where nobody typed one.
    plain = "".join(" " if unicodedata.category(c) == "Zs" else c for c in value)
    return unicodedata.normalize("NFC", plain)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("text_blank", "This must not be blank.")
    return value


# For the document alone; the check itself says in words what is wrong. What is unassigned, private
# or a filler is not written out.
_HIDDEN = r"\x7f-\x9f\xad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_FREE_FORM = {"pattern": rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f{_HIDDEN}]*$"}
_WORDS_FORM = {"pattern": rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f\u200d{_HIDDEN}]*$"}
_LINE_FORM = {"pattern": rf"^[^\x00-\x1f\u200d\ufe00-\ufe0f\ufffd{_HIDDEN}]*$"}
_REF_FORM = {"pattern": rf"^[^\x00-\x1f\u200d\ufe00-\ufe0f\ufffd{_HIDDEN}/\\]+$"}

Text = Annotated[str, Field(max_length=2000, json_schema_extra=_FREE_FORM), BeforeValidator(_free)]
Words = Annotated[
    str, Field(max_length=200, json_schema_extra=_WORDS_FORM), BeforeValidator(_words)
]
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra=_LINE_FORM),
    BeforeValidator(_line),
    AfterValidator(_not_blank),
]


def _reference(value: str) -> str:
    if value != value.strip() or "  " in value:
        raise PydanticCustomError(
            "reference_form", "No space at either end, and no two spaces together."
        )
    # A reference comes back in a path; these two would be resolved away on the journey.
    if value in {".", ".."}:
        raise PydanticCustomError("reference_form", "A reference cannot be `.` or `..`.")
    if value in {"import", "export"}:
        # `GET /v1/my/stock/export` gives the file, so that no lot of this name could be read.
        raise PydanticCustomError(
            "reference_form", "A reference cannot be `import` or `export`: these are addresses."
        )
    if "/" in value or "\\" in value:
        raise PydanticCustomError("reference_form", "A reference holds no slash.")
    return value


Ref = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra=_REF_FORM),
    BeforeValidator(_line),
    AfterValidator(_not_blank),
    AfterValidator(_reference),
]

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$", max_length=40)]
SocietyCode = Annotated[
    str, Field(pattern=r"^[A-Z]{3}$", min_length=3, max_length=3, examples=["AZE"])
]
CountryCode = SocietyCode
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", max_length=3)]

Quantity = Annotated[int, Field(ge=1, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Headcount = Annotated[int, Field(ge=1, le=1_000_000)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        parsed = value
    else:
        # Written out, because a lenient parser takes 0, "0" and naive times for instants.
        if not isinstance(value, str) or not _INSTANT.fullmatch(value):
            raise PydanticCustomError(
                "instant_form",
                "An instant is RFC 3339 text with its offset, such as 2026-02-06T01:17:00Z.",
            )
        try:
            parsed = datetime.fromisoformat(value.upper())
        except ValueError:
            raise PydanticCustomError("instant_form", "There is no such day or time.") from None
    if parsed.tzinfo is None:
        raise PydanticCustomError("instant_form", "The offset is missing.")
    try:
        parsed = parsed.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("instant_range", "The year must be 2000 to 2099.") from None
    if not 2000 <= parsed.year < 2100:
        raise PydanticCustomError("instant_range", "The year must be 2000 to 2099.")
    return parsed


def _day(value: Any) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise PydanticCustomError("date_form", "A date is text such as 2027-06-30.")
    try:
        parsed = date.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("date_form", "There is no such day.") from None
    if not 2000 <= parsed.year < 2100:
        raise PydanticCustomError("date_range", "The year must be 2000 to 2099.")
    return parsed


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:
        raise PydanticCustomError("id_form", "An id is a UUID in its usual 36 characters.")
    try:
        return UUID(value)
    except ValueError:
        raise PydanticCustomError(
            "id_form", "An id is a UUID in its usual 36 characters."
        ) from None


def read_degrees(value: object) -> object:
    """Checks text of the form `lat,lon`; the text stays as it is."""
    if not isinstance(value, str):
        return value
    lat, comma, lon = value.partition(",")
    try:
        place = (float(lat), float(lon))
    except ValueError:
        raise ValueError("two degrees with a comma between them, such as 37.58,36.93") from None
    if not comma or not (-90 <= place[0] <= 90 and -180 <= place[1] <= 180):
        raise ValueError("a latitude of -90 to 90 and a longitude of -180 to 180")
    return value


AHEAD = timedelta(seconds=5)
"""How far a caller's clock may be ahead of ours."""


def _over(value: datetime) -> datetime:
    now = clock.now()
    if value > now + AHEAD:
        raise PydanticCustomError(
            "in_the_future",
            "This lies in the future; here it is {now}. Is the clock ahead, or the offset wrong?",
            {"now": clock.text(now)},
        )
    return value


Instant = Annotated[datetime, Field(strict=False), BeforeValidator(_instant)]
PastInstant = Annotated[Instant, AfterValidator(_over)]
"""When something was seen, counted or decided: at most `AHEAD` in the future."""
Day = Annotated[date, Field(strict=False), BeforeValidator(_day)]
Id = Annotated[UUID, Field(strict=False), BeforeValidator(_uuid)]


def folded(text: str) -> str:
    """Text as searches compare it: without case, accents or the differences between alphabets' i.

    Turkish İ/ı, Azerbaijani ə and ş, Uzbek oʻ, Russian ё are what a keyboard at hand often lacks:
    they are folded to the plain letter on both sides of the comparison, so that neither the
    writer's nor the reader's keyboard decides what is found.
    """
    decomposed = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("İ", "i").casefold())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    plain = plain.translate(_LETTERS)
    return " ".join(plain.split())


_LETTERS = str.maketrans(
    {
        "ə": "e",
        "ø": "o",
        "đ": "d",
        "ʻ": None,
        "ʼ": None,
        "'": None,
        "\u2019": None,
        "\u2018": None,
        "`": None,
        "ә": "а",
        "ө": "о",
        "ү": "у",
        "ұ": "у",
        "қ": "к",
        "ғ": "г",
        "ң": "н",
        "һ": "х",
        "і": "и",
    }
)


_MESSAGES = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field; check its spelling.",
    "value_error": "This is not acceptable.",
}


def said(kind: str, message: str) -> str:
    """The reason of a refused field in plain words, from what the validator says."""
    if kind == "value_error":
        return "This must be " + message.removeprefix("Value error, ") + "."
    text = _MESSAGES.get(kind, message)
    return text.replace("Input should", "This should").removesuffix(".") + "."
