"""The OpenAPI document: what the framework derives from the routes, and what it cannot know."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access.rules import SCOPES
from app.calls import Exchange
from app.problems import ProblemDocument

DESCRIPTION = """
The exchange through which Red Crescent societies share stock and volunteers: publish what you
have, ask for what you need, offer, accept, dispatch and receive.

**Begin** with `GET /v1/me` and your key (*Authorize*, above). The sections stand in the order of
the story: who you are, what there is, what is needed, what is offered, what is on its way, and
what became of it.

**Repeat safely.** Send an `Idempotency-Key` with every POST. Over a bad link, repeat the call with
the same key and the same body until an answer comes: it takes effect once. A PUT has one effect
anyway.

**Errors** are `application/problem+json` (RFC 9457). Programs switch on `code`; people read
`detail`; `errors` names each field. 409 means that the present state forbids it, 422 that the
input does. After 503 repeat the call when `Retry-After` is over.

**Lists** take `limit` (1 to 200) and `cursor`; `next` is the cursor of the next page.

**Quantities** are whole numbers of an item's base unit. Times are RFC 3339 with their offset.

**Keep up** with `GET /v1/events?after=` and the last `seq` that you handled.
"""

TAGS = [
    ("Access", "Who calls: societies, clients and their keys."),
    ("Catalogue", "Items with packs and substitutes, and skills, in seven languages."),
    ("Stock", "Your sites and lots, and the network's stock."),
    ("Volunteers", "Your pools of volunteers, and the network's. No names."),
    ("Emergencies", "The disasters that requests belong to."),
    ("Requests", "Ask for goods and people."),
    ("Offers", "Answer a request. An offer reserves what it offers."),
    ("Consignments", "Goods on their way, from dispatch to receipt."),
    ("Deployments", "People on their way, from mobilisation to return."),
    ("Board", "What was asked, offered, accepted, dispatched and received."),
    ("Ledger", "Everything that happened, in one order that everybody can check."),
    ("Operations", "Is it alive, is it ready, how does it do. No key needed."),
]

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A word of your own for this call, such as a UUID; kept for 7 days. The same "
    "call with the same key answers again what was answered, with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
    "example": "5f0f4d1e-7d0c-4f0e-9c3e-2a4b6c8d0e1f",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that you read: 412 where the object has changed since.",
    "schema": {"type": "string"},
    "examples": {"leave_out": {"summary": "Whatever its state", "value": "*"}},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that you have: 304 without a body where nothing has changed.",
    "schema": {"type": "string"},
    "example": '"0"',
}
_ETAG = {
    "description": "Strong validator of the object, for `If-Match` and `If-None-Match`.",
    "schema": {"type": "string"},
    "example": '"5d41402abc4b2a76b9719d911017c592"',
}
_LOCATION = {
    "description": "Where the new object is.",
    "schema": {"type": "string"},
    "example": "/v1/offers/01935f92-1b2c-7d3e-8f40-5a6b7c8d9e0f",
}
_LINK = {
    "description": 'The next page, `rel="next"`, where there is one.',
    "schema": {"type": "string"},
    "example": '</v1/stock?cursor=WyIwMTkzNWY4ZSJd>; rel="next"',
}


def describe(app: FastAPI, routes: Iterable[Exchange]) -> dict[str, Any]:
    """The document; made once and kept by the application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Kömek",
            version=app.version,
            summary="Help between Red Crescent societies",
            description=DESCRIPTION.strip(),
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS],
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["ProblemDocument"] = problem
        # The framework's own error models, which no operation of ours answers with.
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        components["securitySchemes"] = {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "komek_…",
                "description": "The key of your client. Scopes: "
                + "; ".join(f"`{name}`: {what}" for name, what in SCOPES.items())
                + ".",
            }
        }
        for route in routes:
            for method in route.methods or ():
                _complete(document["paths"][route.path][method.lower()], method, route)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], method: str, route: Exchange) -> None:
    operation["security"] = [{"key": []}]
    permission = route.permission
    needs = " or ".join(f"`{scope}`" for scope in permission.scopes) or "any valid key"
    said = f"\n\n*Scope:* {needs}."
    if permission.roles is not None:
        said += f" *Roles:* {', '.join(sorted(permission.roles))}."
    operation["description"] = operation.get("description", "") + said
    parameters = operation.setdefault("parameters", [])
    responses = operation["responses"]
    if method in ("POST", "PATCH"):
        parameters.append(_IDEMPOTENCY)
    if "412" in responses:
        parameters.append(_IF_MATCH)
    if method == "GET" and ("404" in responses or route.path == "/v1/me"):
        parameters.append(_IF_NONE_MATCH)
        responses["304"] = {"description": "Nothing has changed since `If-None-Match`."}
    for status, answer in responses.items():
        if status in ("200", "201") and answer.get("content"):
            headers = answer.setdefault("headers", {})
            paged = _is_page(operation)
            headers["Link" if paged else "ETag"] = _LINK if paged else _ETAG
            if status == "201":
                headers["Location"] = _LOCATION


def _is_page(operation: dict[str, Any]) -> bool:
    return any(p["name"] == "cursor" for p in operation["parameters"])
