"""Signals that end a process: wherever they fall, what was started is stopped, and once."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.config import Settings
from app.service import serving, signals


class Recorded:
    """Stands for the embedded PostgreSQL and tells whether it runs."""

    runs = False
    url = "postgresql://nowhere"

    def __init__(self, data_dir: Path) -> None:
        self._used = False

    def start(self) -> None:
        self._used = True
        Recorded.runs = True

    def stop(self) -> None:
        if self._used:
            Recorded.runs = False


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The test run's own handlers come back."""
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of which only the order of its steps is real."""

    async def load(settings: Settings, url: str) -> None:
        await asyncio.sleep(0)

    def listen(settings: Settings) -> None:
        # As uvicorn does it: what it caught itself, it raises again at its end.
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("app.embedded.EmbeddedPostgres", Recorded)
    monkeypatch.setattr(serving, "migrate", lambda url: None)
    monkeypatch.setattr(serving, "load", load)
    monkeypatch.setattr(serving, "_listen", listen)
    # What it sets for its workers is not for the tests that come after it.
    for name in ("KOMEK_DATABASE_URL", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "")


class Impatient:
    """Sends SIGTERM at a line of the program, and again at every line after it."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.lines = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.endswith(("serving.py", "signals.py", "contextlib.py")):
            return None
        if event == "line":
            self.lines += 1
            # Handlers are not interrupted for ever: each would send the next.
            if self.lines >= self._first and frame.f_code.co_name not in ("_leave", "_note"):
                signal.raise_signal(signal.SIGTERM)
        return self


def test_wherever_a_stop_falls_the_database_is_stopped_and_the_exit_code_is_0(
    stage: None,
) -> None:
    first = 1
    while True:
        for number in signals.ENDING:
            signal.signal(number, signal.SIG_IGN)
        Recorded.runs = False
        impatient = Impatient(first)
        before = sys.gettrace()
        sys.settrace(impatient)
        try:
            serving.serve(Settings(data_dir=Path("/nowhere"), workers=2))
        except SystemExit as left:
            sys.settrace(before)
            assert left.code == 0, first
            left.__traceback__ = None
        finally:
            sys.settrace(before)
        assert not Recorded.runs, f"a stop at line {first} leaves the database behind"
        # The interpreter gives no default handler back in place of this one.
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, first
        if impatient.lines < first:
            break
        first += 1
    assert first > 60, "the walk has come through the whole of it"


def test_a_signal_during_the_start_of_the_database_takes_effect_when_it_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []

    class Interrupted(Recorded):
        def start(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the start went on")
            super().start()

    monkeypatch.setattr("app.embedded.EmbeddedPostgres", Interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings(data_dir=Path("/nowhere"))
    with pytest.raises(KeyboardInterrupt), serving.database_url(settings):
        done.append("and no further")
    assert done == ["the start went on"]
    assert not Recorded.runs


def test_what_is_held_back_is_not_lost() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    with contextlib.suppress(RuntimeError), signals.held():
        signal.raise_signal(signal.SIGTERM)
        assert heard == []
        raise RuntimeError
    assert heard == [signal.SIGTERM]
