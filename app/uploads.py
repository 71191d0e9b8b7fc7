"""An upload: a call whose body is a file, which may be larger than memory should hold.

The file is taken from the wire into a temporary file, then read and checked row by row, and only
then is a transaction opened: a client on a slow link holds a file and no connection. Everything
else is that of every other call (app/calls.py): who may, the Idempotency-Key, one transaction, one
form of errors.
"""

import asyncio
import csv
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BufferedRandom
from typing import IO, Annotated, Any, Literal
from urllib.parse import parse_qsl

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app import ids
from app.calls import Exchange, Handler, admit, attempts, share_of
from app.errors import NO_SPACE, AppError, no_space
from app.fields import PastInstant, Shown
from app.imports import Options
from app.inspection import Inspection
from app.json_text import dump
from app.pages import FromFile, single
from app.problems import answers
from app.sheets import checking, writing
from app.sheets.checking import Checked
from app.sheets.forms import Form, Unreadable
from app.sheets.reports import refused
from app.unknown_input import UnknownInput

XLSX_TYPE = writing.MEDIA["xlsx"]
MEDIA = {
    "text/csv": checking.CSV,
    "application/csv": checking.CSV,
    "text/tab-separated-values": checking.CSV,
    XLSX_TYPE: checking.XLSX,
    "application/x-ndjson": checking.NDJSON,
    "application/ndjson": checking.NDJSON,
    "application/jsonl": checking.NDJSON,
}
_WRITE = 1024 * 1024
OF_ONE = 4
_SOON = {"Retry-After": "5"}


class Taking:
    """What a route declares about the file that it takes; the route's code gets it checked."""

    def __init__(self, form: Form, most: int | None = None) -> None:
        self.form = form
        self.most = most

    async def __call__(self, request: Request) -> Checked:
        checked: Checked = request.state.checked
        return checked


class Upload(Exchange):
    """A route of the exchange that takes a file."""

    @property
    def taking(self) -> Taking:
        """The kind of file. A route that declares none cannot be built."""
        found = [d.call for d in self.dependant.dependencies if isinstance(d.call, Taking)]
        if len(found) != 1:
            raise TypeError(f"{self.path} must declare exactly one file, found {len(found)}")
        return found[0]

    def get_route_handler(self) -> Handler:
        """The route's code with everything that surrounds it."""
        inner: Handler = super(Exchange, self).get_route_handler()
        permission, taking = self.permission, self.taking
        unknown_input = UnknownInput.of(self, is_bodiless=False)

        async def handle(request: Request) -> Response:
            await admit(request, permission)
            await unknown_input.refuse(request)
            kind, charset = _media(request)
            state = request.app.state
            society = request.state.caller.society
            # Before anything of the file is received: what waits for a slot would lie on the disk.
            with state.slots.taken(society), _room(), _spooled("upload") as source:
                digest = await _receive(request, source)
                async with state.slots.turn(society), state.inspection.turns:
                    with _spooled("rows") as spool:
                        most = taking.most or state.settings.import_rows
                        checked = Checked(taking.form, source, spool, _hex_ids, most)
                        await _check(state.inspection, checked, kind, charset)
                        request.state.checked = checked
                        # An import holds its connection for long: it takes none of the society's
                        # other calls.
                        share = share_of(request, " imports")
                        return await attempts(request, share, inner, digest)

        return handle


class Slots:
    """How many files this process takes at once, and how many of them of one society."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}

    @contextmanager
    def taken(self, society: str) -> Iterator[None]:
        """Take a slot; 429 where the society has its share, 503 where there is none at all."""
        if self._taken[society] >= OF_ONE:
            raise AppError(
                "rate_limited",
                f"{OF_ONE} files of your society are being taken already.",
                headers=_SOON,
            )
        if self._taken.total() >= self._most:
            raise AppError("busy", "Files of others are being taken.", headers=_SOON)
        self._taken[society] += 1
        try:
            yield
        finally:
            self._taken[society] -= 1
            if not self._taken[society]:
                del self._taken[society]
                self._turns.pop(society, None)

    def turn(self, society: str) -> asyncio.Lock:
        """One file of a society is checked after the other, so that its list holds up no other."""
        return self._turns.setdefault(society, asyncio.Lock())


@contextmanager
def _room() -> Iterator[None]:
    """507 where a file cannot grow: the disk is full, and nothing of ours is broken."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space() from error
        raise


@contextmanager
def _spooled(name: str) -> Iterator[BufferedRandom]:
    """A file without a name in the folder for temporary files; it is gone when it is closed."""
    file = tempfile.TemporaryFile(prefix=f"komek-{name}-")  # noqa: SIM115
    try:
        yield file
    finally:
        # What could not be written must not hide why it could not.
        with suppress(OSError):
            file.close()


def _hex_ids(count: int) -> list[str]:
    return [made.hex() for made in ids.new_ids(count)]


def _media(request: Request) -> tuple[str, str | None]:
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = MEDIA.get(media.strip().lower())
    if kind is None:
        raise AppError(
            "unsupported_media_type",
            "Say what the file is: `Content-Type: text/csv` (with `; charset=windows-1251` or "
            f"`windows-1254` where it is not UTF-8), `{XLSX_TYPE}` or `application/x-ndjson`.",
        )
    named = dict(part.strip().partition("=")[::2] for part in parameters.split(";"))
    charset = next((v for k, v in named.items() if k.strip().lower() == "charset"), None)
    return kind, charset


async def _receive(request: Request, source: IO[bytes]) -> bytes:
    """Take the body into the file; the digest of what makes two uploads the same call."""
    query = sorted(parse_qsl(request.url.query, keep_blank_values=True))
    media = request.headers.get("content-type", "")
    digest = hashlib.sha256(f"{request.method} {request.url.path} {query} {media}\n".encode())
    waiting = bytearray()
    async for chunk in request.stream():
        digest.update(chunk)
        waiting += chunk
        if len(waiting) >= _WRITE:
            await asyncio.to_thread(source.write, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(source.write, bytes(waiting))
    # The other process sees what is in the file, and not what waits in this one.
    await asyncio.to_thread(source.flush)
    return digest.digest()


async def _check(inspection: Inspection, checked: Checked, kind: str, charset: str | None) -> None:
    try:
        await inspection.inspect(checked, kind, charset)
    except Unreadable as error:
        raise unreadable(checked, error) from None


def unreadable(checked: Checked, error: Unreadable) -> AppError:
    """422: the file as a whole; with the same members as the answer of an import."""
    report = checked.report
    # Alone: no row of such a file is at fault for itself, and the list may be full already.
    report.errors.clear()
    report.errors_total = report.refused = 0
    report.fault(error.row, error.column, error.code, error.message)
    place = f"Row {error.row}: " if error.row else ""
    return AppError("unreadable_file", place + error.message, extra=refused(report.content()))


Format = Annotated[
    Literal["csv", "xlsx", "ndjson"],
    Query(description="The kind of file.", examples=["csv"]),
]


class ImportQuery(BaseModel):
    """How to import."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["merge", "replace"] = Field(
        default="merge",
        description="`merge`: what the file does not list stays. `replace`: it is withdrawn, "
        "unless something of it is promised; `kept_reserved` tells which.",
        examples=["merge"],
    )
    dry_run: bool = Field(
        default=False, description="Check and count everything, change nothing.", examples=[True]
    )
    all_or_nothing: bool = Field(
        default=False,
        description="Change nothing where any row is at fault (422 `import_refused`). Otherwise "
        "the good rows go in and the bad ones do not.",
        examples=[False],
    )

    def options(self, seconds: float) -> Options:
        """These parameters as the import takes them."""
        return Options(self.mode == "replace", self.dry_run, self.all_or_nothing, seconds)


class CountQuery(ImportQuery):
    """How to import what was counted."""

    as_of: PastInstant | None = Field(
        default=None,
        description="When the file was counted: for its rows without an `as_of` of their own. "
        "Give it wherever a file may wait before it is sent. Now where left out.",
        examples=["2026-02-06T01:17:00Z"],
    )

    def options(self, seconds: float) -> Options:
        """These parameters as the import takes them."""
        return replace(super().options(seconds), as_of=self.as_of)


class RowFault(Shown):
    """A fault of a row."""

    row: int = Field(
        description="Row number as the spreadsheet shows it; 0: the whole file.", examples=[3]
    )
    field: str | None = Field(description="The field; null: the row.", examples=["quantity"])
    code: str = Field(description="The kind of fault.", examples=["ambiguous_number"])
    message: str = Field(
        description="The reason.",
        examples=["This can mean thousands or decimals: write the digits without a separator."],
    )


class KeptReserved(Shown):
    """What was not withdrawn."""

    ref: str = Field(description="Your own reference.", examples=["BLK-7"])
    reserved: int = Field(description="How much is promised.", examples=[120])


class ImportReport(Shown):
    """What became of the rows. Each is created, changed, unchanged or refused."""

    dry_run: bool = Field(description="Whether nothing was changed on purpose.", examples=[False])
    rows: int = Field(description="Rows below the header.", examples=[3])
    created: int = Field(description="New, or published again after withdrawal.", examples=[1])
    changed: int = Field(description="Changed.", examples=[1])
    unchanged: int = Field(description="Left alone: nothing differs.", examples=[0])
    withdrawn: int = Field(description="Withdrawn by `mode=replace`.", examples=[0])
    refused: int = Field(description="Rows at fault.", examples=[1])
    errors_total: int = Field(description="How many faults there are.", examples=[1])
    errors: list[RowFault] = Field(description="The faults, the first 1,000.")
    kept_reserved_total: int = Field(
        description="How many were not withdrawn since something of them is promised.",
        examples=[0],
    )
    kept_reserved: list[KeptReserved] = Field(description="Those, the first 1,000.", examples=[[]])
    notes: list[str] = Field(description="What else is to be known.", examples=[[]])


def described(ndjson: str) -> dict[str, Any]:
    """`openapi_extra=` of a route that takes a file; the story has the example of its CSV."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                XLSX_TYPE: {"schema": {"type": "string", "format": "binary"}},
                "application/x-ndjson": {"schema": {"type": "string"}, "example": ndjson},
            },
        }
    }


def refusals() -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that takes a file."""
    return answers(
        "role_forbidden",
        "unreadable_file",
        "import_refused",
        "body_too_large",
        "unsupported_media_type",
        "rate_limited",
    )


def given(ndjson: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that gives a file; the story has the example of its CSV."""
    return {
        200: {
            "description": "The file.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                XLSX_TYPE: {"schema": {"type": "string", "format": "binary"}},
                "application/x-ndjson": {"schema": {"type": "string"}, "example": ndjson},
            },
        }
    }


def told(report: dict[str, Any]) -> Response:
    """The report of an import as the answer."""
    return single(dump(report).decode())


async def handed_out(
    form: Form,
    kind: str,
    fill: Callable[[IO[bytes]], Awaitable[None]],
    row: Callable[[list[str]], Sequence[writing.Value]],
) -> Response:
    """A file of what `fill` writes as CSV of the database, each of its rows turned by `row`.

    Through temporary files: nothing of it is in memory, and no connection waits for the client.
    """
    with _room():
        return await _written_out(form, kind, fill, row)


async def _written_out(
    form: Form,
    kind: str,
    fill: Callable[[IO[bytes]], Awaitable[None]],
    row: Callable[[list[str]], Sequence[writing.Value]],
) -> Response:
    # Closed with the answer.
    out = tempfile.TemporaryFile(prefix="komek-export-")  # noqa: SIM115
    try:
        tag, size = await _converted(form, kind, fill, row, out)
    except BaseException:
        with suppress(OSError):
            out.close()
        raise
    headers = {
        "ETag": f'"{tag}"',
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="komek-{form.name}.{kind}"',
    }
    return FromFile(out, writing.MEDIA[kind], headers)


async def _converted(
    form: Form,
    kind: str,
    fill: Callable[[IO[bytes]], Awaitable[None]],
    row: Callable[[list[str]], Sequence[writing.Value]],
    out: IO[bytes],
) -> tuple[str, int]:
    """Write the file; its tag and its size."""
    with _spooled("rows") as raw:
        await fill(raw)

        def convert() -> tuple[str, int]:
            raw.seek(0)
            digest = hashlib.sha256(f"{kind}\n".encode())
            digest.update(hashlib.file_digest(raw, "sha256").digest())
            raw.seek(0)
            with io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
                writing.write(kind, form, map(row, csv.reader(text)), out)
            out.flush()
            size = out.seek(0, io.SEEK_END)
            out.seek(0)
            return digest.hexdigest()[:32], size

        return await asyncio.to_thread(convert)
