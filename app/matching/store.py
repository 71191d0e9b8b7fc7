"""What plans are made from: SQL that reads across the rooms, and never writes.

PostgreSQL writes each part as JSON and this process hands it on unread: to parse a hundred
thousand lots here would keep every other caller waiting.

Lots, pools and sites are those that the caller may see, and no others ever reach the planner: what
is reckoned with and not shown can be read from what is shown, such as from what is left for one's
own request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.matching.rules import fair_share

_HEAD = text("SELECT society, emergency, status FROM requests WHERE id = :request")


async def head(tx: AsyncConnection, request: UUID) -> Any:
    """Whose request it is."""
    return (await tx.execute(_HEAD, {"request": request})).one_or_none()


_ASKERS = text("""
SELECT coalesce(array_agg(DISTINCT r.society) FILTER (WHERE r.id IS NOT NULL), '{}') AS societies,
    coalesce(array_agg(r.id) FILTER (WHERE r.id IS NOT NULL), '{}') AS requests
FROM emergencies e LEFT JOIN requests r ON r.emergency = e.id AND r.status = 'open'
WHERE e.id = :emergency GROUP BY e.id
""")


async def askers(tx: AsyncConnection, emergency: UUID) -> Any:
    """Which requests are open in an emergency, and whose; None where there is no such emergency."""
    return (await tx.execute(_ASKERS, {"emergency": emergency})).one_or_none()


_CHOSEN = """
r.status = 'open' AND (CAST(:request AS uuid) IS NULL OR r.id = :request)
    AND (CAST(:emergency AS uuid) IS NULL OR r.emergency = :emergency)
    AND (CAST(:only AS uuid[]) IS NULL OR r.id = ANY(CAST(:only AS uuid[])))
"""

# So many are looked at: one more than a plan takes tells that there are too many.
_LINES = """
SELECT count(*), coalesce(json_agg(json_build_object(
    'line', l.id, 'request', r.id, 'society', r.society, 'title', r.title,
    'priority', r.priority, 'needed_by', r.needed_by,
    'place', json_build_array(r.place, r.country, r.lat, r.lon),
    'kind', l.kind, 'item', l.item, 'skill', l.skill, 'accept_substitutes', l.accept_substitutes,
    'from', l.from_at, 'until', l.until_at, 'languages', l.languages,
    'requested', l.requested, 'accepted', l.accepted,
    'outstanding', greatest(0, l.requested - l.accepted + l.losses),
    'proposed', (SELECT coalesce(sum(p.offered - p.accepted), 0)::bigint FROM pledges p
                 WHERE p.line = l.id))
    ORDER BY r.id, l.position), '[]')::text
FROM ({some}) c JOIN request_lines l ON l.id = c.line JOIN requests r ON r.id = l.request
"""
_OF_LINES = f"FROM requests r JOIN request_lines l ON l.request = r.id WHERE {_CHOSEN}"
_ALL_LINES = text(_LINES.format(some=f"SELECT l.id AS line {_OF_LINES} LIMIT :most + 1"))
# Of each society the most urgent ones.
_FAIR_LINES = text(
    _LINES.format(
        some=f"""
    SELECT f.line FROM (SELECT l.id AS line, row_number() OVER (
        PARTITION BY r.society ORDER BY
        array_position(ARRAY['critical', 'high', 'normal'], r.priority), r.needed_by, r.id,
        l.position) AS n {_OF_LINES}) f
    WHERE f.n <= :share"""
    )
)
_LINES_BY_SOCIETY = text(f"SELECT r.society, count(*) {_OF_LINES} GROUP BY r.society")

_WANTED = """
wanted AS (
    SELECT DISTINCT l.item, l.skill FROM requests r JOIN request_lines l ON l.request = r.id
    WHERE {chosen}
), items_wanted AS (
    SELECT item FROM wanted WHERE item IS NOT NULL
    UNION SELECT s.substitute FROM substitutes s JOIN wanted w ON w.item = s.item
    UNION SELECT unnest(CAST(:items AS text[]))
)"""

_VISIBLE = "(x.visible_to IS NULL OR x.society = :me OR :me = ANY(x.visible_to))"
# For whose eyes else something is, its owner knows and the secretariat is told. To anybody else it
# is for everybody: what a plan gives to another's line would tell who may see it.
_SEEN_BY = "CASE WHEN :secretariat OR x.society = :me THEN x.visible_to END"

_LOTS = f"""
SELECT count(*), coalesce(json_agg(json_build_array(
    x.id, x.society, x.item, x.site, greatest(0, x.quantity - x.keep_back - x.reserved),
    x.expires_on, {_SEEN_BY}) ORDER BY x.id), '[]')::text
FROM ({{some}}) x
"""
_OF_LOTS = (
    "FROM lots x WHERE NOT x.withdrawn AND x.item IN (SELECT item FROM items_wanted) "
    f"AND {_VISIBLE}"
)
_FEW_LOTS = _LOTS.format(some=f"SELECT x.* {_OF_LOTS} LIMIT :most + 1")
# Of each society those with the most in them.
_FAIR_LOTS = _LOTS.format(
    some=f"""
    SELECT f.* FROM (SELECT x.*, row_number() OVER (
        PARTITION BY x.society ORDER BY x.quantity - x.keep_back - x.reserved DESC, x.id) AS n
        {_OF_LOTS}) f
    WHERE f.n <= :share"""
)
_LOTS_BY_SOCIETY = f"SELECT x.society, count(*) {_OF_LOTS} GROUP BY x.society"

_POOLS = f"""
SELECT coalesce(json_agg(json_build_array(
    x.id, x.society, x.skill, x.site, x.headcount, x.available_from, x.available_until,
    x.notice_hours, x.languages, {_SEEN_BY},
    (SELECT json_agg(json_build_array(p.from_at, CASE WHEN p.until_at > :now THEN p.until_at
                     ELSE timestamptz '2100-01-01 00:00:00Z' END, p.headcount) ORDER BY p.holder)
     FROM promises p WHERE p.pool = x.id AND p.headcount > 0 AND (p.until_at > :now OR p.away)))
    ORDER BY x.id), '[]')::text
FROM pools x WHERE NOT x.withdrawn AND x.skill IN (SELECT skill FROM wanted) AND {_VISIBLE}
"""

_ITEMS = """
SELECT coalesce(json_object_agg(i.code, json_build_object(
    'unit', i.unit, 'kg', i.weight_kg, 'litres', i.volume_l, 'name', i.names ->> 'en',
    'packs', (SELECT json_agg(json_build_array(k.code, k.quantity) ORDER BY k.quantity DESC, k.code)
              FROM packs k WHERE k.item = i.code),
    'substitutes', (SELECT json_agg(json_build_array(s.substitute, s.quantity, s.per)
                                    ORDER BY s.substitute)
                    FROM substitutes s WHERE s.item = i.code))), '{}')::text
FROM items i WHERE i.code IN (SELECT item FROM items_wanted)
"""

_SITES = f"""
SELECT coalesce(json_agg(json_build_array(s.id, s.name, s.country, s.lat, s.lon) ORDER BY s.id),
                '[]')::text
FROM sites s WHERE s.id IN (
    SELECT x.site FROM lots x
    WHERE NOT x.withdrawn AND x.item IN (SELECT item FROM items_wanted) AND {_VISIBLE}
    UNION SELECT x.site FROM pools x
    WHERE NOT x.withdrawn AND x.skill IN (SELECT skill FROM wanted) AND {_VISIBLE})
"""


def _among(statement: str) -> Any:
    return text(f"WITH {_WANTED.format(chosen=_CHOSEN)} {statement}")


_LOTS_AMONG, _FAIR_LOTS_AMONG = _among(_FEW_LOTS), _among(_FAIR_LOTS)
_LOTS_COUNTED, _POOLS_AMONG = _among(_LOTS_BY_SOCIETY), _among(_POOLS)
_ITEMS_AMONG, _SITES_AMONG = _among(_ITEMS), _among(_SITES)


@dataclass(frozen=True, slots=True)
class Some:
    """Rows as JSON text; of each society no more than its share, and how many were left out."""

    text: str
    left_out: Mapping[str, int]


async def lines(tx: AsyncConnection, chosen: dict[str, Any], most: int) -> Some:
    """The lines of the chosen open requests."""
    values = _only(chosen, "request", "emergency", "only")
    return await _some(tx, values, most, _ALL_LINES, _LINES_BY_SOCIETY, _FAIR_LINES)


async def lots(tx: AsyncConnection, chosen: dict[str, Any], most: int) -> Some:
    """The lots of what could serve these lines, of those that the caller may see."""
    values = _only(chosen, *_ALL, "me", "secretariat")
    return await _some(tx, values, most, _LOTS_AMONG, _LOTS_COUNTED, _FAIR_LOTS_AMONG)


async def _some(
    tx: AsyncConnection, values: dict[str, Any], most: int, every: Any, counted: Any, fair: Any
) -> Some:
    count, found = (await tx.execute(every, values | {"most": most})).one()
    if count <= most:
        return Some(str(found), {})
    counts: dict[str, int] = {row[0]: row[1] for row in await tx.execute(counted, values)}
    share = fair_share(counts.values(), most)
    _, found = (await tx.execute(fair, values | {"share": share})).one()
    return Some(str(found), {s: n - share for s, n in sorted(counts.items()) if n > share})


_ALL = ("request", "emergency", "only", "items")


async def others(tx: AsyncConnection, chosen: dict[str, Any]) -> dict[str, str]:
    """Pools, items and sites for the same."""
    found = {}
    for name, statement, given in (
        ("pools", _POOLS_AMONG, _only(chosen, *_ALL, "me", "secretariat", "now")),
        ("items", _ITEMS_AMONG, _only(chosen, *_ALL)),
        ("sites", _SITES_AMONG, _only(chosen, *_ALL, "me")),
    ):
        found[name] = str((await tx.execute(statement, given)).scalar_one())
    return found


def _only(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values.get(name) for name in names}


_OPEN_NEEDS = text("""
SELECT l.item, l.accept_substitutes,
    sum(l.requested - l.accepted + l.losses)::bigint AS outstanding,
    i.unit, i.names ->> 'en' AS name
FROM requests r JOIN request_lines l ON l.request = r.id JOIN items i ON i.code = l.item
WHERE r.emergency = :emergency AND r.society = :society AND r.status = 'open'
  AND l.requested > l.accepted - l.losses
GROUP BY l.item, l.accept_substitutes, i.unit, i.names ORDER BY l.item, l.accept_substitutes
""")
_OPEN_SKILLS = text("""
SELECT l.skill, sum(l.requested - l.accepted + l.losses)::bigint AS outstanding
FROM requests r JOIN request_lines l ON l.request = r.id
WHERE r.emergency = :emergency AND r.society = :society AND r.status = 'open'
  AND l.requested > l.accepted - l.losses AND l.skill IS NOT NULL
GROUP BY l.skill ORDER BY l.skill
""")


async def open_needs(tx: AsyncConnection, emergency: UUID, society: str) -> tuple[Any, Any]:
    """What a society still asks for in an emergency: goods, and people."""
    values = {"emergency": emergency, "society": society}
    goods = (await tx.execute(_OPEN_NEEDS, values)).all()
    return goods, (await tx.execute(_OPEN_SKILLS, values)).all()
