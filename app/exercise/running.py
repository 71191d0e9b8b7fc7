"""The service of the exercise: a process of its own, as `komek serve` starts it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access import actions as access
from app.config import Settings
from app.service import serving

READY_WITHIN = 180.0
"""Seconds for the first start on a slow machine: the database is made, migrated and loaded."""
STOP_WITHIN = 70.0
"""Seconds for the service's own bounds: what runs ends in 20, the database stops in 40."""


class NotStarted(Exception):
    """The service could not be started; the message tells why."""


@dataclass
class Service:
    """The running service."""

    settings: Settings
    url: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Until it ends by itself."""
        return self.process.wait()


@contextlib.contextmanager
def serving_apart(settings: Settings) -> Iterator[Service]:
    """The service in a process of its own, ready; stopped, and its database with it, at the end.

    SIGTERM and SIGHUP leave the block as Ctrl-C does: by KeyboardInterrupt.
    """
    settings = _with_port(settings)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    service = Service(settings, _url(settings), _start(settings))
    try:
        _await_ready(service)
        yield service
    finally:
        _stop(service.process)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _with_port(settings: Settings) -> Settings:
    """The settings with a port that is free, chosen here where it is left open (0).

    Another service on the port would answer `/readyz` in place of ours.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family) as probe:
            return replace(settings, port=probe.getsockname()[1])
    except OSError as error:
        raise NotStarted(
            f"{settings.host}:{settings.port} is not free ({error.strerror}). "
            "Stop what listens there, or set KOMEK_PORT."
        ) from None


def _url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {
        # A line for every request would drown the story; whoever sets the level gets it.
        "KOMEK_LOG_LEVEL": "error",
        **os.environ,
        "KOMEK_PORT": str(settings.port),
    }
    # In a session of its own: Ctrl-C in a terminal reaches all processes of the session, and a
    # second signal in the middle of the service's stop would leave its database running.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "app.cli", "serve"],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _await_ready(service: Service) -> None:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        if service.process.poll() is not None:
            raise NotStarted(f"The service ended with {service.process.returncode}; see above.")
        try:
            if httpx.get(f"{service.url}/readyz", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise NotStarted(f"The service was not ready within {READY_WITHIN:.0f} s.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Once it is stopping, impatience must not leave the service behind: the wait is bounded.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_keys(settings: Settings, societies: tuple[str, ...]) -> dict[str, str]:
    """A client and its key for each society, made as `komek client create` makes them."""

    async def create(tx: AsyncConnection) -> dict[str, str]:
        keys = {}
        for society in societies:
            _, keys[society] = await access.create_client(
                tx, access.operator_for(society), society, "Exercise", ["all"]
            )
        return keys

    return serving.in_transaction(settings, create)
