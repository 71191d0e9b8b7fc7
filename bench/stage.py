"""The stage: one cluster of the measurement's own, its databases, and the servers on them.

Everything listens on loopback or on a Unix socket, lies in one temporary folder, and is gone when
the stage is left, by whatever way.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import serving
from bench.filling import Size, fill

_START_WITHIN = 60.0
_STOP_WITHIN = 20.0
_POOL = 16


@dataclass(frozen=True)
class Server:
    """A process that listens, and the keys with which it can be called."""

    port: int
    pid: int
    provider: str = ""
    reader: str = ""


@dataclass(frozen=True)
class Database:
    """A filled database of the cluster."""

    url: str
    size: Size

    def ask(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a query of the measurement's own."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
            try:
                return list(await connection.fetch(statement, *values))
            finally:
                await connection.close()

        return asyncio.run(run())


class Stage:
    """Where the measurements play."""

    def __init__(self, folder: Path, cluster_url: str, leaving: contextlib.ExitStack) -> None:
        self.folder = folder
        self._cluster_url = cluster_url
        self._servers = leaving.enter_context(contextlib.ExitStack())
        self._databases: dict[Size, Database] = {}

    def database(self, size: Size) -> Database:
        """A database of this size; filled when it is asked for the first time."""
        if size not in self._databases:
            self._databases[size] = self._make(size)
        return self._databases[size]

    def end_servers(self) -> None:
        """End what the last measurement started: idle services follow the ledger all the same."""
        self._servers.close()

    def _make(self, size: Size) -> Database:
        name = f"lots_{size.lots}"
        url = self._cluster_url.replace("@/komek?", f"@/{name}?")
        print(f"filling a database with {size.lots:,} lots", file=sys.stderr, flush=True)
        asyncio.run(_create(self._cluster_url, name))
        serving.migrate(url)
        asyncio.run(serving.load(Settings(database_url=url), url))
        asyncio.run(_fill(url, size))
        return Database(url, size)

    def service(self, database: Database, **more: str) -> Server:
        """The service on a database, started as a user starts it, with keys of two societies."""
        environment = {"KOMEK_DATABASE_URL": database.url, "KOMEK_WORKERS": "1"} | more
        komek = str(Path(sys.executable).parent / "komek")
        server = self._start([komek, "serve"], environment, "/readyz")
        keys = [self._key(komek, environment, society) for society in ("AZE", "TUR")]
        return Server(server.port, server.pid, provider=keys[0], reader=keys[1])

    def floor(self, database: Database) -> Server:
        """The bare floor on a database."""
        command = [sys.executable, "-m", "bench.floor"]
        return self._start(command, {"KOMEK_DATABASE_URL": database.url}, "/openapi.json")

    def _key(self, komek: str, environment: dict[str, str], society: str) -> str:
        made = subprocess.run(
            [komek, "client", "create", society, "--name", "bench", "--scope", "all"],
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=_START_WITHIN,
            check=True,
        )
        return made.stdout.strip()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KOMEK_")}
        # Two societies' keys carry the load of a whole network: their limits are not what counts.
        own = {
            "KOMEK_DATA_DIR": str(self.folder),
            "KOMEK_POOL_SIZE": str(_POOL),
            "KOMEK_LIMITS": "off",
        }
        return kept | own | more

    def _start(self, command: list[str], environment: dict[str, str], ready: str) -> Server:
        port = _free_port()
        log = self.folder / f"server-{port}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                env=self._environment(environment | {"KOMEK_PORT": str(port)}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Ctrl-C is for the measurement, which then ends its servers in order.
                start_new_session=True,
            )
        self._servers.callback(_end, process)
        until = time.monotonic() + _START_WITHIN
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}{ready}").status_code == 200:
                    return Server(port, process.pid)
            time.sleep(0.05)
        raise RuntimeError(f"{command} did not start:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _create(cluster_url: str, name: str) -> None:
    connection = await asyncpg.connect(cluster_url.replace("+asyncpg", ""))
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


async def _fill(url: str, size: Size) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await fill(connection, size)
    finally:
        await connection.close()


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Set the stage up, and clear it away."""

    def leave(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    with contextlib.ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="komek-bench-")))
        # The account of the embedded PostgreSQL must be able to enter.
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder)
        sockets = postgres.url.partition("host=")[2]
        leaving.callback(shutil.rmtree, sockets, ignore_errors=True)
        leaving.callback(postgres.stop)
        postgres.start()
        yield Stage(folder, postgres.url, leaving)
