"""The mobilisation table: SQL that reads across the rooms, and never writes."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_FIGURES = ("offered", "accepted", "dispatched", "received", "damaged", "lost")

_SUMMED = ", ".join(f"coalesce(sum(p.{f}), 0)::bigint AS {f}" for f in _FIGURES)
_PAIRS = ", ".join(f"'{f}', x.{f}" for f in _FIGURES)

# One statement, so that all figures are of one instant. `as_of` is when the newest of them
# changed: a coordinator must see whether a figure is an hour old or a week.
_BOARD = text(f"""
WITH given AS (
    SELECT p.line, p.society, {_SUMMED}, max(p.updated_at) AS as_of
    FROM requests r JOIN request_lines l ON l.request = r.id JOIN pledges p ON p.line = l.id
    WHERE r.emergency = :emergency
    GROUP BY p.line, p.society
), per_line AS (
    SELECT p.line, {_SUMMED}, max(p.as_of) AS as_of,
        json_agg(json_build_object(
            'society', p.society, {_PAIRS.replace("x.", "p.")}, 'as_of', p.as_of)
            ORDER BY p.society) AS societies
    FROM given p GROUP BY p.line
), lines AS (
    SELECT r.id AS request, l.position, json_build_object(
        'request', r.id, 'line', l.id, 'society', r.society, 'title', r.title,
        'priority', r.priority, 'needed_by', r.needed_by, 'status', r.status, 'kind', l.kind,
        'item', l.item, 'skill', l.skill, 'unit', coalesce(i.unit, 'person'),
        'requested', l.requested,
        {", ".join(f"'{f}', coalesce(x.{f}, 0)" for f in _FIGURES)},
        'outstanding', greatest(0, l.requested - l.accepted + l.losses),
        'as_of', greatest(r.updated_at, x.as_of),
        'societies', coalesce(x.societies, '[]'::json)) AS doc
    FROM requests r JOIN request_lines l ON l.request = r.id
    LEFT JOIN items i ON i.code = l.item LEFT JOIN per_line x ON x.line = l.id
    WHERE r.emergency = :emergency
), unsolicited AS (
    SELECT o.society, o.to_society, l.item, l.skill, coalesce(l.unit, 'person') AS unit,
        sum(CASE WHEN o.status = 'proposed' THEN l.quantity ELSE l.accepted END)::bigint AS offered,
        sum(l.accepted)::bigint AS accepted, sum(l.dispatched)::bigint AS dispatched,
        sum(l.received)::bigint AS received, sum(l.damaged)::bigint AS damaged,
        sum(l.lost)::bigint AS lost, max(o.updated_at) AS as_of
    FROM offers o JOIN offer_lines l ON l.offer = o.id
    WHERE o.emergency = :emergency AND o.request IS NULL
      AND o.status IN ('proposed', 'accepted', 'completed')
    GROUP BY o.society, o.to_society, l.item, l.skill, l.unit
)
SELECT json_build_object(
    'emergency', e.id, 'name', e.name, 'glide', e.glide, 'status', e.status,
    'as_of', CAST(:now AS timestamptz),
    'lines', (SELECT coalesce(json_agg(s.doc ORDER BY s.request, s.position), '[]'::json)
              FROM lines s),
    'unsolicited', (SELECT coalesce(json_agg(json_build_object(
        'society', x.society, 'to', x.to_society, 'item', x.item, 'skill', x.skill,
        'unit', x.unit, {_PAIRS}, 'as_of', x.as_of)
        ORDER BY x.society, x.to_society, x.item, x.skill), '[]'::json) FROM unsolicited x))::text
FROM emergencies e WHERE e.id = :emergency
""")


async def board(tx: AsyncConnection, emergency: UUID, now: Any) -> str | None:
    """The board of an emergency as JSON, None where there is none."""
    return (await tx.execute(_BOARD, {"emergency": emergency, "now": now})).scalar_one_or_none()
