"""What societies pledge for request lines, and what becomes of it: table and SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Table,
    Text,
    Uuid,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.db import Part, metadata, require_all

# One row per offer line, in the units of the request line: what a society has promised of it and
# what became of that. Kept per offer line because a counter on the request line would make every
# two offers for the same line wait for each other.
pledges = Table(
    "pledges",
    metadata,
    Column("holder", Uuid, primary_key=True),
    Column("line", Uuid, ForeignKey("request_lines.id"), nullable=False, index=True),
    Column("society", Text, nullable=False),
    Column("offered", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False, server_default="0"),
    Column("dispatched", BigInteger, nullable=False, server_default="0"),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("damaged", BigInteger, nullable=False, server_default="0"),
    Column("lost", BigInteger, nullable=False, server_default="0"),
    # How old the figures are, for the board.
    Column("updated_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("offered >= 0 AND accepted >= 0 AND accepted <= offered", name="accepted"),
    CheckConstraint("dispatched >= 0 AND dispatched <= accepted", name="dispatched"),
    CheckConstraint(
        "received >= 0 AND damaged >= 0 AND lost >= 0 AND received + damaged + lost <= dispatched",
        name="received",
    ),
)

_PLEDGE = """
pledged AS (
    INSERT INTO pledges (holder, line, society, offered, updated_at)
    SELECT t.holder, t.line, CAST(:pledger AS text), t.offered, CAST(:pledged_at AS timestamptz)
    FROM unnest(CAST(:pledge_holders AS uuid[]), CAST(:pledge_lines AS uuid[]),
                CAST(:pledge_offered AS bigint[])) AS t(holder, line, offered)
)"""


def pledge_part(society: str, rows: Sequence[tuple[UUID, UUID, int]]) -> Part:
    """Note what a society promises: (holder, line, in the line's units)."""
    return Part(
        _PLEDGE,
        {
            "pledger": society,
            "pledge_holders": [r[0] for r in rows],
            "pledge_lines": [r[1] for r in rows],
            "pledge_offered": [r[2] for r in rows],
            "pledged_at": clock.now(),
        },
    )


# The guard of acceptance stands in the UPDATE, as the promise's does: two acceptances at once
# cannot both find the same gap. With `allow_surplus` the excess is written down as agreed. What was
# lost or damaged of what is accepted serves nobody, so that as much can be accepted again.
_ACCEPT = text("""
WITH asked AS (
    SELECT t.line, sum(t.accepted)::bigint AS accepted
    FROM unnest(CAST(:lines AS uuid[]), CAST(:accepted AS bigint[])) AS t(line, accepted)
    GROUP BY t.line
)
UPDATE request_lines l SET accepted = l.accepted + asked.accepted,
    surplus = CASE WHEN :allow_surplus
        THEN greatest(l.surplus, l.accepted - l.losses + asked.accepted - l.requested)
        ELSE l.surplus END
FROM asked
WHERE l.id = asked.line
  AND (:allow_surplus OR asked.accepted = 0
       OR l.accepted - l.losses + asked.accepted <= l.requested)
RETURNING l.id
""")

_SETTLE = text("""
UPDATE pledges p SET offered = t.accepted, accepted = t.accepted, updated_at = :now
FROM unnest(CAST(:holders AS uuid[]), CAST(:accepted AS bigint[])) AS t(holder, accepted)
WHERE p.holder = t.holder
""")

# Not FOR UPDATE: pledges refer to their line by a foreign key, and an offer inserts its pledges in
# an order of its own; an acceptance that holds one line would wait for it and it for the other.
_LOCK_LINES = text("""
SELECT id, greatest(0, requested - accepted + losses) AS outstanding FROM request_lines
WHERE id = ANY(CAST(:lines AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")


async def lock_lines(tx: AsyncConnection, wanted: Sequence[UUID]) -> dict[UUID, int]:
    """Lines, held in the order of their ids; what is outstanding of each."""
    rows = await tx.execute(_LOCK_LINES, {"lines": list(wanted)})
    return {row.id: row.outstanding for row in rows}


async def accept(
    tx: AsyncConnection,
    parts: Sequence[tuple[UUID, UUID, int]],
    allow_surplus: bool,
) -> set[UUID]:
    """Accept (holder, line, quantity); returns the lines that could take it."""
    accepted = [part[2] for part in parts]
    rows = await tx.execute(
        _ACCEPT,
        {
            "lines": [p[1] for p in parts],
            "accepted": accepted,
            "allow_surplus": allow_surplus,
        },
    )
    taken = {row[0] for row in rows}
    settled = {
        "holders": [p[0] for p in parts],
        "accepted": accepted,
        "now": clock.now(),
    }
    require_all((await tx.execute(_SETTLE, settled)).rowcount, len(parts))
    return taken


_UNPLEDGE = text("""
UPDATE pledges SET offered = accepted, updated_at = :now
WHERE holder = ANY(CAST(:holders AS uuid[]))
""")


async def unpledge(tx: AsyncConnection, holders: Sequence[UUID]) -> None:
    """What was offered and never accepted is offered no more."""
    values = {"holders": list(holders), "now": clock.now()}
    require_all((await tx.execute(_UNPLEDGE, values)).rowcount, len(holders))


_RELEASE = text("""
WITH given AS (
    UPDATE pledges p SET accepted = p.accepted - t.quantity, offered = p.offered - t.quantity,
        updated_at = :now
    FROM unnest(CAST(:holders AS uuid[]), CAST(:quantities AS bigint[])) AS t(holder, quantity)
    WHERE p.holder = t.holder RETURNING p.line, t.quantity
), per_line AS (SELECT line, sum(quantity)::bigint AS quantity FROM given GROUP BY line)
UPDATE request_lines l SET accepted = l.accepted - g.quantity FROM per_line g WHERE l.id = g.line
RETURNING l.id, g.quantity
""")


_LOCK_PLEDGED = text("""
SELECT l.id FROM request_lines l JOIN pledges p ON p.line = l.id
WHERE p.holder = ANY(CAST(:holders AS uuid[])) ORDER BY l.id FOR NO KEY UPDATE OF l
""")


async def lock_lines_of(tx: AsyncConnection, holders: Sequence[UUID]) -> None:
    """Hold the lines of pledges in the order of their ids; one alone needs no order."""
    if len(holders) > 1:
        await tx.execute(_LOCK_PLEDGED, {"holders": list(holders)})


async def release(tx: AsyncConnection, parts: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Undo acceptance of (holder, quantity); (line, quantity) that is outstanding again."""
    holders = [p[0] for p in parts]
    await lock_lines_of(tx, holders)
    values = {"holders": holders, "quantities": [p[1] for p in parts], "now": clock.now()}
    released = [(row[0], int(row[1])) for row in await tx.execute(_RELEASE, values)]
    require_all(sum(quantity for _, quantity in released), sum(p[1] for p in parts))
    return released


_WRITE_OFF = text("""
UPDATE request_lines l SET losses = l.losses + t.losses
FROM unnest(CAST(:lines AS uuid[]), CAST(:losses AS bigint[])) AS t(line, losses)
WHERE l.id = t.line
""")

_ADVANCE = text("""
UPDATE pledges p SET dispatched = p.dispatched + t.dispatched, received = p.received + t.received,
    damaged = p.damaged + t.damaged, lost = p.lost + t.lost, updated_at = :now
FROM unnest(CAST(:holders AS uuid[]), CAST(:dispatched AS bigint[]), CAST(:received AS bigint[]),
            CAST(:damaged AS bigint[]), CAST(:lost AS bigint[]))
    AS t(holder, dispatched, received, damaged, lost)
WHERE p.holder = t.holder RETURNING p.holder, p.line
""")


async def advance(tx: AsyncConnection, values: dict[str, Any]) -> dict[UUID, UUID]:
    """Add to what became of pledges; the line of each holder, who is named once.

    What is lost or damaged is written down at the request line too: it reopens the need.
    """
    rows = (await tx.execute(_ADVANCE, values | {"now": clock.now()})).all()
    line_of: dict[UUID, UUID] = {row.holder: row.line for row in rows}
    require_all(len(line_of), len(values["holders"]))
    losses: dict[UUID, int] = {}
    for holder, *lost in zip(values["holders"], values["damaged"], values["lost"], strict=True):
        losses[line_of[holder]] = losses.get(line_of[holder], 0) + sum(lost)
    lost_of = {line: quantity for line, quantity in losses.items() if quantity}
    if lost_of:
        written = {"lines": list(lost_of), "losses": list(lost_of.values())}
        require_all((await tx.execute(_WRITE_OFF, written)).rowcount, len(lost_of))
    return line_of


async def outcomes(
    tx: AsyncConnection, holders: Sequence[UUID]
) -> dict[UUID, tuple[int, int, int]]:
    """(received, damaged, lost) of each holder's pledge."""
    columns = pledges.c
    found = await tx.execute(
        select(columns.holder, columns.received, columns.damaged, columns.lost).where(
            columns.holder.in_(holders)
        )
    )
    return {row.holder: (row.received, row.damaged, row.lost) for row in found}
