"""Writing so that a kill or a power cut leaves either the old state or the new one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, wait: bool) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by new content, at once."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        sync(file)
    beside.replace(path)
    sync_folder(path.parent)


def sync(file: BinaryIO) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system knows how."""
    if sys.platform == "win32":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Alone with a thing until the end of the block; raises BlockingIOError where not `wait`.

    The system gives the lock back when the process ends, however it ends.
    """
    with path.open("ab") as file:
        try:
            _lock(file, wait)
        except OSError as error:
            raise BlockingIOError(str(error)) from None
        yield
