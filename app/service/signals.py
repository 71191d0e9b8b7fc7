"""The signals that end a process: heard where it may leave at any line, held everywhere else.

A handler that raises does so between any two lines, also between `finally` and what stands there:
a second SIGTERM left the database running, or ended the event loop in an error.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals that arrive within this block take effect after it, and do not interrupt it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {n: signal.signal(n, lambda number, _: arrived.append(number)) for n in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


class Leaving:
    """A service leaves once, with exit code 0, however often it is told so.

    Entered, it only takes note of the signals; the parts that may be left at any line are run
    within `heard`.
    """

    def __init__(self) -> None:
        self._told = False

    def __enter__(self) -> Self:
        self._answer_with(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        # Not given back: the interpreter ends with default handlers in place of ours, and a late
        # signal would make a service that has stopped look killed.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Leave this block at the first signal; one that came before it counts."""
        try:
            self._answer_with(self._leave)
            if self._told:
                sys.exit(0)
            yield
        finally:
            self._answer_with(self._note)

    def _answer_with(self, handler: "signal._HANDLER") -> None:
        for number in ENDING:
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told = True

    def _leave(self, number: int, frame: FrameType | None) -> None:
        # What ends now (event loop, pools, folders, database) must not be interrupted again.
        self._told = True
        self._answer_with(self._note)
        sys.exit(0)
