"""Commitments and the hash chain, and what a reader may ask for: pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import rfc8785

FIRST_PREVIOUS = bytes(32)
"""The hash before the first record: 32 zero bytes."""

EXCHANGE = "exchange"
OPERATOR = "operator"
"""What a record calls its actor where no client acted."""


def canonical(content: Mapping[str, Any]) -> bytes:
    """RFC 8785 canonical JSON of `{id, type, at, society, subject, data}`."""
    return rfc8785.dumps(dict(content))


def commitment(salt: bytes, content: bytes) -> bytes:
    """SHA-256(salt ‖ canonical content): binds the operator to what a sealed envelope holds."""
    return hashlib.sha256(salt + content).digest()


def chained(previous: bytes, seq: int, committed: bytes) -> bytes:
    """SHA-256(previous hash ‖ seq as 8 bytes big-endian ‖ commitment)."""
    return hashlib.sha256(previous + seq.to_bytes(8, "big") + committed).digest()


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records a reader wants; None means any. `mine`: done by its society or told to it."""

    types: tuple[str, ...] | None = None
    emergency: UUID | None = None
    mine: bool = False

    @property
    def any(self) -> bool:
        """Whether the reader wants less than all."""
        return bool(self.types or self.emergency or self.mine)


Kind = Literal["text", "word", "number", "list"]


@dataclass(frozen=True)
class Facts:
    """Facts of one type that stand in a temporary table `source`, in the order of its column `n`.

    `data` and `private` are what is told: (key, kind, SQL of the value over a row `f`). A `text`
    may hold anything and a `word` nothing that JSON escapes; both may be null. A `number` is an
    integer, a `list` a text[]. `subject` is the SQL of the object's id, `audience` that of a text[]
    (null: everybody). `n` must begin with 1 and have no gaps.
    """

    type: str
    source: str
    data: tuple[tuple[str, Kind, str], ...]
    private: tuple[tuple[str, Kind, str], ...] = ()
    subject: str = "f.id"
    audience: str = "NULL::text[]"
