"""Whatever stands in a field of a body: refused by name, or stored exactly as it was sent."""

import asyncio
import json
import re
import unicodedata
from datetime import datetime
from typing import Any

import pytest

from app.errors import CODES
from tests.corpus import MARK, VALUES, Value
from tests.described import ABSENT, Contract, Operation, look, put
from tests.stage import NOWHERE, Call, Stage
from tests.wire import Answer, Wire, wire_of
from tests.world import Json, System

pytestmark = pytest.mark.usefixtures("endpoints_closed")

_PLACE = '"@place@"'

# Where the answer shows a field under another pointer; None: it shows it nowhere.
_SHOWN: tuple[tuple[str, str, str | None], ...] = (
    # Questions: nothing of them is stored.
    (r"POST /v1/(preparedness|offers/screening|emergencies/.*/plan)", r".*", None),
    (r"PUT /v1/societies/.*", r"(.*)", r"\1"),
    (r"POST /v1/clients/.*/rotate", r"/overlap_hours", None),
    # Where to begin is a place in the ledger, which moves on: see `progress`.
    (r"POST /v1/webhooks", r"/from", None),
    (r".*", r"(.*)/pack", None),
    (r"PATCH /v1/requests/.*", r"/add_lines/0/(.*)", r"/lines/-2/\1"),
    (r"PATCH /v1/requests/.*", r"/add_lines/1/(.*)", r"/lines/-1/\1"),
    (r"PATCH /v1/requests/.*", r"/(add_)?lines", None),
    (r"POST /v1/offers/.*/accept", r"/lines/0/line", "/lines/0/id"),
    (r"POST /v1/offers/.*/accept", r"/lines/0/quantity", "/lines/0/accepted"),
    (r"POST /v1/offers/.*/accept", r"/allow_surplus", None),
    (r"POST /v1/consignments/.*/checkpoints", r"/(.*)", r"/checkpoints/-1/\1"),
    (r"POST /v1/consignments/.*/receive", r"/lines/0/line", "/lines/0/id"),
    (r"POST /v1/deployments/.*/extension", r"/(.*)", r"/extension/\1"),
    (r"POST /v1/deployments/.*/extension/decline", r"/reason", None),
)


async def test_no_field_of_a_body_takes_what_it_does_not_store(tur: System, aze: System) -> None:
    stage = await Stage(tur, aze).build()
    contract = Contract((await tur.get("/openapi.json")).json())
    staged = stage.calls()
    told: list[str] = []
    tried = 0

    async def try_all(operation: Operation, calls: list[Call]) -> None:
        nonlocal tried
        assert operation.body is not None
        for call in calls:
            wire = wire_of(call.system)
            places = [("", operation.body), *contract.fields(operation.body, call.body)]
            for pointer, schema in places:
                kinds = contract.kinds(schema)
                for value in (v for v in VALUES if v.suits(kinds)):
                    tried += 1
                    told.extend(
                        f"{operation.name} {pointer} {value.raw[:60]}: {fault}"
                        for fault in await _try(wire, operation, call, pointer, value)
                    )
            await wire.close()

    await asyncio.gather(
        *(
            try_all(o, staged.get(o.name) or [_from_examples(contract, o, tur)])
            for o in contract.operations()
            if o.body is not None
        )
    )
    assert told == [], f"{len(told)} of {tried}:\n" + "\n".join(told[:60])
    assert tried > 5_000


def _from_examples(contract: Contract, operation: Operation, system: System) -> Call:
    """A route that the stage does not know yet: judged by the document's examples."""
    assert operation.body is not None
    path = dict.fromkeys(operation.names("path"), NOWHERE)
    return Call(system, path, contract.example(operation.body))


async def _try(
    wire: Wire, operation: Operation, call: Call, pointer: str, value: Value
) -> list[str]:
    path = {"id": NOWHERE, **call.path}
    response = await _send(wire, operation, path, call.body, pointer, value)
    if call.fresh is not None and response.status in (404, 409):
        # The body was well-formed: now with an object that it really moves.
        new, body = await call.fresh()
        path |= {"id": new}
        response = await _send(wire, operation, path, body or call.body, pointer, value)
    faults = judged(response, value.secret)
    if response.is_success:
        return faults + await _compared(operation, call, path, pointer, value, response)
    if response.status == 422:
        faults += _named(response.json(), pointer)
    return faults


async def _send(
    wire: Wire,
    operation: Operation,
    path: dict[str, str],
    body: Json | None,
    pointer: str,
    value: Value,
) -> Answer:
    text = json.dumps(put(body, pointer, "@place@")).replace(_PLACE, value.raw)
    return await wire.send(operation.method, operation.path.format(**path), text.encode())


def judged(response: Answer, secret: str | None) -> list[str]:
    """What is wrong with an answer, whatever was asked."""
    status = response.status
    if status >= 500:
        return [f"{status} {response.text[:200]}"]
    if response.is_success or status == 304:
        return []
    if response.headers.get("content-type") != "application/problem+json":
        return [f"{status} is {response.headers.get('content-type')}"]
    problem = response.json()
    faults = []
    registered = CODES.get(problem["code"])
    if registered is None or registered.status != status:
        faults.append(f"{status} with the code {problem['code']}")
    if problem["status"] != status or problem["type"] != f"/problems/{problem['code']}":
        faults.append("the problem contradicts itself")
    if secret is not None and secret in response.text:
        faults.append(f"echoed: {response.text[:300]}")
    return faults


def _named(problem: Json, pointer: str) -> list[str]:
    errors = problem.get("errors") or []
    for error in errors:
        at = error["pointer"]
        if at == pointer or at.startswith(f"{pointer}/") or pointer.startswith(f"{at}/"):
            # A place far above the field names it only where the fault lies between fields.
            if at != "" or pointer.count("/") <= 1 or error["code"] in _BETWEEN:
                return []
        elif error["code"] in _BETWEEN:
            return []
    return [f"not named: {problem['code']} {errors[:2]}"]


_BETWEEN = frozenset({"one_of", "request_line_missing", "duplicate", "before_from", "incomplete"})


async def _compared(
    operation: Operation,
    call: Call,
    path: dict[str, str],
    pointer: str,
    value: Value,
    response: Answer,
) -> list[str]:
    sent = json.loads(value.raw)
    if pointer == "" or sent is None:
        return []
    shown: str | None = pointer
    for name, of, at in _SHOWN:
        if re.fullmatch(name, operation.name) and re.fullmatch(of, pointer):
            shown = None if at is None else re.sub(of, at, pointer)
            break
    if shown is None:
        return []
    answers = [response.json()]
    if call.read != "":
        place = call.read or response.headers.get("location") or operation.path
        read = await call.system.http.get(place.format(**path))
        if read.status_code != 200:
            return [f"not readable at {place}: {read.status_code}"]
        again = read.json()
        if "items" in again and "next" in again:
            again = next(x for x in again["items"] if x["id"] == answers[0]["id"])
        answers.append(again)
    found = [look(answer, shown) for answer in answers]
    return [f"sent {sent!r}, stored {f!r}"[:300] for f in found if not _same(sent, f)]


def _same(sent: Any, found: Any) -> bool:
    if found is ABSENT:
        return False
    if isinstance(sent, bool) or isinstance(found, bool):
        return sent is found
    if isinstance(sent, int | float) and isinstance(found, int | float):
        return float(sent) == float(found) and int(sent) == int(found)
    if isinstance(sent, str) and isinstance(found, str):
        # One text has one spelling: what is composed of several characters comes back as one.
        sent = unicodedata.normalize("NFC", sent)
        return sent == found or _instant(sent) == _instant(found) is not None
    if isinstance(sent, list) and isinstance(found, list):
        return len(sent) == len(found) and all(map(_same, sent, found))
    if isinstance(sent, dict) and isinstance(found, dict):
        return all(_same(v, found.get(k, ABSENT)) for k, v in sent.items())
    return bool(sent == found)


def _instant(text: str) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\dT", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


async def test_no_field_within_a_field_is_left_out(tur: System, aze: System) -> None:
    stage = await Stage(tur, aze).build()
    contract = Contract((await tur.get("/openapi.json")).json())
    staged = stage.calls()
    left_out = []
    for operation in contract.operations():
        bodies = [call.body for call in staged.get(operation.name, [])]
        for body in bodies if operation.body else ():
            assert operation.body is not None
            for pointer, schema in contract.fields(operation.body, body):
                has_inner = any(
                    v.get("type") in ("object", "array") for v in contract.variants(schema)
                )
                if has_inner and all(look(other, pointer) is ABSENT for other in bodies):
                    left_out.append(f"{operation.name} {pointer}")
    assert left_out == [], "the stage must send them, or what they hold is not tried"


def test_the_marks_of_the_corpus_are_in_it() -> None:
    assert sum(v.secret == MARK for v in VALUES) > 10
