"""Find routes: the soonest and the cheapest way to a destination, by Dijkstra's algorithm."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import inf
from typing import Any

import networkx

from app.transport.rules import (
    ROAD_COST,
    ROAD_KMH,
    Hub,
    Join,
    Leg,
    Place,
    direct_km,
    joins,
    sea_at,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a route: a leg, or the road between a place and a hub (`leg` None)."""

    leg: str | None
    start: str
    end: str
    mode: str
    hours: float
    border_hours: float
    cost_per_tonne: float
    capacity_t: float | None


@dataclass(frozen=True, slots=True)
class Route:
    """A way from a place to a destination."""

    stretches: tuple[Stretch, ...]

    @property
    def hours(self) -> float:
        """From departure to arrival, borders included."""
        return sum(s.hours + s.border_hours for s in self.stretches)

    @property
    def cost_per_tonne(self) -> float:
        """US dollars for a tonne."""
        return sum(s.cost_per_tonne for s in self.stretches)

    @property
    def mode(self) -> str:
        """The mode that most of the hours go into: what a consignment is booked as."""
        hours: dict[str, float] = {}
        for stretch in self.stretches:
            hours[stretch.mode] = hours.get(stretch.mode, 0.0) + stretch.hours
        return max(sorted(hours), key=lambda mode: hours[mode])


Measure = Callable[[Leg], tuple[float, float]]


def _hours_first(leg: Leg) -> tuple[float, float]:
    return leg.total_hours, leg.cost_per_tonne


def _cost_first(leg: Leg) -> tuple[float, float]:
    return leg.cost_per_tonne, leg.total_hours


# One number to compare ways by: the second measure decides only between equals of the first, to a
# thousandth of an hour or dollar.
_SECOND = 1e-7


class Network:
    """The hubs and the legs that are open on a day."""

    def __init__(self, hubs: Iterable[Hub], legs: Iterable[Leg], on: date) -> None:
        self._hubs = {hub.code: hub for hub in hubs}
        self._legs = [leg for leg in legs if leg.is_open(on)]
        self._soonest = self._graph(_hours_first)
        self._cheapest = self._graph(_cost_first)
        self._joined: dict[Place, list[Join]] = {}

    def _joins(self, place: Place) -> list[Join]:
        # A plan asks for the same sites once for each destination.
        if place not in self._joined:
            self._joined[place] = joins(place, self._hubs.values())
        return self._joined[place]

    def _graph(self, measure: Measure) -> "networkx.Graph[str]":
        graph: networkx.Graph[str] = networkx.Graph()
        graph.add_nodes_from(self._hubs)
        for leg in self._legs:
            first, second = measure(leg)
            weight = first + second * _SECOND
            known = graph.get_edge_data(leg.start, leg.end)
            if known is None or (weight, leg.code) < (known["weight"], known["leg"].code):
                graph.add_edge(leg.start, leg.end, weight=weight, leg=leg)
        return graph

    def towards(self, destination: Place) -> "Ways":
        """Every way to a destination, found at once for all places."""
        arrivals = self._joins(destination)
        return Ways(
            destination,
            self._joins,
            arrivals,
            _tree(self._soonest, arrivals, lambda join: join.hours),
            _tree(self._cheapest, arrivals, lambda join: join.cost_per_tonne),
        )


@dataclass(frozen=True, slots=True)
class _Tree:
    """For each hub: how much it is from there to the destination, and the way."""

    graph: "networkx.Graph[str]"
    measure: dict[str, float]
    way: dict[str, list[str]]


_END = ""


def _tree(
    graph: "networkx.Graph[str]", arrivals: Sequence[Join], measure: Callable[[Join], float]
) -> _Tree:
    if not arrivals:
        return _Tree(graph, {}, {})
    ending = graph.copy()
    for join in arrivals:
        ending.add_edge(_END, join.hub, weight=measure(join))
    found, way = networkx.single_source_dijkstra(ending, _END)
    assert isinstance(found, dict)
    assert isinstance(way, dict)
    return _Tree(graph, dict(found), {hub: list(reversed(path)) for hub, path in way.items()})


class Ways:
    """The ways to one destination."""

    def __init__(
        self,
        destination: Place,
        joined: Callable[[Place], Sequence[Join]],
        arrivals: Sequence[Join],
        soonest: _Tree,
        cheapest: _Tree,
    ) -> None:
        self._destination = destination
        self._joined = joined
        self._arrivals = {join.hub: join for join in arrivals}
        self._soonest = soonest
        self._cheapest = cheapest

    def soonest_from(self, place: Place) -> Route | None:
        """The way that arrives first, the cheaper of equals; None where there is none."""
        return self._best(place, self._soonest, lambda j: j.hours, lambda r: r.hours)

    def cheapest_from(self, place: Place) -> Route | None:
        """The way that costs least, the sooner of equals; None where there is none."""
        return self._best(
            place, self._cheapest, lambda j: j.cost_per_tonne, lambda r: r.cost_per_tonne
        )

    def _best(
        self,
        place: Place,
        tree: _Tree,
        of_join: Callable[[Join], float],
        of_route: Callable[[Route], float],
    ) -> Route | None:
        straight = self._straight(place)
        departures = [
            (of_join(join) + tree.measure.get(join.hub, inf), join.hub, join)
            for join in self._joined(place)
        ]
        total, _, join = min(departures, default=(inf, "", None), key=lambda d: d[:2])
        if straight is not None and of_route(straight) <= total:
            return straight
        if join is None or total == inf:
            return straight
        return Route((_road(place.name, join.hub, join), *self._onward(join.hub, tree)))

    def _straight(self, place: Place) -> Route | None:
        km = direct_km(place, self._destination)
        if km is None:
            return None
        return Route(
            (
                Stretch(
                    None, place.name, self._destination.name, "road", km / ROAD_KMH, 0.0,
                    km * ROAD_COST, None,
                ),
            )
        )  # fmt: skip

    def _onward(self, hub: str, tree: _Tree) -> list[Stretch]:
        path = tree.way[hub]
        stretches = []
        for start, end in pairwise(path):
            if end == _END:
                join = self._arrivals[start]
                stretches.append(_road(start, self._destination.name, join))
                continue
            leg: Leg = tree.graph.edges[start, end]["leg"]
            stretches.append(
                Stretch(
                    leg.code, start, end, leg.mode, leg.hours, leg.border_hours,
                    leg.cost_per_tonne, leg.capacity_t,
                )
            )  # fmt: skip
        return stretches


def _road(start: str, end: str, join: Join) -> Stretch:
    return Stretch(None, start, end, "road", join.hours, 0.0, join.cost_per_tonne, None)


def why_none(start: Place, end: Place) -> str:
    """Why there is no route, in one sentence."""
    for place, word in ((start, "start"), (end, "destination")):
        sea = sea_at(place)
        if sea is not None:
            return f"The {word} lies in the {sea}."
    return (
        "No open leg leads there: nothing joins the two, or what does is closed or out of season."
    )


def shown(route: Route) -> dict[str, Any]:
    """A route as it is shown."""
    return {
        "found": True,
        "reason": None,
        "mode": route.mode,
        "hours": round(route.hours, 1),
        "cost_per_tonne": round(route.cost_per_tonne, 1),
        "stretches": [_stretch(stretch) for stretch in route.stretches],
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return {
        "leg": stretch.leg,
        "start": stretch.start,
        "end": stretch.end,
        "mode": stretch.mode,
        "hours": round(stretch.hours, 1),
        "border_hours": round(stretch.border_hours, 1),
        "cost_per_tonne": round(stretch.cost_per_tonne, 1),
        "capacity_t": stretch.capacity_t,
    }
