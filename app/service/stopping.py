"""The graceful stop: `/readyz` fails first, so that no new request is sent here; then the rest."""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import structlog
from fastapi import FastAPI

log = structlog.get_logger()


def follow_supervisor() -> None:
    """Stop where the process that supervises the workers was killed.

    Workers that live on would hold the port against the service that is started next.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_reader(supervisor.sentinel)
            log.error("supervisor_gone")
            signal.raise_signal(signal.SIGTERM)

        loop.add_reader(supervisor.sentinel, stop)


def drain_first(app: FastAPI, seconds: float, end_streams: Callable[[], None]) -> None:
    """On SIGTERM, be unready for `seconds` and then hand the signal on to the server.

    A load balancer learns from `/readyz` that it must send requests elsewhere; a server that stops
    listening at once would refuse those that are sent until then. A second signal, or Ctrl-C, is
    handed on at once. Streams are ended in any case: they never end by themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number, wait in ((signal.SIGTERM, seconds), (signal.SIGINT, 0.0)):
        signal.signal(number, _Unready(app, loop, signal.getsignal(number), wait, end_streams))


@dataclass(frozen=True, slots=True)
class _Unready:
    """The handler of a signal that ends the service."""

    app: FastAPI
    loop: asyncio.AbstractEventLoop
    serve_on: Any
    wait: float
    end_streams: Callable[[], None]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        first = not self.app.state.stopping
        self.app.state.stopping = True
        self.loop.call_soon_threadsafe(self.end_streams)
        if not callable(self.serve_on):
            return
        if first and self.wait:
            self.loop.call_soon_threadsafe(
                self.loop.call_later, self.wait, self.serve_on, number, None
            )
        else:
            self.serve_on(number, frame)


_AGAIN = 5.0


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until all of them have ended.

    Once is not enough: a cancellation that falls into a call of the database can come back as an
    error of the connection, which a task takes for one of those that it is there to outlive.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
