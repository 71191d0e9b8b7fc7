"""The OpenAPI document as a contract: every answer that a test gets is held to it."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema_rs

from app.config import Settings
from app.main import create_app

Document = dict[str, Any]

_EVERYWHERE = ("x-request-id",)
_UNKNOWN = ("not_found", "method_not_allowed", "http_error")
_OURS = ("etag", "location", "link", "retry-after", "idempotency-replayed", "content-disposition")


@cache
def the_document() -> Document:
    """The document, made once for all tests."""
    document: Document = json.loads(json.dumps(create_app(Settings()).openapi()))
    return document


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(METHOD, path template, operation)."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(document: Document, thing: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the document stands for; the thing itself where it is none."""
    while "$ref" in thing:
        found: Any = document
        for part in thing["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        thing = found
    return thing


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of a schema that may refer to the document's components."""
    return _compiled(json.dumps(schema, sort_keys=True))


@cache
def _compiled(schema: str) -> jsonschema_rs.Validator:
    whole = {**json.loads(schema), "components": the_document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _templates() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    found = []
    # A literal path comes before one with a parameter in the same place.
    for method, path, operation in sorted(operations(the_document()), key=lambda o: "{" in o[1]):
        pattern = re.sub(r"\\\{\w+\\\}", r"[^/]*", re.escape(path))
        found.append((method, re.compile(pattern), operation))
    return found


def hold_to_contract(response: httpx.Response) -> None:
    """Fail where an answer is not what the document says."""
    request = response.request
    path = urlsplit(str(request.url)).path
    problem = response.headers.get("content-type", "").startswith("application/problem+json")
    where = f"{request.method} {path} answered {response.status_code}"
    for name in _EVERYWHERE:
        assert name in response.headers, f"{where} without {name}"
    matching = (o for m, p, o in _templates() if m == request.method and p.fullmatch(path))
    operation = next(matching, None)
    if operation is None:
        # Nothing of the document: all that may come is a refusal in the usual form.
        if path.startswith("/v1/"):
            assert problem, f"{where}, which the document does not know"
            assert response.json()["code"] in _UNKNOWN, where
        return
    where = f"{operation['operationId']}: {where}"
    answer = operation["responses"].get(str(response.status_code))
    assert answer is not None, f"{where}, which is not documented: {response.text[:500]}"
    answer = resolved(the_document(), answer)
    _check_headers(where, answer, response)
    _check_body(where, answer, response)


def _check_headers(where: str, answer: dict[str, Any], response: httpx.Response) -> None:
    documented = {name.lower(): header for name, header in answer.get("headers", {}).items()}
    # A table is no object with a version of its own.
    table = response.headers.get("content-type", "").startswith("text/csv")
    for name, header in documented.items():
        if header.get("required") and not table:
            assert name in response.headers, f"{where} without the header {name}"
    for name in _OURS:
        if name in response.headers:
            assert name in documented, f"{where} with an undocumented header {name}"


def _check_body(where: str, answer: dict[str, Any], response: httpx.Response) -> None:
    content = answer.get("content")
    if not content:
        assert not response.content, f"{where} with a body, and none is documented"
        return
    media = response.headers["content-type"].partition(";")[0]
    assert media in content, f"{where} as {media}, which is not documented"
    if not media.endswith("json") or media == "application/x-ndjson":
        return
    body = response.json()
    fault = next(iter(validator(content[media]["schema"]).iter_errors(body)), None)
    assert fault is None, f"{where} with {fault.message} at {fault.instance_path}" if fault else ""
    if media == "application/problem+json":
        codes = {e["value"]["code"] for e in content[media]["examples"].values()}
        assert body["code"] in codes, f"{where} with the undocumented code {body['code']}"
