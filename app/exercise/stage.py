"""What the acts of the exercise share: the five systems, what they published, and the tally."""

from collections import defaultdict
from dataclasses import dataclass, field

from app.client.errors import Refused
from app.client.exchange import Exchange
from app.exercise import kahramanmaras as facts
from app.exercise.kahramanmaras import Help, Line
from app.exercise.telling import Json, Reported, Telling

FIGURES = ("offered", "accepted", "dispatched", "received", "damaged", "lost")


class Unexpected(Exception):
    """The exchange did something else than the story expects of it."""


def expect(true: bool, otherwise: str) -> None:
    """The story goes on only where this is so."""
    if not true:
        raise Unexpected(otherwise)


@dataclass
class Stage:
    """The five systems and what they know of each other's things."""

    systems: dict[str, Exchange]
    telling: Telling
    run: str
    """Marks the references of this run, so that it can be played again on the same data."""
    emergency: Json = field(default_factory=dict)
    needs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By its name in the story: the request and the request line."""
    lots: dict[tuple[str, str], Json] = field(default_factory=dict)
    pools: dict[tuple[str, str], Json] = field(default_factory=dict)
    tally: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: dict.fromkeys(FIGURES, 0))
    )
    """What the board must show, by need (or item, where nobody asked) and helping society."""
    reported: Reported = field(default_factory=dict)
    """What is real of it; the keys are those of the tally."""

    @property
    def tur(self) -> Exchange:
        """The system of the society that asks."""
        return self.systems["TUR"]

    def count(self, need: str, society: str, **figures: int) -> None:
        """Add to the tally what has just happened."""
        for figure, by in figures.items():
            self.tally[need, society][figure] += by

    def by_line(self) -> Reported:
        """What is real, by request line (or item, where nobody asked) and helping society."""
        return {
            (self.needs[need][1] if need in self.needs else need, society): real
            for (need, society), real in self.reported.items()
        }

    async def refused(self, society: str, path: str, body: Json | None, code: str) -> Refused:
        """Do what must be refused with this code, and tell it."""
        try:
            await self.systems[society].post(path, body)
        except Refused as refusal:
            expect(refusal.code == code, f"{refusal} (and not {code})")
            self.telling.refuses(society, refusal)
            return refusal
        raise Unexpected(f"POST {path} by {society} should have been refused with {code}")

    def offer_body(self, given: Help) -> Json:
        """An offer of a society's lots and pools for a request, or unsolicited."""
        body: Json = {
            "lines": [self._offer_line(given.society, line) for line in given.lines],
            "message": facts.told(given.real),
        }
        if given.lines[0].need:
            return body | {"request": self.needs[given.lines[0].need][0]}
        return body | {"emergency": self.emergency["id"], "to": "TUR"}

    def _offer_line(self, society: str, line: Line) -> Json:
        key = society, line.code
        body: Json = {"request_line": self.needs[line.need][1]} if line.need else {}
        if key in self.pools:
            return body | {"volunteers": self.pools[key]["id"], "headcount": line.offered}
        return body | {"stock": self.lots[key]["id"], "quantity": line.offered}
