"""komek: serve, migrate, client, verify, openapi, demo; and the connector's commands."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import typer
from alembic.util import CommandError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access import actions as access
from app.access.rules import SCOPES
from app.config import Settings
from app.connector.cli import connector
from app.embedded import EmbeddedRefused
from app.errors import AppError
from app.exercise import playing
from app.ledger.verifying import verify as prove
from app.main import create_app
from app.service import logs, serving

cli = typer.Typer(
    help="The exchange through which Red Crescent societies share stock and volunteers.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
clients = typer.Typer(help="The IT systems of societies, and their keys.", no_args_is_help=True)
cli.add_typer(clients, name="client")
# Without a name: `komek push`, `komek follow` and `komek outbox` stand beside the others.
cli.add_typer(connector)

out = Console()
err = Console(stderr=True)
T = TypeVar("T")


def _settings() -> Settings:
    try:
        settings = Settings.from_env()
    except ValueError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None
    logs.configure(settings.log_level)
    return settings


@contextlib.contextmanager
def _clearly() -> Iterator[None]:
    """Say in a sentence what an operator can mend; a trace is for what nobody expected."""
    try:
        yield
    except EmbeddedRefused as error:
        told = str(error)
    except AppError as error:
        told = str(error.detail)
    except CommandError as error:
        told = f"Migration refused: {error}"
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        told = _database_said(getattr(error, "driver_exception", error))
    else:
        return
    err.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _database_said(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError):
        return "The database has no schema of Kömek's yet: run `komek migrate` first."
    said = str(error).partition("\n")[0] or type(error).__name__
    return f"The database refused or could not be reached: {said}"


def _in_transaction(settings: Settings, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    with _clearly():
        return serving.in_transaction(settings, do)


@cli.command()
def serve() -> None:
    """Run the service; migrates and loads what comes with it first. Set it up by KOMEK_*."""
    settings = _settings()
    with _clearly():
        serving.serve(settings)


@cli.command()
def migrate(
    revision: Annotated[
        str, typer.Argument(help="`head`, `base` (drops everything) or a revision.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Go back to `base` without being asked.")
    ] = False,
) -> None:
    """Bring the database's schema to a revision. `base` drops everything, and asks first."""
    settings = _settings()
    with _clearly(), serving.database_url(settings) as url:
        if revision == "base" and not yes:
            _confirm_the_end(url)
        serving.migrate(url, revision)


def _confirm_the_end(url: str) -> None:
    """Have the operator type the name of the database that is to lose everything."""
    name = urlsplit(url).path.lstrip("/")
    told = f"This drops everything in the database {name}: every society's data, and the ledger."
    if not sys.stdin.isatty():
        err.print(
            f"{told} Nobody is there to confirm it: add --yes.",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(1)
    err.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
    if typer.prompt("Type its name to go on", default="", show_default=False, err=True) != name:
        err.print("That is not its name. Nothing was changed.", style="red")
        raise typer.Exit(1)


@clients.command("create")
def create_client(
    society: Annotated[str, typer.Argument(help="The society's code, such as TUR.")],
    name: Annotated[str, typer.Option(help="Which system it is.")],
    scope: Annotated[
        list[str], typer.Option(help=f"`all` or any of: {', '.join(SCOPES)}. May be repeated.")
    ],
) -> None:
    """Create a client and print its key: alone, on standard output, this once."""
    scopes = [word for given in scope for word in given.split(",")]
    strange = [word for word in scopes if word != "all" and word not in SCOPES]
    if strange:
        err.print(f"[red]No such scope: {', '.join(strange)}.[/red]")
        raise typer.Exit(2)
    if not name.strip() or len(name) > 200:
        err.print("[red]A name has 1 to 200 characters.[/red]")
        raise typer.Exit(2)
    actor = access.operator_for(society)

    async def create(tx: AsyncConnection) -> str:
        _, key = await access.create_client(tx, actor, society, name, scopes)
        return key

    print(_in_transaction(_settings(), create))


@clients.command("list")
def list_clients() -> None:
    """Show the clients of all societies."""

    async def find(tx: AsyncConnection) -> list[tuple[UUID, str]]:
        return await access.list_all_clients(tx, None, 10_000)

    table = Table("Id", "Society", "Name", "Scopes", "Keys", "Revoked")
    for _, doc in _in_transaction(_settings(), find):
        client = json.loads(doc)
        table.add_row(
            client["id"],
            client["society"],
            client["name"],
            " ".join(client["scopes"]),
            " ".join(key["prefix"] + "…" for key in client["keys"]),
            client["revoked_at"] or "",
        )
    out.print(table)


@clients.command("revoke")
def revoke_client(client: Annotated[UUID, typer.Argument(help="The client's id.")]) -> None:
    """Revoke a client and its keys; in force everywhere within 5 seconds."""

    async def revoke(tx: AsyncConnection) -> None:
        await access.revoke_by_operator(tx, client)

    _in_transaction(_settings(), revoke)


@cli.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="A chain head that was kept, `seq:hash`; see GET /v1/events/head."),
    ] = None,
) -> None:
    """Prove every balance and the chain of hashes from the ledger alone; exit 1 on a fault."""
    kept = None
    if head is not None:
        seq, _, digest = head.partition(":")
        if not seq.isdigit() or len(digest) != 64:
            err.print("[red]A head is `seq:hash`, the hash being 64 hex digits.[/red]")
            raise typer.Exit(2)
        kept = (int(seq), digest.lower())
    settings = _settings()
    with _clearly(), serving.database_url(settings) as url:
        report = asyncio.run(prove(url, kept))
    if report.faults:
        for fault in report.faults:
            err.print(fault, style="red", markup=False, highlight=False, soft_wrap=True)
        if report.further:
            err.print(f"and {report.further} more", style="red", highlight=False)
        raise typer.Exit(1)
    out.print(
        f"{report.records} records, {report.sealed} of them sealed; "
        f"{report.balances} balances add up."
    )
    out.print(f"head {report.head[0]}:{report.head[1]}", soft_wrap=True)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    print(json.dumps(create_app(_settings()).openapi(), ensure_ascii=False, indent=2))


@cli.command()
def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop the service at the end instead of leaving it up.")
    ] = False,
) -> None:
    """Play the Kahramanmaraş exercise over HTTP, and leave the service up until Ctrl-C.

    It starts the service by itself. Exit 1 where anything in the story is not as expected.
    """
    raise typer.Exit(playing.play(_settings(), leave=leave))


def main() -> None:
    """The command."""
    cli()


if __name__ == "__main__":
    main()
