"""What is sent and shown of consignments."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import Field

from app import specimens
from app.fields import Count, Id, Input, Instant, Name, Quantity, Shown, Text
from app.pages import PageQuery

_AT = "2026-02-08T09:30:00+00:00"

Mode = Literal["road", "air", "rail", "sea"]
Status = Literal["planned", "dispatched", "arrived", "received", "cancelled", "lost"]

ConsignmentId = Annotated[
    Id, Path(description="The consignment's id.", examples=[specimens.CONSIGNMENT])
]


class PlannedLineInput(Input):
    """What the consignment is to carry of an offer line."""

    offer_line: Id = Field(description="The offer line.", examples=[specimens.OFFER_LINE])
    quantity: Quantity = Field(description="How much, in base units.", examples=[250])


class ConsignmentInput(Input):
    """One journey of goods of an accepted offer."""

    offer: Id = Field(description="The accepted offer.", examples=[specimens.OFFER])
    lines: Annotated[list[PlannedLineInput], Field(min_length=1, max_length=200)] = Field(
        description="What it carries: the whole offer or a part of it.",
        examples=[[{"offer_line": specimens.OFFER_LINE, "quantity": 250}]],
    )
    mode: Mode = Field(description="How it travels.", examples=["road"])
    carrier: Name | None = Field(
        default=None, description="Who carries it.", examples=["Araz Logistics"]
    )
    waybill: Name | None = Field(
        default=None, description="Number of the waybill.", examples=["CMR 0441-26"]
    )
    eta: Instant | None = Field(
        default=None,
        description="When it should arrive.",
        examples=["2026-02-09T18:00:00Z"],
    )


class CheckpointInput(Input):
    """Where it was seen."""

    place: Name = Field(description="The place.", examples=["Sarpi border crossing"])
    at: Instant = Field(description="When.", examples=["2026-02-08T09:30:00Z"])
    note: Text | None = Field(
        default=None, description="For people to read.", examples=["Customs cleared."]
    )


class FoundLine(Input):
    """What was found of one line; the three must add up to what was dispatched."""

    line: Id = Field(
        description="The consignment line (or its offer line).",
        examples=[specimens.CONSIGNMENT_LINE],
    )
    received: Count = Field(description="In good order.", examples=[240])
    damaged: Count = Field(default=0, description="Damaged.", examples=[8])
    missing: Count = Field(default=0, description="Not there; counts as lost.", examples=[2])
    note: Text | None = Field(
        default=None,
        description="For people to read.",
        examples=["One pallet was wet."],
    )


class ReceiptInput(Input):
    """What the requester signs for."""

    lines: Annotated[list[FoundLine], Field(min_length=1, max_length=200)] = Field(
        description="Every line of the consignment, once.",
        examples=[
            [{"line": specimens.CONSIGNMENT_LINE, "received": 240, "damaged": 8, "missing": 2}]
        ],
    )


class ConsignmentReason(Input):
    """Why."""

    reason: Text | None = Field(
        default=None,
        description="In a few words; the other party reads it.",
        examples=["Avalanche on the pass."],
    )


class ConsignmentLine(Shown):
    """What a consignment carries of an offer line."""

    id: UUID = Field(
        description="The consignment line, which the receipt names.",
        examples=[specimens.CONSIGNMENT_LINE],
    )
    offer_line: UUID = Field(description="The offer line.", examples=[specimens.OFFER_LINE])
    item: str = Field(description="The item.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="Its base unit.", examples=["piece"])
    quantity: int = Field(description="How much it carries.", examples=[250])
    received: int = Field(description="Received in good order.", examples=[240])
    damaged: int = Field(description="Received damaged.", examples=[8])
    missing: int = Field(description="Missing at the receipt.", examples=[2])
    note: str | None = Field(description="The receiver's note.", examples=["One pallet was wet."])


class Checkpoint(Shown):
    """Where it was seen."""

    place: str = Field(description="The place.", examples=["Sarpi border crossing"])
    at: str = Field(description="When.", examples=[_AT])
    note: str | None = Field(description="For people to read.", examples=[None])


class Consignment(Shown):
    """A consignment, as the two parties of its offer and the secretariat see it."""

    id: UUID = Field(description="The consignment.", examples=[specimens.CONSIGNMENT])
    offer: UUID = Field(description="Its offer.", examples=[specimens.OFFER])
    society: str = Field(description="Who sends it.", examples=["AZE"])
    to: str = Field(description="Who receives it.", examples=["TUR"])
    status: Status = Field(description="The state of the consignment.", examples=["dispatched"])
    mode: Mode = Field(description="How it travels.", examples=["road"])
    carrier: str | None = Field(description="Who carries it.", examples=["Araz Logistics"])
    waybill: str | None = Field(description="Number of the waybill.", examples=["CMR 0441-26"])
    eta: str | None = Field(description="When it should arrive.", examples=[_AT])
    reason: str | None = Field(description="Why it was cancelled or lost.", examples=[None])
    created_at: str = Field(description="When it was planned.", examples=[_AT])
    dispatched_at: str | None = Field(description="When it left.", examples=[_AT])
    arrived_at: str | None = Field(description="When it arrived.", examples=[None])
    ended_at: str | None = Field(
        description="When it was received, lost or cancelled.", examples=[None]
    )
    lines: list[ConsignmentLine] = Field(description="What it carries.")
    checkpoint_count: int = Field(description="How often it was seen.", examples=[1])
    checkpoints: list[Checkpoint] = Field(
        description="Where it was seen, in order of time: the latest 50. All of them: "
        "`GET /v1/consignments/{id}/checkpoints`."
    )


class ConsignmentQuery(PageQuery):
    """Which consignments."""

    offer: Id | None = Field(
        default=None, description="Of which offer.", examples=[specimens.OFFER]
    )
    status: Status | None = Field(
        default=None, description="In which state.", examples=["dispatched"]
    )
