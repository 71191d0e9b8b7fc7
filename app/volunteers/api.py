"""A society's own pools of volunteers, and the network's pools as others see them."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app import specimens
from app.access.guard import Reader, VolunteerReader, VolunteerWriter
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.errors import invalid
from app.fields import (
    Code,
    CountryCode,
    Id,
    Input,
    Instant,
    Language,
    PastInstant,
    Ref,
    Shown,
    SocietyCode,
)
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers
from app.stock.schemas import LotSite
from app.volunteers import actions

router = APIRouter(prefix="/v1", tags=["Volunteers"], route_class=Exchange)

_FROM, _UNTIL = "2026-02-07T06:00:00Z", "2026-03-31T18:00:00Z"
_SHOWN_FROM, _SHOWN_UNTIL = "2026-02-07T06:00:00+00:00", "2026-03-31T18:00:00+00:00"
_SITE = {
    "name": "Bishkek base", "country": "KGZ", "lat": 42.87, "lon": 74.59, "kind": "base",
}  # fmt: skip

PoolRef = Annotated[Ref, Path(description="Your own reference of the pool.", examples=["usar-a"])]
PoolId = Annotated[Id, Path(description="The pool's id.", examples=[specimens.POOL])]


class PoolInput(Input):
    """A pool as you publish it: how many people with a skill, and when. No names, ever."""

    skill: Code = Field(description="What they can do.", examples=["usar"])
    languages: Annotated[list[Language], Field(max_length=50)] = Field(
        default=[],
        description="What they speak, ISO 639-1.",
        examples=[["ky", "ru", "tr"]],
    )
    headcount: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        description="How many people.", examples=[40]
    )
    available_from: Instant = Field(description="From when they are available.", examples=[_FROM])
    available_until: Instant = Field(
        description="Until when; later than `available_from`.", examples=[_UNTIL]
    )
    notice_hours: Annotated[int, Field(ge=0, le=8760)] = Field(
        default=0,
        description="How many hours from the call to the departure.",
        examples=[12],
    )
    site: Ref = Field(description="Your own reference of their base.", examples=["bishkek-base"])
    visible_to: Annotated[list[SocietyCode], Field(max_length=100)] | None = Field(
        default=None,
        description="The societies that may see the pool; null: every society.",
        examples=[["KAZ", "TUR"]],
    )
    as_of: PastInstant | None = Field(
        default=None,
        description="When it was counted; now where left out. A count that is older than the last "
        "one is refused (409 `stale_count`).",
        examples=["2026-02-06T01:17:00Z"],
    )

    @model_validator(mode="after")
    def _in_order(self) -> "PoolInput":
        if self.available_until <= self.available_from:
            raise PydanticCustomError(
                "before_from", "`available_until` must be later than `available_from`."
            )
        return self


class OwnPool(Shown):
    """A pool as its owner sees it."""

    id: UUID = Field(description="The pool's id, which offers name.", examples=[specimens.POOL])
    ref: str = Field(description="Your own reference.", examples=["usar-a"])
    skill: str = Field(description="What they can do.", examples=["usar"])
    languages: list[str] = Field(description="What they speak.", examples=[["ky", "ru", "tr"]])
    headcount: int = Field(description="Your count.", examples=[40])
    available_from: str = Field(description="From when.", examples=[_SHOWN_FROM])
    available_until: str = Field(description="Until when.", examples=[_SHOWN_UNTIL])
    notice_hours: int = Field(description="Hours of notice.", examples=[12])
    site: str = Field(description="Your own reference of their base.", examples=["bishkek-base"])
    promised: int = Field(
        description="The most that are promised at one time, from now to the end of the window.",
        examples=[25],
    )
    available: int = Field(
        description="How many may still be promised for the whole window.",
        examples=[15],
    )
    shortfall: int = Field(
        description="How many are promised beyond your count or window; 0 is as it should be.",
        examples=[0],
    )
    visible_to: list[str] | None = Field(
        description="Who may see it; null: every society.", examples=[None]
    )
    as_of: str = Field(description="When it was counted.", examples=[_SHOWN_FROM])
    updated_at: str = Field(description="When it was last published.", examples=[_SHOWN_FROM])


class PoolShown(Shown):
    """A pool as the network sees it."""

    id: UUID = Field(description="The pool's id, which offers name.", examples=[specimens.POOL])
    society: str = Field(description="Whose volunteers they are.", examples=["KGZ"])
    skill: str = Field(description="What they can do.", examples=["usar"])
    languages: list[str] = Field(description="What they speak.", examples=[["ky", "ru", "tr"]])
    available: int = Field(
        description="How many may be promised for the whole of the window asked (`from`, `until`; "
        "without them the pool's own from now on).",
        examples=[15],
    )
    available_from: str = Field(description="From when.", examples=[_SHOWN_FROM])
    available_until: str = Field(description="Until when.", examples=[_SHOWN_UNTIL])
    notice_hours: int = Field(description="Hours of notice.", examples=[12])
    site: LotSite = Field(description="Where their base is.", examples=[_SITE])
    as_of: str = Field(description="When it was counted.", examples=[_SHOWN_FROM])


class PoolQuery(PageQuery):
    """Which pools, and for which window."""

    skill: Code | None = Field(default=None, description="What they can do.", examples=["usar"])
    from_: Instant | None = Field(
        default=None,
        alias="from",
        description="Available from here on, without a gap.",
        examples=[_FROM],
    )
    until: Instant | None = Field(
        default=None,
        description="Available until here.",
        examples=["2026-02-21T06:00:00Z"],
    )
    min_headcount: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None,
        description="At least so many available for the window.",
        examples=[10],
    )
    language: Language | None = Field(
        default=None, description="Who speak this language.", examples=["tr"]
    )
    society: SocietyCode | None = Field(
        default=None, description="Whose volunteers.", examples=["KGZ"]
    )
    country: CountryCode | None = Field(
        default=None, description="In which country their base is.", examples=["KGZ"]
    )


@router.get(
    "/my/volunteers",
    summary="List your pools",
    response_model=Page[OwnPool],
    responses=answers(),
)
async def list_own_pools(
    request: Request,
    caller: VolunteerReader,
    tx: ReadTx,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """Your society's own pools, with how many of each are promised."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.list_own(tx, caller, after[0] if after else UUID(int=0), query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/my/volunteers/{ref}",
    summary="Read a pool",
    response_model=OwnPool,
    responses=answers("not_found"),
)
async def get_own_pool(ref: PoolRef, caller: VolunteerReader, tx: ReadTx) -> Response:
    """One of your pools, by your own reference."""
    return single(await actions.show_own(tx, caller, ref))


@router.put(
    "/my/volunteers/{ref}",
    summary="Publish a pool",
    response_model=OwnPool,
    responses=answers(
        "role_forbidden", "unknown_reference", "pool_reserved", "stale_count", "precondition_failed"
    )
    | {201: {"model": OwnPool, "description": "The pool was created."}},
)
async def publish_pool(
    ref: PoolRef, body: PoolInput, caller: VolunteerWriter, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace one of your pools. Repeating the same call changes nothing.

    Your count is the truth: fewer people than are promised is accepted, sets `shortfall`, stops
    new promises and tells both parties by `volunteers.shortfall`.
    """
    pool = actions.Pool(**{k: getattr(body, k) for k in _POOL_FIELDS})
    created, doc = await actions.publish(tx, caller, ref, pool, if_match)
    if created:
        return single(doc, status=201, location=f"/v1/my/volunteers/{quote(ref)}")
    return single(doc)


_POOL_FIELDS = tuple(actions.Pool.__dataclass_fields__)


@router.delete(
    "/my/volunteers/{ref}",
    status_code=204,
    summary="Withdraw a pool",
    responses=answers("not_found", "pool_reserved", "precondition_failed"),
)
async def withdraw_pool(
    ref: PoolRef, caller: VolunteerWriter, tx: Tx, if_match: IfMatch
) -> Response:
    """Take a pool off the exchange. Refused while people of it are promised."""
    await actions.withdraw(tx, caller, ref, if_match)
    return Response(status_code=204)


@router.get(
    "/volunteers",
    summary="Search the network's volunteers",
    response_model=Page[PoolShown],
    responses=answers(),
)
async def find_pools(
    request: Request, caller: Reader, tx: ReadTx, query: Annotated[PoolQuery, Query()]
) -> Response:
    """Who is available for the whole of a window, as far as the societies let you see it."""
    if query.from_ is not None and query.until is not None and query.until <= query.from_:
        raise invalid("query/until", "before_from", "`until` must be later than `from`.")
    after = read_cursor(query.cursor, UUID)
    names = ("skill", "min_headcount", "language", "society", "country")
    rows = await actions.find(
        tx,
        caller,
        {name: getattr(query, name) for name in names},
        query.from_,
        query.until,
        after[0] if after else None,
        query.limit + 1,
    )
    return page(request, rows, query.limit)


@router.get(
    "/volunteers/{id}",
    summary="Read a pool of the network",
    response_model=PoolShown,
    responses=answers("not_found"),
)
async def get_pool(id: PoolId, caller: Reader, tx: ReadTx) -> Response:
    """One pool of the network; the same view for everyone who may see it."""
    return single(await actions.show(tx, caller, id))
