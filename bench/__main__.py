"""`python -m bench [NAME …] [--quick]`: measure; exit 1 where a target is missed."""

import argparse
import sys

from app.service import logs
from bench.bulk import of_a_stock_list
from bench.contention import from_one_lot
from bench.growth import latency_as_it_grows
from bench.load import Strange
from bench.memory import of_a_worker
from bench.planning import over_http
from bench.report import Measured, machine, table
from bench.scale import FULL, QUICK
from bench.stage import stage
from bench.stream import of_listeners
from bench.throughput import against_the_floor
from bench.webhooks import deliveries

_AGAINST_THE_FLOOR = ("stock", "events", "offers")
_MEASURES = {
    "contention": from_one_lot,
    "growth": latency_as_it_grows,
    "memory": of_a_worker,
    "plans": over_http,
    "stream": of_listeners,
    "webhooks": deliveries,
    # Last, because its records take the sealer some time.
    "bulk": of_a_stock_list,
}
NAMES = (*_AGAINST_THE_FLOOR, *_MEASURES)


def main() -> int:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, []], help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small and short: a smoke test")
    given = parser.parse_args()
    logs.configure("warning")
    names = given.name or list(NAMES)
    scale = QUICK if given.quick else FULL
    measured: list[Measured] = []
    try:
        with stage() as there:
            if set(names) & set(_AGAINST_THE_FLOOR):
                measured += against_the_floor(there, scale, names)
                there.end_servers()
            for name, measure in _MEASURES.items():
                if name in names:
                    measured += measure(there, scale)
                    there.end_servers()
    except Strange as error:
        print(f"The measurement is void: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing is left running.", file=sys.stderr)
        return 130
    print(table(measured))
    print(f"\n{machine()}")
    return 0 if all(m.passed for m in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
