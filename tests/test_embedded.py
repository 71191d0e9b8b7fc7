"""The embedded PostgreSQL: it starts anywhere it may, shares, recovers, and opens no folder."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import embedded
from app.embedded import EmbeddedPostgres, EmbeddedRefused
from tests.processes import ROOT, environment, run_sql

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another account")


def server_of(folder: Path) -> int | None:
    """The process of the server on a data directory."""
    return embedded._server_pid(embedded._place(folder))


def lives(pid: int) -> bool:
    """Whether a process runs (and is not only unburied)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(holds: Callable[[], bool], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def elsewhere(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is left in the machine's own folder."""
    folder = scratch / "elsewhere"
    monkeypatch.setattr(embedded, "_ELSEWHERE", folder)
    return folder


@pytest.fixture
def data(scratch: Path) -> Iterator[Path]:
    """A data directory, whose server is stopped at the end whatever the test did."""
    folder = scratch / "embedded" / "data"
    yield folder
    pid = server_of(folder)
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
        until(lambda: server_of(folder) is None)


def test_the_last_one_who_leaves_stops_it(data: Path) -> None:
    first, second = EmbeddedPostgres(data), EmbeddedPostgres(data)
    assert first.start() == second.start()
    first.stop()
    assert run_sql(second.url, "SELECT 1")[0][0] == 1
    second.stop()
    assert server_of(data) is None
    second.stop()


def test_many_may_start_it_at_once(scratch: Path) -> None:
    folder = scratch / "together"
    starting = [EmbeddedPostgres(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(EmbeddedPostgres.start, starting))) == 1
    assert run_sql(starting[0].url, "SELECT 1")[0][0] == 1
    for postgres in starting:
        assert server_of(folder) is not None
        postgres.stop()
    assert server_of(folder) is None


def test_after_a_crash_the_next_start_recovers_what_was_committed(data: Path) -> None:
    first = EmbeddedPostgres(data)
    url = first.start()
    run_sql(url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
    # Busy when its server dies: it goes on for a moment, attached to the shared memory.
    busy = subprocess.Popen(
        [sys.executable, "-c", _BUSY, url], env=environment(), stdout=subprocess.PIPE
    )
    assert busy.stdout is not None
    backend = int(busy.stdout.readline())
    state = f"SELECT state FROM pg_stat_activity WHERE pid = {backend}"
    until(lambda: bool(run_sql(url, state)[0][0] == "active"))
    pid = server_of(data)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server_of(data) is None)
    assert lives(backend), "the server died too slowly for this test"
    second = EmbeddedPostgres(data)
    second.start()
    assert not lives(backend), "two servers would write to one cluster"
    assert run_sql(second.url, "SELECT n FROM kept")[0]["n"] == 7
    busy.communicate(timeout=30)
    second.stop()
    first.stop()
    assert server_of(data) is None


_BUSY = """
import asyncio, sys
from app import db

async def main():
    connection = await db.connect(sys.argv[1], {})
    print(await connection.fetchval("SELECT pg_backend_pid()"), flush=True)
    try:
        # Without a wait in which it would notice the death of its server.
        await connection.execute("SELECT count(sqrt(n)) FROM generate_series(1, 8000000) n")
    except Exception:
        pass

asyncio.run(main())
"""


def test_a_process_that_is_killed_holds_nobody_up(data: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.embedded import EmbeddedPostgres\n"
        "p = EmbeddedPostgres(Path(sys.argv[1])); p.start(); print('up', flush=True)\n"
        "sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(data)],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    holder.kill()
    holder.communicate()
    assert server_of(data) is not None, "nobody told the server"
    heir = EmbeddedPostgres(data)
    heir.start()
    heir.stop()
    assert server_of(data) is None


def test_a_pid_file_that_names_a_stranger_is_no_server(data: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file = data / "postgresql" / "postmaster.pid"
    try:
        lines = [
            str(stranger.pid),
            str(data / "postgresql"),
            "0",
            "5432",
            "/tmp",
            "",
            "0 0",
            "ready",
        ]
        file.write_text("\n".join(lines) + "\n")
        shutil.chown(file, *_owner(data / "postgresql"))
        file.chmod(0o600)
        assert server_of(data) is None
        postgres = EmbeddedPostgres(data)
        assert run_sql(postgres.start(), "SELECT 1")[0][0] == 1
        postgres.stop()
        assert stranger.poll() is None, "the stranger was left alone"
    finally:
        stranger.communicate(b"\n")


def test_the_server_of_another_cluster_is_not_taken_for_ours(
    data: Path, postgres: EmbeddedPostgres
) -> None:
    file = data / "postgresql" / "postmaster.pid"
    file.write_text((postgres.cluster / "postmaster.pid").read_text())
    shutil.chown(file, *_owner(data / "postgresql"))
    assert server_of(data) is None
    ours = EmbeddedPostgres(data)
    assert run_sql(ours.start(), "SHOW data_directory")[0][0] == str(data / "postgresql")
    ours.stop()


def _owner(path: Path) -> tuple[str, str]:
    return path.owner(), path.group()


@pytest.mark.parametrize(
    "name", ["with a space", "Kömek ёлка", "quo'te \" $(touch hacked) `x`, %20"]
)
def test_the_data_directory_may_have_any_name(data: Path, scratch: Path, name: str) -> None:
    folder = data.rename(scratch / name)
    try:
        postgres = EmbeddedPostgres(folder)
        assert run_sql(postgres.start(), "SELECT 1")[0][0] == 1
        postgres.stop()
        assert server_of(folder) is None
        assert not list(scratch.rglob("hacked"))
    finally:
        folder.rename(data)


def test_a_new_cluster_may_have_any_name_too(scratch: Path) -> None:
    folder = scratch / "new \"one\" $(touch hacked) 'x' ёлка"
    postgres = EmbeddedPostgres(folder)
    assert run_sql(postgres.start(), "SHOW data_checksums")[0][0] == "on"
    postgres.stop()
    assert server_of(folder) is None


def test_whoever_joins_finds_the_socket_whatever_his_own_temporary_folder_is(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = EmbeddedPostgres(data)
    first.start()
    other = scratch / "other-tmp"
    other.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    second = EmbeddedPostgres(data)
    assert run_sql(second.start(), "SELECT 1")[0][0] == 1
    second.stop()
    first.stop()
    assert server_of(data) is None


def test_a_long_temporary_folder_does_not_make_the_socket_too_long(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = scratch / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    postgres = EmbeddedPostgres(data)
    assert run_sql(postgres.start(), "SELECT 1")[0][0] == 1
    postgres.stop()


def test_a_socket_folder_that_somebody_else_put_there_is_refused(data: Path) -> None:
    sockets = embedded._socket_dir(embedded._place(data))
    shutil.rmtree(sockets, ignore_errors=True)
    trap = sockets.with_name(f"{sockets.name}-trap")
    trap.mkdir()
    try:
        sockets.symlink_to(trap)
        with pytest.raises(EmbeddedRefused, match="should be a folder of the database's alone"):
            EmbeddedPostgres(data).start()
        assert trap.stat().st_uid == os.geteuid(), "nothing was given away through the link"
        sockets.unlink()
        sockets.mkdir()
        sockets.chmod(0o777)
        with pytest.raises(EmbeddedRefused, match="should be a folder of the database's alone"):
            EmbeddedPostgres(data).start()
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        trap.rmdir()


def test_only_its_own_account_may_enter_the_socket_folder_and_the_cluster(data: Path) -> None:
    postgres = EmbeddedPostgres(data)
    postgres.start()
    for folder in (embedded._socket_dir(embedded._place(data)), data / "postgresql"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert run_sql(postgres.url, "SHOW listen_addresses")[0][0] == ""
    postgres.stop()


@root_only
def test_run_by_root_it_never_opens_a_closed_folder(
    scratch: Path,
) -> None:
    home = scratch / "home"
    home.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(home / "komek")
    run_sql(postgres.start(), "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
    postgres.stop()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == [], "it lives elsewhere"
    home.chmod(0o755)
    again = EmbeddedPostgres(home / "komek")
    found = run_sql(again.start(), "SELECT n FROM kept")
    again.stop()
    assert found[0]["n"] == 7, "what was made elsewhere is found although the folder is open now"


@root_only
def test_a_cluster_whose_folder_was_closed_later_is_not_replaced_by_an_empty_one(
    data: Path,
) -> None:
    data.parent.chmod(0o700)
    try:
        with pytest.raises(EmbeddedRefused, match=r"is closed to the account"):
            EmbeddedPostgres(data).start()
        assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700
    finally:
        data.parent.chmod(0o755)


def test_a_data_directory_that_is_no_folder_is_refused_in_words(scratch: Path) -> None:
    file = scratch / "a-file"
    file.write_text("")
    with pytest.raises(EmbeddedRefused, match="Set KOMEK_DATA_DIR"):
        EmbeddedPostgres(file / "data").start()


def test_a_full_disk_is_told_in_words(scratch: Path) -> None:
    folder = scratch / "full"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)],
        capture_output=True, check=False,
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with pytest.raises(EmbeddedRefused, match="No space left on device"):
            EmbeddedPostgres(folder / "data").start()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_start_that_is_interrupted_leaves_no_server_behind(data: Path) -> None:
    class Interrupted(EmbeddedPostgres):
        def _create_database(self) -> None:
            raise SystemExit(0)

    with pytest.raises(SystemExit):
        Interrupted(data).start()
    assert server_of(data) is None


def test_the_programs_are_those_of_version_18() -> None:
    told = subprocess.run(
        [str(embedded.pg_bin("postgres")), "--version"], capture_output=True, text=True, check=True
    )
    assert " 18." in told.stdout
    assert ROOT.exists()
