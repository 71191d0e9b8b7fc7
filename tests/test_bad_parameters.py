"""Whatever stands in a path, a query or a header: refused by name, or nothing worse than a 404."""

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.corpus import MARK, WORDS
from tests.described import Contract, Operation
from tests.stage import NOWHERE, Stage
from tests.test_bad_bodies import judged
from tests.wire import Answer, wire_of
from tests.world import Json, System

pytestmark = pytest.mark.usefixtures("endpoints_closed")

_HEADERS = (
    "",
    " ",
    '"',
    '"x',
    "W/",
    'W/"x"',
    '*, "x"',
    f"{MARK}" * 30,
    f"{MARK}\x01",
    "ключ",
    "x" * 201,
    "x" * 8_000,
    "a,b,,c",
    "é",
)


async def test_no_parameter_breaks_a_route(tur: System, aze: System) -> None:
    stage = await Stage(tur, aze).build()
    contract = Contract((await tur.get("/openapi.json")).json())
    told: list[str] = []
    tried = 0

    async def try_all(operation: Operation) -> None:
        nonlocal tried
        wire = wire_of(aze)
        for where, name, value, target, headers in _targets(operation, stage):
            body = b"{}" if operation.body is not None else None
            answer = await wire.send(operation.method, target, body, headers)
            tried += 1
            faults = judged(answer, MARK if MARK in value else None)
            faults += _misplaced(answer, where, name, value)
            told.extend(f"{operation.name} {where}/{name} {value[:50]!r}: {f}" for f in faults)
        await wire.close()

    await asyncio.gather(*(try_all(o) for o in contract.operations()))
    assert told == [], f"{len(told)} of {tried}:\n" + "\n".join(told[:60])
    assert tried > 3_000


Target = tuple[str, str, str, str, dict[str, str]]


def _targets(operation: Operation, stage: Stage) -> Iterator[Target]:
    path = path_of(operation, stage)
    call = next(iter(stage.calls().get(operation.name, ())), None)
    query = "&".join(f"{k}={v}" for k, v in call.query.items()) if call else ""
    for name in operation.names("path"):
        for word in WORDS:
            if quote(word, safe="").strip() in ("", ".", ".."):
                continue
            target = operation.path.replace(f"{{{name}}}", quote(word, safe=""))
            target = re.sub(r"{\w+}", NOWHERE, target)
            yield "path", name, word, f"{target}?{query}" if query else target, {}
    for name in operation.names("query"):
        for word in WORDS:
            kept = "&".join(p for p in query.split("&") if p and not p.startswith(f"{name}="))
            target = f"{path}?{name}={quote(word, safe='')}" + (f"&{kept}" if kept else "")
            yield "query", name, word, target, {}
    # A moving call with headers that are in order would move; these go to what does not exist.
    nowhere = re.sub(r"{(id|delivery)}", NOWHERE, operation.path)
    for name in operation.names("header"):
        for word in _HEADERS:
            target = nowhere if operation.method == "POST" else path
            yield "header", name, word, f"{target}?{query}" if query else target, {name: word}


def path_of(operation: Operation, stage: Stage) -> str:
    """A path of the operation with an object that exists, for reading; of nothing, for moving."""
    known: Json = stage.paths()
    kind = operation.path.removeprefix("/v1/").removeprefix("my/").partition("/")[0]
    moving = operation.method != "GET"
    return operation.path.format_map(
        {
            "id": known["ids"].get(kind, "ZZZ") if not moving else "ZZ9",
            "ref": known["refs"].get(kind, "none") if not moving else "none",
            "code": known["codes"].get(kind, "not_found") if not moving else "no-such-code",
        }
        | {name: "none" for name in operation.names("path") if name not in ("id", "ref", "code")}
    )


def _misplaced(answer: Answer, where: str, name: str, value: str) -> list[str]:
    """What is wrong with where a 422 says the fault is."""
    if answer.status != 422:
        return []
    errors = answer.json().get("errors") or []
    if any(e["pointer"] == f"{where}/{name}" for e in errors):
        return []
    # The empty body, or the path of nothing that a header is tried on, may be at fault as well.
    others = {"", "path"} if where == "header" else {""}
    told = {e["pointer"].split("/")[0] for e in errors}
    return [] if told and told <= others else [f"not named: {errors[:2]}"]
