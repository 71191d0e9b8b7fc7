"""Contention: many who offer from one and the same lot."""

from statistics import median

from bench.load import Plan, throw
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Stage
from bench.throughput import depot_offers

_CLIENTS = 32
_LEAST = 0.7


def from_one_lot(stage: Stage, scale: Scale) -> list[Measured]:
    """32 clients that offer from one lot, against the same offers spread over 1,000."""
    database = stage.database(SMALL)
    service = stage.service(database)
    one, spread = depot_offers(database, 1), depot_offers(database)

    def rate(hot: bool, seconds: float) -> float:
        calls = one if hot else spread
        plan = Plan(service.port, calls, _CLIENTS, seconds, key=service.provider, keyed=True)
        return throw(plan).rate

    for hot in (True, False):
        rate(hot, scale.warm_up)
    pairs = []
    for n in range(scale.rounds):
        found = {hot: rate(hot, scale.seconds) for hot in ((True, False), (False, True))[n % 2]}
        pairs.append((found[True], found[False]))
    ratios = [together / apart for together, apart in pairs]
    together, apart = (median(p[i] for p in pairs) for i in (0, 1))
    return [
        Measured(
            "32 clients offering from one lot: share of the throughput over 1,000 lots",
            median(ratios),
            f"{together:,.0f}/s against {apart:,.0f}/s; ratios {min(ratios):.2f}–{max(ratios):.2f} "
            f"in {len(pairs)} rounds",
            least=_LEAST,
        )
    ]
