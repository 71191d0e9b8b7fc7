"""The network's stock as those see it who may: search and single lots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Direct

# Never quantity, keep_back or reserved: those are the owner's.
#
# Written as text, since `json_build_object` costs PostgreSQL more than all the rest of a search.
# What people wrote goes through `to_json`, which quotes it; codes, numbers and dates hold nothing
# that JSON would have to quote (app/fields.py lets nothing else in).
_SHOWN = """
concat(
    '{{"id":"', l.id, '","society":"', l.society, '","item":"', l.item, '","unit":"', i.unit,
    '","site":{{"name":', to_json(s.name), ',"country":"', s.country, '","lat":', s.lat,
    ',"lon":', s.lon, ',"kind":"', s.kind, '"}},"available":',
    greatest(0, l.quantity - l.keep_back - l.reserved),
    ',"lot_number":', coalesce(to_json(l.lot_number)::text, 'null'),
    ',"expires_on":', coalesce('"' || l.expires_on || '"', 'null'),
    ',"unit_value":', coalesce(l.unit_value::text, 'null'),
    ',"currency":', coalesce('"' || l.currency || '"', 'null'),
    ',"as_of":', to_json(l.as_of), ',"distance_km":', coalesce(({distance})::text, 'null'), '}}')
"""
_FROM = "FROM lots l JOIN items i ON i.code = l.item JOIN sites s ON s.id = l.site"
_VISIBLE = "(l.visible_to IS NULL OR l.society = :me OR :me = ANY(l.visible_to))"

# Great circle on a sphere of 6371.0088 km (the mean radius of IUGG); good to half a per cent,
# which is less than what roads add.
_DISTANCE = """round((12742.0176 * asin(least(1, sqrt(
    sin(radians(s.lat - :lat) / 2) ^ 2
    + cos(radians(:lat)) * cos(radians(s.lat)) * sin(radians(s.lon - :lon) / 2) ^ 2))))::numeric,
    1)::float8"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; None means any."""

    items: Sequence[str] | None = None
    society: str | None = None
    country: str | None = None
    min_available: int = 0
    expires_after: date | None = None
    near: tuple[float, float] | None = None
    within_km: float | None = None


async def find(
    tx: AsyncConnection,
    me: str,
    wanted: Wanted,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Any]:
    """Lots as (place…, JSON): in the order of their ids, or nearest first where `near` is given.

    Only the filters that are asked for stand in the statement: a condition such as
    `:item IS NULL OR item = :item` would keep PostgreSQL from using the index on the item. The
    limit stands in it as a number: while it is not known, every plan that is kept looks dearer than
    one for the very values, so that a large table is planned for anew at each search (0.18 ms).
    """
    values: dict[str, Any] = {"me": me}
    of_lot, of_site = _conditions(wanted, values)
    if wanted.near is None:
        if after is not None:
            of_lot.append("l.id > :after")
            values["after"] = after[0]
        shown = _SHOWN.format(distance="NULL")
        statement = (
            f"SELECT l.id, {shown} {_FROM} WHERE {' AND '.join([*of_lot, *of_site])} "
            f"ORDER BY l.id LIMIT {limit:d}"
        )
    else:
        values["lat"], values["lon"] = wanted.near
        beyond = ""
        if after is not None:
            of_site.append(f"{_DISTANCE} >= :after_km")
            beyond = "WHERE (s.km, l.id) > (:after_km, :after)"
            values["after_km"], values["after"] = after
        # Sites are few and lots are many: the sites are put in order, and of each in turn its
        # lots are looked up, until the page is full.
        statement = f"""
            SELECT s.km, l.id, {_SHOWN.format(distance="s.km")}
            FROM (SELECT s.id, s.name, s.country, s.lat, s.lon, s.kind, {_DISTANCE} AS km
                  FROM sites s WHERE {" AND ".join(of_site) or "true"} ORDER BY km OFFSET 0) s
            CROSS JOIN LATERAL (SELECT l.* FROM lots l
                  WHERE l.site = s.id AND {" AND ".join(of_lot)}) l
            JOIN items i ON i.code = l.item {beyond}
            ORDER BY s.km, l.id LIMIT {limit:d}"""
    return await _prepared(statement).rows(tx, values)


@lru_cache(200)
def _prepared(statement: str) -> Direct:
    """A search by its text: there are as many as combinations of filters."""
    return Direct(statement)


def _conditions(wanted: Wanted, values: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Which lots, and at which sites; what they compare with is added to `values`."""
    of_lot, of_site = ["NOT l.withdrawn", _VISIBLE], []
    if wanted.items is not None and len(wanted.items) == 1:
        of_lot.append("l.item = :item")
        values["item"] = wanted.items[0]
    elif wanted.items is not None:
        of_lot.append("l.item = ANY(CAST(:items AS text[]))")
        values["items"] = list(wanted.items)
    if wanted.society is not None:
        of_lot.append("l.society = :society")
        of_site.append("s.society = :society")
        values["society"] = wanted.society
    if wanted.country is not None:
        of_site.append("s.country = :country")
        values["country"] = wanted.country
    if wanted.min_available > 0:
        of_lot.append("l.quantity - l.keep_back - l.reserved >= :min_available")
        values["min_available"] = wanted.min_available
    if wanted.expires_after is not None:
        # What does not expire is still good after any day.
        of_lot.append("(l.expires_on IS NULL OR l.expires_on > :expires_after)")
        values["expires_after"] = wanted.expires_after
    if wanted.within_km is not None:
        of_site.append(f"{_DISTANCE} <= :within_km")
        values["within_km"] = wanted.within_km
    return of_lot, of_site


_LOT = text(
    f"SELECT {_SHOWN.format(distance='NULL')} {_FROM} "
    f"WHERE l.id = :id AND NOT l.withdrawn AND {_VISIBLE}"
)


async def visible_lot(tx: AsyncConnection, me: str, lot: UUID) -> str | None:
    """One lot as JSON, where the caller may see it."""
    return (await tx.execute(_LOT, {"id": lot, "me": me})).scalar_one_or_none()
