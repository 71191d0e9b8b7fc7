"""The OpenAPI document as a product: valid, complete, and true."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from app.errors import CODES
from app.main import ROOMS
from tests.contract import (
    Document,
    hold_to_contract,
    operations,
    resolved,
    the_document,
    validator,
)
from tests.world import System, done

APP = Path(__file__).parent.parent / "app"


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_operations_have_short_stable_names(document: Document) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert [n for n in names if not re.fullmatch(r"[a-z]+(_[a-z]+){1,3}", n)] == []
    assert {"publish_lot", "open_request", "propose_offer", "receive_consignment"} <= set(names)


def test_operations_are_grouped_in_the_order_of_the_story(document: Document) -> None:
    told = [tag["name"] for tag in document["tags"]]
    assert told[:-1] == list(dict.fromkeys(room.router.tags[0] for room in ROOMS))
    shown = list(dict.fromkeys(o["tags"][0] for *_, o in operations(document)))
    assert shown == told


def test_component_names_are_plain(document: Document) -> None:
    names = document["components"]["schemas"]
    assert [n for n in names if not re.fullmatch(r"[A-Z][A-Za-z]+", n)] == []


def test_every_operation_says_what_it_does_and_who_may(document: Document) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert len(operation["summary"]) > 4, where
        assert operation["description"].rstrip()[-1] in ".*", where
        if path.startswith("/v1/"):
            assert operation["security"] == [{"key": []}], where
            assert "*Scope:*" in operation["description"], where
            assert {"401", "403", "422", "500", "503"} <= set(operation["responses"]), where


def _fields(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), f"{name} has no description"
        for field, described in schema.get("properties", {}).items():
            yield f"{name}.{field}", described


def _is_composed(schema: dict[str, Any]) -> bool:
    """Whether its example comes from the fields of other schemas."""
    schema = schema.get("items", schema)
    options = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return (
        any("$ref" in option or _is_composed(option) for option in options if option != schema)
        or "$ref" in schema
    )


def test_every_field_has_a_sentence_and_an_example_that_fits(document: Document) -> None:
    faults = []
    for where, schema in _fields(document):
        if not schema.get("description"):
            faults.append(f"{where}: no description")
        if not schema.get("examples") and not _is_composed(schema):
            faults.append(f"{where}: no example")
        examples = schema.get("examples", [])
        faults += [
            f"{where}: {e!r} does not fit" for e in examples if not validator(schema).is_valid(e)
        ]
    assert faults == []


def test_every_parameter_has_a_sentence_and_an_example_that_fits(document: Document) -> None:
    faults = []
    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            where = f"{method} {path} {parameter['name']}"
            if not parameter.get("description"):
                faults.append(f"{where}: no description")
            schema = parameter["schema"]
            examples = schema.get("examples", [])
            if "example" in parameter:
                examples = [*examples, parameter["example"]]
            elif parameter["required"]:
                faults.append(f"{where}: nothing is filled in")
            if not examples:
                faults.append(f"{where}: no example")
            faults += [
                f"{where}: {e!r} does not fit"
                for e in examples
                if not validator(schema).is_valid(e)
            ]
    assert faults == []


def _contents(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for method, path, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{method} {path} input", media, content
        for status, answer in operation["responses"].items():
            for media, content in resolved(document, answer).get("content", {}).items():
                yield f"{method} {path} {status}", media, content


def test_every_body_has_an_example_that_fits(document: Document) -> None:
    faults = []
    for where, media, content in _contents(document):
        if content["schema"].get("format") == "binary":
            # A workbook is no text that could stand in the document.
            continue
        examples = [e["value"] for e in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        if not examples:
            faults.append(f"{where} {media}: no example")
        for example in examples:
            fault = next(iter(validator(content["schema"]).iter_errors(example)), None)
            if fault:
                faults.append(f"{where} {media}: {fault.message} at {fault.instance_path}")
    assert faults == []


def test_every_error_says_what_this_operation_would_say(document: Document) -> None:
    for where, media, content in _contents(document):
        if media != "application/problem+json":
            continue
        for code, example in content["examples"].items():
            value = example["value"]
            assert where.endswith(str(CODES[code].status)), (where, code)
            assert (value["code"], value["type"]) == (code, f"/problems/{code}")
            assert value["detail"] and value["detail"] != CODES[code].meaning, (where, code)


def test_every_header_and_answer_has_a_sentence(document: Document) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            where = f"{method} {path} {status}"
            assert answer["description"] not in ("", "Successful Response"), where
            assert "X-Request-Id" in answer["headers"], where
            for name, header in answer["headers"].items():
                assert header["description"] and header["example"], f"{where} {name}"
            if status == "201":
                assert answer["headers"]["Location"]["example"].startswith("/v1/"), where


def test_every_code_that_is_raised_is_registered_and_documented(document: Document) -> None:
    raised = {code for path in APP.rglob("*.py") for code in _raised(path)}
    documented = {
        code
        for _, media, content in _contents(document)
        if media == "application/problem+json"
        for code in content["examples"]
    }
    assert raised - set(CODES) == set()
    # What comes where there is no operation at all.
    elsewhere = {"method_not_allowed", "http_error", "head_too_large"}
    assert raised | documented | elsewhere == set(CODES)
    assert raised - documented - elsewhere == set()


def _raised(path: Path) -> Iterator[str]:
    """The codes in `AppError("code", …)` and in the tables of constraints."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AppError":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                yield str(first.value)


@pytest.mark.parametrize("code", sorted(CODES))
async def test_every_problem_has_its_page(tur: System, code: str) -> None:
    told = done(await tur.get(f"/problems/{code}"))
    assert (told["code"], told["status"]) == (code, CODES[code].status)
    page = await tur.http.get(f"/problems/{code}", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert CODES[code].title.replace("'", "&#x27;") in page.text


async def test_every_filter_of_a_list_can_be_sent_as_its_example_says(
    tur: System, document: Document
) -> None:
    """Each alone, as the schema's examples show it; the filled-in ones are in the story."""
    for method, path, operation in operations(document):
        if method != "GET" or "{" in path or not path.startswith("/v1/"):
            continue
        if "text/event-stream" in operation["responses"]["200"]["content"]:
            continue
        needed = {
            p["name"]: p["example"]
            for p in operation["parameters"]
            if p["required"] and p["in"] == "query"
        }
        for parameter in operation["parameters"]:
            for example in parameter["schema"].get("examples", []):
                name, sent = parameter["name"], {}
                if parameter["in"] == "header":
                    response = await tur.http.get(path, params=needed, headers={name: example})
                else:
                    more = {"near": "37.58,36.93"} if name == "within_km" else {}
                    sent = (
                        needed
                        | {
                            name: json.dumps(example)
                            if example is True or example is False
                            else example
                        }
                        | more
                    )
                    response = await tur.http.get(path, params=sent)
                assert response.status_code in (200, 304), (path, name, example, response.text)


def _answer(status: int, body: Any, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", "http://komek.test/v1/my/stock/BLK-7")
    known = {"X-Request-Id": "01935f8e0c5a7b3d"} | headers
    if status == 200:
        known["ETag"] = '"0"'
    return httpx.Response(status, json=body, headers=known, request=request)


def test_the_contract_notices_what_the_document_does_not_say() -> None:
    operation = the_document()["paths"]["/v1/my/stock/{ref}"]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    lot = next(iter(content["examples"].values()))["value"]
    hold_to_contract(_answer(200, lot))
    problem = {"type": "/problems/busy", "title": "", "status": 503, "detail": "", "code": "busy"}
    media = {"Content-Type": "application/problem+json"}
    hold_to_contract(_answer(503, problem, **media, **{"Retry-After": "1"}))
    for fault in (
        _answer(200, lot | {"surprise": 1}),
        _answer(200, {k: v for k, v in lot.items() if k != "reserved"}),
        _answer(200, lot | {"quantity": "500"}),
        _answer(200, lot, **{"Content-Type": "text/plain"}),
        _answer(200, lot, Location="/v1/my/stock/BLK-7"),
        _answer(202, lot),
        _answer(503, problem, **media),
        _answer(503, problem | {"code": "wrong_state"}, **media, **{"Retry-After": "1"}),
    ):
        with pytest.raises(AssertionError, match="get_own_lot"):
            hold_to_contract(fault)
