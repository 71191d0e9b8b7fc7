"""The stream: how soon its listeners hear of a commit, and what a thousand silent ones cost."""

import asyncio
import json
from statistics import quantiles
from time import perf_counter

import httpx

from bench.load import Strange
from bench.memory import now_mb
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Server, Stage

_MOST_MS = 250.0
_MOST_MB = 100.0
_LISTENERS = 10
_IDLE = 1_000
_A_SECOND = 200
_WITHIN = 30.0
_SITE = {"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}
_LOT = {"item": "HSHEBLANPHT1", "site": "central", "quantity": 100}


def of_listeners(stage: Stage, scale: Scale) -> list[Measured]:
    """From commit to listener at 200 writes a second; then the memory of idle listeners."""
    service = stage.service(stage.database(SMALL))
    waits = asyncio.run(_waits(service, round(_A_SECOND * scale.stream_seconds)))
    before = now_mb(service.pid)
    after = asyncio.run(_with_idle(service))
    cuts = quantiles(waits, n=100, method="inclusive")
    return [
        Measured(
            "Stream: time from commit to listener, 99th percentile",
            cuts[98],
            f"median {cuts[49]:.0f} ms; {_LISTENERS} listeners, "
            f"{len(waits) // _LISTENERS:,} writes at {_A_SECOND} a second",
            most=_MOST_MS,
            unit=" ms",
        ),
        Measured(
            f"Stream: memory of {_IDLE:,} idle listeners",
            after - before,
            f"{after:.0f} MB of a worker against {before:.0f} MB",
            most=_MOST_MB,
            unit=" MB",
        ),
    ]


async def _waits(service: Server, writes: int) -> list[float]:
    """Milliseconds from the answer that acknowledges a write to each listener's event."""
    acknowledged: dict[str, float] = {}
    heard: list[dict[str, float]] = [{} for _ in range(_LISTENERS)]
    going = [asyncio.create_task(_listen(service, "stock.published", there)) for there in heard]
    headers = {"Authorization": f"Bearer {service.provider}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{service.port}", headers=headers, timeout=_WITHIN
    ) as http:
        (await http.put("/v1/my/sites/central", json=_SITE)).raise_for_status()
        await asyncio.sleep(1)  # The listeners are at the feed's end by then.

        async def publish(n: int) -> None:
            answer = await http.put(f"/v1/my/stock/stream-{n}", json=_LOT)
            if answer.status_code != 201:
                raise Strange(f"a lot was answered {answer.status_code}: {answer.text[:300]}")
            acknowledged[answer.json()["id"]] = perf_counter()

        started = perf_counter()
        async with asyncio.TaskGroup() as publishing:
            for n in range(writes):
                await asyncio.sleep(max(0.0, started + n / _A_SECOND - perf_counter()))
                publishing.create_task(publish(n))
        for _ in range(round(_WITHIN / 0.05)):
            if not any(acknowledged.keys() - there for there in heard):
                break
            await asyncio.sleep(0.05)
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    missed = sum(len(acknowledged.keys() - there) for there in heard)
    if missed:
        raise Strange(f"{missed} events did not reach their listeners")
    # A listener may hear of it before the writer does: the answer is on its way as well.
    return [max(0.0, there[lot] - at) * 1000 for lot, at in acknowledged.items() for there in heard]


async def _listen(service: Server, kind: str, heard: dict[str, float]) -> None:
    reader, writer = await _opened(service, kind)
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                heard[json.loads(line[6:])["subject"]["id"]] = perf_counter()
    finally:
        writer.close()


async def _opened(service: Server, kind: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A listener of the events of one type, from now on, whose answer has begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1 << 20)
    writer.write(
        f"GET /v1/events/stream?type={kind} HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {service.provider}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise Strange(f"a listener was answered {head[:200]!r}")
    return reader, writer


async def _with_idle(service: Server) -> float:
    """What the worker holds while so many listen to what never happens."""
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        while len(opened) < _IDLE:
            opened += [await _opened(service, "manifest.erased")]
        await asyncio.sleep(5)
        return now_mb(service.pid)
    finally:
        for _, writer in opened:
            writer.close()
