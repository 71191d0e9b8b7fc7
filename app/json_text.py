"""JSON in and out. Reading is strict, because a lenient reader stores what nobody sent."""

import json
from math import isinf
from typing import Any

_DEEPEST = 64


class MalformedJson(ValueError):
    """Why a text is not JSON as the exchange reads it; never quotes the text."""


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
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(f"Not JSON at character {error.pos}: {error.msg}.") from None


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedJson("A key stands twice in one object.")
    for key in result:
        if not key.isascii() and any("\ud800" <= c <= "\udfff" for c in key):
            raise MalformedJson("A key holds half a character (a lone surrogate).")
    return result


def _constant(name: str) -> Any:
    raise MalformedJson(f"{name} is not a number in JSON.")


def _float(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        raise MalformedJson("A number is out of range.")
    return value


def _integer(digits: str) -> int:
    # Also keeps Python's own limit on the length of integers from becoming a 500.
    if len(digits) > 20:
        raise MalformedJson("An integer is out of range.")
    return int(digits)
