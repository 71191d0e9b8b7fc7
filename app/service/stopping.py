"""The graceful stop: `/readyz` fails first, so that no new request is sent here; then the rest."""

import asyncio
import multiprocessing
import signal
import threading
from types import FrameType

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


def drain_first(app: FastAPI, seconds: float) -> None:
    """On SIGTERM, be unready for `seconds` and then hand the signal on to the server.

    A load balancer learns from `/readyz` that it must send requests elsewhere; a server that stops
    listening at once would refuse those that are sent until then.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    serve_on = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def unready(number: int, frame: FrameType | None) -> None:
        first = not app.state.stopping
        app.state.stopping = True
        if callable(serve_on) and first:
            loop.call_soon_threadsafe(loop.call_later, seconds, serve_on, number, None)
        elif callable(serve_on):
            serve_on(number, frame)

    signal.signal(signal.SIGTERM, unready)
