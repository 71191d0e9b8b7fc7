"""What the exchange should be, in plain words: the whole life-cycle is held against this model."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Window = tuple[datetime, datetime]
NEVER = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Lot:
    id: str
    ref: str
    society: str
    quantity: int
    keep_back: int
    reserved: int = 0
    as_of: datetime | None = None
    left: int = 0
    """What left since it was counted."""

    @property
    def room(self) -> int:
        return max(0, self.quantity - self.keep_back - self.reserved)

    def count(self, quantity: int, as_of: datetime | None) -> None:
        """A count that is not older than the last; None: it is of this moment."""
        if as_of is None or as_of != self.as_of:
            self.quantity, self.left = quantity, 0
        elif quantity != self.quantity:
            self.quantity = max(0, quantity - self.left)


@dataclass
class Promise:
    headcount: int
    window: Window
    away: bool = False

    def until(self, now: datetime) -> datetime:
        """Whoever is away past the time that was agreed may stay away for ever."""
        return NEVER if self.away and self.window[1] <= now else self.window[1]


@dataclass(eq=False)
class Pool:
    id: str
    ref: str
    society: str
    headcount: int
    promises: dict[str, Promise] = field(default_factory=dict)

    def peak(self, window: Window, now: datetime, but: str | None = None) -> int:
        """The most people promised at any one instant: it rises where a promise begins."""
        live = [p for holder, p in self.promises.items() if p.headcount and holder != but]
        starts = [window[0], *(p.window[0] for p in live if window[0] <= p.window[0] < window[1])]
        return max(
            sum(p.headcount for p in live if p.window[0] <= s < p.until(now)) for s in starts
        )

    def room(self, window: Window, now: datetime, but: str | None = None) -> int:
        return max(0, self.headcount - self.peak(window, now, but))


@dataclass(eq=False)
class Asked:
    """A request line."""

    id: str
    window: Window | None
    requested: int
    accepted: int = 0
    losses: int = 0
    surplus: bool = False

    @property
    def served(self) -> int:
        """Accepted and not lost or damaged."""
        return self.accepted - self.losses


@dataclass(eq=False)
class Request:
    id: str
    society: str
    lines: list[Asked]
    status: str = "open"


@dataclass(eq=False)
class Line:
    """An offer line."""

    id: str
    asked: Asked
    source: Lot | Pool
    quantity: int
    offered: int = 0
    accepted: int = 0
    planned: int = 0
    dispatched: int = 0
    received: int = 0
    damaged: int = 0
    lost: int = 0

    @property
    def to_send(self) -> int:
        return self.accepted - self.dispatched

    @property
    def on_the_way(self) -> int:
        return self.dispatched - self.received - self.damaged - self.lost

    def free(self, count: int) -> None:
        if isinstance(self.source, Lot):
            self.source.reserved -= count
        else:
            self.source.promises[self.id].headcount -= count


@dataclass(eq=False)
class Journey:
    """A consignment or a deployment."""

    id: str
    parts: list[tuple[str, int]]
    """Its lines: several may be of one offer line."""
    line: Line
    count: int
    status: str = "planned"
    receipt: dict[str, Any] | None = None


@dataclass(eq=False)
class Offer:
    id: str
    request: Request
    society: str
    lines: list[Line]
    expires_at: datetime
    status: str = "proposed"
    ended_by: str | None = None
    consignments: list[Journey] = field(default_factory=list)
    deployments: list[Journey] = field(default_factory=list)

    @property
    def journeys(self) -> Iterable[Journey]:
        return [*self.consignments, *self.deployments]

    def fits(self, parts: dict[str, int], allow_surplus: bool) -> bool:
        return allow_surplus or all(
            not parts[x.id] or x.asked.served + parts[x.id] <= x.asked.requested for x in self.lines
        )

    def accept(self, parts: dict[str, int], allow_surplus: bool) -> None:
        for x in self.lines:
            x.accepted = x.offered = parts[x.id]
            x.asked.accepted += x.accepted
            x.asked.surplus |= allow_surplus
            x.free(x.quantity - x.accepted)
        self.status = "accepted"

    def drop(self, status: str, by: str) -> None:
        """A proposal ends."""
        for x in self.lines:
            x.offered = 0
            x.free(x.quantity)
        self.status, self.ended_by = status, by

    def undo(self, by: str) -> bool:
        """What is accepted and has not left is given back; False where nothing is left."""
        for journey in self.journeys:
            if journey.status == "planned":
                self.unplan(journey)
                journey.status = "cancelled"
        if not any(x.to_send for x in self.lines):
            return self.ended_by == by
        for x in self.lines:
            by_how_much = x.to_send
            x.free(by_how_much)
            x.accepted -= by_how_much
            x.offered -= by_how_much
            x.asked.accepted -= by_how_much
        self.ended_by = by
        self.status = "accepted" if any(x.dispatched for x in self.lines) else "withdrawn"
        self.complete()
        return True

    def unplan(self, journey: Journey) -> None:
        line = journey.line
        line.planned -= journey.count
        if isinstance(line.source, Pool):
            del line.source.promises[journey.id]
            line.source.promises[line.id].headcount += journey.count

    def complete(self) -> None:
        if self.status == "accepted" and not any(x.to_send or x.on_the_way for x in self.lines):
            self.status = "completed"
