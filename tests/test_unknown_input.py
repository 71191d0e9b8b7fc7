"""What a route does not take is refused by name, at every address; nothing is dropped unheard."""

import asyncio
import json

from tests.described import Contract, Operation
from tests.stage import Stage
from tests.test_bad_parameters import path_of
from tests.wire import Answer, wire_of
from tests.world import System, done, from_pool, people, refused

_STRANGE = "zq_strange"
_PROBES = frozenset({"GET /livez", "GET /readyz", "GET /metrics"})


async def _asked(system: System, operation: Operation, target: str, body: bytes) -> Answer:
    wire = wire_of(system)
    try:
        return await wire.send(operation.method, target, body)
    finally:
        await wire.close()


def _pointers(answer: Answer) -> list[str]:
    if answer.status != 422:
        return [f"answered {answer.status}"]
    return [error["pointer"] for error in answer.json().get("errors", ())]


async def test_a_field_that_an_operation_does_not_know_is_refused_at_each_of_them(
    tur: System, aze: System
) -> None:
    stage = await Stage(tur, aze).build()
    contract = Contract((await tur.get("/openapi.json")).json())
    told: list[str] = []
    tried = 0

    async def try_one(operation: Operation) -> None:
        nonlocal tried
        tried += 1
        target = path_of(operation, stage)
        if operation.takes_a_file:
            return
        strange = json.dumps({_STRANGE: 38}).encode()
        pointers = _pointers(await _asked(tur, operation, target, strange))
        if f"/{_STRANGE}" not in pointers:
            told.append(f"{operation.name}: {pointers}")
        if operation.body is None:
            odd = (b"[1]", b"3", b"null", b"not JSON", b'{"a":1,"a":2}')
            answers = {body: await _asked(tur, operation, target, body) for body in odd}
            told.extend(
                f"{operation.name} takes {body!r}"
                for body, answer in answers.items()
                if _pointers(answer) != [""]
            )
            for body in (b"", b"{}", b" { } "):
                answer = await _asked(tur, operation, target, body)
                if answer.status == 422 and "" in _pointers(answer):
                    told.append(f"{operation.name} does not take {body!r}")

    await asyncio.gather(*map(try_one, contract.operations()))
    assert told == []
    assert tried > 90


async def test_a_parameter_that_an_operation_does_not_know_is_refused_at_each_of_them(
    tur: System, aze: System
) -> None:
    stage = await Stage(tur, aze).build()
    contract = Contract((await tur.get("/openapi.json")).json())
    told: list[str] = []

    async def try_one(operation: Operation) -> None:
        target = f"{path_of(operation, stage)}?{_STRANGE}=1"
        media = {"Content-Type": "text/csv"} if operation.takes_a_file else {}
        wire = wire_of(tur)
        answer = await wire.send(operation.method, target, headers=media)
        await wire.close()
        pointers = _pointers(answer)
        if f"query/{_STRANGE}" not in pointers:
            told.append(f"{operation.name}: {pointers}")

    await asyncio.gather(*(try_one(o) for o in contract.operations() if o.name not in _PROBES))
    assert told == []


async def test_an_arrival_does_not_pass_over_how_many_have_come(tur: System, aze: System) -> None:
    request = await tur.request(people(40))
    offer = await tur.accept(await aze.offer(request, from_pool(request, await aze.pool(40), 40)))
    deployment = await aze.deploy(offer, 40)
    await aze.move("deployments", deployment, "mobilise")
    path = f"/v1/deployments/{deployment['id']}"
    answer = await aze.post(f"{path}/arrive", {"headcount": 38})
    [fault] = refused(answer, 422, "invalid_input")["errors"]
    assert (fault["pointer"], fault["code"]) == ("/headcount", "extra_forbidden")
    assert done(await aze.get(path))["status"] == "mobilised", "nothing was done"
    assert done(await aze.post(f"{path}/arrive", {}))["status"] == "deployed"
