"""Bulk publishing against the baseline: COPY into a temporary table and one merge statement."""

import asyncio
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx

from app.access import actions as access
from app.config import Settings
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.ledger.actions import Actor
from app.service import serving

LOTS = 100_000
_ITEM = "HSHEBLANPHT1"

_MERGE = """
MERGE INTO lots l USING (
    SELECT i.*, s.id AS site_id FROM baseline i JOIN sites s ON s.society = 'KAZ' AND s.ref = i.site
) p ON l.society = 'KAZ' AND l.ref = p.ref
WHEN MATCHED THEN UPDATE SET quantity = p.quantity, keep_back = p.keep_back,
    lot_number = p.lot_number, expires_on = p.expires_on, updated_at = now()
WHEN NOT MATCHED THEN INSERT (id, society, ref, item, site, quantity, keep_back, reserved, ceiling,
    lot_number, expires_on, as_of, updated_at, withdrawn)
VALUES (uuidv7(), 'KAZ', p.ref, p.item, p.site_id, p.quantity, p.keep_back, 0,
    p.quantity - p.keep_back, p.lot_number, p.expires_on, now(), now(), false)
"""


@dataclasses.dataclass
class Figures:
    """Lots a second, and megabytes above idle."""

    baseline: float
    first: float
    second: float
    memory: float

    @property
    def ratio(self) -> float:
        """The first import against the baseline: at least 0.4."""
        return self.first / self.baseline

    @property
    def repeat(self) -> float:
        """The second import of the same file against the first: at least 2."""
        return self.second / self.first


def sheet(lots: int, society: str) -> bytes:
    """A stock list as a spreadsheet saves it."""
    lines = ["ref,item,site,quantity,keep_back,lot_number,expires_on"]
    for n in range(lots):
        lot = f"{society}-{n:07},{_ITEM},central,{100 + n % 9000},{n % 50}"
        lines.append(f"{lot},B-2025-{n:06},2028-{n % 12 + 1:02}-01")
    return ("\n".join(lines) + "\n").encode()


async def baseline(url: str, lots: int) -> float:
    """Seconds of COPY into a temporary table and one merge statement, without ledger."""
    connection = await asyncpg.connect(url)
    body = sheet(lots, "KAZ")
    try:
        started = time.perf_counter()
        async with connection.transaction():
            await connection.execute(
                "CREATE TEMPORARY TABLE baseline (ref text, item text, site text, quantity bigint,"
                " keep_back bigint, lot_number text, expires_on date) ON COMMIT DROP"
            )

            async def parts() -> AsyncIterator[bytes]:
                for start in range(0, len(body), 524_288):
                    yield body[start : start + 524_288]

            await connection.copy_to_table("baseline", source=parts(), format="csv", header=True)
            await connection.execute(_MERGE)
        return time.perf_counter() - started
    finally:
        await connection.close()


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@asynccontextmanager
async def _highest(pid: int) -> AsyncIterator[list[float]]:
    seen = [_resident(pid)]

    async def watch() -> None:
        while True:
            seen.append(_resident(pid))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()


async def measure(
    url: str, service: str, key: str, other: str, pid: int, lots: int = LOTS
) -> Figures:
    """Measure a running service whose database is at `url`; `key` is AZE's, `other` KAZ's."""
    place = {"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}
    for owner in (key, other):
        async with httpx.AsyncClient(
            base_url=service, headers={"Authorization": f"Bearer {owner}"}
        ) as http:
            (await http.put("/v1/my/sites/central", json=place)).raise_for_status()
    plain = lots / await baseline(url, lots)
    body = sheet(lots, "AZE")
    rates: list[float] = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"}
    async with (
        httpx.AsyncClient(base_url=service, headers=headers, timeout=600) as http,
        _highest(pid) as memory,
    ):
        for expected in ("created", "unchanged"):
            started = time.perf_counter()
            answer = await http.post("/v1/my/stock/import", content=body)
            rates.append(lots / (time.perf_counter() - started))
            assert answer.status_code == 200, answer.text
            assert answer.json()[expected] == lots, answer.text[:500]
    return Figures(plain, rates[0], rates[1], max(memory) - memory[0])


async def _keys(settings: Settings) -> list[str]:
    database = Database(settings.database_url or "", settings)
    try:
        async with database.transaction() as tx:
            return [
                (await access.create_client(tx, Actor(s, None), s, "bench", ["all"]))[1]
                for s in ("AZE", "KAZ")
            ]
    finally:
        await database.close()


def run(lots: int = LOTS) -> Figures:
    """Start a database and a service of one's own, measure, and end both."""
    with tempfile.TemporaryDirectory(prefix="komek-bench-") as folder:
        Path(folder).chmod(0o755)
        embedded = EmbeddedPostgres(Path(folder) / "data")
        embedded.start()
        try:
            settings = Settings(database_url=embedded.url)
            serving.migrate(embedded.url)
            asyncio.run(serving.load(settings, embedded.url))
            keys = asyncio.run(_keys(settings))
            port = 8391
            env = os.environ | {
                "KOMEK_DATABASE_URL": embedded.url, "KOMEK_PORT": str(port),
                "KOMEK_LOG_LEVEL": "error",
            }  # fmt: skip
            service = subprocess.Popen(
                [sys.executable, "-c", "from app.cli import main; main()", "serve"], env=env
            )
            try:
                url = f"http://127.0.0.1:{port}"
                for _ in range(200):
                    try:
                        if httpx.get(f"{url}/readyz").status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    time.sleep(0.05)
                database = embedded.url.replace("postgresql+asyncpg", "postgresql")
                return asyncio.run(measure(database, url, keys[0], keys[1], service.pid, lots))
            finally:
                service.terminate()
                service.wait(30)
        finally:
            embedded.stop()


if __name__ == "__main__":
    print(dataclasses.asdict(figures := run()), figures.ratio, figures.repeat)
