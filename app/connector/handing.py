"""Hand each event of the ledger to a file or to a command, and keep the place."""

import asyncio
import json
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from app.client.exchange import Exchange
from app.client.following import Heard
from app.connector import durable
from app.connector.settings import Misused

_BEGINS = b'{"seq":'
_TRIES = 5


class CommandFailed(Exception):
    """The command did not take an event, however often it was handed to it."""


class Taker(Protocol):
    """What events are handed to."""

    every_event: bool
    """Whether the place is kept after every event, or now and then."""

    def begin(self) -> int | None:
        """The last `seq` that it is known to have, None where it cannot tell."""
        ...

    async def take(self, heard: Heard) -> None:
        """Handle one event."""
        ...

    def settle(self) -> None:
        """Bring what was taken to the disk: the place is kept next."""
        ...


class ToFile:
    """Lines of a file. Its last complete line tells what it has: nothing comes twice."""

    every_event = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> int | None:
        """Cut off half a line, and read the `seq` of the last whole one."""
        try:
            self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as error:
            raise Misused(f"{self._path} cannot be written: {error.strerror}.") from None
        try:
            seq, end = self._last()
        except Misused:
            self.close()
            raise
        self._file.truncate(end)
        self._file.seek(end)
        return seq

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _last(self) -> tuple[int | None, int]:
        """The `seq` of the last whole line, and where it ends."""
        last, end, rest = _tail(self._path)
        # What was cut off by a kill begins as an event does; anything else is somebody's own.
        if not (rest.startswith(_BEGINS) or _BEGINS.startswith(rest)):
            raise self._strange()
        if end == 0:
            return None, 0
        try:
            seq = json.loads(last)["seq"]
        except (ValueError, TypeError, KeyError):
            raise self._strange() from None
        if not isinstance(seq, int):
            raise self._strange()
        return seq, end

    def _strange(self) -> Misused:
        return Misused(f"{self._path} holds something else than events; choose another file.")

    async def take(self, heard: Heard) -> None:
        """Add a line."""
        assert heard.text is not None
        self._file.write(heard.text.encode() + b"\n")
        # To the system at once: a kill of this process then loses nothing.
        self._file.flush()

    def settle(self) -> None:
        """To the disk."""
        durable.sync(self._file)


def _tail(path: Path) -> tuple[bytes, int, bytes]:
    """The last whole line of a file, where it ends, and what stands behind it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        block = 65_536
        while True:
            start = max(0, size - block)
            file.seek(start)
            tail = file.read(size - start)
            end = tail.rfind(b"\n")
            begin = tail.rfind(b"\n", 0, max(end, 0))
            if start == 0 or (end >= 0 and begin >= 0):
                return tail[begin + 1 : end + 1], start + end + 1, tail[end + 1 :]
            block *= 4


class ToCommand:
    """A command that gets each event as JSON on its standard input; 0 says that it is done."""

    every_event = True

    def __init__(self, command: str, pause: float = 1.0) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise Misused(f"--exec is no command: {error}.") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise Misused(f"--exec: there is no command {command!r}.")
        self._pause = pause

    def begin(self) -> int | None:
        """It does not tell."""
        return None

    async def take(self, heard: Heard) -> None:
        """Run it; again after a while where it fails."""
        assert heard.text is not None
        for attempt in range(_TRIES):
            process = await asyncio.create_subprocess_exec(
                *self._words, stdin=asyncio.subprocess.PIPE
            )
            await process.communicate(heard.text.encode() + b"\n")
            if process.returncode == 0:
                return
            if attempt < _TRIES - 1:
                await asyncio.sleep(self._pause * 2**attempt)
        raise CommandFailed(
            f"The command failed {_TRIES} times for event {heard.seq}, at last with "
            f"{process.returncode}. It gets the event again when komek follow is started again."
        )

    def settle(self) -> None:
        """It is done when the command is."""


async def follow(
    exchange: Exchange,
    taker: Taker,
    cursor: Path,
    *,
    after: int | None,
    types: Sequence[str],
    emergency: str | None,
    mine: bool,
) -> None:
    """Hand on what happens, for ever, from the place that was kept or else from `after`."""
    places = [p for p in (read_cursor(cursor), taker.begin()) if p is not None]
    place = max(places) if places else after
    kept = time.monotonic()
    async for heard in exchange.listen(place, types=types, emergency=emergency, mine=mine):
        if heard.text is not None:
            await taker.take(heard)
        handled = heard.text is not None and taker.every_event
        # A place that is kept late costs a look at what is known already, and no event.
        if handled or time.monotonic() - kept >= 1:
            taker.settle()
            durable.write_whole(cursor, json.dumps({"seq": heard.seq}).encode())
            kept = time.monotonic()


def read_cursor(path: Path) -> int | None:
    """The place that was kept."""
    try:
        return int(json.loads(path.read_bytes())["seq"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError):
        raise Misused(f"The cursor {path} cannot be read; remove it to begin anew.") from None
