"""What the journeys of an accepted offer, consignments and deployments, add to its figures.

Each function is to be called with the offer held (`actions.hold`), so that two journeys never
change the same figures at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.errors import AppError, Fault
from app.ledger.actions import SECRETARIAT, Actor, Fact, record
from app.offers import rules, store
from app.offers.rules import Step
from app.quantity import SAME, Ratio
from app.requests import pledging as requests

Moves = list[tuple[str, str, int]]


def audience(offer: Any) -> list[str]:
    """Who sees an offer in detail: its two parties and the secretariat."""
    return [offer.society, offer.to_society, SECRETARIAT]


def figures_of(line: Any) -> rules.Figures:
    """The figures of a stored line."""
    return rules.Figures(
        line.accepted,
        line.planned,
        line.dispatched,
        line.received,
        line.damaged,
        line.lost,
    )


def ratio_of(line: Any) -> Ratio:
    """At which ratio a stored line counts for its request line."""
    return Ratio(line.ratio_quantity, line.ratio_per)


async def told(
    tx: AsyncConnection,
    actor: Actor,
    row: Any,
    verb: str,
    reason: str | None,
    moves: Moves,
) -> None:
    """Record what happened to an offer."""
    data = {"request": str(row.request) if row.request else None, "reason": reason}
    fact = Fact(
        f"offer.{verb}",
        row.id,
        data,
        moves=moves,
        audience=audience(row),
        emergency=row.emergency,
    )
    await record(tx, actor, fact)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A line of an accepted offer, as a journey needs it."""

    id: UUID
    position: int
    is_goods: bool
    figures: rules.Figures
    request_line: UUID | None
    ratio: Ratio


async def accepted_lines(tx: AsyncConnection, offer: UUID) -> dict[UUID, Accepted]:
    """The lines of a held offer."""
    return {
        line.id: Accepted(
            line.id,
            line.position,
            line.lot is not None,
            figures_of(line),
            line.request_line,
            ratio_of(line),
        )
        for line in await store.list_lines(tx, offer)
    }


_COLUMNS = ("planned", "dispatched", "received", "damaged", "lost")


async def plan(tx: AsyncConnection, offer: UUID, wanted: Sequence[Step], pointer: str) -> Moves:
    """Set accepted quantities aside for a journey; 409 `over_planned` beyond what is left.

    `pointer` is the field's name for the quantity, in the error.
    """
    lines = await accepted_lines(tx, offer)
    total: dict[UUID, int] = {}
    for step in wanted:
        total[step.line] = total.get(step.line, 0) + step.planned
    over = [
        (n, step)
        for n, step in enumerate(wanted)
        if total[step.line] > lines[step.line].figures.to_plan
    ]
    if over:
        raise AppError(
            "over_planned",
            "This is more than is accepted and not yet planned.",
            faults=[
                Fault(
                    pointer.format(n),
                    "over_planned",
                    f"{lines[step.line].figures.to_plan} are left.",
                )
                for n, step in over
            ],
            extra={
                "lines": [
                    {
                        "line": n,
                        "planned": step.planned,
                        "left": lines[step.line].figures.to_plan,
                    }
                    for n, step in over
                ]
            },
        )
    return await advance(tx, offer, wanted)


async def advance(tx: AsyncConnection, offer: UUID, steps: Sequence[Step]) -> Moves:
    """Add to the figures of a held offer, and of the request lines that it serves.

    Several steps may be of one offer line: two pallets of it on one journey, say.
    """
    lines = await accepted_lines(tx, offer)
    steps = rules.per_line(steps)
    values: dict[str, Any] = {name: [getattr(s, name) for s in steps] for name in _COLUMNS}
    await store.add_figures(tx, values | {"lines": [s.line for s in steps]})
    moves = [
        (f"offer_line:{step.line}", name, getattr(step, name))
        for step in steps
        for name in _COLUMNS
        if getattr(step, name)
    ]
    serving = [step for step in steps if lines[step.line].request_line is not None]
    progress = await _progress(tx, [(lines[step.line], step) for step in serving])
    return moves + await requests.advance(tx, progress)


async def _progress(
    tx: AsyncConnection, steps: Sequence[tuple[Accepted, Step]]
) -> list[requests.Progress]:
    """What steps add to the request lines, in the units of these."""
    stand_ins = [line.id for line, _ in steps if line.ratio != SAME]
    stored = {
        holder: rules.Outcome(*figures)
        for holder, figures in (await requests.outcomes(tx, stand_ins)).items()
    }
    progress = []
    for line, step in steps:
        covered = step.outcome
        dispatched = step.dispatched
        if line.ratio != SAME:
            before, after = line.figures, line.figures.dispatched + step.dispatched
            dispatched = line.ratio.covered_by(after) - line.ratio.covered_by(before.dispatched)
            covered = rules.newly_covered(
                line.ratio, stored[line.id], before.outcome.plus(step.outcome), after
            )
        if dispatched or any(covered):
            progress.append(
                requests.Progress(
                    line.id, dispatched, covered.received, covered.damaged, covered.lost
                )
            )
    return progress


async def complete_if_done(tx: AsyncConnection, actor: Actor, row: Any) -> None:
    """Complete a held offer of which nothing is left to dispatch or receive."""
    if row.status != "accepted":
        return
    lines = await store.list_lines(tx, row.id)
    if rules.is_completed(figures_of(line) for line in lines):
        await store.move(tx, row.id, "accepted", "completed", clock.now())
        await told(tx, actor, row, "completed", None, [])
