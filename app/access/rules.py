"""Keys, roles and scopes: pure."""

import hashlib
import zlib

SCOPES = {
    "read": "see the network's stock, volunteers, requests, boards and events",
    "stock:write": "publish the society's sites and lots",
    "volunteers:write": "publish the society's pools of volunteers",
    "requests:write": "open emergencies and requests, accept offers, receive",
    "offers:write": "offer, dispatch consignments, mobilise deployments",
    "admin": "manage the society's clients; with the secretariat, the master data",
}
"""Every scope and what it lets a client do."""

ROLES = ("member", "secretariat", "observer")
TAKES_PART = frozenset({"member", "secretariat"})
"""Observers read. The secretariat is a member that also runs the master data."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "komek_"
_SECRET = 32
_CHECK = 6


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, remainder = divmod(value, 62)
        digits.append(_ALPHABET[remainder])
    return "".join(reversed(digits))


def make_key(random: bytes) -> str:
    """A key from 24 random bytes: `komek_`, 32 characters (190 bits), 6 of checksum.

    The prefix lets secret scanners recognise a leaked key; the checksum tells a mistyped key
    from a revoked one without asking the database.
    """
    secret = _base62(int.from_bytes(random, "big"), _SECRET)
    return PREFIX + secret + _checksum(secret)


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), _CHECK)


def is_well_formed(key: str) -> bool:
    """Whether a key has the prefix, the length and the right checksum."""
    body = key.removeprefix(PREFIX)
    if len(body) != _SECRET + _CHECK or not key.startswith(PREFIX):
        return False
    if not all(c in _ALPHABET for c in body):
        return False
    return _checksum(body[:_SECRET]) == body[_SECRET:]


def digest(key: str) -> bytes:
    """What is stored of a key: its SHA-256. A key is random, so that no salt is needed."""
    return hashlib.sha256(key.encode()).digest()


def shown_prefix(key: str) -> str:
    """The part of a key that may be shown, to tell keys apart in lists."""
    return key[: len(PREFIX) + 6]


def expand(scopes: list[str]) -> list[str]:
    """`all` means every scope; the rest in the order of SCOPES, each once."""
    return [s for s in SCOPES if s in scopes or "all" in scopes]
