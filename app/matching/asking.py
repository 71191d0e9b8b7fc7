"""The question as it came from the database, with what the caller supposes, ready to plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from math import gcd, inf
from typing import Any

from app.matching.rules import NEVER, PRIORITIES, Options, People, Promise, Way, choose
from app.transport.finding import Network, Route, Ways
from app.transport.rules import Hub, Leg, Place

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot as a plan sees it."""

    id: str
    society: str
    item: str
    site: int
    available: int
    days: int
    visible_to: frozenset[str] | None
    expires_on: str | None
    supposed: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as a plan sees it."""

    id: str
    society: str
    skill: str
    site: int
    people: People
    notice: float
    languages: frozenset[str]
    visible_to: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is to be covered."""

    id: str
    request: str
    society: str
    title: str
    rank: int
    deadline: float
    place: int
    code: str
    people: bool
    substitutes: bool
    window: tuple[float, float] | None
    languages: frozenset[str]
    need: int
    requested: int
    proposed: int
    needed_by: str

    @property
    def priority(self) -> str:
        """In words."""
        return PRIORITIES[self.rank]


@dataclass
class Asked:
    """Everything that a plan is made from."""

    at: datetime
    options: Options
    lines: list[Line]
    lots: list[Lot]
    pools: list[Pool]
    items: Mapping[str, Any]
    sites: list[Place]
    places: list[Place]
    hubs: list[Hub]
    legs: list[Leg]
    ways: dict[int, Ways] = field(default_factory=dict)
    _found: dict[tuple[int, int], tuple[Route | None, Route | None]] = field(default_factory=dict)
    _chosen: dict[tuple[int, int, int, float], Way | None] = field(default_factory=dict)

    def instant(self, hours: float) -> datetime:
        """A number of hours after the instant of the plan."""
        return self.at + hours * _HOUR

    def good_until(self, arrival: float) -> int:
        """The day, counted from the plan's, beyond which stock that arrives then must be good."""
        return self._day(arrival) + self.options.margin_days

    def _day(self, hours: float) -> int:
        return (self.instant(hours).date() - self.at.date()).days

    def way(self, site: int, place: int, before: float, latest: float) -> Way | None:
        """How things go from a site to a place, None where there is no route.

        `before` are the hours until they leave, `latest` those until they must be there.
        """
        key = (site, place, round(before * 60), latest)
        if key not in self._chosen:
            self._chosen[key] = self._choose(site, place, before, latest)
        return self._chosen[key]

    def _choose(self, site: int, place: int, before: float, latest: float) -> Way | None:
        soonest, cheapest = self._routes(site, place)
        if soonest is None or cheapest is None:
            return None
        # Nor may what is cheaper arrive on a later day: by then something might have expired.
        if self._day(before + cheapest.hours) != self._day(before + soonest.hours):
            latest = -inf
        return choose(_measured(soonest), _measured(cheapest), before, latest)

    def soonest(self, site: int, place: int) -> float | None:
        """Hours on the way from a site to a place, None where there is no route."""
        route = self._routes(site, place)[0]
        return None if route is None else route.hours

    def route(self, site: int, place: int, way: Way) -> Route:
        """The route behind a way."""
        found = self._routes(site, place)[0 if way.soonest else 1]
        assert found is not None
        return found

    def _routes(self, site: int, place: int) -> tuple[Route | None, Route | None]:
        if place not in self.ways:
            network = self._network()
            self.ways[place] = network.towards(self.places[place])
        if (site, place) not in self._found:
            ways, start = self.ways[place], self.sites[site]
            self._found[site, place] = ways.soonest_from(start), ways.cheapest_from(start)
        return self._found[site, place]

    def _network(self) -> Network:
        if self._net is None:
            self._net = Network(self.hubs, self.legs, self.at.date())
        return self._net

    _net: Network | None = None

    def accepted_by(self, line: Line) -> list[tuple[str, int, int]]:
        """(item, use, cover) of what a line takes: the item itself, then its substitutes."""
        found = [(line.code, 1, 1)]
        if line.substitutes and self.options.substitutes:
            for code, quantity, per in self.items[line.code]["substitutes"] or ():
                whole = gcd(quantity, per)
                found.append((code, quantity // whole, per // whole))
        return found


def to_the_minute(at: datetime) -> str:
    """An instant to the minute, rounded up: nothing arrives sooner than it is said to."""
    whole = at.replace(second=0, microsecond=0)
    whole += timedelta(minutes=1) if whole < at else timedelta()
    return whole.isoformat()


def _measured(route: Route) -> tuple[float, float]:
    return route.hours, route.cost_per_tonne


def read(data: Mapping[str, Any], supposed: Mapping[str, Any] | None = None) -> Asked:
    """Understand what the database wrote; `supposed` are the caller's what-ifs."""
    at = datetime.fromisoformat(data["at"])
    given = dict(data["options"])
    late = given.pop("latest_arrival", None)
    options = Options(
        **given
        | {
            "leave_out": frozenset(given["leave_out"]),
            "modes": frozenset(given["modes"]),
            "latest_arrival": None if late is None else _hours(at, late),
        }
    )
    supposed = supposed or {}
    sites, number_of = [], {}
    for n, (key, *where) in enumerate(data["sites"]):
        number_of[key] = n
        sites.append(Place(*where))
    places: dict[Place, int] = {}
    later = {d["request"]: d["needed_by"] for d in supposed.get("deadlines", ())}
    lines = [_line(at, options, row, places, later) for row in data["lines"]]
    today = at.date()
    lots = [
        Lot(key, society, item, number_of[site], available, _days(today, expires),
            None if seen is None else frozenset(seen), expires)
        for key, society, item, site, available, expires, seen in data["lots"]
    ]  # fmt: skip
    pools = [_pool(at, row, number_of) for row in data["pools"]]
    for n, lot in enumerate(supposed.get("lots", ())):
        sites.append(Place(lot["place"], lot["country"], lot["lat"], lot["lon"]))
        expires = lot.get("expires_on")
        lots.append(
            Lot(f"supposed-{n}", lot["society"], lot["item"], len(sites) - 1, lot["quantity"],
                _days(today, expires), None, expires, True)
        )  # fmt: skip
    closed = set(supposed.get("closed_legs", ()))
    legs = [leg for row in data["legs"] if (leg := _leg(row)).mode in options.modes]
    return Asked(
        at=at,
        options=options,
        lines=lines,
        lots=lots,
        pools=pools,
        items=data["items"],
        sites=sites,
        places=list(places),
        hubs=[Hub(code, Place(*where)) for code, *where in data["hubs"]],
        legs=[replace(leg, closed=True) if leg.code in closed else leg for leg in legs],
    )


def _line(
    at: datetime,
    options: Options,
    row: Mapping[str, Any],
    places: dict[Place, int],
    later: Mapping[str, str],
) -> Line:
    place = Place(*row["place"])
    needed_by = later.get(row["request"], row["needed_by"])
    people = row["kind"] == "volunteers"
    need = row["outstanding"] - (row["proposed"] if options.count_proposed else 0)
    return Line(
        id=row["line"],
        request=row["request"],
        society=row["society"],
        title=row["title"],
        rank=PRIORITIES.index(row["priority"]),
        deadline=_hours(at, needed_by)
        if options.latest_arrival is None
        else options.latest_arrival,
        place=places.setdefault(place, len(places)),
        code=row["skill"] if people else row["item"],
        people=people,
        substitutes=row["accept_substitutes"],
        window=(_hours(at, row["from"]), _hours(at, row["until"])) if people else None,
        languages=frozenset(row["languages"]),
        need=max(0, need),
        requested=row["requested"],
        proposed=row["proposed"],
        needed_by=needed_by,
    )


def _pool(at: datetime, row: Any, number_of: Mapping[str, int]) -> Pool:
    key, society, skill, site, headcount, start, end, notice, languages, seen, promises = row
    promised = [Promise(_hours(at, s), _hours(at, e), n) for s, e, n in promises or ()]
    people = People(headcount, _hours(at, start), _hours(at, end), promised)
    return Pool(
        key, society, skill, number_of[site], people, float(notice), frozenset(languages),
        None if seen is None else frozenset(seen),
    )  # fmt: skip


def _leg(row: Sequence[Any]) -> Leg:
    code, start, end, mode, hours, border, cost, capacity, months, closed = row
    seasons = None if months is None else frozenset(months)
    return Leg(code, start, end, mode, hours, border, cost, capacity, seasons, closed)


def _hours(at: datetime, instant: str) -> float:
    return (datetime.fromisoformat(instant) - at) / _HOUR


def _days(today: date, day: str | None) -> int:
    return NEVER if day is None else min(NEVER, (date.fromisoformat(day) - today).days)
