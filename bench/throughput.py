"""Throughput: the service against the bare floor, on the same tables, in turn."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import alone
from bench.load import Call, Plan, throw
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Database, Server, Stage

_CLIENTS = 16


def against_the_floor(stage: Stage, scale: Scale, names: Sequence[str]) -> list[Measured]:
    """Stock search, events and offers, as far as they are named."""
    database = stage.database(SMALL)
    contest = _Contest(
        scale, database, stage.folder, stage.floor(database), stage.service(database)
    )
    found = []
    if "stock" in names:
        found += _compared(
            "Stock search, page of 50", 1.0, contest, stock_pages(), alone.stock_script()
        )
    if "events" in names:
        found += _compared(
            "Events, page of 50",
            1.0,
            contest,
            event_pages(database),
            alone.events_script(database),
        )
    if "offers" in names:
        found += _compared(
            "Offer of one line",
            0.5,
            contest,
            depot_offers(database),
            alone.offers_script(database),
            writes=True,
        )
    return found


@dataclass(frozen=True)
class _Contest:
    """Who is measured, on what, and for how long."""

    scale: Scale
    database: Database
    folder: Path
    floor: Server
    service: Server


def stock_pages() -> list[Call]:
    """Searches for every item of the filler."""
    return [Call(f"/v1/stock?item=HBENITEM{n:03}&limit=50") for n in range(1, 101)]


def event_pages(database: Database) -> list[Call]:
    """Pages of the feed, from anywhere in it."""
    last = database.size.records - 100
    draw = random.Random(1)
    return [Call(f"/v1/events?after={draw.randrange(last)}&limit=50") for _ in range(200)]


_DEPOT_LOTS = "SELECT id FROM lots WHERE ref LIKE 'depot-%' ORDER BY id"
_DEPOT_LINES = """
SELECT r.id AS request, l.id AS line FROM requests r JOIN request_lines l ON l.request = r.id
WHERE r.ref LIKE 'depot-%' ORDER BY l.id
"""


def depot_offers(database: Database, lots: int | None = None) -> list[Call]:
    """Offers of one piece from the depot's lots, or from the first few of them."""
    found = [row["id"] for row in database.ask(_DEPOT_LOTS)][:lots]
    lines = database.ask(_DEPOT_LINES)
    return [
        offer(line["request"], line["line"], found[n % len(found)]) for n, line in enumerate(lines)
    ]


def offer(request: object, line: object, lot: object) -> Call:
    """An offer of one piece."""
    body = {
        "request": str(request),
        "lines": [{"request_line": str(line), "stock": str(lot), "quantity": 1}],
    }
    return Call("/v1/offers", "POST", json.dumps(body), 201)


def _compared(
    name: str,
    least: float,
    contest: _Contest,
    calls: list[Call],
    script: str,
    writes: bool = False,
) -> list[Measured]:
    scale, service = contest.scale, contest.service

    def rate(server: Server, seconds: float) -> float:
        key = service.provider if writes else service.reader
        plan = Plan(server.port, calls, _CLIENTS, seconds, key=key, keyed=writes)
        return throw(plan).rate

    def database_rate(seconds: float) -> float:
        return alone.pgbench(contest.database, script, contest.folder, _CLIENTS, seconds)

    for server in (contest.floor, service):
        rate(server, scale.warm_up)
    database_rate(scale.warm_up)
    rounds = []
    for n in range(scale.rounds):
        # First one and then the other goes first, so that neither always finds a warm machine.
        order = (contest.floor, service) if n % 2 == 0 else (service, contest.floor)
        rates = {server.port: rate(server, scale.seconds) for server in order}
        in_database = database_rate(scale.seconds)
        rounds.append((rates[service.port], rates[contest.floor.port], in_database))
    return [
        _share(name, "the floor's throughput", [r[:2] for r in rounds], least),
        _share(name, "pgbench with the same SQL", [(r[0], r[2]) for r in rounds], None),
    ]


def _share(
    name: str, of: str, pairs: Sequence[tuple[float, float]], least: float | None
) -> Measured:
    ratios = [ours / other for ours, other in pairs]
    ours, other = (median(p[i] for p in pairs) for i in (0, 1))
    return Measured(
        f"{name}: share of {of}",
        median(ratios),
        f"{ours:,.0f}/s against {other:,.0f}/s; ratios {min(ratios):.2f}–{max(ratios):.2f} "
        f"in {len(pairs)} rounds",
        least=least,
    )
