"""What the exchange shows of help: emergencies, requests, offers, journeys, the board.

One type for each schema of the OpenAPI document, under its name; see shown.py.
"""

from typing import Literal, TypedDict

Degree = Literal["none", "partial", "complete"]
Hazard = Literal[
    "earthquake",
    "flood",
    "flash_flood",
    "landslide",
    "mudflow",
    "avalanche",
    "cold_wave",
    "heat_wave",
    "drought",
    "wildfire",
    "storm",
    "epidemic",
    "technological",
    "population_movement",
    "complex_emergency",
    "other",
]
Mode = Literal["road", "air", "rail", "sea"]
Priority = Literal["critical", "high", "normal"]


class SocietyFigures(TypedDict):
    """What one society does for a line."""

    offered: int
    accepted: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    as_of: str
    society: str


class BoardLine(TypedDict):
    """A request line with what was asked for, and what became of it."""

    offered: int
    accepted: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    as_of: str
    request: str
    line: str
    society: str
    title: str
    priority: str
    needed_by: str
    status: str
    kind: Literal["stock", "volunteers"]
    item: str | None
    skill: str | None
    unit: str
    requested: int
    outstanding: int
    societies: list[SocietyFigures]


class Unsolicited(TypedDict):
    """Help that was offered without being asked for."""

    offered: int
    accepted: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    as_of: str
    society: str
    to: str
    item: str | None
    skill: str | None
    unit: str


class BoardTotal(TypedDict):
    """The sum over all lines that ask for the same, whichever page they are on."""

    offered: int
    accepted: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    kind: Literal["stock", "volunteers"]
    item: str | None
    skill: str | None
    unit: str
    lines: int
    requested: int
    outstanding: int


class Board(TypedDict):
    """The mobilisation table of an emergency: one set of figures for everybody."""

    emergency: str
    name: str
    glide: str | None
    status: str
    as_of: str
    lines: list[BoardLine]
    unsolicited: list[Unsolicited]
    totals: list[BoardTotal]
    next: str | None


class Checkpoint(TypedDict):
    """Where it was seen."""

    place: str
    at: str
    note: str | None


class ConsignmentLine(TypedDict):
    """What a consignment carries of an offer line."""

    id: str
    offer_line: str
    item: str
    unit: str
    quantity: int
    received: int
    damaged: int
    missing: int
    note: str | None


class Consignment(TypedDict):
    """A consignment, as the two parties of its offer and the secretariat see it."""

    id: str
    offer: str
    society: str
    to: str
    status: Literal["planned", "dispatched", "arrived", "received", "cancelled", "lost"]
    mode: Mode
    carrier: str | None
    waybill: str | None
    eta: str | None
    reason: str | None
    created_at: str
    dispatched_at: str | None
    arrived_at: str | None
    ended_at: str | None
    lines: list[ConsignmentLine]
    checkpoint_count: int
    checkpoints: list[Checkpoint]


class Extension(TypedDict):
    """A longer deployment that one party asks for."""

    until: str
    asked_by: str
    reason: str | None


Deployment = TypedDict(
    "Deployment",
    {
        "id": str,
        "offer": str,
        "offer_line": str,
        "society": str,
        "to": str,
        "status": Literal["planned", "mobilised", "deployed", "released", "returned", "cancelled"],
        "skill": str,
        "headcount": int,
        "from": str,
        "until": str,
        "eta": str | None,
        "reason": str | None,
        "extension": Extension | None,
        "manifest": Literal["sealed", "erased"] | None,
        "created_at": str,
        "mobilised_at": str | None,
        "arrived_at": str | None,
        "released_at": str | None,
        "ended_at": str | None,
    },
)
"""A deployment, as the two parties of its offer and the secretariat see it. No names."""


class Destination(TypedDict):
    """Where the help is to go."""

    name: str
    country: str
    lat: float
    lon: float


class Emergency(TypedDict):
    """A disaster."""

    id: str
    society: str
    name: str
    hazard: Hazard
    glide: str | None
    country: str
    lat: float
    lon: float
    started_on: str
    status: Literal["open", "closed"]
    created_at: str
    closed_at: str | None


class GoodsLine(TypedDict):
    """Goods of an offer."""

    id: str
    request_line: str | None
    accepted: int
    planned: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    stock: str
    item: str
    unit: str
    quantity: int


class PersonShown(TypedDict):
    """One of those who come."""

    name: str
    role: str | None
    document: str | None
    phone: str | None
    languages: list[str]
    note: str | None


class Manifest(TypedDict):
    """Who comes; for the two parties alone, erased 30 days after the return."""

    deployment: str
    people: list[PersonShown]
    salt: str
    commitment: str
    updated_at: str


PeopleLine = TypedDict(
    "PeopleLine",
    {
        "id": str,
        "request_line": str | None,
        "accepted": int,
        "planned": int,
        "dispatched": int,
        "received": int,
        "damaged": int,
        "lost": int,
        "volunteers": str,
        "skill": str,
        "from": str,
        "until": str,
        "headcount": int,
    },
)
"""People of an offer."""


class OfferWarning(TypedDict):
    """What both parties should know of an offer."""

    pointer: str
    code: str
    message: str


class Offer(TypedDict):
    """An offer, as its two parties and the secretariat see it."""

    id: str
    emergency: str
    request: str | None
    society: str
    to: str
    status: Literal["proposed", "accepted", "declined", "withdrawn", "expired", "completed"]
    expires_at: str
    eta: str | None
    ref: str | None
    message: str | None
    warnings: list[OfferWarning]
    reason: str | None
    created_at: str
    updated_at: str
    lines: list[GoodsLine | PeopleLine]


class RequestProgress(TypedDict):
    """How far the request is in each figure, over all of its lines."""

    offered: Degree
    accepted: Degree
    dispatched: Degree
    received: Degree


class StockLine(TypedDict):
    """Goods that are asked for, and how far that is."""

    requested: int
    offered: int
    accepted: int
    dispatched: int
    received: int
    damaged: int
    lost: int
    outstanding: int
    id: str
    kind: Literal["stock"]
    item: str
    unit: str
    quantity: int
    accept_substitutes: bool


VolunteersLine = TypedDict(
    "VolunteersLine",
    {
        "requested": int,
        "offered": int,
        "accepted": int,
        "dispatched": int,
        "received": int,
        "damaged": int,
        "lost": int,
        "outstanding": int,
        "id": str,
        "kind": Literal["volunteers"],
        "skill": str,
        "headcount": int,
        "from": str,
        "until": str,
        "languages": list[str],
    },
)
"""People that are asked for, and how far that is."""


class Request(TypedDict):
    """A request with its lines and figures: the same for both sides."""

    id: str
    emergency: str
    society: str
    ref: str | None
    title: str
    priority: Priority
    needed_by: str
    destination: Destination
    status: Literal["open", "closed", "cancelled"]
    progress: RequestProgress
    lines: list[StockLine | VolunteersLine]
    notes: str | None
    created_at: str
    updated_at: str
    ended_at: str | None
