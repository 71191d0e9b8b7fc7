"""The receipt: what the requester signs for, held against what was dispatched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.consignments import rules
from app.errors import AppError, Fault, invalid, unknown


@dataclass(frozen=True, slots=True)
class Found:
    """What the requester found of a line (its id, or that of its offer line)."""

    line: UUID
    received: int
    damaged: int
    missing: int
    note: str | None


def is_same(line: Any, found: Found) -> bool:
    """Whether a receipt says of a received line what was signed for already."""
    return (line.received, line.damaged, line.missing, line.note) == (
        found.received, found.damaged, found.missing, found.note,
    )  # fmt: skip


def matched(lines: Sequence[Any], found: Sequence[Found]) -> list[tuple[Any, Found]]:
    """Each line of the consignment with what was found of it; 422 where that does not add up."""
    places: dict[UUID, int] = {}
    by_offer_line: dict[UUID, list[Any]] = {}
    for line in lines:
        by_offer_line.setdefault(line.offer_line, []).append(line)
    own = {line.id: line for line in lines}
    for offer_line, several in by_offer_line.items():
        if len(several) == 1:
            own.setdefault(offer_line, several[0])
    receipt: list[tuple[Any, Found]] = []
    for n, part in enumerate(found):
        counted = own.get(part.line)
        if counted is None:
            raise unknown(f"/lines/{n}/line", "line of this consignment")
        if counted.id in places:
            raise invalid(f"/lines/{n}/line", "duplicate", "This line is named twice.")
        places[counted.id] = n
        receipt.append((counted, part))
    faults = [
        Fault(
            f"/lines/{n}",
            "receipt_mismatch",
            f"{receipt[n][0].quantity} were dispatched; "
            f"{part.received} + {part.damaged} + {part.missing} is not that.",
        )
        for n in rules.mismatches(
            rules.Counted(line.quantity, part.received, part.damaged, part.missing)
            for line, part in receipt
        )
        for part in [receipt[n][1]]
    ]
    absent = [str(line.id) for line in lines if line.id not in places]
    if absent:
        faults.append(
            Fault(
                "/lines",
                "receipt_mismatch",
                f"Lines not accounted for: {', '.join(absent)}.",
            )
        )
    if faults:
        raise AppError(
            "receipt_mismatch",
            "The receipt does not add up to what was sent.",
            faults=faults,
        )
    return receipt
