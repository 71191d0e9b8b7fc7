"""Signatures by Standard Webhooks 1.0: pure."""

import base64
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
LENGTH = 32


def shown(secret: bytes) -> str:
    """A secret as its society gets it, once."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(
    message: str, timestamp: int, body: bytes, secrets: Sequence[bytes]
) -> list[tuple[bytes, bytes]]:
    """The three headers of a message. During a rotation every valid secret signs."""
    signed = f"{message}.{timestamp}.".encode() + body
    signatures = b" ".join(
        b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets
    )
    return [
        (b"webhook-id", message.encode()),
        (b"webhook-timestamp", str(timestamp).encode()),
        (b"webhook-signature", signatures),
    ]
