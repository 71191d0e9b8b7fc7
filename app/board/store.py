"""The mobilisation table: SQL that reads across the rooms, and never writes."""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_FIGURES = ("offered", "accepted", "dispatched", "received", "damaged", "lost")

_SUMMED = ", ".join(f"coalesce(sum(p.{f}), 0)::bigint AS {f}" for f in _FIGURES)
_PAIRS = ", ".join(f"'{f}', x.{f}" for f in _FIGURES)

# What is still to be accepted of a line.
_OUTSTANDING = "greatest(0, l.requested - l.accepted + l.losses)"

_ASKED = """requests r JOIN request_lines l ON l.request = r.id
    WHERE r.emergency = :emergency AND (CAST(:cancelled AS bool) OR r.status <> 'cancelled')"""

# One statement, so that all figures are of one instant. `as_of` is when the newest of them
# changed: a coordinator must see whether a figure is an hour old or a week. The page is cut before
# the pledges are looked up; the totals go over all lines, whichever page is shown.
_BOARD = text(f"""
WITH chosen AS (
    SELECT r.id AS request, l.id AS line, l.position
    FROM {_ASKED} AND NOT CAST(:past_lines AS bool)
      AND (CAST(:after_request AS uuid) IS NULL
           OR (r.id, l.position) > (CAST(:after_request AS uuid), CAST(:after_position AS bigint)))
    ORDER BY r.id, l.position LIMIT CAST(:limit AS bigint) + 1
), given AS (
    SELECT p.line, p.society, {_SUMMED}, max(p.updated_at) AS as_of
    FROM chosen c JOIN pledges p ON p.line = c.line
    GROUP BY p.line, p.society
), per_line AS (
    SELECT p.line, {_SUMMED}, max(p.as_of) AS as_of,
        json_agg(json_build_object(
            'society', p.society, {_PAIRS.replace("x.", "p.")}, 'as_of', p.as_of)
            ORDER BY p.society) AS societies
    FROM given p GROUP BY p.line
), lines AS (
    SELECT 0 AS stage, CAST(r.id AS text) AS key, l.position, json_build_object(
        'request', r.id, 'line', l.id, 'society', r.society, 'title', r.title,
        'priority', r.priority, 'needed_by', r.needed_by, 'status', r.status, 'kind', l.kind,
        'item', l.item, 'skill', l.skill, 'unit', coalesce(i.unit, 'person'),
        'requested', l.requested,
        {", ".join(f"'{f}', coalesce(x.{f}, 0)" for f in _FIGURES)},
        'outstanding', {_OUTSTANDING},
        'as_of', greatest(r.updated_at, x.as_of),
        'societies', coalesce(x.societies, '[]'::json)) AS doc
    FROM chosen c JOIN requests r ON r.id = c.request JOIN request_lines l ON l.id = c.line
    LEFT JOIN items i ON i.code = l.item LEFT JOIN per_line x ON x.line = l.id
), unasked AS (
    SELECT concat_ws(' ', o.society, o.to_society, coalesce(l.item, l.skill), l.unit) AS key,
        o.society, o.to_society, l.item, l.skill, coalesce(l.unit, 'person') AS unit,
        sum(CASE WHEN o.status = 'proposed' THEN l.quantity ELSE l.accepted END)::bigint AS offered,
        sum(l.accepted)::bigint AS accepted, sum(l.dispatched)::bigint AS dispatched,
        sum(l.received)::bigint AS received, sum(l.damaged)::bigint AS damaged,
        sum(l.lost)::bigint AS lost, max(o.updated_at) AS as_of
    FROM offers o JOIN offer_lines l ON l.offer = o.id
    WHERE o.emergency = :emergency AND o.request IS NULL
      AND o.status IN ('proposed', 'accepted', 'completed')
    GROUP BY o.society, o.to_society, l.item, l.skill, l.unit
), unsolicited AS (
    SELECT 1 AS stage, x.key COLLATE "C" AS key, 0 AS position, json_build_object(
        'society', x.society, 'to', x.to_society, 'item', x.item, 'skill', x.skill,
        'unit', x.unit, {_PAIRS}, 'as_of', x.as_of) AS doc
    FROM unasked x WHERE x.key COLLATE "C" > CAST(:after_key AS text)
), numbered AS (
    SELECT u.*, row_number() OVER (ORDER BY u.stage, u.key COLLATE "C", u.position) AS n
    FROM (SELECT * FROM lines UNION ALL SELECT * FROM unsolicited) u
), page AS (
    SELECT * FROM numbered WHERE n <= CAST(:limit AS bigint)
), asked AS (
    SELECT l.kind, l.item, l.skill, count(*) AS lines, sum(l.requested)::bigint AS requested,
        sum({_OUTSTANDING})::bigint AS outstanding
    FROM {_ASKED} GROUP BY l.kind, l.item, l.skill
), promised AS (
    SELECT l.kind, coalesce(l.item, l.skill) AS code, {_SUMMED}
    FROM {_ASKED.replace("WHERE", "JOIN pledges p ON p.line = l.id WHERE")} GROUP BY 1, 2
), totals AS (
    SELECT json_agg(json_build_object(
        'kind', a.kind, 'item', a.item, 'skill', a.skill, 'unit', coalesce(i.unit, 'person'),
        'lines', a.lines, 'requested', a.requested,
        {", ".join(f"'{f}', coalesce(p.{f}, 0)" for f in _FIGURES)},
        'outstanding', a.outstanding) ORDER BY a.kind, a.item, a.skill) AS doc
    FROM asked a LEFT JOIN items i ON i.code = a.item
    LEFT JOIN promised p ON p.kind = a.kind AND p.code = coalesce(a.item, a.skill)
)
SELECT json_build_object(
    'emergency', e.id, 'name', e.name, 'glide', e.glide, 'status', e.status,
    'as_of', CAST(:now AS timestamptz),
    'lines', (SELECT coalesce(json_agg(p.doc ORDER BY p.n) FILTER (WHERE p.stage = 0), '[]'::json)
              FROM page p),
    'unsolicited', (SELECT coalesce(json_agg(p.doc ORDER BY p.n) FILTER (WHERE p.stage = 1),
                                    '[]'::json) FROM page p),
    'totals', coalesce((SELECT t.doc FROM totals t), '[]'::json))::text AS doc,
    (SELECT json_build_array(p.stage, p.key, p.position)::text FROM page p
     WHERE p.n = CAST(:limit AS bigint)
       AND EXISTS (SELECT FROM numbered m WHERE m.n > CAST(:limit AS bigint))) AS last
FROM emergencies e WHERE e.id = :emergency
""")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the board ended: at a line, or, when all lines are told, at a row of what
    was not asked for."""

    request: UUID | None = None
    position: int = 0
    key: str | None = None


async def board(
    tx: AsyncConnection, emergency: UUID, now: datetime, after: Place, limit: int, cancelled: bool
) -> tuple[str, Place | None] | None:
    """A page of the board as JSON, and where it ended if there is more; None: no emergency."""
    values = {
        "emergency": emergency,
        "now": now,
        "cancelled": cancelled,
        "past_lines": after.key is not None,
        "after_request": after.request,
        "after_position": after.position,
        "after_key": after.key or "",
        "limit": limit,
    }
    row = (await tx.execute(_BOARD, values)).one_or_none()
    if row is None:
        return None
    if row.last is None:
        return row.doc, None
    stage, key, position = json.loads(row.last)
    return row.doc, Place(UUID(key), position) if stage == 0 else Place(key=key)
