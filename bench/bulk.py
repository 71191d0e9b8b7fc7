"""Bulk publishing against the baseline: COPY into a temporary table and one merge statement."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter, sleep

import asyncpg
import httpx

from bench.load import Strange
from bench.memory import now_mb
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Database, Server, Stage

_LEAST_SHARE = 0.4
_LEAST_FASTER = 2.0
_MOST_MB = 100.0
_ITEM = "HSHEBLANPHT1"
_SITE = {"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}
_PIECE = 524_288

_OWN_SITE = """
INSERT INTO sites (id, society, ref, name, country, lat, lon, kind)
VALUES (uuidv7(), 'KAZ', 'central', 'Central', 'KAZ', 43.2, 76.9, 'warehouse')
ON CONFLICT DO NOTHING
"""
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


def of_a_stock_list(stage: Stage, scale: Scale) -> list[Measured]:
    """The import of a society's whole list, in turn with the baseline, each with new lots."""
    database = stage.database(SMALL)
    service = stage.service(database)
    headers = {"Authorization": f"Bearer {service.provider}"}
    rounds = []
    with httpx.Client(
        base_url=f"http://127.0.0.1:{service.port}", headers=headers, timeout=600
    ) as http:
        http.put("/v1/my/sites/central", json=_SITE).raise_for_status()
        before = now_mb(service.pid)
        with _highest(service) as seen:
            for n in range(scale.imports):
                bare = asyncio.run(_baseline(database, _sheet(scale.import_lots, f"KAZ-{n}")))
                list_ = _sheet(scale.import_lots, f"AZE-{n}")
                first, again = (
                    _import(http, list_, scale.import_lots, told)
                    for told in ("created", "unchanged")
                )
                rounds.append((bare, first, again))
    lots = scale.import_lots
    bare, first, again = (median(r[i] for r in rounds) for i in range(3))
    return [
        Measured(
            f"Import of {lots:,} new lots by CSV: share of the rate of COPY and one merge",
            median(b / f for b, f, _ in rounds),
            f"{lots / first:,.0f} lots/s against {lots / bare:,.0f}; {len(rounds)} rounds",
            least=_LEAST_SHARE,
        ),
        Measured(
            f"Import of {lots:,} lots again, nothing changed: times as fast as the first",
            median(f / a for _, f, a in rounds),
            f"{again:.1f} s against {first:.1f} s",
            least=_LEAST_FASTER,
        ),
        Measured(
            f"Memory of a worker while {lots:,} lots are imported, above idle",
            max(seen) - before,
            f"{max(seen):.0f} MB against {before:.0f} MB",
            most=_MOST_MB,
            unit=" MB",
        ),
    ]


def _sheet(lots: int, prefix: str) -> bytes:
    """A stock list as a spreadsheet saves it."""
    lines = ["ref,item,site,quantity,keep_back,lot_number,expires_on"]
    for n in range(lots):
        lot = f"{prefix}-{n:07},{_ITEM},central,{100 + n % 9000},{n % 50}"
        lines.append(f"{lot},B-2025-{n:06},2028-{n % 12 + 1:02}-01")
    return ("\n".join(lines) + "\n").encode()


def _import(http: httpx.Client, sheet: bytes, lots: int, told: str) -> float:
    started = perf_counter()
    answer = http.post("/v1/my/stock/import", content=sheet, headers={"Content-Type": "text/csv"})
    seconds = perf_counter() - started
    if answer.status_code != 200 or answer.json()[told] != lots:
        raise Strange(f"the import was answered {answer.status_code}: {answer.text[:500]}")
    return seconds


async def _baseline(database: Database, sheet: bytes) -> float:
    """Seconds of the same rows without checks, words about bad rows, or a ledger."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sheet), _PIECE):
            yield sheet[start : start + _PIECE]

    connection = await asyncpg.connect(database.url.replace("+asyncpg", ""))
    try:
        await connection.execute(_OWN_SITE)
        started = perf_counter()
        async with connection.transaction():
            await connection.execute(
                "CREATE TEMPORARY TABLE baseline (ref text, item text, site text, quantity bigint,"
                " keep_back bigint, lot_number text, expires_on date) ON COMMIT DROP"
            )
            await connection.copy_to_table("baseline", source=pieces(), format="csv", header=True)
            await connection.execute(_MERGE)
        return perf_counter() - started
    finally:
        await connection.close()


@contextmanager
def _highest(service: Server) -> Iterator[list[float]]:
    seen = [now_mb(service.pid)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.append(now_mb(service.pid))
            sleep(0.02)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()
