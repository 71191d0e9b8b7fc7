"""The OpenAPI document: what the framework derives from the routes, and what it cannot know."""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access.rules import SCOPES
from app.calls import Exchange
from app.problems import ProblemDocument, refused
from app.service import headers, messages, mishaps
from app.service.introduction import DESCRIPTION, TAGS
from app.service.story import STORY, Step

Json = dict[str, Any]

_ORDER = ("put", "post", "get", "patch", "delete")
_BODIED = frozenset({"POST", "PUT", "PATCH"})


def describe(app: FastAPI, routes: Iterable[Exchange]) -> Json:
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
        for name, schema in schemas.items():
            # A generic model does not hand its docstring on to its variants.
            if name.startswith("Page_"):
                schema["description"] = "A page of a list."
        # The framework's own error models, which no operation of ours answers with.
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        components["securitySchemes"] = {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "komek_…",
                "description": "The key of your client, without the word `Bearer`. Scopes: "
                + "; ".join(f"`{name}`: {what}" for name, what in SCOPES.items())
                + ".",
            }
        }
        for route in routes:
            for method in route.methods or ():
                _complete(document["paths"][route.path][method.lower()], method, route)
        answers = json.loads(files("app.service.story").joinpath("answers.json").read_text("utf-8"))
        for path, item in document["paths"].items():
            for operation in item.values():
                _say_what_comes(operation["responses"], schemas)
                headers.describe(operation)
                _tell(operation, path, answers)
                mishaps.examples(operation)
            # Publish first, then read; at the end what takes it away.
            document["paths"][path] = {m: item[m] for m in _ORDER if m in item}
        document["webhooks"] = messages.described()
        app.openapi_schema = _named_plainly(document)
    return app.openapi_schema


def _say_what_comes(responses: Json, schemas: Json) -> None:
    for status, answer in responses.items():
        if answer["description"] != "Successful Response":
            continue
        if status == "204":
            answer["description"] = "It is done; there is no body."
            continue
        shown = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        answer["description"] = schemas[shown]["description"].partition("\n\n")[0]


def _complete(operation: Json, method: str, route: Exchange) -> None:
    operation["security"] = [{"key": []}]
    permission = route.permission
    needs = " or ".join(f"`{scope}`" for scope in permission.scopes) or "any valid key"
    said = f"\n\n*Scope:* {needs}."
    if permission.roles is not None:
        said += f" *Roles:* {', '.join(sorted(permission.roles))}."
    operation["description"] = operation.get("description", "") + said
    parameters = operation.setdefault("parameters", [])
    responses = operation["responses"]
    keyed = method in ("POST", "PATCH")
    if keyed:
        parameters.append(headers.IDEMPOTENCY_KEY)
    if "412" in responses:
        parameters.append(headers.IF_MATCH)
        if method == "PUT":
            parameters.append(headers.IF_NONE_MATCH_ANY)
    if method == "GET" and any(
        kind(operation) for kind in (headers.is_object, headers.is_file, headers.is_table)
    ):
        parameters.append(headers.IF_NONE_MATCH)
        responses["304"] = {"description": "Nothing has changed since `If-None-Match`."}
    codes = ["database_unavailable"]
    if permission.roles is not None:
        codes.append("role_forbidden")
    if keyed:
        codes += ["idempotency_in_progress", "idempotency_key_reused"]
    if method != "GET":
        codes += ["body_too_large", "body_timeout"]
    if "requestBody" in operation:
        codes.append("unsupported_media_type")
        if "application/json" in operation["requestBody"]["content"]:
            codes.append("malformed_json")
    _add_refusals(responses, *codes)
    operation["responses"] = dict(sorted(responses.items()))


def _add_refusals(responses: Json, *codes: str) -> None:
    for number, answer in refused(*codes).items():
        present = responses.get(str(number))
        if present is None:
            responses[str(number)] = answer
            continue
        (media,) = answer["content"]
        examples = present["content"][media]["examples"]
        for code, example in answer["content"][media]["examples"].items():
            if code not in examples:
                examples[code] = example
                present["description"] += f"; `{code}`: {example['summary']}"


def _tell(operation: Json, path: str, answers: Json) -> None:
    """Put the story's input and answers into an operation as its examples."""
    steps = [s for s in STORY if s.shown and s.operation == operation["operationId"]]
    for step in steps[:1]:
        _fill_in(operation, step)
    for media, inputs in (
        ("application/json", {s.uses: _example(s, s.body) for s in steps if s.body is not None}),
        ("text/csv", {s.uses: _example(s, s.sheet) for s in steps if s.sheet is not None}),
    ):
        if inputs:
            operation["requestBody"]["content"][media]["examples"] = inputs
            operation["requestBody"].setdefault("description", steps[0].summary or "What to send.")
    for step in steps:
        told = answers.get(f"{step.operation}/{step.uses}", {})
        # What is answered to a PUT is the same whether it creates (201) or replaces (200).
        for status in ("200", "201", "202"):
            answer = operation["responses"].get(status)
            for media, kind in (("application/json", "body"), ("text/csv", "sheet")):
                content = (answer or {}).get("content", {}).get(media)
                if content is not None and kind in told:
                    content.setdefault("examples", {})[step.uses] = _example(step, told[kind])
            if answer and "Location" in answer["headers"]:
                location = told.get("location", path.format(**step.path))
                answer["headers"]["Location"].setdefault("example", location)


def _example(step: Step, value: Any) -> Json:
    return {"summary": step.summary or "As in the story", "value": value}


def _fill_in(operation: Json, step: Step) -> None:
    # An `example` is filled in where the page sends the request, `examples` of the schema are
    # only shown: an optional filter or precondition is not to be sent unasked.
    for parameter in operation.get("parameters", []):
        given = step.path if parameter["in"] == "path" else step.query
        if parameter["in"] != "header" and parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]


def _named_plainly(document: Json) -> Json:
    """`OfferPage` instead of `Page_Offer_`: client generators make class names of it."""
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        if name.startswith("Page_"):
            plain = name.removeprefix("Page_").rstrip("_") + "Page"
            text = text.replace(f'schemas/{name}"', f'schemas/{plain}"')
            text = text.replace(f'"{name}": {{', f'"{plain}": {{')
    named: Json = json.loads(text)
    return named
