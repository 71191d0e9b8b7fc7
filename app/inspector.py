"""The process that checks files: waits for one after the other, and forks a child for each.

`python -m app.inspector FD`: the channel by which files come, each with where to answer. A child
costs no loading of libraries, leaves nothing behind, and is held to so much memory and time as the
question says: whatever a file does, it does it to that child alone.
"""

import json
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict
from types import FrameType
from typing import Any, NoReturn

from app import ids
from app.errors import NO_SPACE
from app.sheets.checking import Checked
from app.sheets.forms import Form, Unreadable
from app.stock.bulk import LOTS, SITES
from app.volunteers.bulk import POOLS

FORMS: dict[str, Form] = {form.name: form for form in (LOTS, SITES, POOLS)}

_NICE = 10
_QUESTION = 4096


class _OutOfTime(BaseException):
    """So that nothing which a library raises over a broken file is taken for it."""


def main() -> None:
    """The process: one file after the other, until the service closes the channel."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.nice(_NICE)
    # Nobody waits for the children: they answer by themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(channel, _QUESTION, 3)
        if not message:
            return
        if os.fork() == 0:
            channel.close()
            _inspect(json.loads(message), *files)
        for file in files:
            os.close(file)


def _inspect(question: dict[str, Any], source: int, spool: int, answer: int) -> NoReturn:
    try:
        with socket.socket(fileno=answer) as out:
            out.sendall(os.getpid().to_bytes(8, "big"))
            out.sendall(json.dumps(inspected(question, source, spool)).encode())
    finally:
        os._exit(0)


def inspected(question: dict[str, Any], source: int, spool: int) -> dict[str, Any]:
    """What is found in a file, within the bounds of the question."""
    seconds = int(question["seconds"])
    _hold_to(seconds, int(question["memory"]))
    # Never closed: the process ends, and what could not be written must not be tried again.
    read, written = os.fdopen(source, "rb"), os.fdopen(spool, "r+b")
    form = FORMS[question["form"]]
    checked = Checked(form, read, written, _hex_ids, int(question["most"]))
    told: dict[str, Any] = {}
    try:
        checked.open(question["kind"], question["charset"])
        while checked.step():
            pass
    except Unreadable as error:
        told["unreadable"] = (error.code, error.message, error.row, error.column)
    except (_OutOfTime, MemoryError) as error:
        too_slow = isinstance(error, _OutOfTime)
        code = "takes_too_long" if too_slow else "needs_too_much_memory"
        bound = f"{seconds} seconds of a processor" if too_slow else "memory than it may have"
        message = f"To check the file takes more {'than ' if too_slow else ''}{bound}: send it in "
        told["unreadable"] = (code, message + "parts, or as CSV.", 0, None)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        told["no_space"] = True
    return told | {"report": asdict(checked.report), "unnamed": checked.unnamed}


def _hex_ids(count: int) -> list[str]:
    return [made.hex() for made in ids.new_ids(count)]


def _hold_to(seconds: int, memory: int) -> None:
    def out_of_time(number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    signal.signal(signal.SIGXCPU, out_of_time)
    # A call that does not come back to the interpreter is ended by the second limit.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
        pages = int(statm.read().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
