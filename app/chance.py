"""The one door through which randomness comes in."""

import os
import random
from collections.abc import Callable

_source: Callable[[int], bytes] = os.urandom
# Of its own: the state of the module's is looked after by tests that draw from it.
_dice = random.Random()  # noqa: S311 - for waits, which are no secret


def random_bytes(count: int) -> bytes:
    """`count` unpredictable bytes: keys and salts are made of them."""
    return _source(count)


def between(low: float, high: float) -> float:
    """A number for a wait, so that what began together does not go on together."""
    return _dice.uniform(low, high)


def set_source(source: Callable[[int], bytes] | None) -> None:
    """Let a test set the bytes; None gives the operating system's back."""
    global _source
    _source = source or os.urandom
