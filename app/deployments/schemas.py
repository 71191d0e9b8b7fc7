"""What is sent and shown of deployments."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import Field

from app import specimens
from app.fields import Headcount, Id, Input, Instant, Name, Shown, Text
from app.pages import PageQuery

_AT = "2026-02-08T09:30:00+00:00"

Status = Literal["planned", "mobilised", "deployed", "released", "returned", "cancelled"]

DeploymentId = Annotated[
    Id, Path(description="The deployment's id.", examples=[specimens.DEPLOYMENT])
]


class DeploymentInput(Input):
    """People of an accepted offer who travel together."""

    offer: Id = Field(description="The accepted offer.", examples=[specimens.PEOPLE_OFFER])
    offer_line: Id = Field(
        description="Its line of volunteers.", examples=[specimens.PEOPLE_OFFER_LINE]
    )
    headcount: Headcount = Field(description="How many of them.", examples=[20])
    eta: Instant | None = Field(
        default=None,
        description="When they should arrive.",
        examples=["2026-02-08T06:00:00Z"],
    )


class ExtensionInput(Input):
    """A longer deployment that you ask the other party for."""

    until: Instant = Field(
        description="Until when; later than it lasts now.",
        examples=["2026-03-07T06:00:00Z"],
    )
    reason: Text | None = Field(
        default=None,
        description="In a few words; the other party reads it.",
        examples=["Search goes on in two districts."],
    )


class DeploymentReason(Input):
    """Why."""

    reason: Text | None = Field(
        default=None,
        description="In a few words; the other party reads it.",
        examples=["Relieved by a local team."],
    )


class Person(Input):
    """One of those who come."""

    name: Name = Field(description="Name as in the passport.", examples=["Aibek Example"])
    role: Name | None = Field(
        default=None,
        description="What the person does in the team.",
        examples=["Team leader"],
    )
    document: Name | None = Field(
        default=None,
        description="Number of the travel document.",
        examples=["AC0000000"],
    )
    phone: Name | None = Field(
        default=None,
        description="How to reach the person.",
        examples=["+996 000 000000"],
    )
    languages: Annotated[list[Name], Field(max_length=20)] = Field(
        default=[], description="What the person speaks.", examples=[["ky", "ru", "tr"]]
    )
    note: Text | None = Field(
        default=None,
        description="Whatever else the receiver must know.",
        examples=[None],
    )


class ManifestInput(Input):
    """Who comes: as many people as the deployment has, or fewer while not all are known."""

    people: Annotated[list[Person], Field(min_length=1, max_length=2000)] = Field(
        description="The people.",
        examples=[[{"name": "Aibek Example", "role": "Team leader"}]],
    )


class PersonShown(Shown):
    """One of those who come."""

    name: str = Field(description="Name as in the passport.", examples=["Aibek Example"])
    role: str | None = Field(
        description="What the person does in the team.", examples=["Team leader"]
    )
    document: str | None = Field(
        description="Number of the travel document.", examples=["AC0000000"]
    )
    phone: str | None = Field(description="How to reach the person.", examples=["+996 000 000000"])
    languages: list[str] = Field(
        description="What the person speaks.", examples=[["ky", "ru", "tr"]]
    )
    note: str | None = Field(description="What else there is to know.", examples=[None])


class Manifest(Shown):
    """Who comes; for the two parties alone, erased 30 days after the return."""

    deployment: UUID = Field(description="The deployment.", examples=[specimens.DEPLOYMENT])
    people: list[PersonShown] = Field(description="The people.")
    salt: str = Field(
        description="32 random bytes, hex; erased with the names.", examples=[specimens.DIGEST]
    )
    commitment: str = Field(
        description="SHA-256(salt ‖ RFC 8785 JSON of `{people}`), as the ledger holds it.",
        examples=[specimens.DIGEST],
    )
    updated_at: str = Field(description="When it was last written.", examples=[_AT])


class Extension(Shown):
    """A longer deployment that one party asks for."""

    until: str = Field(description="Until when.", examples=["2026-03-07T06:00:00+00:00"])
    asked_by: str = Field(description="Who asks; the other party answers.", examples=["TUR"])
    reason: str | None = Field(description="Why.", examples=["Search goes on in two districts."])


class Deployment(Shown):
    """A deployment, as the two parties of its offer and the secretariat see it. No names."""

    id: UUID = Field(description="The deployment.", examples=[specimens.DEPLOYMENT])
    offer: UUID = Field(description="Its offer.", examples=[specimens.PEOPLE_OFFER])
    offer_line: UUID = Field(description="Its offer line.", examples=[specimens.PEOPLE_OFFER_LINE])
    society: str = Field(description="Who sends them.", examples=["KGZ"])
    to: str = Field(description="Who receives them.", examples=["TUR"])
    status: Status = Field(description="The state of the deployment.", examples=["mobilised"])
    skill: str = Field(description="What they can do.", examples=["usar"])
    headcount: int = Field(description="How many people.", examples=[20])
    from_: str = Field(alias="from", description="From when they are promised.", examples=[_AT])
    until: str = Field(
        description="Until when they are promised; moved by an extension.",
        examples=["2026-02-21T06:00:00+00:00"],
    )
    eta: str | None = Field(description="When they should arrive.", examples=[_AT])
    reason: str | None = Field(description="Why it was released or cancelled.", examples=[None])
    extension: Extension | None = Field(
        description="A longer deployment that is asked for and not answered yet.",
        examples=[None],
    )
    manifest: Literal["sealed", "erased"] | None = Field(
        description="Whether there is a manifest; null: not yet.", examples=["sealed"]
    )
    created_at: str = Field(description="When it was planned.", examples=[_AT])
    mobilised_at: str | None = Field(description="When they left.", examples=[_AT])
    arrived_at: str | None = Field(description="When they arrived.", examples=[None])
    released_at: str | None = Field(description="When they were released.", examples=[None])
    ended_at: str | None = Field(
        description="When they were back, or the deployment was cancelled.",
        examples=[None],
    )


class DeploymentQuery(PageQuery):
    """Which deployments."""

    offer: Id | None = Field(
        default=None, description="Of which offer.", examples=[specimens.PEOPLE_OFFER]
    )
    status: Status | None = Field(
        default=None, description="In which state.", examples=["mobilised"]
    )
