"""What is sent and shown of webhooks."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path
from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.fields import Id, Input, Shown, Text
from app.pages import PageQuery

_ID = "01935f95-3c5a-7b3d-9e4d-6f1a2b3c4d5e"
_RECORD = "01935f92-1b2e-7f00-8d10-2a3b4c5d6e7f"
_AT = "2026-11-24T08:00:00.000000+00:00"
_URL = "https://erp.redcrescent.example/komek"

WebhookId = Annotated[Id, Path(description="The endpoint's id.", examples=[_ID])]
DeliveryId = Annotated[
    Id, Path(description="The delivery's id, which is its `webhook-id`.", examples=[_RECORD])
]

Pattern = Annotated[str, Field(max_length=60, pattern=r"^[a-z]+\.([a-z_]+|\*)$")]
Types = Annotated[list[Pattern], Field(min_length=1, max_length=50)]
Url = Annotated[Text, Field(min_length=1)]
Seq = Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
"""As large as every reader of JSON can count."""
Status = Literal["active", "paused", "disabled"]
DeliveryStatus = Literal["waiting", "delivered", "exhausted"]

_TYPES = "Only these types: exact ones, or all of a subject as `offer.*`. Null: everything."
_EMERGENCY = "Only what belongs to this emergency."
_MINE = "Only what your own society did or what was told to it by name."
_SEALED = (
    "Whether the envelopes of what your society may not see come, too: your copy of the chain then "
    "has no gaps. Not together with `types`, `emergency` or `mine`."
)


def _place(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    # The framework would tell what is wrong with each of the two, at pointers that are none.
    try:
        return check(value)
    except ValidationError:
        said = "Give `now`, or a whole number from 0 to 9007199254740991."
        raise PydanticCustomError("place_form", said) from None


class WebhookInput(Input):
    """A new endpoint."""

    url: Url = Field(
        description="Where to POST: `https`, a public address, port 443 or from 1024 on, no user "
        "name in it. Redirects are not followed.",
        examples=[_URL],
    )
    types: Types | None = Field(
        default=None, description=_TYPES, examples=[["offer.*", "stock.shortfall"]]
    )
    emergency: Id | None = Field(default=None, description=_EMERGENCY, examples=[None])
    mine: bool = Field(default=False, description=_MINE, examples=[True])
    sealed: bool = Field(default=False, description=_SEALED, examples=[False])
    description: Text | None = Field(
        default=None, description="A note of your own.", examples=["Warehouse ERP"]
    )
    from_: Annotated[Literal["now"] | Seq, WrapValidator(_place)] = Field(
        default="now",
        alias="from",
        description="`now`, or the `seq` after which to begin: 0 sends the whole history.",
        examples=["now"],
    )


def _given(value: Url | None) -> Url | None:
    if value is None:
        raise ValueError("This must not be null.")
    return value


class WebhookPatch(Input):
    """What is to be changed; what is left out stays."""

    url: Annotated[Url | None, AfterValidator(_given)] = Field(
        default=None, description="Where to POST.", examples=[_URL]
    )
    types: Types | None = Field(default=None, description=_TYPES, examples=[["offer.*"]])
    emergency: Id | None = Field(default=None, description=_EMERGENCY, examples=[None])
    mine: bool | None = Field(default=None, description=_MINE, examples=[True])
    sealed: bool | None = Field(default=None, description=_SEALED, examples=[False])
    description: Text | None = Field(
        default=None, description="A note of your own.", examples=["Warehouse ERP"]
    )


class SecretTimes(Shown):
    """A secret that signs; never the secret itself."""

    created_at: str = Field(description="When it was made.", examples=[_AT])
    expires_at: str | None = Field(
        description="Until when it signs along, after a rotation; null for the present one.",
        examples=[None],
    )


class Webhook(Shown):
    """An endpoint of your society."""

    id: UUID = Field(description="The endpoint.", examples=[_ID])
    url: str = Field(description="Where events are sent.", examples=[_URL])
    description: str | None = Field(description="Your note.", examples=["Warehouse ERP"])
    types: list[str] | None = Field(description=_TYPES, examples=[["offer.*"]])
    emergency: UUID | None = Field(description=_EMERGENCY, examples=[None])
    mine: bool = Field(description=_MINE, examples=[True])
    sealed: bool = Field(description=_SEALED, examples=[False])
    status: Status = Field(
        description="`paused` after long failing and `disabled` after a 410: resume it.",
        examples=["active"],
    )
    reason: Literal["failing", "exhausted", "gone"] | None = Field(
        description="Why it is not active.", examples=[None]
    )
    since: str = Field(description="Since when it has this status.", examples=[_AT])
    created_at: str = Field(description="When it was created.", examples=[_AT])
    secrets: list[SecretTimes] = Field(
        description="The secrets that sign: one, or two during a rotation."
    )


class WebhookWithSecret(Webhook):
    """An endpoint and its new secret, which is shown this once."""

    secret: str | None = Field(
        description="The secret. Store it now: it cannot be shown again, and a repeated call with "
        "the same Idempotency-Key shows null; rotate where the first answer was lost.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA="],
    )


class SecretRotation(Input):
    """How long the secret before signs along."""

    overlap_hours: Annotated[int, Field(ge=0, le=168)] = Field(
        default=24,
        description="For how many hours both secrets sign, 0 to 168.",
        examples=[24],
    )


class ReplayInput(Input):
    """What is to be sent once more."""

    after: Seq = Field(description="Begin after this `seq`.", examples=[40])
    until: Seq | None = Field(
        default=None,
        description="Up to this `seq`; up to where the endpoint is where left out.",
        examples=[42],
    )


class Range(Shown):
    """What is left of a replay."""

    after: int = Field(description="Everything up to this `seq` is done.", examples=[40])
    until: int = Field(description="Up to this `seq`.", examples=[42])


class Progress(Shown):
    """How far an endpoint is."""

    cursor: int = Field(
        description="Everything up to this `seq` was tried at least once, or was not wanted.",
        examples=[42],
    )
    behind: int = Field(description="How far the ledger's end is from there.", examples=[0])
    waiting: int = Field(description="Deliveries that failed and are tried again.", examples=[0])
    exhausted: int = Field(description="Deliveries that were given up.", examples=[0])
    replaying: Range | None = Field(description="The replay under way.", examples=[None])
    failures_in_a_row: int = Field(description="Failures since the last success.", examples=[0])
    failing_since: str | None = Field(description="When they began.", examples=[None])
    last_success_at: str | None = Field(description="The last success.", examples=[_AT])
    next_attempt_at: str | None = Field(
        description="When the first of those that wait is tried again.", examples=[None]
    )
    rests_until: str | None = Field(
        description="Until when nothing is sent, because your receiver asked for it or does not "
        "answer.",
        examples=[None],
    )


class Attempt(Shown):
    """One POST."""

    at: str = Field(description="When.", examples=["2026-11-24T08:00:00.000000Z"])
    status: int | None = Field(
        description="The HTTP status; null without an answer.", examples=[200]
    )
    body: str = Field(
        description="How the answer begins, 1,000 characters at most.", examples=["ok"]
    )
    milliseconds: int = Field(description="How long it took.", examples=[38])
    error: str | None = Field(description="Why there was no whole answer.", examples=[None])


class Delivery(Shown):
    """An event on its way to an endpoint."""

    id: UUID = Field(
        description="The `webhook-id` of every attempt, which is the event's id.",
        examples=[_RECORD],
    )
    seq: int = Field(description="The event's `seq`.", examples=[42])
    type: str = Field(description="The event's type.", examples=["offer.proposed"])
    status: DeliveryStatus = Field(
        description="`waiting` for the next attempt, `delivered`, or `exhausted` after the last.",
        examples=["delivered"],
    )
    attempts: list[Attempt] = Field(description="The newest 30 attempts, oldest first.")
    next_attempt_at: str | None = Field(
        description="When it is tried again; null where it is not.", examples=[None]
    )
    updated_at: str = Field(description="When this was written.", examples=[_AT])


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = Field(
        default=None, description="In which state.", examples=["waiting"]
    )
    type: Annotated[str, Field(max_length=60, pattern=r"^[a-z]+\.([a-z_]+|\*)$")] | None = Field(
        default=None, description="Of this type, or of a subject: `offer.*`.", examples=["offer.*"]
    )
