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

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers(scope, status, request_id)]
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), send_on)
        finally:
            seconds = perf_counter() - started
            route = _template(scope)
            REQUESTS.labels(scope["method"], route, str(status)).observe(seconds)
            if scope["path"] not in _QUIET:
                _tell(scope, route, status, seconds, request_id)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that refuses a body that is too large, or does not arrive in time.

        Counted while it arrives, since a chunked body does not tell its length: a body of 200 MB
        that is read first and measured then takes the worker to 600 MB.
        """
        limit, timeout = self._uploads.get(scope["path"], self._bounds)
        arrived = 0
        complete = False
        deadline: float | None = None

        async def bounded() -> Message:
            nonlocal arrived, complete, deadline
            if complete:
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + timeout
                if _told_length(scope) > limit:
                    raise _too_large(limit)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise AppError(
                    "body_timeout",
                    f"The body did not arrive within {timeout:g} seconds.",
                    headers={"Connection": "close"},
                ) from None
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise _too_large(limit)
            complete = message["type"] != "http.request" or not message.get("more_body")
            return message

        return bounded


def _too_large(limit: int) -> AppError:
    return AppError(
        "body_too_large",
        f"The limit is {limit} bytes.",
        # The rest of the body is not read: the connection cannot serve another request.
        headers={"Connection": "close"},
    )


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


def _headers(scope: Scope, status: int, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode()), *_ALWAYS]
    if scope["path"].startswith("/v1/"):
        headers.append(_PRIVATE)
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
