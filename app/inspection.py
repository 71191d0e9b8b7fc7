"""The process that checks files, as the service holds it: never on its event loop.

A thread would share the interpreter: while one checked a workbook, the event loop woke 6 ms late
in the median and 440 ms at worst; with a process 0.2 ms and 50 ms. A process can also be held to
so much memory and time, and ended.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import Any

import structlog

from app.config import Settings
from app.errors import AppError, no_space
from app.sheets.checking import Checked
from app.sheets.forms import Unreadable
from app.sheets.reports import Report

log = structlog.get_logger()

MEMORY = 256 * 1024 * 1024
"""Bytes that a file may take to be checked, beyond what the process has itself."""
_GRACE = 30.0
_ANSWER = 4 * 1024 * 1024
AT_ONCE = 2
"""Checking keeps a core busy: more at once would only slow every other call."""
_DIED: dict[str, Any] = {
    "report": asdict(Report()),
    "unnamed": 0,
    "unreadable": (
        "not_checked",
        "The process that checked the file ended over it: send it in parts, or as CSV.",
        0,
        None,
    ),
}


class Inspection:
    """One process that stands ready, and forks a child for each file."""

    def __init__(self, settings: Settings, module: str = "app.inspector") -> None:
        self._seconds = settings.import_check
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._starting = threading.Lock()
        self.turns = asyncio.Semaphore(AT_ONCE)

    async def inspect(self, checked: Checked, kind: str, charset: str | None) -> None:
        """Check the file; raises Unreadable, and 503 where nobody answers."""
        told = await asyncio.to_thread(self._ask, checked, kind, charset)
        if told is None:
            raise AppError(
                "busy", "The file could not be checked; try again.", headers={"Retry-After": "5"}
            )
        checked.adopt(Report(**told["report"]), told["unnamed"])
        if told.get("no_space"):
            raise no_space()
        if told.get("unreadable"):
            code, message, row, column = told["unreadable"]
            raise Unreadable(code, message, row=row, column=column)

    def _ask(self, checked: Checked, kind: str, charset: str | None) -> dict[str, Any] | None:
        question = {
            "form": checked.form.name,
            "kind": kind,
            "charset": charset,
            "most": checked.most,
            "seconds": self._seconds,
            "memory": MEMORY,
        }
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                channel = self._ready()
                files = [checked.source.fileno(), checked.file.fileno(), theirs.fileno()]
                socket.send_fds(channel, [json.dumps(question).encode()], files)
            except OSError as error:
                log.error("inspector_gone", error=type(error).__name__)
                self.close()
                return None
            theirs.close()
            # Its processor time is bounded; more than some times that is no honest delay.
            ours.settimeout(self._seconds * 4 + _GRACE)
            return _answered(ours)

    def _ready(self) -> socket.socket:
        with self._starting:
            if self._process is not None and self._process.poll() is None and self._channel:
                return self._channel
            if self._channel is not None:
                self._channel.close()
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", self._module, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    # A Ctrl-C in the terminal is the service's to handle; and its children end
                    # with it.
                    start_new_session=True,
                )
            return self._channel

    def close(self) -> None:
        """End what stands ready, and whatever it checks."""
        with self._starting:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._process = None


def _answered(ours: socket.socket) -> dict[str, Any] | None:
    """What the child says; None where there was none, or where it had to be ended.

    One that dies by itself has met a bound of memory or time where it could not say so.
    """
    child = b""
    answer = bytearray()
    try:
        child = ours.recv(8)
        while part := ours.recv(65_536):
            answer += part
            if len(answer) > _ANSWER:
                raise ValueError("no report is so long")
        found: dict[str, Any] = json.loads(answer) if answer or not child else _DIED
    except (OSError, ValueError) as error:
        log.error("inspection_failed", error=type(error).__name__)
        if len(child) == 8:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int.from_bytes(child, "big"), signal.SIGKILL)
        return None
    return found


def _environment() -> dict[str, str]:
    """What a process needs that reads hostile files: neither a password nor a setting of ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KOMEK_", "PG", "PROMETHEUS_"))
    }
    return kept | {"OPENBLAS_NUM_THREADS": "1"}
