"""States of a consignment, and when a receipt adds up. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

MOVES: dict[str, frozenset[str]] = {
    "dispatch": frozenset({"planned"}),
    "checkpoint": frozenset({"dispatched", "arrived"}),
    "arrive": frozenset({"dispatched"}),
    # Over a poor link the news of the arrival may come after the receipt, or never: whoever signs
    # for the goods has them, so that a receipt is taken from `dispatched` too.
    "receive": frozenset({"dispatched", "arrived"}),
    "cancel": frozenset({"planned"}),
    "lose": frozenset({"dispatched", "arrived"}),
}
"""Which verb is allowed in which states."""

RESULT = {
    "dispatch": "dispatched",
    "arrive": "arrived",
    "receive": "received",
    "cancel": "cancelled",
    "lose": "lost",
}
"""The state that a verb leads to."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found of one line at the receipt."""

    dispatched: int
    received: int
    damaged: int
    missing: int

    @property
    def adds_up(self) -> bool:
        """Everything that was dispatched is accounted for, once."""
        return self.received + self.damaged + self.missing == self.dispatched


def mismatches(lines: Iterable[Counted]) -> list[int]:
    """The places of the lines that do not add up."""
    return [n for n, line in enumerate(lines) if not line.adds_up]
