"""The outbox: what is to be sent, on disk until the exchange has answered for all of it.

A folder for each file that was pushed, made whole beside its place and then renamed into it:

    000007-3f2a…/manifest.json     what it is, and for each piece its key
                 piece-00000       the pieces
                 report-00000      what the exchange answered for a piece; it is there: it was sent
                 refusal           the exchange takes none of it; it waits to be looked at
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.client.publishing import Form, Kind, Mode
from app.client.shown import ImportReport
from app.connector import durable
from app.connector.pieces import Source, cut


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of the outbox holds."""

    id: str
    url: str
    name: str
    kind: Kind
    form: Form
    mode: Mode
    charset: str | None
    digest: str
    pushed_at: str
    rows: int | None
    shifts: list[int]
    """For each piece, what its row numbers are to be raised by."""
    counted_at: str | None = None
    """When its rows were counted that have no date of their own; sites have none."""


class Entry:
    """A file in the outbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest(**json.loads((folder / "manifest.json").read_bytes()))

    @property
    def sent(self) -> int:
        """How many pieces the exchange has answered for."""
        return sum(self._report(n).exists() for n in range(len(self.manifest.shifts)))

    @property
    def is_whole(self) -> bool:
        """Whether all of it was sent."""
        return self.sent == len(self.manifest.shifts)

    @property
    def refusal(self) -> dict[str, Any] | None:
        """The problem where the exchange takes none of it."""
        path = self.folder / "refusal"
        return json.loads(path.read_bytes()) if path.exists() else None

    def unsent(self) -> Iterator[int]:
        """The pieces that are still to be sent, in order."""
        for n in range(len(self.manifest.shifts)):
            if not self._report(n).exists():
                yield n

    def piece(self, n: int) -> Path:
        """Where a piece is."""
        return self.folder / f"piece-{n:05}"

    def key(self, n: int) -> str:
        """The Idempotency-Key of a piece: the same for whichever process sends it."""
        return f"{self.manifest.id}-{n}"

    def _report(self, n: int) -> Path:
        return self.folder / f"report-{n:05}"

    def answered(self, n: int, report: ImportReport) -> None:
        """Keep what the exchange said of a piece, by the row numbers of the file."""
        shift = self.manifest.shifts[n]
        rows = [{**error, "row": error["row"] + shift} for error in report["errors"]]
        durable.write_whole(self._report(n), json.dumps({**report, "errors": rows}).encode())

    def refused(self, problem: dict[str, Any]) -> None:
        """Keep that the exchange takes none of it."""
        durable.write_whole(self.folder / "refusal", json.dumps(problem).encode())

    def reports(self) -> Iterator[ImportReport]:
        """What the exchange said so far, piece by piece."""
        for n in range(len(self.manifest.shifts)):
            if self._report(n).exists():
                yield json.loads(self._report(n).read_bytes())

    def drop(self) -> None:
        """Take it out. Renamed first: a kill in the middle leaves no half of it."""
        gone = self.folder.with_name(f".gone-{self.folder.name}")
        self.folder.rename(gone)
        durable.sync_folder(gone.parent)
        shutil.rmtree(gone)


class Outbox:
    """All files that are to be sent, in the order in which they were pushed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time: the order of what is sent is the order of what was pushed."""
        with durable.locked(self.folder / ".lock", wait=True):
            self._tidy()
            yield

    def _tidy(self) -> None:
        for left in (*self.folder.glob(".new-*"), *self.folder.glob(".gone-*")):
            shutil.rmtree(left, ignore_errors=True)

    def entries(self) -> list[Entry]:
        """What is in it."""
        return [Entry(folder) for folder in sorted(self.folder.glob("[0-9]*-*"))]

    def keep(
        self, source: Source, mode: Mode, url: str, size: int, as_of: datetime | None = None
    ) -> Entry:
        """Put a file in, unless it is the last one in already: then a push was cut short.

        Lots and pools are dated: by `as_of`, or else by when the file was last written. It may wait
        here for days, and what leaves a warehouse meanwhile must not come back with it. To be
        called alone.
        """
        counted_at = None if source.kind == "sites" else _counted_at(source.path, as_of)
        digest = _digest(source, mode, counted_at)
        before = self.entries()
        same = [e for e in before if (e.manifest.kind, e.manifest.url) == (source.kind, url)]
        if same and same[-1].manifest.digest == digest and not same[-1].refusal:
            return same[-1]
        number = int(before[-1].folder.name[:6]) + 1 if before else 1
        made = self.folder / f".new-{uuid4().hex}"
        made.mkdir(mode=0o700)
        rows: int | None = 0
        shifts = []
        try:
            with source.path.open("rb") as file:
                # A piece does not list all: with `replace` it would withdraw the others' rows.
                for n, piece in enumerate(cut(source, file, whole=mode == "replace", size=size)):
                    _write(made / f"piece-{n:05}", piece.content)
                    shifts.append(piece.shift)
                    rows = None if piece.rows is None or rows is None else rows + piece.rows
            manifest = Manifest(
                id=uuid4().hex,
                url=url,
                name=source.path.name,
                kind=source.kind,
                form=source.form,
                mode=mode,
                charset=source.charset,
                digest=digest,
                pushed_at=datetime.now(UTC).isoformat(timespec="seconds"),
                rows=rows,
                shifts=shifts,
                counted_at=counted_at,
            )
            _write(made / "manifest.json", json.dumps(asdict(manifest), indent=1).encode())
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        durable.sync_folder(made)
        kept = made.rename(self.folder / f"{number:06}-{digest[:12]}")
        durable.sync_folder(self.folder)
        return Entry(kept)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        durable.sync(file)


def _counted_at(path: Path, as_of: datetime | None) -> str:
    counted = as_of or datetime.fromtimestamp(path.stat().st_mtime, UTC)
    # A file whose time lies ahead comes from another clock; it cannot be newer than this moment.
    return min(counted, datetime.now(UTC)).isoformat()


def _digest(source: Source, mode: Mode, counted_at: str | None) -> str:
    kind = f"{source.kind} {source.form} {source.charset} {mode} {counted_at}"
    digest = hashlib.sha256(f"{kind}\n".encode())
    with source.path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
