"""The catalogue of events: everything that the code records stands in it, and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import validate

from app.ledger.events import EVENTS
from app.ledger.schemas import data_schema, example
from app.service.introduction import TAGS
from tests.conftest import Service
from tests.world import System, done

APP = Path(__file__).resolve().parent.parent / "app"

# What stands for the changing part of `f"offer.{verb}"`: every word that a verb can be in the room.
WORDS = {
    "offers": {"declined", "withdrawn", "expired", "released", "completed"},
    "consignments": {
        "planned", "dispatched", "sighted", "arrived", "received", "cancelled", "lost",
    },
    "deployments": {
        "planned", "mobilised", "deployed", "released", "recalled", "returned", "cancelled",
        "extension_asked", "extended", "extension_declined",
    },
    "requests": {"closed", "cancelled"},
    "catalogue": {"item", "skill", "catalogued", "changed"},
    "transport": {"hub", "leg", "opened", "changed"},
    "webhooks": {
        "created", "changed", "deleted", "rotated", "test", "resumed", "replayed", "paused",
        "disabled",
    },
}  # fmt: skip


def written(path: Path) -> Iterator[str]:
    """The types of every `Fact(…)` in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fact":
            yield from read(node.args[0], path.parent.name)


def read(node: ast.expr, room: str) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from read(node.body, room)
        yield from read(node.orelse, room)
    elif isinstance(node, ast.JoinedStr):
        texts = [""]
        for part in node.values:
            words = [str(part.value)] if isinstance(part, ast.Constant) else sorted(WORDS[room])
            texts = [text + word for text in texts for word in words]
        # Of words put together, those count that the room writes out somewhere.
        yield from (t for t in texts if t in EVENTS or not _is_product(t))
    else:
        raise AssertionError(f"{ast.unparse(node)}: this test cannot read the type of a fact")


def _is_product(text: str) -> bool:
    kind, _, verb = text.partition(".")
    nouns = {"item", "skill", "hub", "leg"}
    return kind in {"catalogued", "opened", "changed"} or verb in nouns


def test_every_type_that_the_code_records_is_described_and_no_other() -> None:
    found = {kind for path in sorted(APP.rglob("*.py")) for kind in written(path)}
    assert found - set(EVENTS) == set()
    assert set(EVENTS) - found == set()


def test_the_words_of_the_rooms_are_those_that_stand_in_their_code() -> None:
    for room, words in WORDS.items():
        text = "".join(p.read_text(encoding="utf-8") for p in (APP / room).glob("*.py"))
        assert {w for w in words if f'"{w}"' not in text} == set(), room


@pytest.mark.parametrize("name", EVENTS)
def test_the_example_of_an_event_keeps_its_own_schema(name: str) -> None:
    jsonschema.validate(example(name)["data"], data_schema(EVENTS[name]))


async def test_what_stands_in_the_ledger_is_as_the_catalogue_says(
    service: Service, tur: System
) -> None:
    # Whatever was recorded until now, by this test's neighbours, too.
    async with service.database.reading() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT type, content::json -> 'data' AS data FROM records"
        )
        faults = undescribed((row.type, row.data) for row in rows)
    assert faults == []


def undescribed(records: Any) -> list[str]:
    """What of the ledger is not as the catalogue says."""
    validators = {n: jsonschema.Draft202012Validator(data_schema(e)) for n, e in EVENTS.items()}
    faults = []
    for kind, data in records:
        if kind not in validators:
            faults.append(f"{kind} is not described")
        else:
            faults += [f"{kind}: {e.message}" for e in validators[kind].iter_errors(data)]
    return faults


async def test_the_types_are_listed_and_stand_in_the_openapi_document(
    service: Service, tur: System
) -> None:
    listed = done(await tur.get("/v1/event-types", limit=200))["items"]
    assert [e["type"] for e in listed] == sorted(EVENTS)
    first = done(await tur.get("/v1/event-types", limit=2, type="offer.*"))
    assert [e["type"] for e in first["items"]] == ["offer.accepted", "offer.completed"]
    second = done(await tur.get("/v1/event-types", type="offer.*", cursor=first["next"]))
    assert second["items"][0]["type"] == "offer.declined"
    document = done(await tur.get("/openapi.json"))
    validate(document)
    assert list(document["webhooks"]) == [*EVENTS, "sealed"]
    assert "Webhooks" in [name for name, _ in TAGS]
    for name, item in document["webhooks"].items():
        content = item["post"]["requestBody"]["content"]["application/json"]
        schema = content["schema"] | {"components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])
        assert content["example"]["type"] == name
        if name != "sealed":
            assert item["post"]["description"].startswith(EVENTS[name].sentence)
