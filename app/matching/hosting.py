"""The processes that think, as the service holds them: few, bounded, never on its event loop.

Whose question is next goes round between the societies: one that asks often waits behind itself. A
plan that could still be made better ends with the best so far where others wait for long.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from app.config import Settings
from app.errors import AppError
from app.turns import QueueFull, Turns

log = structlog.get_logger()

_GRACE = 15.0
"""Seconds beyond the solver's limit for reading the question and writing the answer."""
_TURN = 10.0
"""Seconds after which the best so far is the answer, where another society waits."""
_LOOK = 0.25
_QUEUE = 20
"""How many questions of one society may wait."""
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
        turn: float = _TURN,
    ) -> None:
        self._grace, self._patience, self._turn = grace, settings.plan_wait, turn
        self.turns = Turns(
            settings.plans_at_once,
            _QUEUE if settings.limits else 1 << 30,
            fair=settings.limits,
        )
        self._memory = settings.plan_memory
        self._program = program
        self._ready: list[asyncio.subprocess.Process] = []
        self.begun = asyncio.Event()
        """Set when the first question has its process."""

    async def answer(self, question: bytes, seconds: float, society: str) -> Thought:
        """Think; the best answer that came within the time. Raises 503 where there is none."""
        try:
            await self.turns.wait(society, self._patience)
        except TimeoutError:
            raise AppError("busy", "Plans of others are being made.", headers=_BUSY) from None
        except QueueFull:
            raise AppError(
                "rate_limited", "Too many plans of your society wait already.", headers=_BUSY
            ) from None
        try:
            best = await self._ask(question, seconds, society)
        finally:
            self.turns.give_back(society)
        if best is None:
            raise AppError("plan_failed", "No plan was found within the limits.", headers=_BUSY)
        return best

    async def _ask(self, question: bytes, seconds: float, society: str) -> Thought | None:
        process = await self._take()
        best: Thought | None = None
        ended = False
        began = monotonic()
        try:
            async with asyncio.timeout(seconds + self._grace):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(len(question).to_bytes(8, "big") + question)
                await process.stdin.drain()
                while not ended:
                    head = await self._soon(process.stdout.readexactly(8))
                    if head is None:
                        if best and self._is_over(began, society):
                            return best
                        continue
                    body = await process.stdout.readexactly(int.from_bytes(head, "big"))
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

    @staticmethod
    async def _soon(reading: Coroutine[Any, Any, bytes]) -> bytes | None:
        """What is read within a moment; otherwise None, and nothing is taken from the pipe."""
        try:
            async with asyncio.timeout(_LOOK):
                return await reading
        except TimeoutError:
            return None

    def _is_over(self, began: float, society: str) -> bool:
        return monotonic() - began > self._turn and self.turns.others_wait(society)

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
