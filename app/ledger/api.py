"""The feed: everything that happened, in one order, as far as the caller may see it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app import specimens
from app.access.guard import Reader
from app.calls import Exchange
from app.db import ReadTx
from app.fields import Id, Shown
from app.ledger import actions, rules
from app.pages import listing, read_cursor, single, write_cursor
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Ledger"], route_class=Exchange)

_TYPE = r"^[a-z_]+\.[a-z_]+(,[a-z_]+\.[a-z_]+)*$"


class EventQuery(BaseModel):
    """From where on, and which."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    after: Annotated[int, Field(ge=0, lt=1 << 62)] = Field(
        default=0,
        description="Only what comes after this `seq`. Keep the last one that you handled.",
        examples=[0],
    )
    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        default=50, description="How many at most, 1 to 200.", examples=[50]
    )
    cursor: Annotated[str, Field(max_length=400)] | None = Field(
        default=None,
        description="`next` of the page before; the same as `after` with its last `seq`.",
        examples=["WzUwXQ"],
    )
    type: Annotated[str, Field(max_length=400, pattern=_TYPE)] | None = Field(
        default=None,
        description="Only these types, with commas between them. What you may not see is then "
        "left out, since its type is not told; `seq` has gaps.",
        examples=["offer.proposed,offer.accepted"],
    )
    emergency: Id | None = Field(
        default=None,
        description="Only what belongs to this emergency, as far as you may see it.",
        examples=[specimens.EVENT],
    )
    mine: bool = Field(
        default=False,
        description="Only what your own society did or what was told to it by name.",
        examples=[False],
    )


class Subject(Shown):
    """What it happened to."""

    type: str = Field(description="The kind of object.", examples=["offer"])
    id: str = Field(description="Its id.", examples=[specimens.OFFER])


class Event(BaseModel):
    """A sealed record. Where you may not see it, only the envelope: `type` is `sealed`."""

    model_config = ConfigDict(extra="forbid")

    seq: int = Field(description="Its place: 1, 2, 3 … without gaps.", examples=[42])
    id: UUID | None = Field(description="The record.", examples=[specimens.EVENT])
    type: str = Field(description="What happened.", examples=["offer.proposed"])
    at: str | None = Field(description="When.", examples=["2026-11-24T08:00:00.000000Z"])
    society: str | None = Field(description="On whose behalf.", examples=["AZE"])
    subject: Subject | None = Field(description="What it happened to.")
    data: dict[str, Any] | None = Field(
        description="What is to be known of it. `actor` is the client; `moves` add up to every "
        "balance.",
        examples=[{"actor": specimens.CLIENT, "to": "TUR", "moves": []}],
    )
    salt: str | None = Field(description="32 random bytes, hex.", examples=[specimens.DIGEST])
    private: dict[str, Any] | None = Field(
        default=None,
        description="What only your own society may see, with its salt; "
        "`data.private_commitment` binds it.",
        examples=[None],
    )
    commitment: str = Field(
        description="SHA-256(salt ‖ RFC 8785 JSON of `{id, type, at, society, subject, data}`).",
        examples=[specimens.DIGEST],
    )
    hash: str = Field(
        description="SHA-256(previous hash ‖ `seq` as 8 bytes big-endian ‖ commitment).",
        examples=[specimens.DIGEST],
    )
    previous_hash: str = Field(
        description="The hash before it; 64 zeros before the first.", examples=[specimens.DIGEST]
    )


class EventPage(Shown):
    """A page of the feed."""

    items: list[Event] = Field(description="The events, in order.")
    next: str | None = Field(
        description="`cursor` of the next page; null where you are up to date.",
        examples=[None],
    )


class Head(Shown):
    """The end of the chain."""

    seq: int = Field(description="The last `seq`.", examples=[42])
    hash: str = Field(description="Its hash.", examples=[specimens.DIGEST])


@router.get("/events", summary="Read the feed", response_model=EventPage, responses=answers())
async def list_events(
    request: Request, caller: Reader, tx: ReadTx, query: Annotated[EventQuery, Query()]
) -> Response:
    """Everything that happened, in one order, exactly once. Poll with `after`.

    What you may not see comes as a sealed envelope, so that your feed has no gaps and you can
    check the whole chain of hashes by yourself.
    """
    cursor = read_cursor(query.cursor, int)
    after = cursor[0] if cursor else query.after
    filters = rules.Filters(
        types=tuple(query.type.split(",")) if query.type else None,
        emergency=query.emergency,
        mine=query.mine,
    )
    items, last, count = await actions.read_feed(
        tx,
        society=caller.society,
        eyes=caller.eyes,
        after=after,
        limit=query.limit,
        filters=filters,
    )
    following = write_cursor(last) if last is not None and count == query.limit else None
    return listing(request, items, following)


@router.get(
    "/events/head",
    summary="Read the chain's head",
    response_model=Head,
    responses=answers(),
)
async def get_chain_head(caller: Reader, tx: ReadTx) -> Response:
    """The last `seq` and hash. Keep it: `komek verify --head` proves by it that nothing that came
    before was rewritten."""
    seq, digest = await actions.chain_head(tx)
    return single(f'{{"seq":{seq},"hash":"{digest}"}}')
