"""The one door through which randomness comes in."""

import os
from collections.abc import Callable

_source: Callable[[int], bytes] = os.urandom


def random_bytes(count: int) -> bytes:
    """`count` unpredictable bytes: keys and salts are made of them."""
    return _source(count)


def set_source(source: Callable[[int], bytes] | None) -> None:
    """Let a test set the bytes; None gives the operating system's back."""
    global _source
    _source = source or os.urandom
