"""The question as arrays: what can be drawn, for which lines, at what measure.

An instance has capacity rows (a class of lots that are alike, or a pool at an instant), lines, and
arcs from what is had to a line. An arc moves whole steps: each uses `use` units of what is had and
covers `cover` units of the line (substitutes at their ratio; 1 and 1 for the item itself).
"""

from dataclasses import dataclass

import numpy as np

from app.matching.program import Bools, Floats, Ints
from app.matching.rules import TENTHS, tenths


@dataclass(frozen=True, eq=False)
class Instance:
    """What is to be planned. All arrays are of whole numbers."""

    limit: Ints
    """Of a capacity row: what can be drawn through it."""
    at_row: Ints
    at_arc: Ints
    """Which arcs draw on which rows; goods draw on one, people on one for each instant."""
    stock: Ints
    """Of an owner (a society and an item, or a skill): what it has available."""
    need: Ints
    rank: Ints
    request: Ints
    """Of a line: what is outstanding, 0 for critical to 2 for normal, its request."""
    owner: Ints
    journey: Ints
    """Of an arc: the consignment that it would travel with (one for a site and a request)."""
    line: Ints
    step: Ints
    cost: Ints
    """Of a unit that is drawn, in millionths of a dollar."""
    use: Ints
    cover: Ints
    ill: Ints
    """1 where people speak none of the languages that the line names."""
    lot_row: Ints
    lot_left: Ints
    lot_days: Ints
    """Lots, in the order of their row, their expiry, their id."""

    @property
    def arcs(self) -> int:
        """How many arcs there are."""
        return len(self.line)

    @property
    def most(self) -> Ints:
        """Of each arc: the most steps that what is had and the line allow."""
        has = np.full(self.arcs, np.iinfo(np.int64).max)
        np.minimum.at(has, self.at_arc, self.limit[self.at_row])
        most: Ints = np.minimum(has // self.use, self.need[self.line] // self.cover)
        return most

    def plain(self) -> Bools:
        """Of each arc: whether it is one of a flow: one to one, on one row."""
        rows = np.bincount(self.at_arc, minlength=self.arcs)
        plain: Bools = (self.use == 1) & (self.cover == 1) & (rows == 1)
        return plain


@dataclass(frozen=True)
class Measures:
    """What a plan is judged by, in this order; the three covers are the more the better."""

    covered: tuple[int, int, int]
    time: int
    fair_share: int
    consignments: int
    cost: int
    suits: int

    @property
    def order(self) -> tuple[int, ...]:
        """The least is the best."""
        return (
            *(-c for c in self.covered),
            self.time,
            self.fair_share,
            self.consignments,
            self.cost,
            self.suits,
        )


def measure(instance: Instance, x: Ints) -> Measures:
    """Judge a plan: `x` steps on each arc."""
    covers = x * instance.cover
    drawn = x * instance.use
    rank = instance.rank[instance.line]
    return Measures(
        covered=(
            int(covers[rank == 0].sum()),
            int(covers[rank == 1].sum()),
            int(covers[rank == 2].sum()),
        ),
        time=int((covers * instance.step).sum()),
        fair_share=sum(
            _share(int(had), int(gone))
            for had, gone in zip(instance.stock, drawn_by_owner(instance, drawn), strict=True)
            if gone
        ),
        consignments=len(np.unique(instance.journey[x > 0])),
        cost=int((drawn * instance.cost).sum()),
        suits=int((drawn * instance.ill).sum()) + _days(instance, drawn),
    )


def drawn_by_owner(instance: Instance, drawn: Ints) -> Ints:
    """What each owner gives."""
    total = np.zeros(len(instance.stock), dtype=np.int64)
    np.add.at(total, instance.owner, drawn)
    return total


def _share(had: int, gone: int) -> int:
    parts = tenths(had)
    # People may serve twice, one after the other: beyond all that there is counts as the last.
    total = 0
    for k, part in enumerate(parts):
        taken = gone if k == TENTHS - 1 else min(part, gone)
        total += taken * k
        gone -= taken
    return total


def _days(instance: Instance, drawn: Ints) -> int:
    return int(
        sum(quantity * int(instance.lot_days[lot]) for lot, quantity in _lots(instance, drawn))
    )


def _lots(instance: Instance, drawn: Ints) -> list[tuple[int, int]]:
    through = np.zeros(len(instance.limit), dtype=np.int64)
    np.add.at(through, instance.at_row, drawn[instance.at_arc])
    # Within a row the earliest-expiring come first: what is before a lot is taken before it.
    before = np.cumsum(instance.lot_left) - instance.lot_left
    first = np.searchsorted(instance.lot_row, instance.lot_row)
    before -= before[first] if len(before) else 0
    taken = np.clip(through[instance.lot_row] - before, 0, instance.lot_left)
    return [(int(lot), int(taken[lot])) for lot in np.flatnonzero(taken)]


def faults(instance: Instance, x: Ints) -> list[str]:
    """What a plan promises beyond what there is or is asked for; empty for every plan of ours."""
    found = []
    if (x < 0).any():
        found.append("a negative amount")
    through = np.zeros(len(instance.limit), dtype=np.int64)
    np.add.at(through, instance.at_row, (x * instance.use)[instance.at_arc])
    if (through > instance.limit).any():
        found.append("more than is available")
    covered = np.zeros(len(instance.need), dtype=np.int64)
    np.add.at(covered, instance.line, x * instance.cover)
    if (covered > instance.need).any():
        found.append("more than is asked for")
    return found


def components(nodes: int, one: Ints, other: Ints) -> Ints:
    """Of each node: the least node that it hangs together with."""
    label = np.arange(nodes)
    while True:
        before = label
        least = np.minimum(label[one], label[other])
        label = label.copy()
        np.minimum.at(label, one, least)
        np.minimum.at(label, other, least)
        label = label[label]
        if (label == before).all():
            return label


def weigh(parts: dict[str, Floats], weights: dict[str, float]) -> Floats:
    """One criterion out of several."""
    return np.asarray(sum(weights[name] * parts[name] for name in parts), dtype=np.float64)
