"""How large and how long: in full, and for a smoke test."""

from dataclasses import dataclass

from bench.filling import Size

SMALL = Size(lots=10_000, requests=1_000, records=10_000)
LARGE = Size(lots=1_000_000, requests=100_000, records=1_000_000)
MIDDLING = Size(lots=50_000, requests=5_000, records=50_000)


@dataclass(frozen=True)
class Scale:
    """Rounds and sizes of one run."""

    large: Size
    rounds: int
    seconds: float
    warm_up: float
    requests: int
    body: int
    import_lots: int
    imports: int
    stream_seconds: float
    deliveries: int


FULL = Scale(
    LARGE,
    rounds=9,
    seconds=3.0,
    warm_up=3.0,
    requests=100_000,
    body=1_000_000_000,
    import_lots=100_000,
    imports=3,
    stream_seconds=20.0,
    deliveries=8_000,
)
QUICK = Scale(
    MIDDLING,
    rounds=3,
    seconds=0.6,
    warm_up=0.5,
    requests=2_000,
    body=50_000_000,
    import_lots=10_000,
    imports=1,
    stream_seconds=3.0,
    deliveries=1_600,
)
