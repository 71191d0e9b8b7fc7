"""What a caller sends: one type for each schema of the OpenAPI document, under its name.

A test holds names, fields and types to the document, both ways.
"""

from typing import Literal, NotRequired, TypedDict

from app.client.agreed import Hazard, Mode, Priority

Category = Literal[
    "administration",
    "telecom",
    "drugs",
    "engineering",
    "food",
    "housing",
    "kits",
    "medical_renewables",
    "transport",
    "emergency_response_units",
    "water",
    "medical_equipment",
    "other",
]
Role = Literal["member", "secretariat", "observer"]
Scope = Literal[
    "read", "stock:write", "volunteers:write", "requests:write", "offers:write", "admin", "all"
]
SiteKind = Literal["warehouse", "base", "airport", "port", "railhead", "other"]


class AcceptedLine(TypedDict):
    """How much of a line is accepted."""

    line: str
    quantity: int


class Acceptance(TypedDict):
    """What is accepted; everything where `lines` is left out."""

    lines: NotRequired[list[AcceptedLine] | None]
    allow_surplus: NotRequired[bool]


class CheckpointInput(TypedDict):
    """Where it was seen."""

    place: str
    at: str
    note: NotRequired[str | None]


class ClientInput(TypedDict):
    """A new client."""

    society: NotRequired[str | None]
    name: str
    scopes: list[Scope]


class PlannedLineInput(TypedDict):
    """What the consignment is to carry of an offer line."""

    offer_line: str
    quantity: int


class ConsignmentInput(TypedDict):
    """One journey of goods of an accepted offer."""

    offer: str
    lines: list[PlannedLineInput]
    mode: Mode
    carrier: NotRequired[str | None]
    waybill: NotRequired[str | None]
    eta: NotRequired[str | None]


class DeploymentInput(TypedDict):
    """People of an accepted offer who travel together."""

    offer: str
    offer_line: str
    headcount: int
    eta: NotRequired[str | None]


class DestinationInput(TypedDict):
    """Where the help is to go."""

    name: str
    country: str
    lat: float
    lon: float


class EmergencyInput(TypedDict):
    """A disaster as it is reported."""

    name: str
    hazard: Hazard
    glide: NotRequired[str | None]
    country: str
    lat: float
    lon: float
    started_on: str


class ExtensionInput(TypedDict):
    """A longer deployment that you ask the other party for."""

    until: str
    reason: NotRequired[str | None]


class FoundLine(TypedDict):
    """What was found of one line; the three must add up to what was dispatched."""

    line: str
    received: int
    damaged: NotRequired[int]
    missing: NotRequired[int]
    note: NotRequired[str | None]


class Names(TypedDict):
    """A name in the network's languages; English is the one that must be there."""

    az: NotRequired[str | None]
    kk: NotRequired[str | None]
    ky: NotRequired[str | None]
    tr: NotRequired[str | None]
    uz: NotRequired[str | None]
    en: str
    ru: NotRequired[str | None]


class PackInput(TypedDict):
    """A packaging."""

    code: str
    quantity: int
    name: NotRequired[str | None]


class SubstituteInput(TypedDict):
    """What may stand in: `quantity` of it for `per` of the item."""

    item: str
    quantity: NotRequired[int]
    per: NotRequired[int]


class ItemInput(TypedDict):
    """An item as the secretariat writes it."""

    name: NotRequired[str | None]
    names: NotRequired[Names | None]
    category: NotRequired[Category | None]
    unit: str
    weight_kg: NotRequired[float | None]
    volume_l: NotRequired[float | None]
    perishable: NotRequired[bool]
    packs: NotRequired[list[PackInput]]
    substitutes: NotRequired[list[SubstituteInput]]


class LineChange(TypedDict):
    """A line of the request that is to ask for another quantity."""

    id: str
    quantity: NotRequired[int | None]
    headcount: NotRequired[int | None]
    accept_substitutes: NotRequired[bool | None]


class LotInput(TypedDict):
    """A lot as you publish it. It replaces what you published under this reference before."""

    item: str
    site: str
    quantity: int
    pack: NotRequired[str | None]
    keep_back: NotRequired[int]
    lot_number: NotRequired[str | None]
    expires_on: NotRequired[str | None]
    unit_value: NotRequired[float | None]
    currency: NotRequired[str | None]
    visible_to: NotRequired[list[str] | None]
    as_of: NotRequired[str | None]


class Person(TypedDict):
    """One of those who come."""

    name: str
    role: NotRequired[str | None]
    document: NotRequired[str | None]
    phone: NotRequired[str | None]
    languages: NotRequired[list[str]]
    note: NotRequired[str | None]


class ManifestInput(TypedDict):
    """Who comes: as many people as the deployment has, or fewer while not all are known."""

    people: list[Person]


class OfferLineInput(TypedDict):
    """What is offered: `quantity` from a lot of yours, or `headcount` from a pool of yours."""

    request_line: NotRequired[str | None]
    stock: NotRequired[str | None]
    quantity: NotRequired[int | None]
    pack: NotRequired[str | None]
    volunteers: NotRequired[str | None]
    headcount: NotRequired[int | None]


class OfferInput(TypedDict):
    """An offer for a request, or an unsolicited one with `emergency` and `to`."""

    request: NotRequired[str | None]
    emergency: NotRequired[str | None]
    to: NotRequired[str | None]
    lines: list[OfferLineInput]
    expires_at: NotRequired[str | None]
    eta: NotRequired[str | None]
    message: NotRequired[str | None]
    ref: NotRequired[str | None]


class PoolInput(TypedDict):
    """A pool as you publish it: how many people with a skill, and when. No names, ever."""

    skill: str
    languages: NotRequired[list[str]]
    headcount: int
    available_from: str
    available_until: str
    notice_hours: NotRequired[int]
    site: str
    visible_to: NotRequired[list[str] | None]
    as_of: NotRequired[str | None]


class ReceiptInput(TypedDict):
    """What the requester signs for."""

    lines: list[FoundLine]


class StockLineInput(TypedDict):
    """Goods that are asked for."""

    kind: Literal["stock"]
    item: str
    quantity: int
    pack: NotRequired[str | None]
    accept_substitutes: NotRequired[bool]


VolunteersLineInput = TypedDict(
    "VolunteersLineInput",
    {
        "kind": Literal["volunteers"],
        "skill": str,
        "headcount": int,
        "from": str,
        "until": str,
        "languages": NotRequired[list[str]],
    },
)
"""People that are asked for."""


class RequestChange(TypedDict):
    """What changes; everything left out stays as it is."""

    title: NotRequired[str | None]
    priority: NotRequired[Priority | None]
    needed_by: NotRequired[str | None]
    destination: NotRequired[DestinationInput | None]
    notes: NotRequired[str | None]
    lines: NotRequired[list[LineChange]]
    add_lines: NotRequired[list[StockLineInput | VolunteersLineInput]]


class RequestInput(TypedDict):
    """A request as it is opened."""

    emergency: str
    ref: NotRequired[str | None]
    title: str
    priority: NotRequired[Priority]
    needed_by: str
    destination: DestinationInput
    lines: list[StockLineInput | VolunteersLineInput]
    notes: NotRequired[str | None]


class RotationInput(TypedDict):
    """How long the present key stays valid beside the new one."""

    overlap_hours: NotRequired[int]


class SiteInput(TypedDict):
    """A place of your society."""

    name: str
    country: str
    lat: float
    lon: float
    kind: NotRequired[SiteKind]


class SkillInput(TypedDict):
    """A skill as the secretariat writes it."""

    name: NotRequired[str | None]
    names: NotRequired[Names | None]
    description: NotRequired[str | None]


class SocietyInput(TypedDict):
    """A member as the secretariat writes it."""

    name: str
    role: Role
