"""The headers of the contract, as the document describes them."""

from typing import Any

Json = dict[str, Any]

IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A word of your own for this call, such as a UUID; kept for 7 days. The same "
    "call with the same key answers again what was answered, with `Idempotency-Replayed: true`. "
    "Take a new one for each new intention.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "pattern": "^[ -~]+$",
        "examples": ["5f0f4d1e-7d0c-4f0e-9c3e-2a4b6c8d0e1f"],
    },
}
IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that you read: 412 where the object has changed since. `*` where "
    "it only must exist.",
    "schema": {"type": "string", "examples": ["*"]},
}
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that you have: 304 without a body where nothing has changed.",
    "schema": {
        "type": "string",
        "examples": ['"5d41402abc4b2a76b9719d911017c592"'],
    },
}
IF_NONE_MATCH_ANY: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`*`: create only, and answer 412 where there is one already.",
    "schema": {
        "type": "string",
        "examples": ['"5d41402abc4b2a76b9719d911017c592"'],
    },
}
_REQUEST_ID: Json = {
    "description": "The call's id in our logs: your own `X-Request-Id` where you sent one.",
    "required": True,
    "schema": {"type": "string"},
    "example": "01935f8e0c5a7b3d9e4d6f1a2b3c4d5e",
}
_ETAG: Json = {
    "description": "Strong validator of the object, for `If-Match` and `If-None-Match`.",
    "required": True,
    "schema": {"type": "string"},
    "example": '"5d41402abc4b2a76b9719d911017c592"',
}
_LOCATION: Json = {
    "description": "Where the new object is.",
    "required": True,
    "schema": {"type": "string"},
}
_LINK: Json = {
    "description": 'The next page, `rel="next"`, where there is one.',
    "schema": {"type": "string"},
    "example": '</v1/stock?cursor=WyIwMTkzNWY4ZSJd>; rel="next"',
}
_RETRY_AFTER: Json = {
    "description": "How many seconds to wait before the call is repeated.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
    "example": "1",
}
_REPLAYED: Json = {
    "description": "`true` where this answer was given before, to the same Idempotency-Key.",
    "schema": {"type": "string", "enum": ["true"]},
    "example": "true",
}
_RATE_LIMIT: Json = {
    "RateLimit-Policy": {
        "description": "How many calls your society may send to one worker: `q` in any `w` "
        "seconds (draft-ietf-httpapi-ratelimit-headers). Left out where there is no limit.",
        "schema": {"type": "string"},
        "example": '"calls";q=5000;w=10',
    },
    "RateLimit": {
        "description": "What is left of it: `r` calls; it is all of them again after `t` seconds "
        "without a call.",
        "schema": {"type": "string"},
        "example": '"calls";r=4998;t=1',
    },
}
_FILE_NAME: Json = {
    "description": "A name for the file.",
    "required": True,
    "schema": {"type": "string"},
    "example": 'attachment; filename="komek-stock.csv"',
}
_DISPOSITION: Json = {
    "description": "The name of the file, with the table as CSV.",
    "schema": {"type": "string"},
    "example": 'attachment; filename="board.csv"',
}


def is_page(operation: Json) -> bool:
    """Whether an operation answers with a page of a list."""
    return any(p["name"] == "cursor" for p in operation.get("parameters", []))


def is_file(operation: Json) -> bool:
    """Whether an operation answers with a file, which has an ETag and a name."""
    return "application/x-ndjson" in operation["responses"].get("200", {}).get("content", {})


def is_table(operation: Json) -> bool:
    """Whether an operation answers with a page that is one object as well: the board."""
    return is_page(operation) and "text/csv" in operation["responses"].get("200", {}).get(
        "content", {}
    )


def is_object(operation: Json) -> bool:
    """Whether an operation answers with one object, which has an ETag; a stream is none."""
    answer = operation["responses"].get("200", {})
    return "application/json" in answer.get("content", {}) and not is_page(operation)


def describe(operation: Json) -> None:
    """Write the headers of each of an operation's answers."""
    ours = "security" in operation
    keyed = any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", []))
    for status, answer in operation["responses"].items():
        headers = answer["headers"] = {"X-Request-Id": _REQUEST_ID}
        if ours and status != "401":
            headers |= _RATE_LIMIT
        if (
            ours
            and status in ("200", "201", "202")
            and "application/json" in answer.get("content", {})
        ):
            if is_page(operation):
                headers["Link"] = _LINK
            if not is_page(operation) or is_table(operation):
                headers["ETag"] = _ETAG
        if status == "304":
            headers["ETag"] = _ETAG
        if status == "201":
            headers["Location"] = dict(_LOCATION)
        if status in ("429", "503", "507"):
            headers["Retry-After"] = _RETRY_AFTER | {"required": True}
        if status == "409" and keyed:
            headers["Retry-After"] = _RETRY_AFTER
        if keyed and status in _REPLAYABLE:
            headers["Idempotency-Replayed"] = _REPLAYED
        if status == "200" and is_file(operation):
            headers |= {"ETag": _ETAG, "Content-Disposition": _FILE_NAME}
        elif "text/csv" in answer.get("content", {}):
            headers["Content-Disposition"] = _DISPOSITION


_REPLAYABLE = frozenset({"200", "201", "202", "204", "404", "409", "410", "412"})
