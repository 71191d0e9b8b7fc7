"""The doorway: what surrounds every request, whatever becomes of it.

Pure ASGI, because middleware built on `BaseHTTPMiddleware` leaks database connections.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError
from app.service.metrics import REQUESTS

log = structlog.get_logger()

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
# What a society may see is not for shared caches; its own may keep it and ask by ETag.
_PRIVATE = (b"cache-control", b"private, no-cache")
# Whatever a caller calls its method, there are only so many time series.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})


class Doorway:
    """Request id, bounds of the body, headers of the answer, metrics and the log line."""

    def __init__(
        self,
        app: ASGIApp,
        body_limit: int,
        body_timeout: float,
        uploads: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        """`uploads` are the paths that take files, with their own limit and time."""
        self._app = app
        self._bounds = (body_limit, body_timeout)
        self._uploads = uploads or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = perf_counter()
        status = 500

        body = _Body(scope, receive, *self._uploads.get(scope["path"], self._bounds))

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = _headers(scope, request_id)
                if not await body.is_here(self._bounds[1]) and not _closes(message):
                    added.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await self._app(scope, body.receive, send_on)
        finally:
            seconds = perf_counter() - started
            route = _template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, str(status)).observe(seconds)
            if scope["path"] not in _QUIET:
                _tell(scope, route, status, seconds, request_id)


class _Body:
    """The body of a request, refused where it is too large or does not arrive in time.

    Counted while it arrives, since a chunked body does not tell its length: a body of 200 MB
    that is read first and measured then takes the worker to 600 MB.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int, timeout: float) -> None:
        self._scope = scope
        self._receive = receive
        self._limit = limit
        self._timeout = timeout
        self._deadline: float | None = None
        self._arrived = 0
        self._refused = False
        self._complete = not any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in scope["headers"]
        )

    async def receive(self) -> Message:
        """The next part of the body; raises 413 and 408."""
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._timeout
        if not self._arrived and _told_length(self._scope) > self._limit:
            raise self._refusal("body_too_large", f"The limit is {self._limit} bytes.")
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise self._refusal(
                "body_timeout", f"The body did not arrive within {self._timeout:g} seconds."
            ) from None
        self._arrived += len(message.get("body", b""))
        if self._arrived > self._limit:
            raise self._refusal("body_too_large", f"The limit is {self._limit} bytes.")
        self._complete = message["type"] != "http.request" or not message.get("more_body")
        return message

    async def is_here(self, within: float) -> bool:
        """Wait for the rest of a body that the answer does not need; False where to give it up.

        `within` so many seconds, also where the body is a file that was given more.

        Without it a connection that was answered (401, 404) could trickle its body for ever.
        Closing at once would cut the answer off for a caller that is still sending.
        """
        if any(name == b"expect" for name, _ in self._scope["headers"]) and not self._arrived:
            return self._complete
        latest = asyncio.get_running_loop().time() + within
        self._deadline = min(self._deadline or latest, latest)
        while not (self._complete or self._refused):
            try:
                await self.receive()
            except AppError:
                return False
        return self._complete

    def _refusal(self, code: str, detail: str) -> AppError:
        self._refused = True
        # The rest of the body is not read: the connection cannot serve another request.
        return AppError(code, detail, headers={"Connection": "close"})


def _closes(message: Message) -> bool:
    return any(name.lower() == b"connection" for name, _ in message["headers"])


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is a plain word, so that both sides' logs can be joined."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: str = value.decode()
            return given
    return uuid.uuid4().hex


def _told_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:19])
    return 0


def _headers(scope: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode()), *_ALWAYS]
    if scope["path"].startswith("/v1/"):
        headers.append(_PRIVATE)
    headers += scope["state"].get("rate_limit", ())
    return headers


def _template(scope: Scope) -> str:
    """The route's template: paths themselves would make a time series for every object."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"


def _tell(scope: Scope, route: str, status: int, seconds: float, request_id: str) -> None:
    caller = scope["state"].get("caller")
    log.info(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        request_id=request_id,
        society=caller.society if caller else None,
        client=str(caller.client) if caller else None,
    )
