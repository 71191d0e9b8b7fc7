"""The one door through which identifiers come in: UUID version 7 (RFC 9562)."""

from uuid import UUID

from app import chance, clock


def new_id() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits.

    Made here and not by the database, so that an action knows every id before its first
    statement and can write an object and its ledger record without asking in between.
    """
    milliseconds = int(clock.now().timestamp() * 1000)
    tail = int.from_bytes(chance.random_bytes(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | tail
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
