"""The service and its commands as processes of their own, as an operator runs them."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app import db
from app.access import actions as access
from app.config import Settings
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.ledger.actions import Actor
from tests.conftest import free_port

ROOT = Path(__file__).resolve().parent.parent
KOMEK = [sys.executable, "-c", "from app.cli import main; main()"]


def environment(**given: str) -> dict[str, str]:
    """The environment of a command: nothing of `KOMEK_*` but what is given."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("KOMEK_", "PG"))}
    return env | {"PYTHONPATH": str(ROOT), "KOMEK_LOG_LEVEL": "warning"} | given


def komek(*arguments: str, within: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*KOMEK, *arguments],
        env=environment(**env),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


@dataclass
class Running:
    """A service that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def stop(self, number: int = signal.SIGTERM, within: float = 60) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)

    def lines(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextlib.contextmanager
def running(log: Path, ready: bool = True, **env: str) -> Iterator[Running]:
    """`komek serve`, ended at the end where the test has not done so."""
    port = env.setdefault("KOMEK_PORT", str(free_port()))
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*KOMEK, "serve"], env=environment(**env), cwd="/", stderr=errors,
            start_new_session=True,
        )  # fmt: skip
    service = Running(process, f"http://127.0.0.1:{port}", log)
    try:
        if ready:
            wait_until_ready(service.url, process)
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        # Whatever a failed test left of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[Any], within: float = 60) -> None:
    """Until `/readyz` answers 200; fails where the process ends before."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the service did not become ready")


def run_sql(url: str, *statements: str) -> list[Any]:
    """Run statements; returns the rows of the last."""

    async def run() -> list[Any]:
        connection = await db.connect(url, {"application_name": "komek-tests"})
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return list(await connection.fetch(statements[-1]))
        finally:
            await connection.close()

    return asyncio.run(run())


async def make_client(url: str, society: str) -> str:
    """The key of a new client, made behind the service's back."""
    database = Database(url, Settings())
    try:
        async with database.transaction() as tx:
            actor = Actor(society, None)
            _, key = await access.create_client(tx, actor, society, "test", ["all"])
            return key
    finally:
        await database.close()


def make_database(postgres: EmbeddedPostgres, name: str) -> str:
    """A further, empty database in a server; returns its URL."""
    run_sql(postgres.url, f'CREATE DATABASE "{name}"')
    return database_of(postgres.url, name)


def database_of(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return re.sub(r"/\w+\?", f"/{name}?", url, count=1)


def accounts() -> Mapping[str, Any]:
    """How a process is started under the account that the embedded database admits."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}
