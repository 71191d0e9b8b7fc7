"""komek push, follow, outbox: the commands of a society's desk."""

import asyncio
import csv
import hashlib
import os
import tempfile
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app.client.errors import Refused, Unreachable
from app.client.exchange import Exchange
from app.client.publishing import Kind, Mode
from app.client.retrying import Rules
from app.connector import durable, handing, sending
from app.connector.handing import CommandFailed, ToCommand, ToFile
from app.connector.outbox import Entry, Outbox
from app.connector.pieces import PIECE, Source, look
from app.connector.settings import Misused, Settings, state_folder

_SHOWN = 50
_ENDS = (
    "Exit code: 0 done; 1 the exchange refused it, or rows of it; 2 a file or setting is not as it "
    "must be; 3 there is no link and it waits in the outbox. Settings: KOMEK_URL, KOMEK_KEY, "
    "KOMEK_CONNECTOR_DIR (where the outbox and the cursors are; ~/.komek-connector)."
)

connector = typer.Typer(
    help="The commands of a society's desk.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
boxes = typer.Typer(help="What was pushed and not sent yet.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)

KeyFile = Annotated[
    Path | None, typer.Option(help="A file with the key, in place of KOMEK_KEY.", metavar="FILE")
]
Patience = Annotated[
    float, typer.Option(help="Seconds of trying before the link counts as down.", min=1)
]


def _fail(message: str, code: int) -> NoReturn:
    err.print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _settings(key_file: Path | None) -> Settings:
    try:
        return Settings.read(key_file)
    except Misused as misuse:
        _fail(str(misuse), 2)


def _outbox() -> Outbox:
    folder = state_folder() / "outbox"
    try:
        return Outbox(folder)
    except OSError as error:
        _fail(f"{folder} cannot be used: {error.strerror}. Set KOMEK_CONNECTOR_DIR.", 2)


def _exchange(settings: Settings, patience: float) -> Exchange:
    rules = Rules(patience=patience)
    return Exchange(settings.url, settings.key, rules=rules, silence=min(60.0, patience))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run it, and end with the exit code that its failure means."""
    try:
        asyncio.run(work)
    except Misused as misuse:
        _fail(str(misuse), 2)
    except Refused as refusal:
        _fail(f"The exchange refuses: {refusal.status} {refusal.code}: {refusal.detail}", 1)
    except CommandFailed as failure:
        _fail(str(failure), 1)
    except Unreachable as gone:
        _fail(
            f"There is no link to the exchange ({gone.cause}). What was pushed is kept in the "
            "outbox; `komek outbox send` sends it.",
            3,
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@connector.command(epilog=_ENDS)
def push(
    file: Annotated[Path, typer.Argument(help="A .csv, .xlsx or .ndjson file.")],
    kind: Annotated[
        str | None,
        typer.Option(help="stock, volunteers or sites; by the file's name where left out."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="merge: leave what is not listed. replace: withdraw it."),
    ] = "merge",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would happen, and change nothing.")
    ] = False,
    charset: Annotated[
        str | None, typer.Option(help="utf-8, windows-1251 or windows-1254; UTF-8 where left out.")
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            help="When it was counted, in UTC: for rows without an `as_of` of their own. When the "
            "file was last written, where left out.",
            formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"],
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the link is back and all is sent.")
    ] = False,
    refused: Annotated[
        Path | None,
        typer.Option(help="Write all refused rows with their reasons as CSV.", metavar="FILE"),
    ] = None,
    patience: Patience = 30.0,
    key_file: KeyFile = None,
) -> None:
    """Publish a spreadsheet: rows that are good go in, the others are told with the reason.

    It is put into the outbox first, and goes out in pieces. Whatever happens in the middle, the
    same command, or `komek outbox send`, goes on where it was.
    """
    settings = _settings(key_file)
    if kind not in (None, "stock", "volunteers", "sites"):
        _fail("--kind is one of: stock, volunteers, sites.", 2)
    if mode not in ("merge", "replace"):
        _fail("--mode is one of: merge, replace.", 2)
    try:
        source = look(file, cast(Kind | None, kind), charset)
        if as_of is not None:
            as_of = as_of.replace(tzinfo=UTC)
        if dry_run:
            _run(_try_out(source, cast(Mode, mode), settings, patience, refused, as_of))
            return
        outbox = _outbox()
        with outbox.alone():
            entry = outbox.keep(source, cast(Mode, mode), settings.url, _piece(), as_of)
            _run(_send(outbox, settings, patience, refused, only=entry, forever=wait))
    except Misused as misuse:
        _fail(str(misuse), 2)
    except OSError as error:
        _fail(f"{error.filename or file}: {error.strerror}.", 2)


def _piece() -> int:
    return int(os.environ.get("KOMEK_CONNECTOR_PIECE") or PIECE)


async def _try_out(
    source: Source,
    mode: Mode,
    settings: Settings,
    patience: float,
    refused: Path | None,
    as_of: datetime | None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder))
        entry = outbox.keep(source, mode, settings.url, _piece(), as_of)
        async with _exchange(settings, patience) as exchange:
            try:
                await sending.send(entry, exchange, lambda _: None, dry_run=True)
            except Unreachable as gone:
                raise Misused(f"There is no link to the exchange: {gone.cause}.") from None
        err.print("Nothing was changed: this is what would happen.")
        if not _summed(entry, refused):
            raise typer.Exit(1)


async def _send(
    outbox: Outbox,
    settings: Settings,
    patience: float,
    refused: Path | None,
    *,
    only: Entry | None,
    forever: bool,
) -> None:
    """Send all that waits; `only` is whose refused rows are written to a file."""
    fine = True
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    bars: dict[str, Any] = {}

    def told(entry: Entry) -> None:
        name = entry.manifest.id
        if name not in bars:
            bars[name] = progress.add_task(entry.manifest.name, total=len(entry.manifest.shifts))
        progress.update(bars[name], completed=entry.sent)

    def waits(gone: Unreachable) -> None:
        err.print(f"No link to the exchange ({gone.cause}); trying on.", markup=False)

    def done(entry: Entry) -> None:
        nonlocal fine
        own = only is None or entry.manifest.id == only.manifest.id
        fine &= _summed(entry, refused if own else None)

    with progress:
        async with _exchange(settings, patience) as exchange:
            await sending.send_all(outbox, exchange, told, done, waits if forever else None)
    if not fine:
        raise typer.Exit(1)


def _summed(entry: Entry, refused: Path | None) -> bool:
    """Tell what became of a file; whether nothing of it was refused."""
    manifest = entry.manifest
    problem = entry.refusal
    if problem:
        err.print(
            f"{manifest.name}: the exchange refuses it: {problem['status']} {problem['code']}: "
            f"{problem.get('detail', '')}",
            style="red",
            markup=False,
        )
        for fault in problem.get("errors") or []:
            err.print(f"  {fault.get('pointer', '')}: {fault.get('message', '')}", markup=False)
        err.print(f"{entry.sent} of {len(manifest.shifts)} pieces were sent. `komek outbox drop` …")
    total = sending.Sum.of(entry)
    out.print(
        f"{manifest.name}: {total.rows} rows: {total.created} created, {total.changed} changed, "
        f"{total.unchanged} unchanged, {total.withdrawn} withdrawn, {total.refused} refused",
        markup=False,
        soft_wrap=True,
    )
    rows = list(sending.faults(entry))
    if rows:
        table = Table("Row", "Field", "Reason")
        for row in rows[:_SHOWN]:
            table.add_row(str(row["row"]), row["field"] or "", row["message"])
        out.print(table)
        more = len(rows) - _SHOWN + total.untold
        if more > 0:
            out.print(f"… and {more} more; --refused FILE writes them as CSV.")
    if refused is not None:
        with refused.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, ["row", "field", "code", "message"])
            writer.writeheader()
            writer.writerows(rows)
    return not problem and not total.refused


@connector.command(epilog=_ENDS)
def follow(
    to: Annotated[
        Path | None, typer.Option("--out", help="Add each event as a line to this file.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option("--exec", help="Run this for each event, which it gets on standard input."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only these, such as offer.proposed. May be repeated."),
    ] = None,
    emergency: Annotated[
        str | None, typer.Option(help="Only what belongs to it, by its id.")
    ] = None,
    mine: Annotated[
        bool, typer.Option("--mine", help="Only what your society did or was told by name.")
    ] = False,
    after: Annotated[
        int, typer.Option(help="Where to begin the first time: after this `seq`.", min=0)
    ] = 0,
    key_file: KeyFile = None,
) -> None:
    """Hand on everything that happens, for ever, with the place kept on disk.

    A file gets each event exactly once. A command gets it at least once: again where it was killed
    or did not end with 0. Without --type, --emergency or --mine nothing is left out, and what you
    may not see comes as a sealed envelope.
    """
    settings = _settings(key_file)
    if (to is None) == (command is None):
        _fail("Say where the events go: --out FILE or --exec COMMAND.", 2)
    types = [word for given in kinds or [] for word in given.split(",")]
    wanted = f"{settings.url} {to and to.absolute()} {command} {types} {emergency} {mine}"
    name = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    folder = state_folder() / "follow"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        taker = ToFile(to) if to is not None else ToCommand(command or "")
        with durable.locked(folder / f"{name}.lock", wait=False):
            _run(
                _follow(
                    settings,
                    taker,
                    folder / f"{name}.json",
                    after=after,
                    types=types,
                    emergency=emergency,
                    mine=mine,
                )
            )
    except BlockingIOError:
        _fail("Another `komek follow` hands the same events on already.", 2)
    except Misused as misuse:
        _fail(str(misuse), 2)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}.", 2)


async def _follow(settings: Settings, taker: ToFile | ToCommand, cursor: Path, **how: Any) -> None:
    async with _exchange(settings, Rules().patience) as exchange:
        await handing.follow(exchange, taker, cursor, **how)


@boxes.command("list")
def list_outbox() -> None:
    """Show what waits, in the order in which it will be sent."""
    table = Table("Number", "File", "What", "Pushed", "Sent", "State")
    for entry in _outbox().entries():
        manifest, problem = entry.manifest, entry.refusal
        state = f"refused: {problem['code']}" if problem else "waits"
        pieces = f"{entry.sent} of {len(manifest.shifts)} pieces"
        number = str(int(entry.folder.name[:6]))
        what = f"{manifest.kind}, {manifest.mode}"
        table.add_row(number, manifest.name, what, manifest.pushed_at, pieces, state)
    out.print(table)


@boxes.command("send", epilog=_ENDS)
def send_outbox(
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the link is back and all is sent.")
    ] = False,
    patience: Patience = 30.0,
    key_file: KeyFile = None,
) -> None:
    """Send what waits, in order."""
    settings, outbox = _settings(key_file), _outbox()
    with outbox.alone():
        _run(_send(outbox, settings, patience, None, only=None, forever=wait))


@boxes.command("drop")
def drop_from_outbox(
    number: Annotated[int, typer.Argument(help="Its number in `komek outbox list`.")],
) -> None:
    """Take a file out of the outbox. What was sent of it already stays on the exchange."""
    outbox = _outbox()
    with outbox.alone():
        for entry in outbox.entries():
            if int(entry.folder.name[:6]) == number:
                entry.drop()
                out.print(f"{entry.manifest.name} is out of the outbox.", markup=False)
                return
    _fail(f"There is no number {number} in the outbox.", 2)


connector.add_typer(boxes, name="outbox")
