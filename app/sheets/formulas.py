"""Texts that no spreadsheet runs, wherever it cuts them: pure.

A file is cut by the reader and not by its writer. Where semicolons separate columns, as from Ankara
to Bishkek, Excel opens a file with commas line by line: quotes within a line mean nothing to it,
and what stands behind a semicolon, a tab or a line break in a title becomes a cell of its own.
So every place at which some reader may begin a cell is guarded, and not the first alone.
"""

import re

_BEGINS = r"(?:\A|[;,|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029])"
# What a reader may drop before it looks what a cell begins with.
_DROPPED = r"[\s\"\u200b-\u200f\u2060\ufeff]*?"
# As typed, and as wide letters, which some editions of Excel take for the same.
_RUN = r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]"

_OPEN = re.compile(rf"({_BEGINS}{_DROPPED})(?='*{_RUN})")
_GUARDED = re.compile(rf"({_BEGINS}{_DROPPED})'(?='*{_RUN})")


def protect(text: str) -> str:
    """A text that a spreadsheet does not run as a formula when it opens the file."""
    return _OPEN.sub(r"\1'", text)


def unprotect(text: str) -> str:
    """The text as it was before `protect`."""
    return _GUARDED.sub(r"\1", text)
