"""Growth: what a call takes in a large network, against a small one."""

from collections.abc import Callable
from statistics import median

from bench.load import Call, Plan, throw
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Database, Server, Stage
from bench.throughput import offer, stock_pages

_MOST = 1.3
_CLIENTS = 1
"""One client: with more, latency would tell of the queue and not of the call."""


def latency_as_it_grows(stage: Stage, scale: Scale) -> list[Measured]:
    """Median latency of stock search, offer and board."""
    small, large = stage.database(SMALL), stage.database(scale.large)
    sides = [(small, stage.service(small)), (large, stage.service(large))]
    return [
        _compared("Stock search", scale, sides, lambda _: stock_pages(), False),
        _compared("Board of an emergency", scale, sides, boards, False),
        # Last: in the small network its offers pile up on few lines, and boards would show them.
        _compared("Offer of one line", scale, sides, offers_from_anywhere, True),
    ]


# Lots and request lines from all over the tables, not from a corner that is always warm.
_FITTING = """
WITH line AS (
    SELECT DISTINCT ON (l.item) l.item, l.id, r.id AS request
    FROM requests r JOIN request_lines l ON l.request = r.id
    WHERE r.status = 'open' AND r.society <> 'AZE' AND r.ref LIKE 'request-%'
    ORDER BY l.item, md5(l.id::text)
)
SELECT lot.id AS lot, line.request, line.id AS line
FROM lots lot JOIN line ON line.item = lot.item
WHERE lot.society = 'AZE' AND NOT lot.withdrawn AND lot.quantity > 10000
ORDER BY md5(lot.id::text) LIMIT 1000
"""
_BOARDS = """
SELECT id FROM emergencies
WHERE name LIKE 'Earthquake %' AND id <> (SELECT id FROM emergencies ORDER BY id DESC LIMIT 1)
ORDER BY md5(id::text) LIMIT 1000
"""


def offers_from_anywhere(database: Database) -> list[Call]:
    """Offers of one piece from lots all over the network."""
    return [offer(row["request"], row["line"], row["lot"]) for row in database.ask(_FITTING)]


def boards(database: Database) -> list[Call]:
    """Boards of emergencies; each has ten requests, whatever the size of the network."""
    return [Call(f"/v1/emergencies/{row['id']}/board") for row in database.ask(_BOARDS)]


def _compared(
    name: str,
    scale: Scale,
    sides: list[tuple[Database, Server]],
    calls: Callable[[Database], list[Call]],
    writes: bool,
) -> Measured:
    plans = []
    for database, server in sides:
        key = server.provider if writes else server.reader
        plans.append((server.port, calls(database), key))

    def latency(side: int, seconds: float) -> float:
        port, wanted, key = plans[side]
        return throw(Plan(port, wanted, _CLIENTS, seconds, key=key, keyed=writes)).median_ms

    for side in (0, 1):
        latency(side, scale.warm_up)
    pairs = []
    for n in range(scale.rounds):
        found = {side: latency(side, scale.seconds / 2) for side in ((0, 1), (1, 0))[n % 2]}
        pairs.append((found[0], found[1]))
    ratios = [grown / before for before, grown in pairs]
    before, grown = (median(p[i] for p in pairs) for i in (0, 1))
    return Measured(
        f"{name}: median latency with {sides[1][0].size.lots:,} lots against "
        f"{sides[0][0].size.lots:,}",
        median(ratios),
        f"{grown:.2f} ms against {before:.2f} ms; ratios {min(ratios):.2f}–{max(ratios):.2f} "
        f"in {len(pairs)} rounds",
        most=_MOST,
    )
