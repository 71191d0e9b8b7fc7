"""The load: keep-alive clients on loopback, in a process of their own.

`python -m bench.load` reads a plan from standard input and prints what came of it. It speaks
HTTP/1.1 over bare sockets: httpx spends more time on a request than the service does on the answer,
so that it would measure itself, and wrk is not there on a fresh machine.
"""

import asyncio
import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PATIENCE = 20.0
"""Seconds that the last answers may take; and how long a whole run may outlast its plan."""


@dataclass(frozen=True)
class Call:
    """One request, and the status that it must be answered with."""

    path: str
    method: str = "GET"
    body: str | None = None
    status: int = 200


@dataclass(frozen=True)
class Plan:
    """Who is called, with what, by how many clients and for how long."""

    port: int
    calls: Sequence[Call]
    clients: int = 16
    seconds: float = 2.0
    most: int | None = None
    key: str | None = None
    keyed: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    answers: int
    seconds: float
    median_ms: float
    strange: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class Strange(Exception):
    """The load met answers that it must not get; a measurement with them measures nothing."""


def throw(plan: Plan) -> Outcome:
    """Run a plan in a process of its own; raises Strange where any answer was not as it must be."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        timeout=plan.seconds + _PATIENCE * 2,
        check=False,
        start_new_session=True,
    )
    if ended.returncode:
        raise Strange(f"The load ended by itself: {ended.stderr.strip()[-2000:]}")
    outcome = Outcome(**json.loads(ended.stdout))
    if outcome.strange or not outcome.answers:
        raise Strange(f"{outcome.answers} answers as expected, but also {outcome.strange}")
    return outcome


class _Run:
    """What the clients of one run share."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.until = perf_counter() + plan.seconds
        self.left = plan.most if plan.most is not None else sys.maxsize
        self.latencies: list[float] = []
        self.last = self.first = perf_counter()
        self.strange: Counter[str] = Counter()
        self.going = plan.clients
        self.done: asyncio.Future[None] = loop.create_future()
        self._requests = _written(plan)

    def next(self) -> tuple[bytes, int] | None:
        """The next request and its status; None when it is time to end."""
        if self.left <= 0 or perf_counter() >= self.until:
            return None
        self.left -= 1
        return next(self._requests)

    def ended(self) -> None:
        self.going -= 1
        if self.going == 0 and not self.done.done():
            self.done.set_result(None)


def _written(plan: Plan) -> Iterator[tuple[bytes, int]]:
    """The bytes of the requests, over and over, each write with a key of its own."""
    run = random.getrandbits(64)
    authorization = f"Authorization: Bearer {plan.key}\r\n" if plan.key else ""
    written = []
    for call in plan.calls:
        body = (call.body or "").encode()
        head = f"{call.method} {call.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}"
        if call.body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        written.append((head.encode(), b"\r\n" + body, call.status))
    for number, (head_bytes, tail, status) in enumerate(itertools.cycle(written)):
        key = f"Idempotency-Key: {run:x}-{number}\r\n".encode() if plan.keyed else b""
        yield head_bytes + key + tail, status


class _Client(asyncio.Protocol):
    """One client: sends a request when the answer to the one before is complete."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._wanted = 0
        self._sent_at = 0.0
        self._over = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        following = self._run.next()
        if following is None:
            self._end()
            return
        request, self._wanted = following
        self._sent_at = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        told = _LENGTH.search(buffer, 0, head)
        if told is None:
            self._note("an answer without Content-Length", buffer)
            self._end()
            return
        whole = head + 4 + int(told[1])
        if len(buffer) < whole:
            return
        now = perf_counter()
        status = int(buffer[9:12])
        if status == self._wanted and len(buffer) == whole:
            self._run.latencies.append(now - self._sent_at)
            self._run.last = now
        else:
            self._note(f"{status} where {self._wanted} was expected", buffer)
        del buffer[:]
        self._send()

    def _note(self, what: str, answer: bytearray) -> None:
        known = any(said.startswith(what) for said in self._run.strange)
        said = next((s for s in self._run.strange if s.startswith(what)), what)
        self._run.strange[
            said if known else f"{what}: {answer[-400:].decode(errors='replace')}"
        ] += 1

    def connection_lost(self, error: Exception | None) -> None:
        if not self._over:
            self._run.strange["a connection that was closed before its answer"] += 1
            self._over = True
            self._run.ended()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._transport.close()
            self._run.ended()


async def _play(plan: Plan) -> Outcome:
    loop = asyncio.get_running_loop()
    run = _Run(plan, loop)
    for _ in range(plan.clients):
        await loop.create_connection(lambda: _Client(run), "127.0.0.1", plan.port)
    try:
        await asyncio.wait_for(run.done, plan.seconds + _PATIENCE)
    except TimeoutError:
        run.strange["clients that still waited for an answer at the end"] += run.going
    return Outcome(
        len(run.latencies),
        max(run.last - run.first, 1e-9),
        median(run.latencies) * 1000 if run.latencies else 0.0,
        dict(run.strange),
    )


def main() -> None:
    """The process of the load."""
    given = json.load(sys.stdin)
    plan = Plan(**given | {"calls": [Call(**call) for call in given["calls"]]})
    print(json.dumps(asdict(uvloop.run(_play(plan)))))


if __name__ == "__main__":
    main()
