"""Lists: pages of 1 to 200, cursors, and single documents with their ETag."""

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import IO, Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from app.errors import invalid
from app.fields import Shown

Cursor = Annotated[str, Field(max_length=400)]


class PageQuery(BaseModel):
    """Which page of a list. Closed: a misspelt filter is an error and not a longer list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="How many at most, 1 to 200.", examples=[50]
    )
    cursor: Cursor | None = Field(
        None,
        description="`next` of the page before; leave it out for the first page.",
        examples=["WyIwMTkzNWY4ZS0wYzVhLTdiM2QtOWU0ZC02ZjFhMmIzYzRkNWUiXQ"],
    )


def write_cursor(*place: Any) -> str:
    """Where the next page begins, as one opaque word."""
    raw = json.dumps(place, default=str).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None or not 2000 <= instant.year < 2100:
        raise ValueError("no instant of ours")
    return instant


_WRITTEN_OUT: dict[type, Callable[[Any], Any]] = {UUID: UUID, datetime: _instant}


def read_cursor(cursor: str | None, *kinds: type) -> list[Any] | None:
    """The place that a cursor of ours holds; 422 for anything else."""
    if cursor is None:
        return None
    fault = invalid("query/cursor", "cursor_form", "This is not a cursor of this list.")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise fault from None
    if not isinstance(place, list) or len(place) != len(kinds):
        raise fault
    result: list[Any] = []
    for value, kind in zip(place, kinds, strict=True):
        if kind in _WRITTEN_OUT:
            try:
                result.append(_WRITTEN_OUT[kind](value))
            except (ValueError, AttributeError, TypeError):
                raise fault from None
        elif kind is float and type(value) in (int, float) and abs(value) < 1e9:
            result.append(float(value))
        elif kind is int and type(value) is int and 0 <= value < 1 << 62:
            result.append(value)
        elif kind is str and type(value) is str and len(value) <= 200 and "\0" not in value:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise fault from None
            result.append(value)
        else:
            raise fault
    return result


T = TypeVar("T")


class Page(Shown, Generic[T]):
    """A page of a list."""

    items: list[T] = Field(description="The objects of this page.")
    next: str | None = Field(
        description="`cursor` of the next page; null on the last one.", examples=[None]
    )


def page(
    request: Request,
    rows: Sequence[tuple[Any, ...]],
    limit: int,
) -> Response:
    """A page of a list.

    `rows` are `(place…, JSON text)`, one more than `limit` where there is a next page: its mere
    presence tells so, without counting.
    """
    more = len(rows) > limit
    shown = rows[:limit]
    following = write_cursor(*shown[-1][:-1]) if more else None
    return listing(request, ",".join(row[-1] for row in shown), following)


def listing(
    request: Request,
    items: str | None,
    following: str | None,
    parameter: str = "cursor",
    **more: int,
) -> Response:
    """A page from the JSON text of its objects, joined by commas; `more` are further members."""
    further = "".join(f',"{name}":{value}' for name, value in more.items())
    body = f'{{"items":[{items or ""}],"next":{json.dumps(following)}{further}}}'
    headers = following_link(request, following, parameter)
    return Response(body, media_type="application/json", headers=headers)


def following_link(
    request: Request, following: str | None, parameter: str = "cursor"
) -> dict[str, str]:
    """The `Link` to the next page, where there is one."""
    if following is None:
        return {}
    query = [(k, v) for k, v in request.query_params.multi_items() if k != parameter]
    query.append((parameter, following))
    return {"Link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}


def etag(document: str | bytes) -> str:
    """The strong ETag of a document: a digest of the very text that is sent."""
    raw = document.encode() if isinstance(document, str) else document
    return f'"{hashlib.sha256(raw).hexdigest()[:32]}"'


def etag_of(document: str) -> str:
    """SQL: `etag` of an expression of type text."""
    return f"""'"' || left(encode(sha256(convert_to({document}, 'UTF8')), 'hex'), 32) || '"'"""


class KeptApart(Response):
    """An answer with a secret in it: `kept` is what may be stored for a repeated call."""

    kept: bytes


TAKEN_WITHIN = 60.0
"""Seconds within which a reader must take a block of a file. One that stopped reading without
closing would keep the file for ever."""
_BLOCK = 16_384


class FromFile(StreamingResponse):
    """An answer that is read from an open file, which is closed with it, whatever becomes of it."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        self.file = file
        super().__init__(_blocks(file), media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.file:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send block after block; give the reader up where it does not take one."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(TAKEN_WITHIN):
                await send(message)

        try:
            await super().stream_response(send_soon)
        except TimeoutError:
            raise ClientDisconnect from None


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    # No method: an answer that is never sent would otherwise hold itself, and its file, until the
    # collector of cycles comes by.
    while block := await asyncio.to_thread(file.read, _BLOCK):
        yield block


def single(
    document: str,
    *,
    status: int = 200,
    location: str | None = None,
    kept: str | None = None,
    read: str | None = None,
) -> Response:
    """One object with its ETag; 201 with Location where it was created.

    Where the document has a secret, `kept` is the one without it, and `read` the object as it is
    read from then on, whose ETag it is.
    """
    headers = {"ETag": etag(read or document)}
    if location is not None:
        headers["Location"] = location
    if kept is None:
        return Response(document, status, media_type="application/json", headers=headers)
    response = KeptApart(document, status, media_type="application/json", headers=headers)
    response.kept = kept.encode()
    return response
