"""What the exchange shows: one type for each schema of the OpenAPI document, under its name.

Times are RFC 3339 text and ids are text. A test holds names, fields and types to the document,
both ways.
"""

from typing import Any, Literal, NotRequired, TypedDict

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
SiteKind = Literal["warehouse", "base", "airport", "port", "railhead", "other"]


class Key(TypedDict):
    """A valid key of a client; never the key itself."""

    prefix: str
    created_at: str
    expires_at: str | None


class Client(TypedDict):
    """One IT system of a society."""

    id: str
    society: str
    name: str
    scopes: list[str]
    created_at: str
    revoked_at: str | None
    keys: list[Key]


class ClientWithKey(TypedDict):
    """A client and its new key, which is shown this once."""

    id: str
    society: str
    name: str
    scopes: list[str]
    created_at: str
    revoked_at: str | None
    keys: list[Key]
    key: str | None


class Conversion(TypedDict):
    """A quantity in packs."""

    item: str
    unit: str
    quantity: int
    pack: str
    packs: int


class Subject(TypedDict):
    """What it happened to."""

    type: str
    id: str


class Event(TypedDict):
    """A sealed record. Where you may not see it, only the envelope: `type` is `sealed`."""

    seq: int
    id: str | None
    type: str
    at: str | None
    society: str | None
    subject: Subject | None
    data: dict[str, Any] | None
    salt: str | None
    private: NotRequired[dict[str, Any] | None]
    commitment: str
    hash: str
    previous_hash: str


class TypeOfEvent(TypedDict):
    """What can happen."""

    type: str
    description: str
    seen_by: str
    data_schema: dict[str, Any]


class Head(TypedDict):
    """The end of the chain."""

    seq: int
    hash: str


class NamesShown(TypedDict):
    """A name in the network's languages; null where it is not translated yet."""

    az: str | None
    kk: str | None
    ky: str | None
    tr: str | None
    uz: str | None
    en: str
    ru: str | None


class Pack(TypedDict):
    """A packaging."""

    code: str
    quantity: int
    name: str


class Substitute(TypedDict):
    """What may stand in: `quantity` of it for `per` of the item."""

    item: str
    quantity: int
    per: int


class Item(TypedDict):
    """A catalogue entry: something that is sent."""

    code: str
    name: str
    names: NamesShown
    category: Category
    unit: str
    weight_kg: float | None
    volume_l: float | None
    perishable: bool
    packs: list[Pack]
    substitutes: list[Substitute]


class LotSite(TypedDict):
    """Where a lot is."""

    name: str
    country: str
    lat: float
    lon: float
    kind: SiteKind


class LotShown(TypedDict):
    """A lot as the network sees it: what is available, never the owner's count or floor."""

    id: str
    society: str
    item: str
    unit: str
    site: LotSite
    available: int
    lot_number: str | None
    expires_on: str | None
    unit_value: float | None
    currency: str | None
    as_of: str
    distance_km: float | None


class Me(TypedDict):
    """Who the caller is."""

    society: str
    role: Role
    client: str
    name: str
    scopes: list[str]


class OwnLot(TypedDict):
    """A lot as its owner sees it."""

    id: str
    ref: str
    item: str
    unit: str
    site: str
    quantity: int
    keep_back: int
    reserved: int
    available: int
    shortfall: int
    lot_number: str | None
    expires_on: str | None
    unit_value: float | None
    currency: str | None
    visible_to: list[str] | None
    as_of: str
    updated_at: str


class OwnPool(TypedDict):
    """A pool as its owner sees it."""

    id: str
    ref: str
    skill: str
    languages: list[str]
    headcount: int
    available_from: str
    available_until: str
    notice_hours: int
    site: str
    promised: int
    available: int
    shortfall: int
    visible_to: list[str] | None
    as_of: str
    updated_at: str


class PoolShown(TypedDict):
    """A pool as the network sees it."""

    id: str
    society: str
    skill: str
    languages: list[str]
    available: int
    available_from: str
    available_until: str
    notice_hours: int
    site: LotSite
    as_of: str


class Site(TypedDict):
    """A place of your society."""

    ref: str
    name: str
    country: str
    lat: float
    lon: float
    kind: SiteKind


class Skill(TypedDict):
    """A catalogue entry: something that volunteers can do."""

    code: str
    name: str
    names: NamesShown
    description: str | None


class Society(TypedDict):
    """A member of the network."""

    id: str
    name: str
    role: Role


class RowFault(TypedDict):
    """One fault of a row of an imported file."""

    row: int
    field: str | None
    code: str
    message: str


class KeptReserved(TypedDict):
    """What is not withdrawn by an import because something of it is promised."""

    ref: str
    reserved: int


class ImportReport(TypedDict):
    """What became of an import. Every row is created, changed, unchanged or refused."""

    dry_run: bool
    rows: int
    created: int
    changed: int
    unchanged: int
    withdrawn: int
    refused: int
    errors_total: int
    errors: list[RowFault]
    kept_reserved_total: int
    kept_reserved: list[KeptReserved]
    notes: list[str]
