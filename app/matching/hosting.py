"""The processes that think, as the service holds them: few, bounded, never on its event loop."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

import structlog

from app.config import Settings
from app.errors import AppError

log = structlog.get_logger()

_GRACE = 15.0
"""Seconds beyond the solver's limit for reading the question and writing the answer."""
_PATIENCE = 3.0
"""Seconds that a question waits for its turn."""
_BUSY = {"Retry-After": "5"}
_PASSED = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR"}
)
"""Where Python and its libraries are, and in which encoding they speak."""


@dataclass(frozen=True)
class Thought:
    """An answer; not final where the process ended before it had the best."""

    document: bytes
    final: bool


class Thinking:
    """So many questions at once, each with a process that is ended where it oversteps."""

    def __init__(
        self,
        settings: Settings,
        program: tuple[str, ...] = ("-m", "app.matching.worker"),
        grace: float = _GRACE,
        patience: float = _PATIENCE,
    ) -> None:
        self._grace, self._patience = grace, patience
        self._turns = asyncio.Semaphore(settings.plans_at_once)
        self._memory = settings.plan_memory
        self._program = program
        self._ready: list[asyncio.subprocess.Process] = []
        self.begun = asyncio.Event()
        """Set when the first question has its process."""

    async def answer(self, question: bytes, seconds: float) -> Thought:
        """Think; the best answer that came within the time. Raises 503 where there is none."""
        try:
            await asyncio.wait_for(self._turns.acquire(), self._patience)
        except TimeoutError:
            raise AppError("busy", "Other plans are being made.", headers=_BUSY) from None
        try:
            best = await self._ask(question, seconds)
        finally:
            self._turns.release()
        if best is None:
            raise AppError("plan_failed", "No plan was found within the limits.", headers=_BUSY)
        return best

    async def _ask(self, question: bytes, seconds: float) -> Thought | None:
        process = await self._take()
        best: Thought | None = None
        ended = False
        try:
            async with asyncio.timeout(seconds + self._grace):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(len(question).to_bytes(8, "big") + question)
                await process.stdin.drain()
                while not ended:
                    size = int.from_bytes(await process.stdout.readexactly(8), "big")
                    body = await process.stdout.readexactly(size)
                    kind, told = body[:1], body[1:]
                    ended = kind == b"e"
                    if kind == b"x":
                        log.error("planning_failed", error=told.decode())
                    elif not ended:
                        best = Thought(told, kind == b"f")
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            # It hung, or died: what it had found so far is still a plan.
            log.error("planner_ended", error=type(error).__name__, found=best is not None)
        finally:
            if ended:
                self._ready.append(process)
            else:
                await _end(process)
        return best

    async def _take(self) -> asyncio.subprocess.Process:
        process = None
        while self._ready and process is None:
            process = self._ready.pop()
            if process.returncode is not None:
                process = None
        process = process or await self._start()
        self.begun.set()
        return process

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            *self._program,
            str(self._memory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            # A Ctrl-C in the terminal is the service's to handle; and its child ends with it.
            start_new_session=True,
        )

    async def close(self) -> None:
        """End what stands ready."""
        while self._ready:
            await _end(self._ready.pop())


def _environment() -> dict[str, str]:
    """What the planner needs to start, and nothing of what the service knows.

    The database's password is among the service's own variables. A planner that is taken over by a
    question must not find it, nor any other that an operator adds one day: so a list of what may
    pass, and not of what may not.
    """
    passed = {name: value for name, value in os.environ.items() if name in _PASSED}
    return passed | {"OPENBLAS_NUM_THREADS": "1"}


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    # The transport would otherwise be closed by the collector, with a warning.
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
