"""Files are checked by a process of their own, within bounds; and a full disk is told as such."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import asyncpg
import httpx
import pytest

from app.config import Settings
from app.db import refusal
from app.errors import AppError
from app.inspection import Inspection
from app.sheets.checking import Checked
from app.sheets.forms import Unreadable
from app.sheets.reports import Report
from app.stock.bulk import LOTS
from app.uploads import OF_ONE
from tests.test_import_stock import HEAD, bring, counts, sent, sheet
from tests.test_limits import a_system_of
from tests.test_operations import eventually
from tests.test_sheets import HEADER, workbook
from tests.world import BLANKET, System, fresh, refused

Alone = Callable[..., Settings]


def shared(text: str, rows: int) -> bytes:
    """A workbook in whose every cell stands the same text of its table."""
    row = "<row>" + '<c t="s"><v>0</v></c>' * 4 + "</row>"
    plain = workbook(f"<worksheet><sheetData>{HEADER}{row * rows}</sheetData></worksheet>")
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(plain)) as given,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in given.namelist():
            made.writestr(name, given.read(name).replace(b"</Types>", part.encode()))
        made.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}"><si><t>{text}</t></si></sst>')
    return out.getvalue()


_MEASURE = """
import resource, sys, time
from app.sheets.checking import Checked
from app.sheets.forms import Unreadable
from app.stock.bulk import LOTS
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    with open(path, "rb") as source, open(path + ".rows", "w+b") as spool:
        started = time.process_time()
        checked = Checked(LOTS, source, spool, lambda n: ["0" * 32] * n, 500_000)
        try:
            checked.open(path.rpartition(".")[2], None)
            while checked.step():
                pass
        except Unreadable as error:
            print(error.code, file=sys.stderr)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(path, grown // 1024, round(time.process_time() - started))
"""


def test_a_small_file_takes_neither_much_memory_nor_much_time(tmp_path: Path) -> None:
    long = "x" * 60_000
    files = {
        "escaped.xlsx": shared("_x0041_" + "a" * 60_000, 6_000),
        "escapes.xlsx": shared("_x0041_" * 9_000, 1_500),
        "formula.xlsx": shared("=" + "a" * 200_000, 3_000),
        "spaces.xlsx": shared(" " * 200_000, 3_000),
        "wide.csv": (HEAD + "\n" + f"A,B,c,{long}\n" * 4_000).encode(),
        "long.ndjson": (json.dumps({"ref": long}) + "\n").encode() * 2_500,
    }
    assert len(files["escaped.xlsx"]) < 15_000
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE, *(str(tmp_path / name) for name in files)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [line.split() for line in ended.stdout.splitlines()]
    assert len(told) == len(files)
    for path, grown, seconds in told:
        assert int(grown) < 150, f"{path}: {grown} MB"
        assert int(seconds) < 8, f"{path}: {seconds} s of a processor"


@contextlib.contextmanager
def inspecting(**bounds: Any) -> Iterator[Inspection]:
    inspection = Inspection(Settings(**bounds))
    try:
        yield inspection
    finally:
        inspection.close()


async def _inspected(
    inspection: Inspection, body: bytes, kind: str, spool: IO[bytes] | None = None
) -> Report:
    with tempfile.TemporaryFile() as source, spool or tempfile.TemporaryFile() as rows:
        source.write(body)
        source.flush()
        checked = Checked(LOTS, source, rows, lambda n: [], 500_000)
        await inspection.inspect(checked, kind, None)
        return checked.report


async def test_a_file_that_costs_too_much_is_refused_and_the_next_one_is_taken() -> None:
    good = f"{HEAD}\nA,B,c,5\n".encode()
    with inspecting(import_check=1) as inspection:
        assert (await _inspected(inspection, good, "csv")).rows == 1
        with pytest.raises(Unreadable) as caught:
            row = json.dumps({"ref": "A", "item": "B", "site": "c", "quantity": 5}) + "\n"
            await _inspected(inspection, row.encode() * 400_000, "ndjson")
        assert caught.value.code == "takes_too_long"
        assert "in parts" in caught.value.message
        assert (await _inspected(inspection, good, "csv")).rows == 1


async def test_a_file_that_needs_too_much_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.inspection.MEMORY", 32 << 20)
    with inspecting() as inspection:
        with pytest.raises(Unreadable) as caught:
            await _inspected(inspection, shared("</t></si><si><t>".join(
                f"{n * 7919 % 1_000_003:030}" for n in range(400_000)
            ), 1), "xlsx")  # fmt: skip
        assert caught.value.code == "needs_too_much_memory"
        good = f"{HEAD}\nA,B,c,5\n".encode()
        assert (await _inspected(inspection, good, "csv")).rows == 1


async def test_a_process_that_dies_is_started_anew() -> None:
    good = f"{HEAD}\nA,B,c,5\n".encode()
    with inspecting() as inspection:
        assert (await _inspected(inspection, good, "csv")).rows == 1
        assert inspection._process is not None
        os.kill(inspection._process.pid, signal.SIGKILL)
        inspection._process.wait()
        assert (await _inspected(inspection, good, "csv")).rows == 1


async def test_what_checks_files_knows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOMEK_DATABASE_URL", "postgresql://komek:secret@nowhere/komek")
    monkeypatch.setenv("PGPASSWORD", "secret")
    with inspecting() as inspection:
        await _inspected(inspection, f"{HEAD}\nA,B,c,5\n".encode(), "csv")
        assert inspection._process is not None
        place = Path(f"/proc/{inspection._process.pid}/environ")
        known = await asyncio.to_thread(place.read_bytes)
    assert b"secret" not in known
    assert b"PATH=" in known


def full(**_: Any) -> IO[bytes]:
    """A file on a disk that is full."""
    return Path("/dev/full").open("r+b")


async def test_a_full_disk_is_told_as_such_wherever_it_is_met(
    aze: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inspecting() as inspection:
        with pytest.raises(AppError) as caught:
            await _inspected(inspection, f"{HEAD}\nA,B,c,5\n".encode(), "csv", full())
        assert caught.value.code == "no_space"
    # So many that the disk is full while the database is still answering.
    site = await aze.site()
    await bring(aze, sheet(*(f"{fresh('many')},{BLANKET},{site},5" for _ in range(600))))
    monkeypatch.setattr("app.uploads.tempfile.TemporaryFile", full)
    for answer in (
        await sent(aze, sheet(f"{fresh('full')},{BLANKET},central,5")),
        await aze.get("/v1/my/stock/export"),
        await aze.get("/v1/my/stock/export", format="xlsx"),
    ):
        problem = refused(answer, 507, "no_space")
        assert "database" not in json.dumps(problem)
        assert int(answer.headers["retry-after"]) > 0
    monkeypatch.undo()
    for _ in range(20):
        assert (await aze.get("/v1/my/stock")).status_code == 200, "no connection is left behind"


def test_a_full_disk_of_the_database_is_no_failure_of_the_link() -> None:
    found = refusal(asyncpg.DiskFullError("could not extend file"))
    assert isinstance(found, AppError)
    assert (found.code, found.status_code) == ("no_space", 507)
    assert found.headers is not None
    assert "Retry-After" in found.headers


@contextlib.asynccontextmanager
async def stalled(system: System) -> AsyncIterator[None]:
    """An upload of which nothing more comes."""
    address = httpx.URL(str(system.http.base_url))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST /v1/my/stock/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        b"Content-Length: 1000000\r\nAuthorization: "
        + system.http.headers["authorization"].encode()
        + b"\r\n\r\nref,item"
    )
    await writer.drain()
    yield
    writer.transport.abort()
    assert reader


async def test_files_are_admitted_before_they_are_received_a_few_of_each_society(
    alone: Alone,
) -> None:
    async with a_system_of(alone(imports_at_once=OF_ONE + 1)) as (service, here):
        slots = service.app.state.slots

        async def are_taken(count: int) -> None:
            async def reached() -> bool:
                return bool(slots._taken.total() == count)

            await eventually(reached)

        async with contextlib.AsyncExitStack() as stack:
            for n in range(OF_ONE):
                await stack.enter_async_context(stalled(here))
                await are_taken(n + 1)
            answer = await sent(here, sheet(f"{fresh('slot')},{BLANKET},central,5"))
            refused(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) > 0
            slots._taken["KAZ"] += 2
            slots._taken["AZE"] -= 1
            answer = await sent(here, sheet(f"{fresh('slot')},{BLANKET},central,5"))
            refused(answer, 503, "busy")
            slots._taken["AZE"] += 1
            del slots._taken["KAZ"]
        await are_taken(0)
        await here.site()
        report = await bring(here, sheet(f"{fresh('slot')},{BLANKET},central,5"))
        assert counts(report) == (1, 1, 0, 0, 0, 0)
