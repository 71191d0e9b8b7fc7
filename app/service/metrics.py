"""Prometheus metrics: request durations by route template, the pool, the chores, the ledger's lag,
offers, and webhooks.

With several workers each counts for itself; `prometheus_client` adds them up from files in
`PROMETHEUS_MULTIPROC_DIR`, which `serving` sets before any worker starts.
"""

import os
import re
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.db import Database
from app.errors import AppError
from app.ledger import actions as ledger
from app.offers import actions as offers
from app.shares import Callers
from app.webhooks import actions as webhooks

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS = Histogram(
    "komek_request_seconds",
    "Duration of requests by method, route template and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
POOL = Gauge(
    "komek_pool_connections",
    "Database connections of the pool, by state.",
    ["state"],
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "komek_waiting_calls",
    "Calls that wait for their turn to get a database connection.",
    multiprocess_mode="livesum",
)

FAILURES = Counter(
    "komek_chore_failures",
    "Rounds of a chore that failed, whatever it was about.",
    ["chore"],
)
STUCK = Gauge(
    "komek_chore_stuck",
    "Objects that a chore could not end; it passes them over and tries again now and then.",
    ["chore"],
    multiprocess_mode="livemax",
)
STUCK_SECONDS = Gauge(
    "komek_chore_stuck_seconds",
    "How long ago a chore failed for the first time at the oldest of them.",
    ["chore"],
    multiprocess_mode="livemax",
)
_OWN = (REQUESTS, POOL, WAITING, FAILURES, STUCK, STUCK_SECONDS)


async def exposed(database: Database, callers: Callers, own: Database) -> bytes:
    """What `/metrics` shows. The database's figures are asked for now; it may be out of reach.

    They are asked for past the callers, whose pool is what the operator wants to know about.
    """
    count_pool(database, callers)
    return _counted() + generate_latest(await _looked_up(own))


def count_pool(database: Database, callers: Callers) -> None:
    """Note how the pool of this process is; whichever worker is asked tells of all."""
    pool: Any = database.engine.pool
    POOL.labels("in_use").set(pool.checkedout())
    POOL.labels("idle").set(pool.checkedin())
    WAITING.set(callers.waiting())


def _forget_the_dead(folder: Path) -> None:
    """Workers that were killed and replaced have no connections any more."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = re.sub(r".*_(\d+)\.db", r"\1", file.name)
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def _counted() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        registry = CollectorRegistry()
        for figure in _OWN:
            registry.register(figure)
        return generate_latest(registry)
    registry = CollectorRegistry()
    _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def _looked_up(database: Database) -> CollectorRegistry:
    registry = CollectorRegistry()
    up = Gauge("komek_database_up", "Whether the database answers.", registry=registry)
    lag = Gauge(
        "komek_ledger_lag_seconds", "Age of the oldest record without a seal.", registry=registry
    )
    unsealed = Gauge(
        "komek_ledger_unsealed_records",
        "Records that wait for their seal (10,000 at most).",
        registry=registry,
    )
    live = Gauge(
        "komek_offers", "Offers that are not ended, by state.", ["state"], registry=registry
    )
    endpoints = Gauge("komek_webhooks", "Endpoints, by status.", ["status"], registry=registry)
    behind = Gauge(
        "komek_webhook_lag_events",
        "How far the last active endpoint is behind the ledger.",
        registry=registry,
    )
    try:
        async with database.reading() as connection:
            seconds, count = await ledger.sealing_lag(connection)
            states = await offers.count_by_state(connection)
            statuses, events = await webhooks.standing(connection)
    except AppError:
        up.set(0)
        return registry
    up.set(1)
    lag.set(seconds)
    unsealed.set(count)
    for state, number in states.items():
        live.labels(state).set(number)
    for status in ("active", "paused", "disabled"):
        endpoints.labels(status).set(statuses.get(status, 0))
    behind.set(events)
    return registry
