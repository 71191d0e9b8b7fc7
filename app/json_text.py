"""JSON in and out. Reading is strict, because a lenient reader stores what nobody sent."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any

_DEEPEST = 64
_LONGEST = 200


class MalformedJson(ValueError):
    """Why a text is not JSON as the exchange reads it, and where; never quotes the text."""

    def __init__(self, reason: str, place: Sequence[str | int] = ()) -> None:
        super().__init__(reason)
        self.pointer = pointer(place)


@dataclass(frozen=True, slots=True)
class _Unfit:
    """Stands where a value was that is not read, until the whole text is and its place is known."""

    reason: str
    key: str | None = None


def pointer(place: Sequence[Any]) -> str:
    """A JSON pointer (RFC 6901); a name of any length is cut, since callers choose it."""
    return "".join(
        "/" + str(part)[:_LONGEST].replace("~", "~0").replace("/", "~1") for part in place
    )


def dump(value: Any) -> bytes:
    """JSON text in UTF-8, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def load(raw: bytes) -> Any:
    """Read a JSON text; raises MalformedJson.

    Refused, each because it would be stored as something else than was sent, or cannot be stored:
    duplicate keys (the last would win silently), NaN and Infinity, numbers beyond a double
    (1e400 would become infinite), integers of more than 19 digits, other encodings than UTF-8,
    NUL and lone surrogates, nesting beyond 64 levels.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    if text.startswith("\ufeff"):
        raise MalformedJson("The body begins with a byte order mark.")
    # Counted before parsing: the parser's own recursion would end in a RecursionError.
    if _depth(text) > _DEEPEST:
        raise MalformedJson(f"The body is nested deeper than {_DEEPEST} levels.")
    unfit: list[_Unfit] = []

    def noted(value: Any) -> Any:
        if isinstance(value, _Unfit):
            unfit.append(value)
        return value

    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: noted(_object(pairs)),
            parse_constant=lambda name: noted(_Unfit(f"{name} is not a number in JSON.")),
            parse_float=lambda digits: noted(_float(digits)),
            parse_int=lambda digits: noted(_integer(digits)),
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(f"Not JSON at character {error.pos}: {error.msg}.") from None
    if unfit:
        raise next(_refusals(value, ()))
    return value


def _refusals(value: Any, place: tuple[str | int, ...]) -> Iterator[MalformedJson]:
    """What is unfit in a value, with its place: the parser itself does not know where it is."""
    if isinstance(value, _Unfit):
        yield MalformedJson(value.reason, place if value.key is None else (*place, value.key))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _refusals(inner, (*place, key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _refusals(inner, (*place, n))


def _depth(text: str) -> int:
    """An upper bound of the nesting: brackets inside strings are not counted."""
    if text.count("{") + text.count("[") <= _DEEPEST:
        return 0
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "{[":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > _DEEPEST:
                    break
        elif character in "}]":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Unfit:
    result = dict(pairs)
    for key in result:
        if not key.isascii() and any("\ud800" <= c <= "\udfff" for c in key):
            return _Unfit("A key holds half a character (a lone surrogate).")
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                return _Unfit("A key stands twice in one object.", key)
            seen.add(key)
    return result


def _float(digits: str) -> float | _Unfit:
    value = float(digits)
    return _Unfit("A number is out of range.") if isinf(value) else value


def _integer(digits: str) -> int | _Unfit:
    # Also keeps Python's own limit on the length of integers from becoming a 500.
    return _Unfit("An integer is out of range.") if len(digits) > 20 else int(digits)
