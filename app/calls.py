"""A call: one HTTP request as one unit of work.

Every route of the API is an `Exchange` route. Around the route's own code it does, in this order:
who calls and may they; is the body JSON; open the transaction; was this very call answered before;
run the code; keep the answer; COMMIT; and only then does the answer leave. A dependency could not
do this: its code after `yield` does not see the answer, so that the answer could not be kept in
the transaction of its effect.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from app import idempotency
from app.access.actions import KeyRing
from app.access.guard import May
from app.errors import AppError, Fault, invalid
from app.idempotency import Answer, Keeping, Overtaken
from app.json_text import MalformedJson, load
from app.limits import Limits, too_many_calls
from app.pages import FromFile, KeptApart, etag
from app.shares import Callers, Connections
from app.unknown_input import UnknownInput

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_READS = frozenset({"GET", "HEAD"})
_KEYED = frozenset({"POST", "PATCH"})
_REPLAYED = ("etag", "location", "link", "content-type", "retry-after")
_TRIES = 3


_ADDRESSES: set[str] = set()
"""Paths without a parameter, such as `/v1/my/stock/import`: no object has such a name."""


class Exchange(APIRoute):
    """A route of the exchange: guarded, transactional, safe to repeat."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        if "{" not in path:
            _ADDRESSES.add(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """An address of its own is not also the object of another route, by another method."""
        if self.path != scope["path"] and scope["path"] in _ADDRESSES:
            return Match.NONE, {}
        return super().matches(scope)

    @property
    def permission(self) -> May:
        """Who may call this route. A route that declares nobody cannot be built."""
        found = [d.call for d in self.dependant.dependencies if isinstance(d.call, May)]
        if len(found) != 1:
            raise TypeError(f"{self.path} must declare exactly one caller, found {len(found)}")
        return found[0]

    def get_route_handler(self) -> Handler:
        """The route's code with everything that surrounds it."""
        inner: Handler = super().get_route_handler()
        permission = self.permission
        reads = bool(self.methods and self.methods <= _READS)
        has_body = self.body_field is not None
        unknown_input = UnknownInput.of(self)

        async def handle(request: Request) -> Response:
            await admit(request, permission)
            await unknown_input.refuse(request)
            if reads:
                async with share_of(request).reading() as connection:
                    request.state.connection = connection
                    response = await inner(request)
                return _unless_known(request, response)
            body = await request.body()
            if has_body:
                _parse(request, body)
            call = idempotency.call_digest(request.method, request.url.path, body)
            return await attempts(request, share_of(request, size=len(body)), inner, call)

        return handle


async def admit(request: Request, permission: May) -> None:
    """Who calls, is it one call too many, may they, and is each parameter given once; else 401,
    429, 403 or 422."""
    state, app = request.state, request.app.state
    ring: KeyRing = app.keyring
    caller = state.caller = await ring.identify(request.headers.get("authorization"))
    limits: Limits = app.limits
    allowed, state.rate_limit = limits.call(caller.society)
    if not allowed:
        raise too_many_calls()
    permission.check(caller)
    _each_once(request)


def share_of(request: Request, what: str = "", size: int = 0) -> Connections:
    """The connections of the caller's society. `what` sets apart what holds one for long; `size` is
    that of a body that waits in memory."""
    callers: Callers = request.app.state.callers
    party = request.state.caller.society + what

    return callers.of(party, partial(_disconnect, request), size)


async def _disconnect(request: Request) -> None:
    """Return when the caller hangs up. Of its body nothing more is expected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def attempts(request: Request, share: Connections, inner: Handler, call: bytes) -> Response:
    """Run a writing call in a transaction; again where another was in its way. `call` is what makes
    two calls the same, for the Idempotency-Key."""
    for attempt in range(_TRIES):
        try:
            return await _write(request, share, inner, call)
        except Overtaken:
            # A twin committed first; the next round finds and replays its answer.
            continue
        except AppError as error:
            # Deadlocks are avoided by a fixed order of locks; should one happen all the
            # same, nothing was changed and the call can simply run again.
            if error.code != "busy" or attempt == _TRIES - 1 or not _deadlock(error):
                raise
    raise AppError(
        "busy",
        "The call was overtaken too often.",
        headers={"Retry-After": "1"},
    )


class Question(Exchange):
    """A route that reads, thinks for long and stores nothing: it holds no connection meanwhile.

    A question that is sent by POST may carry an Idempotency-Key as every POST: its answer is kept,
    in a transaction of its own, since there is no effect that it would have to be one with.
    """

    def get_route_handler(self) -> Handler:
        """The route's code with what surrounds it, and no transaction."""
        inner: Handler = super(Exchange, self).get_route_handler()
        permission = self.permission
        has_body = self.body_field is not None
        unknown_input = UnknownInput.of(self)

        async def handle(request: Request) -> Response:
            await admit(request, permission)
            await unknown_input.refuse(request)
            if request.method in _READS:
                request.state.share = share_of(request)
                return _unless_known(request, await _while_here(request, inner(request)))
            body = await request.body()
            if has_body:
                _parse(request, body)
            request.state.share = share_of(request, size=len(body))
            key = _idempotency_key(request)
            if key is None:
                return await _while_here(request, inner(request))
            return await _while_here(request, _answer_once(request, inner, body, key))

        return handle


async def _while_here(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """The answer, given up where the caller hangs up: nobody is to wait behind its thoughts."""
    thinking = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({thinking, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not thinking.done():
            raise ClientDisconnect
        return thinking.result()
    finally:
        for task in (watching, thinking):
            task.cancel()
        await asyncio.gather(watching, thinking, return_exceptions=True)


async def _answer_once(request: Request, inner: Handler, body: bytes, key: str) -> Response:
    share: Connections = request.state.share
    client = request.state.caller.client
    call = idempotency.call_digest(request.method, request.url.path, body)
    async with share.transaction() as tx:
        prior = await idempotency.begin(tx, client, key, call)
    if prior is not None:
        return _replay(prior)
    response = await inner(request)
    if response.status_code in idempotency.STORED:
        try:
            async with share.transaction() as tx:
                await idempotency.keep(tx, client, key, call, _answer(response))
        except Overtaken:
            async with share.transaction() as tx:
                prior = await idempotency.begin(tx, client, key, call)
            if prior is not None:
                return _replay(prior)
    return response


def _deadlock(error: AppError) -> bool:
    cause = getattr(error.__cause__, "driver_exception", None)
    return type(cause).__name__ in {"DeadlockDetectedError", "SerializationError"}


async def _write(request: Request, share: Connections, inner: Handler, call: bytes) -> Response:
    key = _idempotency_key(request)
    if key is None:
        request.state.keeping = None
        async with share.transaction() as tx:
            request.state.connection = tx
            return await inner(request)
    client = request.state.caller.client
    keeping = request.state.keeping = Keeping(client, key, call)
    try:
        async with share.transaction() as tx:
            request.state.connection = tx
            prior = await idempotency.begin(tx, client, key, call)
            if prior is not None:
                return _replay(prior)
            response = await inner(request)
            if response.status_code in idempotency.STORED and not keeping.is_done:
                await idempotency.keep(tx, client, key, call, _answer(response))
            return response
    except AppError as error:
        if error.status_code not in idempotency.STORED or error.code in _OURS:
            raise
        # The effect is rolled back; the refusal is kept by itself, so that a repeat gets it too.
        refused = error.response(request.state.request_id)
        async with share.transaction() as tx:
            prior = await idempotency.begin(tx, client, key, call)
            if prior is not None:
                return _replay(prior)
            await idempotency.keep(tx, client, key, call, _answer(refused))
        return refused


_OURS = frozenset({"idempotency_in_progress", "idempotency_key_reused"})


def _answer(response: Response) -> Answer:
    headers = {k: v for k, v in response.headers.items() if k in _REPLAYED}
    # A key is shown once and stored as a digest alone: a repeated call gets `"key": null`.
    body = response.kept if isinstance(response, KeptApart) else bytes(response.body)
    return Answer(response.status_code, headers, body)


def _replay(answer: Answer) -> Response:
    headers = answer.headers | {"Idempotency-Replayed": "true"}
    return Response(answer.body, answer.status, headers=headers)


def _idempotency_key(request: Request) -> str | None:
    if request.method not in _KEYED:
        return None
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 200 or not all(" " <= c <= "~" for c in key):
        raise invalid(
            "header/Idempotency-Key",
            "key_form",
            "An Idempotency-Key is 1 to 200 printable ASCII characters.",
        )
    return key


def _each_once(request: Request) -> None:
    """422 where a query parameter stands twice: the last would win without a word."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise invalid(f"query/{name[:200]}", "duplicate", "This stands twice in the query.")
        seen.add(name)


def _parse(request: Request, body: bytes) -> None:
    if not body:
        return
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise AppError("unsupported_media_type", "The body must be `application/json`.")
    try:
        # Where the framework would parse the body leniently, it finds it parsed already.
        request._json = load(body)
    except MalformedJson as error:
        raise AppError(
            "malformed_json",
            str(error),
            faults=[Fault(error.pointer, "malformed_json", str(error))],
        ) from None


def _unless_known(request: Request, response: Response) -> Response:
    tag = response.headers.get("etag")
    wanted = request.headers.get("if-none-match")
    if tag is None or wanted is None or response.status_code != 200:
        return response
    if wanted.strip() == "*" or tag in _tags(wanted):
        if isinstance(response, FromFile):
            response.file.close()
        return Response(status_code=304, headers={"ETag": tag})
    return response


def _tags(header: str) -> list[str]:
    return [t.strip().removeprefix("W/") for t in header.split(",")]


class Precondition:
    """`If-Match` and `If-None-Match` of a writing call."""

    def __init__(self, request: Request) -> None:
        self._match = request.headers.get("if-match")
        self._none_match = request.headers.get("if-none-match")

    @property
    def asked(self) -> bool:
        """Whether the caller set one: only then need the present object be read."""
        return self._match is not None or self._none_match is not None

    def check(self, present: str | None) -> None:
        """Raise 412 where the present object (its JSON, None if there is none) is another.

        To be called with the object's row locked: otherwise it could change after the look.
        """
        tag = etag(present) if present is not None else None
        if self._match is not None and (
            tag is None or not (self._match.strip() == "*" or tag in _strong(self._match))
        ):
            raise AppError("precondition_failed", "The object is not the one in `If-Match`.")
        if self._none_match is not None and (
            tag is not None and (self._none_match.strip() == "*" or tag in _tags(self._none_match))
        ):
            raise AppError("precondition_failed", "The object exists as in `If-None-Match`.")

    def confirm(self, *, absent: bool, created: bool) -> None:
        """Raise Overtaken where the object was `absent` at the look and was not `created` after it.

        What is not there cannot be locked: another call may create it between the look and the
        write, and this one would write over what it never saw. Rolled back, it runs again and
        finds the other's object.
        """
        if absent != created:
            raise Overtaken


def _strong(header: str) -> list[str]:
    # A weak tag never matches here (RFC 9110, 13.1.1).
    return [t.strip() for t in header.split(",")]


async def _precondition(request: Request) -> Precondition:
    return Precondition(request)


IfMatch = Annotated[Precondition, Depends(_precondition)]


async def _keeping(request: Request) -> Keeping | None:
    found: Keeping | None = request.state.keeping
    return found


Kept = Annotated[Keeping | None, Depends(_keeping)]
"""For a route that keeps its answer itself, in the statement of its effect; None without a key."""
