"""The roads that plans are made with: hubs, legs and routes.

What is sent and shown of them is here too; see shown.py.
"""

from collections.abc import AsyncGenerator
from typing import Literal, NotRequired, TypedDict, cast
from urllib.parse import quote

from app.client.agreed import Mode
from app.client.calling import Caller


class HubInput(TypedDict):
    """A town where legs meet."""

    name: str
    country: str
    lat: float
    lon: float


class Hub(TypedDict):
    """A town where legs meet."""

    code: str
    name: str
    country: str
    lat: float
    lon: float


class LegInput(TypedDict):
    """A way between two hubs, in both directions."""

    start: str
    end: str
    mode: Mode
    hours: float
    border_hours: NotRequired[float]
    cost_per_tonne: float
    capacity_t: NotRequired[float | None]
    months: NotRequired[list[int] | None]
    closed: NotRequired[bool]
    note: NotRequired[str | None]


class Leg(TypedDict):
    """A way between two hubs, in both directions."""

    code: str
    start: str
    end: str
    mode: Mode
    hours: float
    border_hours: float
    cost_per_tonne: float
    capacity_t: float | None
    months: list[int] | None
    closed: bool
    note: str | None


class Stretch(TypedDict):
    """A part of a route."""

    leg: str | None
    start: str
    end: str
    mode: Mode
    hours: float
    border_hours: float
    cost_per_tonne: float
    capacity_t: float | None


class Route(TypedDict):
    """A way from a place to another, or why there is none."""

    found: bool
    reason: str | None
    mode: NotRequired[Mode | None]
    hours: NotRequired[float | None]
    cost_per_tonne: NotRequired[float | None]
    stretches: NotRequired[list[Stretch]]


class Roads(Caller):
    """Hubs and legs; the secretariat's to change."""

    async def route(
        self,
        from_: tuple[float, float],
        from_country: str,
        to: tuple[float, float],
        to_country: str,
        *,
        by: Literal["hours", "cost"] | None = None,
        on: str | None = None,
    ) -> Route:
        """The soonest or cheapest way between two places (latitude, longitude)."""
        ends = {"from_": from_, "from_country": from_country, "to": to, "to_country": to_country}
        return cast(Route, await self.get("/v1/routes", **ends, by=by, on=on))

    def hubs(self) -> AsyncGenerator[Hub, None]:
        """The towns where legs meet."""
        return self.listed("/v1/hubs")

    async def read_hub(self, code: str) -> Hub:
        """One hub."""
        return cast(Hub, await self.get(f"/v1/hubs/{_part(code)}"))

    async def put_hub(self, code: str, hub: HubInput, *, if_match: str | None = None) -> Hub:
        """Create or replace a hub."""
        return cast(Hub, await self.put(f"/v1/hubs/{_part(code)}", hub, if_match))

    async def remove_hub(self, code: str, *, if_match: str | None = None) -> None:
        """Remove a hub at which no leg ends."""
        await self.delete(f"/v1/hubs/{_part(code)}", if_match)

    def legs(self) -> AsyncGenerator[Leg, None]:
        """The ways between hubs."""
        return self.listed("/v1/legs")

    async def read_leg(self, code: str) -> Leg:
        """One leg."""
        return cast(Leg, await self.get(f"/v1/legs/{_part(code)}"))

    async def put_leg(self, code: str, leg: LegInput, *, if_match: str | None = None) -> Leg:
        """Create or replace a leg; close it where it is out of use for a time."""
        return cast(Leg, await self.put(f"/v1/legs/{_part(code)}", leg, if_match))

    async def remove_leg(self, code: str, *, if_match: str | None = None) -> None:
        """Remove a leg."""
        await self.delete(f"/v1/legs/{_part(code)}", if_match)


def _part(value: str) -> str:
    return quote(value, safe="")
