"""What a hostile, a careless and a broken system send: as text, since much of it is no JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MARK = "zq7zq"
"""Stands in rejected texts; an answer that holds it has echoed its input."""


@dataclass(frozen=True)
class Value:
    """One value as it is sent."""

    raw: str
    kinds: frozenset[str] = frozenset()
    """The kinds of field that it is for; empty: every field."""
    secret: str | None = None
    """What no answer may repeat."""

    def suits(self, kinds: frozenset[str]) -> bool:
        """Whether a field of these kinds must stand it."""
        return not self.kinds or bool(self.kinds & kinds)


def _values(texts: Iterable[str], *kinds: str) -> Iterator[Value]:
    """JSON texts as values for fields of these kinds."""
    for raw in texts:
        secret = MARK if MARK in raw else None
        if len(raw) >= 19 and raw.lstrip("-").isdigit():
            secret = raw.lstrip("-")
        yield Value(raw, frozenset(kinds), secret)


_ESCAPED = (
    r'"\u0000"',
    rf'"{MARK}\u0000b"',
    rf'"{MARK}\ud800"',
    rf'"\udc00{MARK}"',
    rf'"\ud800\ud800{MARK}"',
    rf'"{MARK}\u0001"',
    rf'"{MARK}\u001b[31m"',
    rf'"{MARK}\u007f"',
)
_TEXTS = (
    "",
    " ",
    f" {MARK} ",
    f"{MARK}\r\nX-Evil: 1",
    f"../{MARK}",
    f"{MARK}/../../etc/passwd",
    "%00",
    f"{MARK}'; DROP TABLE lots; --",
    f"<script>{MARK}</script>",
    "Қазақстан ığİ ʻoʻ é é ﬁ",
    "👨‍👩‍👧 \U0001f6d1 \u202eabc\u2066",
    f"{MARK}" * 30,
    f"{MARK}" * 20_000,
    "null",
    "true",
    "3",
    "-1",
    "NaN",
    "1e400",
)
_NUMBERS = (
    "3",
    "0",
    "-1",
    "-0",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "31415926535897932384",
    "-31415926535897932384",
    "-9223372036854775809",
    "3" + "1415926535" * 40,
    "-3" + "1415926535" * 40,
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e999999",
    "1.5",
    "3.0",
    "1e2",
    "0.1",
    "12.345",
    "5e-324",
    "1e308",
    "123456789012.12",
)
_OTHERS = (
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[null]",
    '["a","a"]',
    "[[[[1]]]]",
    f'{{"{MARK[:3]}":1}}',
    '{"a":1,"a":2}',
)
_DATES = (
    "2027-01-15T00:00:00",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1999-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "2099-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59-12:00",
    "2027-02-30T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2027-01-15T24:00:00Z",
    "2027-01-15T00:00:00+25:00",
    "2027-01-15T00:00:00.1234567Z",
    "２０２７-01-15T00:00:00Z",
    "2027-01-15T12:34:56.789012+05:30",
    "2027-02-30",
    "0000-01-01",
    "9999-12-31",
    "2100-01-01",
    "2027-01-15",
    "20270115",
)
_NAMES = (
    "00000000-0000-0000-0000-000000000000",
    "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000",
    "{0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000}",
    "urn:uuid:0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000",
    "0190aaaabbbb7ccc8dddeeeeffff0000",
    "NOSUCHITEM",
    "no-such-skill",
    "ZZZ",
    "aze",
    "ＡＺＥ",
    "XXXX",
)

_EVERYWHERE = (
    r'"\u0000"',
    rf'"{MARK}\ud800"',
    f'"{MARK}"',
    '"3"',
    '""',
    "3",
    "-1",
    "9223372036854775808",
    "31415926535897932384",
    "-3" + "1415926535" * 40,
    "1.5",
    "NaN",
    "-Infinity",
    "1e400",
    "1e999999",
    "true",
    "null",
    "[]",
    "{}",
    f'{{"{MARK[:3]}":1}}',
    '{"a":1,"a":2}',
)
VALUES = (
    *_values(_EVERYWHERE),
    *_values((r for r in _ESCAPED if r not in _EVERYWHERE), "text"),
    *_values((json.dumps(t) for t in _TEXTS), "text"),
    *_values((n for n in _NUMBERS if n not in _EVERYWHERE), "number"),
    *_values((o for o in _OTHERS if o not in _EVERYWHERE), "list", "flag"),
    *_values((json.dumps(t) for t in _DATES), "date"),
    *_values((json.dumps(t) for t in _NAMES), "code", "id"),
)

WORDS = (
    "\0",
    f"{MARK}\0",
    f"{MARK}\x01",
    f"{MARK}\x7f",
    f"{MARK}\r\nX-Evil: 1",
    "",
    " ",
    *_TEXTS[2:11],
    f"{MARK}" * 100,
    *(n for n in _NUMBERS if len(n) < 30),
    *_DATES,
    *_NAMES,
    "true",
    "null",
    "[]",
    "{}",
    "91,0",
    "nan,nan",
    "inf,0",
    "1,2,3",
    "1",
    "WzUwXQ",
    "W10",
    "bnVsbA",
    "WyJcdWQ4MDAiXQ",
    "WyJcdTAwMDAiXQ",
    "W05hTl0",
    "W1tdXQ",
    "WzFlOTk5XQ",
    "W1siYSJdXQ",
    "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd",
    "WzEuMCwiMDE5MGFhYWEtYmJiYi03Y2NjLThkZGQtZWVlZWZmZmYwMDAwIl0",
    "W05hTiwiMDE5MGFhYWEtYmJiYi03Y2NjLThkZGQtZWVlZWZmZmYwMDAwIl0",
    "====",
    "a.b,c.d,",
)
"""What is sent in paths, queries and headers."""
