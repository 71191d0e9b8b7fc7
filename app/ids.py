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


_VERSION = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


def new_ids(count: int) -> list[bytes]:
    """`count` new UUIDv7 of 16 bytes, in ascending order: for rows by the hundred thousand.

    Whole columns of bytes at a time: made one by one they would cost more than storing them. In
    order, because an index takes what comes in order at half the cost.
    """
    milliseconds = int(clock.now().timestamp() * 1000).to_bytes(6, "big")
    tail = chance.random_bytes(10 * count)
    made = bytearray(16 * count)
    for place in range(6):
        made[place::16] = milliseconds[place : place + 1] * count
    for place in range(10):
        made[6 + place :: 16] = tail[place::10]
    made[6::16] = made[6::16].translate(_VERSION)
    made[8::16] = made[8::16].translate(_VARIANT)
    return sorted(bytes(made[n : n + 16]) for n in range(0, len(made), 16))
