"""Quantities: whole numbers of an item's base unit, packs, substitutes. Pure and exact.

A quantity is an integer because a decimal loses or invents goods: half a blanket cannot be sent,
and a database driver that rounds without a word has turned promises into nothing.
"""

from dataclasses import dataclass
from math import gcd

MOST = 1_000_000_000_000
"""The largest quantity that the exchange takes, in base units (10^12)."""

MOST_SHARE = 100_000
"""The largest side of a substitute's ratio."""


@dataclass(eq=False)
class Inexact(Exception):
    """A quantity that cannot be expressed exactly, with the nearest that can (base units)."""

    quantity: int
    step: int

    @property
    def below(self) -> int:
        """The nearest expressible quantity that is not larger; 0 means none."""
        return self.quantity - self.quantity % self.step

    @property
    def above(self) -> int:
        """The nearest expressible quantity that is not smaller."""
        return self.below if self.quantity % self.step == 0 else self.below + self.step


def in_base_units(count: int, pack_size: int) -> int:
    """`count` packs of `pack_size` base units each."""
    return count * pack_size


def in_packs(quantity: int, pack_size: int) -> int:
    """How many packs hold exactly `quantity` base units; raises Inexact where none do."""
    if quantity % pack_size:
        raise Inexact(quantity, pack_size)
    return quantity // pack_size


@dataclass(frozen=True, slots=True)
class Ratio:
    """`quantity` units of the substitute stand in for `per` units of what was asked."""

    quantity: int
    per: int

    @property
    def step(self) -> int:
        """The smallest amount of the substitute that stands for a whole number of the other."""
        return self.quantity // gcd(self.quantity, self.per)

    def counts_for(self, quantity: int) -> int:
        """What `quantity` of the substitute counts for; raises Inexact where it does not divide."""
        if quantity * self.per % self.quantity:
            raise Inexact(quantity, self.step)
        return quantity * self.per // self.quantity

    def covered_by(self, quantity: int) -> int:
        """What `quantity` of the substitute covers in whole units, rounded down.

        Used on running totals only (never on parts), so that the figures of a line that was
        half received and half damaged still add up to what was dispatched.
        """
        return quantity * self.per // self.quantity


SAME = Ratio(1, 1)
