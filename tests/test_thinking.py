"""A plan that hangs, dies or eats memory takes nothing down: the best so far, or a problem."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import AppError
from app.matching.hosting import Thinking
from app.matching.schemas import Options
from tests.conftest import Service
from tests.test_matches import NOW, SOON, item, lot
from tests.test_operations import eventually
from tests.world import System, done, goods, refused

READ = (
    "import sys, os, time; out = sys.stdout.buffer\n"
    "sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), 'big'))\n"
)
SAY = (
    "def say(kind, body):\n"
    "    out.write((len(body) + 1).to_bytes(8, 'big') + kind + body); out.flush()\n"
)
HANGS = "time.sleep(3600)\n"
DIES = "os._exit(9)\n"
EATS = (
    "import resource; most = int(sys.argv[1])\n"
    "resource.setrlimit(resource.RLIMIT_AS, (most, most)); eaten = bytearray(most * 4)\n"
)
SOUND = "say(b'b', b'{}')\n"

THINKS = (
    "while True:\n"
    "    time.sleep(0.02); say(b'f', b'{}'); say(b'e', b'')\n"
    "    head = sys.stdin.buffer.read(8)\n"
    "    sys.stdin.buffer.read(int.from_bytes(head, 'big') if head else sys.exit())\n"
)

Made = Callable[..., Any]


@asynccontextmanager
async def thinking(service: Service, *parts: str, **bounds: Any) -> AsyncIterator[Thinking]:
    program = READ + SAY + "".join(parts)
    patience = bounds.pop("patience", 0.1)
    made = Thinking(
        replace(service.settings, limits=True, plan_memory=1 << 28, plan_wait=patience),
        ("-c", program),
        **{"grace": 0.5} | bounds,
    )
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("fault", [HANGS, DIES, EATS])
async def test_the_best_so_far_is_the_answer(service: Service, fault: str) -> None:
    async with thinking(service, SOUND, fault) as mind:
        thought = await mind.answer(b"{}", 0.5, "TUR")
    assert (thought.document, thought.final) == (b"{}", False)


@pytest.mark.parametrize("fault", [HANGS, DIES, EATS])
async def test_without_any_plan_there_is_a_clear_problem(service: Service, fault: str) -> None:
    async with thinking(service, fault) as mind:
        with pytest.raises(AppError) as refusal:
            await mind.answer(b"{}", 0.5, "TUR")
        assert (refusal.value.code, refusal.value.status_code) == ("plan_failed", 503)


async def test_the_operator_is_told_why_no_plan_was_made(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "app.matching.hosting.log.error", lambda event, **more: told.append({"event": event} | more)
    )
    mind = Thinking(replace(service.settings, plan_memory=1 << 31))
    try:
        with pytest.raises(AppError):
            await mind.answer(b'{"kind": "plan"}', 0.5, "TUR")
    finally:
        await mind.close()
    async with thinking(service, DIES) as dying:
        with pytest.raises(AppError):
            await dying.answer(b"{}", 0.5, "TUR")
    assert [t["event"] for t in told] == ["planning_failed", "planner_ended"]
    assert told[0]["error"].startswith("KeyError at worker.py:")


async def test_the_planning_process_knows_no_password_and_holds_no_connection(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes it over by what they ask has the question, and no way to the database."""
    monkeypatch.setenv("KOMEK_DATABASE_URL", "postgresql://komek:hunter2@db/komek")
    for name in ("PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "KOMEK_ANYTHING", "AWS_SECRET"):
        monkeypatch.setenv(name, "hunter2")
    mind = Thinking(replace(service.settings, plan_memory=1 << 31))
    try:
        with pytest.raises(AppError):
            await mind.answer(b'{"kind": "plan"}', 0.5, "TUR")
        [process] = mind._ready
        told = Path(f"/proc/{process.pid}")
        environment = told.joinpath("environ").read_text()
        assert "hunter2" not in environment + told.joinpath("cmdline").read_text()
        names = {pair.partition("=")[0] for pair in environment.split("\0") if pair}
        assert not {name for name in names if name.startswith(("KOMEK", "PG", "AWS"))}
        opened = [str(handle.readlink()) for handle in told.joinpath("fd").iterdir()]
        assert opened
        assert {one.partition(":")[0] for one in opened} <= {"pipe", "/dev/null"}
    finally:
        await mind.close()


async def test_more_questions_than_may_be_thought_about_are_put_off(service: Service) -> None:
    async with thinking(service, HANGS) as mind:
        first = asyncio.create_task(mind.answer(b"{}", 1, "TUR"))
        await asyncio.sleep(0)
        with pytest.raises(AppError) as refusal:
            await mind.answer(b"{}", 1, "TUR")
        assert refusal.value.code == "busy"
        assert (refusal.value.headers or {})["Retry-After"]
        with pytest.raises(AppError):
            await first


async def test_a_society_that_asks_often_waits_behind_itself(service: Service) -> None:
    async with thinking(service, THINKS, patience=30) as mind:
        order: list[str] = []

        async def ask(society: str) -> None:
            await mind.answer(b"{}", 5, society)
            order.append(society)

        asking = [asyncio.create_task(ask("AZE")) for _ in range(15)]
        await mind.begun.wait()
        asking += [asyncio.create_task(ask(society)) for society in ("TUR", "KAZ", "TUR")]
        await asyncio.gather(*asking)
        assert {"TUR", "KAZ"} <= set(order[:4]), order
        assert order.index("AZE", 6), "and its own come after"


async def test_a_plan_gives_way_with_the_best_so_far_where_others_wait(service: Service) -> None:
    async with thinking(service, SOUND, HANGS, patience=30, turn=0.3) as mind:
        long = asyncio.create_task(mind.answer(b"{}", 3000, "AZE"))
        await mind.begun.wait()
        thought = await mind.answer(b"{}", 0.1, "TUR")
        assert long.done()
        assert (await long).final is False
        assert thought.document == b"{}"
        alone = asyncio.create_task(mind.answer(b"{}", 3000, "AZE"))
        more = asyncio.create_task(mind.answer(b"{}", 3000, "AZE"))
        await asyncio.sleep(1)
        assert not alone.done(), "it does not give way to the same society"
        for task in (alone, more):
            task.cancel()
        await asyncio.gather(alone, more, return_exceptions=True)


async def test_a_society_that_asks_without_end_is_told(service: Service) -> None:
    async with thinking(service, HANGS, patience=30) as mind:
        asking = [asyncio.create_task(mind.answer(b"{}", 60, "AZE")) for _ in range(21)]
        await mind.begun.wait()
        with pytest.raises(AppError) as refusal:
            await mind.answer(b"{}", 60, "AZE")
        assert (refusal.value.code, refusal.value.status_code) == ("rate_limited", 429)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert (mind.turns.free, mind.turns.waiting()) == (1, 0)


async def test_a_caller_who_hangs_up_leaves_no_process_and_no_turn_taken(service: Service) -> None:
    async with thinking(service, HANGS) as mind:
        task = asyncio.create_task(mind.answer(b"{}", 60, "TUR"))
        await mind.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mind.turns.free == 1
        assert mind._ready == []


async def test_the_service_goes_on_while_a_plan_hangs(
    service: Service, tur: System, aze: System
) -> None:
    code = await item(tur)
    await lot(aze, 100, code)
    request = await tur.request(goods(50, code), needed_by=SOON)
    path = f"/v1/requests/{request['id']}/matches"
    usual = service.app.state.thinking
    async with thinking(service, HANGS) as mind:
        service.app.state.thinking = mind
        try:
            hanging = asyncio.create_task(tur.get(path, time_limit=1))
            await mind.begun.wait()
            assert done(await tur.get("/v1/me"))["society"] == "TUR"
            assert not hanging.done()
            problem = refused(await hanging, 503, "plan_failed")
            assert "limits" in problem["detail"]
        finally:
            service.app.state.thinking = usual
    assert done(await tur.get(path, at=NOW))["optimal"] is True


async def test_whoever_hangs_up_over_a_plan_gives_its_turn_away(
    service: Service, tur: System, aze: System
) -> None:
    code = await item(tur)
    await lot(aze, 100, code)
    request = await tur.request(goods(50, code), needed_by=SOON)
    path = f"/v1/requests/{request['id']}/matches"
    usual = service.app.state.thinking
    async with thinking(service, HANGS, patience=30) as mind:
        service.app.state.thinking = mind
        try:
            asking = [asyncio.create_task(tur.get(path, time_limit=60)) for _ in range(3)]
            await mind.begun.wait()
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

            async def free() -> bool:
                return (mind.turns.free, mind.turns.waiting()) == (1, 0)

            await eventually(free)
        finally:
            service.app.state.thinking = usual


async def test_the_planning_process_ends_where_its_memory_does(service: Service) -> None:
    """The real program, on a question that does not fit: it dies, and nothing else does."""
    lots = [[f"lot-{n}", "AZE", "X", "s", 5, None, None] for n in range(1_000_000)]
    question = {
        "kind": "plan", "at": NOW, "options": Options().plain(), "secretariat": True,
        "only_for": None, "lots": lots, "lines": [], "pools": [], "items": {},
        "sites": [["s", "Depot", "AZE", 40.4, 49.9]], "hubs": [], "legs": [],
    }  # fmt: skip
    small = Thinking(replace(service.settings, plan_memory=500 << 20), grace=60)
    with pytest.raises(AppError) as refusal:
        await small.answer(json.dumps(question).encode(), 1, "TUR")
    assert refusal.value.code == "plan_failed"
    again = await small.answer(json.dumps(question | {"lots": []}).encode(), 1, "TUR")
    assert again.final, "the next question finds a sound process"
    await small.close()
