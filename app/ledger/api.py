"""The feed: everything that happened, in one order, as far as the caller may see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from app import json_text, specimens
from app.access.guard import Reader
from app.calls import Exchange
from app.db import ReadTx
from app.errors import AppError, invalid
from app.fields import Id, Shown
from app.ledger import actions, events, rules, schemas, streaming
from app.limits import Limits
from app.pages import Page, PageQuery, listing, page, read_cursor, single, write_cursor
from app.problems import answers

log = structlog.get_logger()

router = APIRouter(prefix="/v1", tags=["Ledger"], route_class=Exchange)

_TYPE = r"^[a-z_]+\.[a-z_]+(,[a-z_]+\.[a-z_]+)*$"


EventTypes = Annotated[
    Annotated[str, Field(max_length=400, pattern=_TYPE)] | None,
    Field(
        description="Only these types, with commas between them. What you may not see is then "
        "left out, since its type is not told; `seq` has gaps, and pages may be empty.",
        examples=["offer.proposed,offer.accepted"],
    ),
]
OfEmergency = Annotated[
    Id | None,
    Field(
        description="Only what belongs to this emergency, as far as you may see it.",
        examples=[specimens.EMERGENCY],
    ),
]
OfMine = Annotated[
    bool,
    Field(
        description="Only what your own society did or what was told to it by name.",
        examples=[False],
    ),
]
_STREAM = """retry: 2000
id: 41

event: offer.proposed
data: {"seq":42,"salt":"9f86…","at":"2026-11-24T08:00:00.000000Z","type":"offer.proposed"}
id: 42

"""
_AGAIN_MS = 2000
_TAKEN_WITHIN = 60.0


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
    type: EventTypes = None
    emergency: OfEmergency = None
    mine: OfMine = False


def _filters(query: "EventQuery | StreamQuery") -> rules.Filters:
    return rules.Filters(
        types=tuple(query.type.split(",")) if query.type else None,
        emergency=query.emergency,
        mine=query.mine,
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
        description="What is to be known of it. `actor` is the client, `exchange` or `operator`; "
        "`moves` add up to every balance.",
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
        description="`cursor` of the next page; null where you are up to date. A filtered page "
        f"looks at {actions.LOOKED:,} places at most: it may be short, or empty, and still have a "
        "next one.",
        examples=[None],
    )
    reached: int = Field(
        description="Up to this `seq` you have everything that you asked for. Where you poll with "
        "a filter, go on with `after` from here.",
        examples=[42],
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
    check the whole chain of hashes by yourself. With a filter, keep `reached` and not the last
    `seq` that you were shown, so that nothing is looked through twice.
    """
    cursor = read_cursor(query.cursor, int)
    after = cursor[0] if cursor else query.after
    filters = _filters(query)
    items, reach = await actions.read_feed(
        tx,
        society=caller.society,
        eyes=caller.eyes,
        after=after,
        limit=query.limit,
        filters=filters,
    )
    following = write_cursor(reach.seq) if reach.more else None
    return listing(request, items, following, reached=reach.seq)


class StreamQuery(BaseModel):
    """From where on, and which."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, lt=1 << 62)] | None = Field(
        default=None,
        description="Begin after this `seq`, 0 being before the first; from now on where left out. "
        "`Last-Event-ID` comes before it.",
        examples=[0],
    )
    type: EventTypes = None
    emergency: OfEmergency = None
    mine: OfMine = False


class EventStream(StreamingResponse):
    """Server-sent events to one listener."""

    media_type = "text/event-stream"

    opened: AbstractContextManager[None] = nullcontext()
    """Counts it while it is open; 429 where the society listens too often already."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.opened:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send what comes; give the listener up where it does not take it.

        A listener that stopped reading without closing would hold its place for ever.
        """

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(_TAKEN_WITHIN):
                await send(message)

        try:
            await super().stream_response(send_soon)
        except TimeoutError:
            log.info("listener_given_up", seconds=_TAKEN_WITHIN)
            raise ClientDisconnect from None


@router.get(
    "/events/stream",
    summary="Follow the feed",
    response_class=EventStream,
    responses=answers()
    | {
        200: {
            "description": "Server-sent events until one side ends the connection. Each is an "
            "event of the feed: `id` its `seq`, `event` its type, `data` the same JSON as in "
            "`GET /v1/events`. An `id` alone is a sign of life.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}},
        }
    },
)
async def stream_events(
    request: Request,
    caller: Reader,
    tx: ReadTx,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            max_length=40,
            description="The last `id` that you handled. An EventSource sends it by itself when "
            "it connects again: nothing is missed and nothing comes twice.",
            examples=["42"],
        ),
    ] = None,
) -> Response:
    """The feed as it happens, by server-sent events. Where the link is cut, connect again."""
    after = query.after
    if last_event_id is not None:
        after = streaming.read_place(last_event_id)
        if after is None:
            raise invalid("header/Last-Event-ID", "place_form", "This is no `id` of this stream.")
    if after is None:
        after, _ = await actions.chain_head(tx)
    filters = _filters(query)
    limits: Limits = request.app.state.limits
    # Proxies must not keep back what is meant to arrive at once.
    stream = EventStream(_sent(request, filters, after), headers={"X-Accel-Buffering": "no"})
    stream.opened = limits.streams.one(caller.society)
    return stream


async def _sent(request: Request, filters: rules.Filters, after: int) -> AsyncIterator[bytes]:
    state = request.app.state
    stream: streaming.Stream = state.stream
    yield format_sse_event(retry=_AGAIN_MS, id=str(after))
    try:
        # Whoever reads may have lost the key meanwhile: asked again before anything is told.
        async for told, seq in stream.follow(
            lambda: _reader(request), filters, after, state.settings.heartbeat
        ):
            for event in told:
                yield format_sse_event(data_str=event.doc, event=event.type, id=str(event.seq))
            if not told or told[-1].seq != seq:
                # The place moves on past what was not wanted: it need not be looked at again.
                yield format_sse_event(id=str(seq))
    except AppError as error:
        refused = error.document(request.state.request_id).decode()
        yield format_sse_event(data_str=refused, event="problem")


async def _reader(request: Request) -> streaming.Reader:
    caller = await request.app.state.keyring.identify(request.headers.get("authorization"))
    return streaming.Reader(caller.society, caller.eyes)


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


class TypesQuery(PageQuery):
    """Which types."""

    type: Annotated[str, Field(max_length=60, pattern=r"^[a-z]+\.([a-z_]+|\*)$")] | None = Field(
        default=None,
        description="Only this type, or those of a subject: `offer.*`.",
        examples=["offer.*"],
    )


class TypeOfEvent(Shown):
    """What can happen."""

    type: str = Field(description="The type.", examples=["offer.proposed"])
    description: str = Field(
        description="What it says.", examples=["A society offers; what it offers is reserved."]
    )
    seen_by: str = Field(description="Who sees it.", examples=[events.PARTIES])
    data_schema: dict[str, Any] = Field(
        description="JSON Schema of its `data`.", examples=[{"type": "object"}]
    )


@router.get(
    "/event-types",
    summary="List the types of events",
    response_model=Page[TypeOfEvent],
    responses=answers(),
)
async def list_event_types(
    request: Request, caller: Reader, query: Annotated[TypesQuery, Query()]
) -> Response:
    """Every type of event that there is: what it says, who sees it, what its `data` holds."""
    after = read_cursor(query.cursor, str)
    names = sorted(events.expand([query.type]) if query.type else events.TYPES)
    rows = [(name, _described(name)) for name in names if not after or name > after[0]]
    return page(request, rows[: query.limit + 1], query.limit)


def _described(name: str) -> str:
    event = events.EVENTS[name]
    described = {
        "type": name,
        "description": event.sentence,
        "seen_by": event.seen_by,
        "data_schema": schemas.data_schema(event),
    }
    return json_text.dump(described).decode()
