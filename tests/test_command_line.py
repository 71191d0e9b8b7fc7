"""The commands: what they print, where, and how they end."""

import asyncio
import contextlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from app.access import rules
from app.cli import cli
from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import serving
from tests.processes import ROOT, accounts, database_of, komek, make_database, run_sql
from tests.test_embedded import server_of


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> str:
    """A database with the five societies in it."""
    url = make_database(postgres, "commands")
    serving.migrate(url)
    asyncio.run(serving.load(Settings(), url))
    return url


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, url: str) -> "Run":
    for name in ("KOMEK_HOST", "KOMEK_PORT", "KOMEK_DATA_DIR", "KOMEK_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KOMEK_LOG_LEVEL", "error")
    monkeypatch.setenv("KOMEK_DATABASE_URL", url)
    # The width is read when a console is made, which is when the commands are first imported.
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("app.cli.out", Console())
    monkeypatch.setattr("app.cli.err", Console(stderr=True))
    return Run(monkeypatch)


class Run:
    """Runs commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, **env: str) -> Result:
        for name, value in env.items():
            self._monkeypatch.setenv(name, value)
        # `serve` sets what its signals do; these are the test run's again afterwards.
        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            return CliRunner().invoke(cli, arguments)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def said(result: Result, code: int) -> str:
    """What a command that failed in good order said, on standard error alone."""
    assert result.exit_code == code, (result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def test_a_new_key_stands_alone_on_standard_output(url: str) -> None:
    made = komek(
        "client", "create", "TUR", "--name", "ERP", "--scope", "all", KOMEK_DATABASE_URL=url
    )
    assert made.returncode == 0
    assert made.stderr == ""
    key = made.stdout.removesuffix("\n")
    assert rules.is_well_formed(key)


def test_the_clients_are_listed_and_revoked_and_no_key_is_shown_again(run: Run) -> None:
    key = run("client", "create", "KAZ", "--name", "Depot", "--scope", "read").stdout.strip()
    listed = run("client", "list")
    assert listed.exit_code == 0
    line = next(line for line in listed.stdout.splitlines() if "Depot" in line)
    assert "KAZ" in line
    assert key not in listed.stdout
    client = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", line)
    assert client is not None
    assert run("client", "revoke", client[0]).exit_code == 0
    listed = run("client", "list")
    assert re.search(r"Depot.*\d{4}-\d\d-\d\dT", listed.stdout)


def test_a_client_needs_a_known_society_scopes_and_a_name(run: Run) -> None:
    stranger = run("client", "create", "XXX", "--name", "x", "--scope", "all")
    assert "no such society" in said(stranger, 1)
    wrong = run("client", "create", "TUR", "--name", "x", "--scope", "read,nonsense")
    assert said(wrong, 2) == "No such scope: nonsense."
    assert "A name has 1 to 200" in said(
        run("client", "create", "TUR", "--name", " ", "--scope", "all"), 2
    )
    assert "--name" in said(run("client", "create", "TUR", "--scope", "all"), 2)
    missing = run("client", "revoke", "019b0000-0000-7000-8000-000000000000")
    assert said(missing, 1)
    assert "UUID" in said(run("client", "revoke", "nonsense"), 2)


def test_verify_proves_the_ledger_and_a_head_that_was_kept(run: Run) -> None:
    proof = run("verify")
    assert proof.exit_code == 0
    assert "balances add up" in proof.stdout
    head = re.search(r"head (\d+:[0-9a-f]{64})", proof.stdout)
    assert head is not None
    assert run("verify", "--head", head[1]).exit_code == 0
    if not head[1].startswith("0:"):
        told = said(run("verify", "--head", head[1][:-1] + "x"), 1)
        assert "the chain is not the one whose head was kept" in told
    assert "A head is" in said(run("verify", "--head", "nonsense"), 2)


def test_verify_names_the_first_fault_and_exits_1(run: Run, postgres: EmbeddedPostgres) -> None:
    url = make_database(postgres, "forged")
    serving.migrate(url)
    asyncio.run(serving.load(Settings(), url))
    run_sql(
        url,
        "ALTER TABLE records DISABLE TRIGGER append_only",
        "UPDATE records SET content = replace(content, 'KAZ', 'UZB')",
        "SELECT 1",
    )
    told = said(run("verify", KOMEK_DATABASE_URL=url), 1)
    assert "the content is not the one that was committed to" in told


def test_the_openapi_document_is_printed_without_a_database(run: Run) -> None:
    printed = run("openapi", KOMEK_DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
    assert printed.exit_code == 0
    assert printed.stdout.startswith("{")


@pytest.mark.parametrize(
    "variable",
    [
        "PORT=eighty", "PORT=70000", "PORT=80.5", "WORKERS=0", "WORKERS=nan", "POOL_SIZE=1",
        "POOL_WAIT=-1", "STATEMENT_TIMEOUT=soon", "LOCK_TIMEOUT=1e9", "BODY_LIMIT=1",
        "BODY_TIMEOUT=x", "KEY_CACHE=60", "OFFER_DAYS=365", "DRAIN=-1", "LOG_LEVEL=loud",
        "DATABASE_URL=mysql://komek:hunter2@host/komek", "DATABASE_URL=komek:hunter2",
        "DATABASE_URL=postgresql://komek:hunter2@host:port/komek",
        "DATABASE_URL=postgresql://komek:hunt/er2@host/komek",
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named_and_nothing_starts(run: Run, variable: str) -> None:
    name, _, value = variable.partition("=")
    for command in ("serve", "migrate", "verify"):
        told = said(run(command, **{f"KOMEK_{name}": value}), 2)
        assert f"KOMEK_{name}" in told
        assert "hunt" not in told, "the URL holds a password"


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["verify"], ["client", "list"]])
def test_a_database_that_is_not_there_is_told_in_a_sentence(run: Run, command: list[str]) -> None:
    told = said(run(*command, KOMEK_DATABASE_URL="postgresql://komek:hunter2@127.0.0.1:1/komek"), 1)
    assert "could not be reached" in told or "connection failed" in told
    assert "hunter2" not in told


def test_a_database_that_does_not_exist_is_told_by_its_name(run: Run, url: str) -> None:
    for command in ("serve", "migrate", "verify"):
        told = said(run(command, KOMEK_DATABASE_URL=database_of(url, "nowhere")), 1)
        assert '"nowhere" does not exist' in told


def test_a_database_without_a_schema_says_what_to_do(run: Run, postgres: EmbeddedPostgres) -> None:
    bare = make_database(postgres, "bare")
    for command in (["verify"], ["client", "list"]):
        told = said(run(*command, KOMEK_DATABASE_URL=bare), 1)
        assert "run `komek migrate` first" in told


def test_a_revision_that_does_not_exist_is_refused(run: Run) -> None:
    assert "9999" in said(run("migrate", "9999"), 1)


def test_where_the_service_does_not_run_a_command_starts_the_database_and_ends_it(
    run: Run, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOMEK_DATABASE_URL")
    data = scratch / "alone"
    assert run("migrate", KOMEK_DATA_DIR=str(data)).exit_code == 0
    assert server_of(data) is None
    assert "KOMEK_DATA_DIR" in said(run("verify", KOMEK_DATA_DIR="/dev/null/komek"), 1)


def test_a_folder_that_cannot_be_written_to_is_told(scratch: Path) -> None:
    if not accounts():
        pytest.skip("only root can close a folder to itself")
    told = komek("migrate", KOMEK_DATA_DIR="/proc/komek")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert "KOMEK_DATA_DIR" in told.stderr


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_every_form_of_the_url_is_understood(
    run: Run, postgres: EmbeddedPostgres, silent: str, open_port: int
) -> None:
    name = "pass:w@rd/é"
    run_sql(
        postgres.url,
        f"DO $$BEGIN CREATE ROLE guest LOGIN SUPERUSER PASSWORD '{name}'; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END$$",
        "SELECT 1",
    )
    here = f"127.0.0.1:{open_port}"
    password = "pass%3Aw%40rd%2F%C3%A9"
    for form in (
        f"postgresql://guest:{password}@{here}/commands",
        f"postgresql+asyncpg://guest:{password}@{here}/commands",
        f"postgres://guest:{password}@{here}/commands",
        f"postgresql://guest:{password}@127.0.0.1:1,{here}/commands",
        f"postgresql://guest:{password}@{silent},{here}/commands",
    ):
        for command in (["verify"], ["client", "list"], ["migrate"]):
            result = run(*command, KOMEK_DATABASE_URL=form)
            assert result.exit_code == 0, (form, result.output, result.exception)


@pytest.fixture
def open_port(postgres: EmbeddedPostgres) -> Iterator[int]:
    """The embedded server's socket, reached over TCP: a second host for a URL."""
    path = next(iter(Path(postgres.url.partition("host=")[2]).glob(".s.PGSQL.5432")))
    with Relay(str(path)) as port:
        yield port


class Relay:
    """Hands every connection on to a Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        # Closing alone would not wake the thread that reads from it.
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_every_setting_is_told_to_the_operator() -> None:
    told = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for field in fields(Settings):
        assert f"`KOMEK_{field.name.upper()}`" in told, field.name
