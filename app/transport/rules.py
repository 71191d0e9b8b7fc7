"""Places, hubs and legs: distances, what is open when, where a place joins the network. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import asin, cos, radians, sin, sqrt

EARTH_KM = 12742.0176
"""Diameter of a sphere with the mean radius of IUGG."""

DETOUR = 1.3
"""Kilometres of road for a kilometre as the crow flies; between 1.2 and 1.4 in most countries."""
ROAD_KMH = 50.0
"""Speed of a loaded truck with its rests, on the roads between a place and a hub."""
ROAD_COST = 0.10
"""US dollars for a tonne and a kilometre by road (synthetic)."""

_AT_HOME = 1500.0
_ABROAD = 400.0
_MOST = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A point where goods are or must go."""

    name: str
    country: str
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Hub:
    """A town where legs meet."""

    code: str
    place: Place


@dataclass(frozen=True, slots=True)
class Leg:
    """A way between two hubs, in both directions; hours without and at the border apart."""

    code: str
    start: str
    end: str
    mode: str
    hours: float
    border_hours: float
    cost_per_tonne: float
    capacity_t: float | None = None
    months: frozenset[int] | None = None
    closed: bool = False

    @property
    def total_hours(self) -> float:
        """From one end to the other, the border included."""
        return self.hours + self.border_hours

    def is_open(self, on: date) -> bool:
        """Whether it can be used on a day: not closed, and in its season."""
        return not self.closed and (self.months is None or on.month in self.months)


@dataclass(frozen=True, slots=True)
class Join:
    """How a place reaches a hub by road."""

    hub: str
    km: float
    hours: float = field(init=False)
    cost_per_tonne: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hours", self.km / ROAD_KMH)
        object.__setattr__(self, "cost_per_tonne", self.km * ROAD_COST)


def distance_km(one: Place, other: Place) -> float:
    """Great-circle distance."""
    half = sin(radians(one.lat - other.lat) / 2) ** 2
    half += (
        cos(radians(one.lat)) * cos(radians(other.lat)) * sin(radians(one.lon - other.lon) / 2) ** 2
    )
    return EARTH_KM * asin(min(1.0, sqrt(half)))


def joins(place: Place, hubs: Iterable[Hub]) -> list[Join]:
    """The hubs that a place can reach by road, nearest first: at home, else just over the border.

    Empty where there is none: a place in the sea, or far from everything that is known.
    """
    if sea_at(place) is not None:
        return []
    near = sorted((distance_km(place, hub.place), hub.code, hub) for hub in hubs)
    home = [(km, hub) for km, _, hub in near if hub.place.country == place.country]
    reach = [(km, hub) for km, hub in home if km <= _AT_HOME]
    if not reach:
        reach = [(km, hub) for km, _, hub in near if km <= _ABROAD]
    return [
        Join(hub.code, km * DETOUR)
        for km, hub in reach[:_MOST]
        if not _over_the_sea(place, hub.place)
    ]


def direct_km(one: Place, other: Place) -> float | None:
    """The road between two places of one country, None where they must go by hubs."""
    if one.country != other.country or sea_at(one) or sea_at(other):
        return None
    km = distance_km(one, other) * DETOUR
    return km if km <= _AT_HOME and not _over_the_sea(one, other) else None


# Coarse outlines, drawn well inside the shores (30 km and more), so that no town counts as water.
# Approximate coordinates, (latitude, longitude).
SEAS: dict[str, Sequence[tuple[float, float]]] = {
    "Caspian Sea": (
        (46.2, 49.6), (45.6, 51.2), (44.2, 49.9), (43.2, 50.6), (41.8, 51.9), (40.6, 52.2),
        (39.4, 52.6), (38.0, 53.2), (37.2, 53.2), (37.1, 50.8), (38.2, 49.6), (39.6, 50.2),
        (40.2, 50.9), (41.2, 49.9), (42.4, 48.8), (43.6, 48.2), (45.2, 48.6),
    ),
    "Black Sea": (
        (46.0, 31.6), (45.0, 36.0), (43.6, 38.6), (42.4, 40.8), (41.4, 40.6), (41.5, 38.0),
        (42.0, 36.0), (42.6, 34.4), (42.1, 33.0), (41.6, 31.0), (41.7, 29.0), (42.8, 28.6),
        (44.4, 29.6),
    ),
    "Mediterranean Sea": (
        (36.0, 29.8), (35.8, 31.6), (35.6, 33.6), (36.2, 34.4), (35.6, 35.4), (33.4, 34.6),
        (32.0, 33.6), (32.0, 27.0), (35.0, 28.0),
    ),
}  # fmt: skip


def sea_at(place: Place) -> str | None:
    """The sea that a place lies in, None on land."""
    return next((name for name, shore in SEAS.items() if _inside(place, shore)), None)


def _over_the_sea(one: Place, other: Place) -> bool:
    """Whether the way as the crow flies lies over a sea for some of its length."""
    steps = 40
    between = (
        Place(
            "",
            "",
            one.lat + (other.lat - one.lat) * n / steps,
            one.lon + (other.lon - one.lon) * n / steps,
        )
        for n in range(1, steps)
    )
    return any(sea_at(place) for place in between)


def _inside(place: Place, shore: Sequence[tuple[float, float]]) -> bool:
    # Even-odd rule: a ray to the east crosses the shore an odd number of times.
    inside = False
    for n, (lat, lon) in enumerate(shore):
        before_lat, before_lon = shore[n - 1]
        if (lat > place.lat) != (before_lat > place.lat):
            crossing = lon + (place.lat - lat) * (before_lon - lon) / (before_lat - lat)
            if place.lon < crossing:
                inside = not inside
    return inside
