"""Every error, of whatever origin, leaves as problem+json."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app import json_text
from app.errors import AppError, Fault
from app.fields import said

log = structlog.get_logger()

_MOST_FAULTS = 50
_LONGEST = 200
_TAGS = frozenset({"stock", "volunteers"})
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_SAID = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
}


def register(app: FastAPI) -> None:
    """Let the application answer every kind of error in the same form."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _ours)


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    if error.status_code >= 500:
        cause = error.__cause__
        log.warning(
            "refused",
            code=error.code,
            cause=type(cause).__name__ if cause else None,
            request_id=_request_id(request),
        )
    return error.response(_request_id(request))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(e) for e in error.errors()[:_MOST_FAULTS]]
    count = len(faults)
    detail = faults[0].message if count == 1 else f"{count} fields are not acceptable."
    return AppError("invalid_input", detail, faults=faults).response(_request_id(request))


def _fault(error: dict[str, Any]) -> Fault:
    # Never the rejected input itself: it may be huge, a secret, or no text at all.
    kind = str(error["type"])
    if kind.startswith("union_tag"):
        # The framework's own message quotes what was sent, and points at the object around it.
        tag = str(error["ctx"]["discriminator"]).strip("'")
        expected = str(error["ctx"].get("expected_tags", "")).replace("'", "`")
        message = f"This should be one of {expected}." if expected else said("missing", "")
        return Fault(pointer((*error["loc"], tag)), kind, message)
    return Fault(pointer(error["loc"]), kind, said(kind, str(error["msg"])))


def pointer(location: Sequence[Any]) -> str:
    """Where a field is: a JSON pointer into the body (RFC 6901), or `query/…`, `path/…`."""
    where, rest = location[0], list(location[1:])
    if where != "body":
        return f"{where}/" + "/".join(str(part)[:_LONGEST] for part in rest)
    parts = []
    for n, part in enumerate(rest):
        # The framework names the variant of a line by its `kind`; that is no place in the body.
        variant = part in _TAGS and n > 0 and isinstance(rest[n - 1], int) and n + 1 < len(rest)
        if not variant:
            parts.append(part)
    return json_text.pointer(parts)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such route, no such method."""
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    refused = AppError(code, _SAID.get(error.status_code, str(error.detail)), headers=headers)
    refused.status_code = error.status_code
    return refused.response(_request_id(request))


def _methods(request: Request) -> list[str]:
    """What the address takes: the framework names the methods of its first route alone."""
    routes = request.app.router.routes

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [method for method in _METHODS if taken(method)]


async def _gone(request: Request, error: Exception) -> Response:
    """The caller broke off while it sent its body: nobody reads this, and it is no error of ours.

    499 is what nginx has in its logs for it.
    """
    return Response(status_code=499)


async def _ours(request: Request, error: Exception) -> Response:
    """An error of ours: logged with its trace, told without it."""
    request_id = _request_id(request)
    log.error("internal_error", exc_info=error, request_id=request_id, path=request.url.path)
    detail = "Something went wrong on our side; nothing was changed."
    response = AppError("internal_error", detail).response(request_id)
    # This answer is written outside of the doorway, which names the request everywhere else.
    if request_id:
        response.headers["X-Request-Id"] = request_id
    return response
