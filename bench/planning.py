"""Plans over HTTP: against the bare solver, and what other callers notice of them."""

import asyncio
import contextlib
import io
import threading
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import asyncpg
import highspy
import httpx

from app import clock
from app.access.actions import Caller
from app.config import Settings
from app.db import Database as Pool
from app.matching import actions, worker
from app.matching.schemas import Options
from bench.filling import Size
from bench.load import Plan, throw
from bench.matching import of_the_flow
from bench.report import Measured
from bench.scale import QUICK, Scale
from bench.stage import Database, Server, Stage
from bench.throughput import stock_pages

_SIZE = Size(lots=100, requests=20, records=100)
_LOTS = 5_000
_LIMIT = 60.0
_BRIEF = 10.0
"""The limit of plans that are made only to be in the way of searches."""

# Two hundred warehouses around the towns of the network, with lots of every item.
_STOCK = """
CREATE TEMP TABLE warehouse AS
SELECT n, uuidv7() AS id, h.country, h.lat + (hashint4(n) % 100) / 12.0 AS lat,
    h.lon + (hashint4(n + 1000) % 100) / 8.0 AS lon,
    (ARRAY['AZE', 'KAZ', 'KGZ', 'UZB'])[1 + n % 4] AS society
FROM generate_series(0, 199) n
JOIN (SELECT row_number() OVER (ORDER BY code) - 1 AS k, count(*) OVER () AS hubs, * FROM hubs) h
    ON h.k = n % h.hubs;
INSERT INTO sites (id, society, ref, name, country, lat, lon, kind)
SELECT id, society, 'planned-' || n, 'Warehouse ' || n, country, lat, lon, 'warehouse'
FROM warehouse;
INSERT INTO lots (id, society, ref, item, site, quantity, keep_back, reserved, ceiling, expires_on,
                  as_of, updated_at, withdrawn)
SELECT uuidv7(), w.society, 'planned-' || g,
    'HBENITEM' || lpad((1 + abs(hashint4(g)) % 100)::text, 3, '0'), w.id,
    100 + abs(hashint4(g + 7)) % 2000, 0, 0, 100 + abs(hashint4(g + 7)) % 2000,
    CASE WHEN g % 5 < 2 THEN current_date + 90 + abs(hashint4(g + 9)) % 600 END, now(), now(), false
FROM generate_series(1, 5000) g JOIN warehouse w ON w.n = abs(hashint4(g + 3)) % 200
"""
# Two hundred and fifty requests of two lines, to towns of three countries.
_ASKED = """
WITH e AS (
    INSERT INTO emergencies (id, society, name, hazard, country, lat, lon, started_on, status,
                             created_at)
    VALUES (uuidv7(), 'TUR', 'Planned', 'earthquake', 'TUR', 37.58, 36.93, '2026-02-06', 'open',
            now())
    RETURNING id
), r AS (
    INSERT INTO requests (id, emergency, society, ref, title, priority, needed_by, place, country,
                          lat, lon, status, created_at, updated_at)
    SELECT uuidv7(), e.id, 'TUR', 'planned-' || n, 'Planned ' || n,
        (ARRAY['critical', 'high', 'normal'])[1 + n % 3], now() + make_interval(days => 3 + n % 9),
        h.name, h.country, h.lat, h.lon, 'open', now(), now()
    FROM generate_series(0, 249) n, e,
        (SELECT row_number() OVER (ORDER BY code) - 1 AS k, * FROM hubs
         WHERE country IN ('TUR', 'AZE', 'GEO')) h
    WHERE h.k = n % 6 RETURNING id, emergency, ref
), l AS (
    INSERT INTO request_lines (id, request, position, kind, item, accept_substitutes, languages,
                               requested)
    SELECT uuidv7(), r.id, p, 'stock',
        'HBENITEM' || lpad((1 + abs(hashtext(r.ref || p)) % 100)::text, 3, '0'), false, '{}',
        1 + abs(hashtext(p || r.ref)) % 1500
    FROM r, generate_series(0, 1) p
)
SELECT DISTINCT emergency FROM r
"""


def over_http(stage: Stage, scale: Scale) -> list[Measured]:
    """The answer against the solver alone; latency of a search beside it; the flow."""
    database = stage.database(_SIZE)
    asyncio.run(_fill(database))
    [row] = database.ask(_ASKED)
    emergency, service = row["emergency"], stage.service(database)
    rounds = max(1, scale.rounds // 3)
    found = [
        *_against_the_solver(database, service, emergency, rounds),
        _beside_plans(service, emergency, scale),
    ]
    size = (10_000, 500) if scale is QUICK else (100_000, 5_000)
    return found + of_the_flow(*size, rounds=rounds)


async def _fill(database: Database) -> None:
    connection = await asyncpg.connect(database.url.replace("+asyncpg", ""))
    await connection.execute(_STOCK)
    await connection.execute("ANALYZE")
    await connection.close()


def _ask(service: Server, emergency: UUID, limit: float = _LIMIT) -> dict[str, Any]:
    answer = httpx.post(
        f"http://127.0.0.1:{service.port}/v1/emergencies/{emergency}/plan",
        json={"time_limit": limit},
        headers={"Authorization": f"Bearer {service.reader}"},
        timeout=limit * 2,
    )
    answer.raise_for_status()
    plan: dict[str, Any] = answer.json()
    return plan


def _against_the_solver(
    database: Database, service: Server, emergency: UUID, rounds: int
) -> list[Measured]:
    question = asyncio.run(_question(database, emergency))
    _ask(service, emergency)
    pairs, plan = [], {}
    for _ in range(rounds):
        with _solver_alone() as spent:
            worker.answer(question, io.BytesIO())
        start = perf_counter()
        plan = _ask(service, emergency)
        pairs.append((perf_counter() - start, spent[0]))
    http, bare = (median(p[i] for p in pairs) for i in (0, 1))
    proven = [stage["criterion"] for stage in plan["stages"] if stage["proven"]]
    gaps = {s["criterion"]: s["gap"] for s in plan["stages"] if not s["proven"]}
    return [
        Measured(
            f"Plan of {len(plan['lines'])} lines over {_LOTS:,} lots: time of the answer over "
            "HTTP against the solver alone",
            median(h / b for h, b in pairs),
            f"{http:.2f} s against {bare:.2f} s, within a limit of {_LIMIT:g} s",
            most=3.0,
        ),
        Measured(
            "Of the plan's eight criteria: proven the best within the limit",
            len(proven),
            ", ".join(proven) + (f"; gaps of the others: {gaps}" if gaps else ""),
            least=8.0,
        ),
    ]


async def _question(database: Database, emergency: UUID) -> bytes:
    pool = Pool(database.url, Settings(database_url=database.url))
    asking = actions.Asking(None, Options(time_limit=_LIMIT).plain())
    asker = Caller("TUR", "secretariat", UUID(int=0), "bench", frozenset())
    async with pool.snapshot() as tx:
        parts = await actions.gather(tx, {"emergency": emergency}, asking, asker)
    await pool.close()
    head = {
        "kind": "plan", "at": clock.now().isoformat(), "options": dict(asking.options),
        "what_if": None, "secretariat": True, "only_for": None,
    }  # fmt: skip
    return actions.written(head, parts)


@contextlib.contextmanager
def _solver_alone() -> Iterator[list[float]]:
    """Add up what HiGHS itself spends, on the very models of the plan."""
    spent, run = [0.0], highspy.Highs.run

    def timed(self: Any) -> Any:
        start = perf_counter()
        try:
            return run(self)
        finally:
            spent[0] += perf_counter() - start

    highspy.Highs.run = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        highspy.Highs.run = run  # type: ignore[method-assign]


def _beside_plans(service: Server, emergency: UUID, scale: Scale) -> Measured:
    def latency() -> float:
        plan = Plan(service.port, stock_pages(), 1, scale.seconds, key=service.reader)
        return throw(plan).median_ms

    over = threading.Event()

    def keep_planning() -> None:
        while not over.is_set():
            _ask(service, emergency, _BRIEF)

    latency()
    pairs = []
    for _ in range(scale.rounds):
        before = latency()
        over.clear()
        planner = threading.Thread(target=keep_planning)
        planner.start()
        pairs.append((before, latency()))
        over.set()
        planner.join()
    before, beside = (median(p[i] for p in pairs) for i in (0, 1))
    return Measured(
        "Stock search while plans are made: median latency against the service at rest",
        median(b / a for a, b in pairs),
        f"{beside:.2f} ms against {before:.2f} ms",
        most=2.0,
    )
