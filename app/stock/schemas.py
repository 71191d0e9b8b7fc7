"""What is sent and shown of sites and lots."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import BeforeValidator, Field

from app import specimens
from app.fields import (
    Code,
    Count,
    CountryCode,
    Day,
    Id,
    Input,
    Latitude,
    Longitude,
    Name,
    PastInstant,
    Ref,
    Shown,
    SocietyCode,
    read_degrees,
)
from app.pages import PageQuery

SiteKind = Literal["warehouse", "base", "airport", "port", "railhead", "other"]


class SiteInput(Input):
    """A place of your society."""

    name: Name = Field(description="What people call it.", examples=["Baku central warehouse"])
    country: CountryCode = Field(description="ISO 3166-1 alpha-3 code.", examples=["AZE"])
    lat: Latitude = Field(description="Latitude, degrees north (WGS 84).", examples=[40.41])
    lon: Longitude = Field(description="Longitude, degrees east (WGS 84).", examples=[49.87])
    kind: SiteKind = Field(
        default="warehouse",
        description="What kind of place it is.",
        examples=["warehouse"],
    )


class Site(Shown):
    """A place of your society."""

    ref: str = Field(description="Your own reference.", examples=["baku-1"])
    name: str = Field(description="What people call it.", examples=["Baku central warehouse"])
    country: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["AZE"])
    lat: float = Field(description="Latitude, degrees north.", examples=[40.41])
    lon: float = Field(description="Longitude, degrees east.", examples=[49.87])
    kind: SiteKind = Field(description="What kind of place it is.", examples=["warehouse"])


def _money(value: object) -> object:
    # Through its text, so that 12.10 stays 12.10 and not the nearest binary fraction.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("a number with at most two decimals")
    return Decimal(str(value))


Money = Annotated[
    Decimal,
    Field(strict=False, ge=0, le=Decimal("999999999999.99"), decimal_places=2),
    BeforeValidator(
        _money, json_schema_input_type=Annotated[float, Field(ge=0, le=999_999_999_999.99)]
    ),
]


class LotInput(Input):
    """A lot as you publish it. It replaces what you published under this reference before."""

    item: Code = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    site: Ref = Field(description="Your own reference of the site.", examples=["baku-1"])
    quantity: Count = Field(
        description="What you count, in the item's base unit, or in packs where `pack` is given.",
        examples=[500],
    )
    pack: Code | None = Field(
        default=None,
        description="Count in packs of this code; converted exactly into base units.",
        examples=[None],
    )
    keep_back: Count = Field(
        default=0,
        description="Your floor, in base units: never promised to others. Only you see it.",
        examples=[50],
    )
    lot_number: Name | None = Field(
        default=None,
        description="The maker's lot or batch number.",
        examples=["B-2025-114"],
    )
    expires_on: Day | None = Field(
        default=None,
        description="Expiry date, for what expires.",
        examples=["2027-06-30"],
    )
    unit_value: Money | None = Field(
        default=None,
        description="Value of one base unit, with `currency`.",
        examples=[12.5],
    )
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = Field(
        default=None, description="ISO 4217 code, with `unit_value`.", examples=["USD"]
    )
    visible_to: Annotated[list[SocietyCode], Field(max_length=100)] | None = Field(
        default=None,
        description="The societies that may see the lot; null: every society. You always do.",
        examples=[["KAZ", "TUR"]],
    )
    as_of: PastInstant | None = Field(
        default=None,
        description="When it was counted. What was dispatched from the lot since then is "
        "subtracted; a count that is older than the last one is refused (409 `stale_count`); "
        "`quantity` and `as_of` as you read them are no new count and change neither. Where left "
        "out, it is counted at this moment; always give it where a call may wait, and to "
        "confirm an unchanged count.",
        examples=["2026-02-06T01:17:00Z"],
    )


class OwnLot(Shown):
    """A lot as its owner sees it."""

    id: UUID = Field(description="The lot's id, which offers name.", examples=[specimens.LOT])
    ref: str = Field(description="Your own reference.", examples=["BLK-7"])
    item: str = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="The item's base unit.", examples=["piece"])
    site: str = Field(description="Your own reference of the site.", examples=["baku-1"])
    quantity: int = Field(
        description="Your count less what was dispatched since, in base units.", examples=[500]
    )
    keep_back: int = Field(description="Your floor, in base units.", examples=[50])
    reserved: int = Field(description="What is promised and has not left yet.", examples=[120])
    available: int = Field(description="What may still be promised.", examples=[330])
    shortfall: int = Field(
        description="What is promised beyond your count; 0 is as it should be.",
        examples=[0],
    )
    lot_number: str | None = Field(description="Lot or batch number.", examples=["B-2025-114"])
    expires_on: date | None = Field(description="Expiry date.", examples=["2027-06-30"])
    unit_value: float | None = Field(description="Value of one base unit.", examples=[12.5])
    currency: str | None = Field(description="ISO 4217 code.", examples=["USD"])
    visible_to: list[str] | None = Field(
        description="Who may see it; null: every society.", examples=[None]
    )
    as_of: str = Field(description="When it was counted.", examples=["2026-02-06T01:17:00+00:00"])
    updated_at: str = Field(
        description="When it was last published.",
        examples=["2026-02-06T01:18:02.1+00:00"],
    )


class LotSite(Shown):
    """Where a lot is."""

    name: str = Field(description="What people call it.", examples=["Baku central warehouse"])
    country: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["AZE"])
    lat: float = Field(description="Latitude, degrees north.", examples=[40.41])
    lon: float = Field(description="Longitude, degrees east.", examples=[49.87])
    kind: SiteKind = Field(description="What kind of place it is.", examples=["warehouse"])


class LotShown(Shown):
    """A lot as the network sees it: what is available, never the owner's count or floor."""

    id: UUID = Field(description="The lot's id, which offers name.", examples=[specimens.LOT])
    society: str = Field(description="Whose stock it is.", examples=["AZE"])
    item: str = Field(description="The item's code.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="The item's base unit.", examples=["piece"])
    site: LotSite = Field(description="Where it is.")
    available: int = Field(description="What may still be promised.", examples=[330])
    lot_number: str | None = Field(description="Lot or batch number.", examples=["B-2025-114"])
    expires_on: date | None = Field(description="Expiry date.", examples=["2027-06-30"])
    unit_value: float | None = Field(description="Value of one base unit.", examples=[12.5])
    currency: str | None = Field(description="ISO 4217 code.", examples=["USD"])
    as_of: str = Field(description="When it was counted.", examples=["2026-02-06T01:17:00+00:00"])
    distance_km: float | None = Field(
        description="Great-circle distance from `near`; null without it.",
        examples=[None],
    )


SiteRef = Annotated[Ref, Path(description="Your own reference of the site.", examples=["baku-1"])]
LotRef = Annotated[Ref, Path(description="Your own reference of the lot.", examples=["BLK-7"])]


LotId = Annotated[Id, Path(description="The lot's id.", examples=[specimens.LOT])]


class StockQuery(PageQuery):
    """Which lots."""

    item: Code | None = Field(
        default=None, description="The item's code.", examples=["HSHEBLANPHT1"]
    )
    substitutes: bool = Field(
        default=False,
        description="With `item`: also what may stand in for it.",
        examples=[False],
    )
    society: SocietyCode | None = Field(default=None, description="Whose stock.", examples=["AZE"])
    country: CountryCode | None = Field(
        default=None, description="In which country it is.", examples=["AZE"]
    )
    min_available: Annotated[int, Field(ge=0, le=1_000_000_000_000)] = Field(
        default=0,
        description="At least this much available, in base units.",
        examples=[100],
    )
    expires_after: Day | None = Field(
        default=None,
        description="Still good after this day; what does not expire is always found.",
        examples=["2026-06-30"],
    )
    near: Annotated[str, Field(max_length=60), BeforeValidator(read_degrees)] | None = Field(
        default=None,
        description="`lat,lon` in degrees: nearest first, with `distance_km`.",
        examples=["37.58,36.93"],
    )
    within_km: Annotated[float, Field(gt=0, le=20_040, allow_inf_nan=False)] | None = Field(
        default=None,
        description="With `near`: not farther than this.",
        examples=[1500],
    )
