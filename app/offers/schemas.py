"""What is sent and shown of offers."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app import specimens
from app.fields import (
    Code,
    Headcount,
    Id,
    Input,
    Instant,
    PastInstant,
    Quantity,
    Ref,
    Shown,
    SocietyCode,
    Text,
)
from app.pages import PageQuery
from app.quantity import MOST

Status = Literal["proposed", "accepted", "declined", "withdrawn", "expired", "completed"]

OfferId = Annotated[Id, Path(description="The offer's id.", examples=[specimens.OFFER])]


class OfferLineInput(Input):
    """What is offered: `quantity` from a lot of yours, or `headcount` from a pool of yours."""

    request_line: Id | None = Field(
        default=None,
        description="The request line that it answers; leave it out when unsolicited.",
        examples=[specimens.REQUEST_LINE],
    )
    stock: Id | None = Field(default=None, description="A lot of yours.", examples=[specimens.LOT])
    quantity: Quantity | None = Field(
        default=None,
        description="How much of the lot, in the item's base unit, or in packs with `pack`.",
        examples=[400],
    )
    pack: Code | None = Field(
        default=None, description="Offer in packs of this code.", examples=[None]
    )
    volunteers: Id | None = Field(default=None, description="A pool of yours.", examples=[None])
    headcount: Headcount | None = Field(
        default=None, description="How many people of the pool.", examples=[None]
    )

    @model_validator(mode="after")
    def _goods_or_people(self) -> "OfferLineInput":
        goods = self.stock is not None and self.quantity is not None
        people = self.volunteers is not None and self.headcount is not None
        extra = self.volunteers is not None or self.headcount is not None
        if goods and not extra:
            return self
        if people and self.stock is None and self.quantity is None and self.pack is None:
            return self
        raise PydanticCustomError(
            "one_of", "Give `stock` with `quantity`, or `volunteers` with `headcount`."
        )


class OfferInput(Input):
    """An offer for a request, or an unsolicited one with `emergency` and `to`."""

    request: Id | None = Field(
        default=None, description="The request that it answers.", examples=[specimens.REQUEST]
    )
    emergency: Id | None = Field(
        default=None, description="Unsolicited: for which emergency.", examples=[None]
    )
    to: SocietyCode | None = Field(
        default=None, description="Unsolicited: to which society.", examples=[None]
    )
    lines: Annotated[list[OfferLineInput], Field(min_length=1, max_length=200)] = Field(
        description="What is offered; all of it is reserved, or nothing.",
        examples=[
            [{"request_line": specimens.REQUEST_LINE, "stock": specimens.LOT, "quantity": 400}]
        ],
    )
    expires_at: Instant | None = Field(
        default=None,
        description="Until when the offer stands; a few days when left out, 90 at most.",
        examples=[None],
    )
    eta: Instant | None = Field(
        default=None,
        description="When it could arrive.",
        examples=["2026-12-10T12:00:00Z"],
    )
    message: Text | None = Field(
        default=None,
        description="For people to read.",
        examples=["Loaded by tomorrow noon."],
    )
    ref: Ref | None = Field(
        default=None,
        description="Your own reference: the same offer sent again under it is answered with the "
        "one that was made (200), and reserves nothing more; another one is refused (409 "
        "`duplicate_ref`).",
        examples=["DN-2026-0117"],
    )

    @model_validator(mode="after")
    def _for_a_request_or_unsolicited(self) -> "OfferInput":
        if self.request is not None:
            if self.emergency is not None or self.to is not None:
                raise PydanticCustomError(
                    "one_of", "Give `request`, or `emergency` with `to`; not both."
                )
            if any(line.request_line is None for line in self.lines):
                raise PydanticCustomError(
                    "request_line_missing",
                    "Every line of this offer needs its `request_line`.",
                )
        elif self.emergency is None or self.to is None:
            raise PydanticCustomError(
                "one_of",
                "Give `request`, or `emergency` with `to` for an unsolicited offer.",
            )
        elif any(line.request_line is not None for line in self.lines):
            raise PydanticCustomError("one_of", "`request_line` goes with `request`.")
        return self


class AcceptedLine(Input):
    """How much of a line is accepted."""

    line: Id = Field(description="The offer line.", examples=[specimens.OFFER_LINE])
    quantity: Annotated[int, Field(ge=0, le=MOST)] = Field(
        description="How much, in base units, or how many people.", examples=[250]
    )


class Acceptance(Input):
    """What is accepted; everything where `lines` is left out."""

    lines: Annotated[list[AcceptedLine], Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="In part: what is not named here is freed at once.",
        examples=[[{"line": specimens.OFFER_LINE, "quantity": 250}]],
    )
    allow_surplus: bool = Field(
        default=False, description="Take more than is outstanding.", examples=[False]
    )


class OfferReason(Input):
    """Why."""

    reason: Text | None = Field(
        default=None,
        description="In a few words; the other party reads it.",
        examples=["Covered by another society."],
    )


class Withdrawal(OfferReason):
    """Why, and when it was decided."""

    decided_at: PastInstant | None = Field(
        default=None,
        description="When you decided. Give it where the call may wait before it is sent: an "
        "offer that was accepted since then is not undone. Now where left out.",
        examples=["2026-02-07T08:00:00Z"],
    )


class OfferWarning(Shown):
    """What both parties should know of an offer."""

    pointer: str = Field(
        description="JSON pointer to the field that it is about, as it was sent.",
        examples=["/lines/0/stock"],
    )
    code: str = Field(description="The kind of warning, for programs.", examples=["expires_soon"])
    message: str = Field(
        description="The reason, for people.",
        examples=["The goods expire on 2026-03-31, in less than 3 months."],
    )


class _LineFigures(Shown):
    id: UUID = Field(description="The offer line.", examples=[specimens.OFFER_LINE])
    request_line: UUID | None = Field(
        description="The request line that it answers; null when unsolicited.",
        examples=[specimens.REQUEST_LINE],
    )
    accepted: int = Field(description="What the requester accepted.", examples=[250])
    planned: int = Field(
        description="What is in consignments or deployments, planned or on the way.",
        examples=[250],
    )
    dispatched: int = Field(description="What has left.", examples=[250])
    received: int = Field(description="What arrived in good order.", examples=[240])
    damaged: int = Field(description="What arrived damaged.", examples=[8])
    lost: int = Field(description="What was missing or lost.", examples=[2])


class GoodsLine(_LineFigures):
    """Goods of an offer."""

    stock: UUID = Field(description="The lot.", examples=[specimens.LOT])
    item: str = Field(description="The lot's item.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="Its base unit.", examples=["piece"])
    quantity: int = Field(description="What was offered, in base units.", examples=[400])


class PeopleLine(_LineFigures):
    """People of an offer."""

    volunteers: UUID = Field(description="The pool.", examples=[specimens.POOL])
    skill: str = Field(description="What they can do.", examples=["usar"])
    from_: str = Field(
        alias="from", description="From when.", examples=["2026-02-07T06:00:00+00:00"]
    )
    until: str = Field(description="Until when.", examples=["2026-02-21T06:00:00+00:00"])
    headcount: int = Field(description="How many were offered.", examples=[60])


class Offer(Shown):
    """An offer, as its two parties and the secretariat see it."""

    id: UUID = Field(description="The offer.", examples=[specimens.OFFER])
    emergency: UUID = Field(description="The emergency.", examples=[specimens.EMERGENCY])
    request: UUID | None = Field(
        description="The request that it answers; null when unsolicited.",
        examples=[specimens.REQUEST],
    )
    society: str = Field(description="Who offers.", examples=["AZE"])
    to: str = Field(description="To whom.", examples=["TUR"])
    status: Status = Field(description="The state of the offer.", examples=["proposed"])
    expires_at: str = Field(
        description="Until when a proposal stands.",
        examples=["2026-12-01T00:00:00+00:00"],
    )
    eta: str | None = Field(description="When it could arrive.", examples=[None])
    ref: str | None = Field(description="The provider's own reference.", examples=["DN-2026-0117"])
    message: str | None = Field(description="For people to read.", examples=[None])
    warnings: list[OfferWarning] = Field(
        description="What both parties should know, such as goods that expire in less than three "
        "months.",
        examples=[[]],
    )
    reason: str | None = Field(description="Why it ended.", examples=[None])
    created_at: str = Field(
        description="When it was proposed.", examples=["2026-11-24T08:00:00+00:00"]
    )
    updated_at: str = Field(
        description="When its state last changed.",
        examples=["2026-11-24T08:00:00+00:00"],
    )
    lines: list[GoodsLine | PeopleLine] = Field(description="What is offered.")


class OfferQuery(PageQuery):
    """Which offers."""

    request: Id | None = Field(
        default=None, description="For which request.", examples=[specimens.REQUEST]
    )
    status: Status | None = Field(
        default=None, description="In which state.", examples=["proposed"]
    )
    as_: Literal["provider", "requester"] | None = Field(
        default=None,
        alias="as",
        description="Only those that you made (`provider`) or got (`requester`).",
        examples=["requester"],
    )
