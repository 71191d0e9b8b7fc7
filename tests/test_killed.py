"""kill -9 in the midst of it: nothing that was acknowledged is lost, nothing happens twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx

from app.access import actions as access
from app.config import Settings
from app.db import Database
from app.ledger.actions import Actor
from app.ledger.verifying import verify
from app.service import serving
from tests.conftest import free_port
from tests.elsewhere import scratch_database
from tests.world import Json, System, done, from_lot, goods

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, CLIENTS, ENOUGH = 5, 12, 60
SERVE = [sys.executable, "-c", "from app.cli import main; main()", "serve"]


async def _start(url: str, port: int, workers: int, scratch: Path) -> asyncio.subprocess.Process:
    """The real command in a process group of its own, once it is ready."""
    env = os.environ | {
        "KOMEK_DATABASE_URL": url,
        "KOMEK_DATA_DIR": str(scratch / f"killed-{port}"),
        "KOMEK_PORT": str(port),
        "KOMEK_WORKERS": str(workers),
        "KOMEK_LOG_LEVEL": "error",
        "KOMEK_DRAIN": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *SERVE, env=env, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
    )
    async with httpx.AsyncClient() as http, asyncio.timeout(60):
        while process.returncode is None:
            with suppress(httpx.TransportError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return process
            await asyncio.sleep(0.05)
    raise AssertionError(f"the service ended with {process.returncode}")


async def _kill(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    await process.wait()


class Caller:
    """A client that writes down what it wants before it asks, and what it was told."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, str, Json | None]] = {}
        self.told: dict[str, Json] = {}

    async def ask(self, system: System, key: str) -> Json:
        """Call until an answer is there that is none of the transient ones."""
        society, path, body = self.wanted[key]
        assert society == system.society
        while True:
            answer = await system.post(path, body, Idempotency_Key=key)
            busy = answer.status_code == 409 and answer.json()["code"] == "idempotency_in_progress"
            if not busy and answer.status_code != 503:
                break
            assert answer.headers["Retry-After"]
            await asyncio.sleep(0.1)
        assert answer.status_code in (200, 201), answer.text
        body_told: Json = answer.json()
        before = self.told.setdefault(key, body_told)
        assert before == body_told, "what was acknowledged is answered again, word for word"
        return body_told

    def want(self, system: System, path: str, body: Json | None) -> str:
        key = str(uuid4())
        self.wanted[key] = (system.society, path, body)
        return key


@asynccontextmanager
async def _systems(url: str, settings: Settings, port: int) -> AsyncIterator[tuple[System, System]]:
    database = Database(url, settings)
    keys = []
    async with database.transaction() as tx:
        for society in ("TUR", "AZE"):
            actor = Actor(society, None)
            keys.append((await access.create_client(tx, actor, society, "test", ["all"]))[1])
    await database.close()
    made = [
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )
        for key in keys
    ]
    yield System("TUR", made[0]), System("AZE", made[1])
    for http in made:
        await http.aclose()


async def test_a_service_that_is_killed_under_load_loses_nothing_and_repeats_nothing(
    settings: Settings, scratch: Path
) -> None:
    async with scratch_database(settings) as url:
        own = replace(settings, database_url=url, port=free_port())
        await asyncio.to_thread(serving.migrate, url)
        await serving.load(own, url)
        async with _systems(url, own, own.port) as (tur, aze):
            process = await _start(url, own.port, 1, scratch)
            try:
                lot = await aze.lot(1_000_000)
                request = await tur.request(goods(1_000_000))
                caller = Caller()
                for round_ in range(ROUNDS):
                    await _load_until_killed(caller, tur, aze, from_lot(request, lot, 3), process)
                    process = await _start(url, own.port, 1 + round_ % 2, scratch)
                    # Everything again, whether it was answered or not.
                    for key, (society, _, _) in list(caller.wanted.items()):
                        await caller.ask(tur if society == "TUR" else aze, key)
                    await _each_once(caller, tur, aze, request, lot)
                    report = await verify(url)
                    assert report.faults == []
                await _kill(process, signal.SIGTERM)
                assert process.returncode == 0
            finally:
                await _kill(process, signal.SIGKILL)


async def _load_until_killed(
    caller: Caller, tur: System, aze: System, line: Json, process: asyncio.subprocess.Process
) -> None:
    acknowledged = asyncio.Semaphore(0)

    async def work(request: str) -> None:
        with suppress(httpx.TransportError):
            while True:
                body = {"request": request, "lines": [line]}
                offer = await caller.ask(aze, caller.want(aze, "/v1/offers", body))
                path = f"/v1/offers/{offer['id']}/accept"
                await caller.ask(tur, caller.want(tur, path, None))
                acknowledged.release()

    request = next(iter((await tur.get("/v1/requests")).json()["items"]))["id"]
    working = [asyncio.create_task(work(request)) for _ in range(CLIENTS)]
    for _ in range(ENOUGH):
        await acknowledged.acquire()
    await _kill(process, signal.SIGKILL)
    await asyncio.gather(*working)
    unanswered = set(caller.wanted) - set(caller.told)
    assert unanswered, "it was killed while somebody waited for an answer"


async def _each_once(caller: Caller, tur: System, aze: System, request: Json, lot: Json) -> None:
    offered = {told["id"] for key, told in caller.told.items() if _proposes(caller, key)}
    accepted = {told["id"] for key, told in caller.told.items() if not _proposes(caller, key)}
    found: dict[str, str] = {}
    params: Json = {"request": request["id"], "limit": 200}
    while True:
        page = done(await aze.get("/v1/offers", **params))
        found |= {offer["id"]: offer["status"] for offer in page["items"]}
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert set(found) == offered, "one offer for each that was wanted, and no other"
    assert {o for o, status in found.items() if status == "accepted"} == accepted
    assert (await aze.own_lot(lot))["reserved"] == 3 * len(offered)
    line = (await tur.own_request(request))["lines"][0]
    assert (line["offered"], line["accepted"]) == (3 * len(offered), 3 * len(accepted))


def _proposes(caller: Caller, key: str) -> bool:
    return caller.wanted[key][1] == "/v1/offers"
