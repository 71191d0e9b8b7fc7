"""The engine, the transaction of a call, and what the database's refusals mean.

`Tx` is the connection of a writing call: one transaction, opened before the call's code runs and
committed before the answer leaves (app/calls.py). `ReadTx` is the connection of a reading call: no
transaction, because BEGIN and COMMIT cost two round trips that a single SELECT does not need.

The transaction is the driver's own, on a connection that SQLAlchemy holds in AUTOCOMMIT: so that
both its statements and the few `Direct` ones are in it.

Which of the calls gets a connection next: app/shares.py.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

import asyncpg
import structlog
from fastapi import Depends, Request
from sqlalchemy import CheckConstraint, MetaData, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.config import Settings
from app.errors import NO_SPACE, AppError, no_space
from app.outages import Outage

log = structlog.get_logger()

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_TOO_MUCH = "The offer line does not hold that much any more."
_RECEIPT = "More would be accounted for than was dispatched."

# A constraint is the last line behind a rule that the code checks first, so most of these answer
# only in a race. They are named here once; any other is a `conflict`, so that none ends as a 500.
CONSTRAINTS: dict[str, tuple[str, str]] = {
    "ck_lots_counts": (
        "insufficient_stock",
        "The lot does not hold that much any more.",
    ),
    "uq_offers_society_ref": (
        "duplicate_ref",
        "You made another offer with this `ref` at this moment.",
    ),
    "ck_offer_lines_accepted": ("over_accepted", _TOO_MUCH),
    "ck_offer_lines_dispatched": ("over_planned", _TOO_MUCH),
    "ck_offer_lines_received": ("receipt_mismatch", _RECEIPT),
    "ck_pledges_accepted": ("over_accepted", _TOO_MUCH),
    "ck_pledges_dispatched": ("over_planned", _TOO_MUCH),
    "ck_pledges_received": ("receipt_mismatch", _RECEIPT),
    "ck_consignment_lines_received": ("receipt_mismatch", _RECEIPT),
    "ck_promises_headcount": (
        "insufficient_volunteers",
        "The pool has not promised that many people.",
    ),
    "ck_lots_ceiling": (
        "insufficient_stock",
        "The lot cannot promise that much any more.",
    ),
    "uq_emergencies_glide": (
        "already_exists",
        "An open emergency with this GLIDE number exists.",
    ),
    "uq_requests_society_ref": (
        "already_exists",
        "You have a request with this `ref` already.",
    ),
    "uq_sites_society_ref": (
        "conflict",
        "The site was created by another call at this moment.",
    ),
    "uq_lots_society_ref": (
        "conflict",
        "The lot was created by another call at this moment.",
    ),
    "uq_pools_society_ref": (
        "conflict",
        "The pool was created by another call at this moment.",
    ),
    "ck_request_lines_accepted": (
        "over_accepted",
        "This would accept more than was requested.",
    ),
    "ck_offer_lines_planned": (
        "over_planned",
        "More than is accepted and still to send.",
    ),
}

_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)
_OUT_OF_REACH = (
    *_LOST,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,
)
_ENDED = (
    *_LOST,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
)
_REFUSED = (DBAPIError, asyncpg.PostgresError, PoolTimeout, *_LOST)
RETRY = {"Retry-After": "1"}


_ELSEWHERE = (
    *_LOST,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TargetServerAttributeNotMatched,
)

# A change finds its rows by their keys, so that one plan serves for every value. Left to itself,
# PostgreSQL plans our widest statements anew at each call, which is two fifths of its work for an
# offer (docs/decisions/0010). Reading has no transaction, and plans with the values: a `LIMIT` that
# is not known then makes it sort whole tables.
# A plan that is kept must not rest on how little stood in a table when it was made: an empty table
# looks cheapest to read through, and is then read through at every call while it grows.
_BEGIN = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off"

_found: dict[str, str] = {}
"""Of each URL the host that was the primary last: not every look waits for one that is dead."""


def _dsns(url: str) -> list[str]:
    """The URL, once for each host that it names."""
    parts = urlsplit(url.replace("postgresql+asyncpg://", "postgresql://", 1))
    user, at, hosts = parts.netloc.rpartition("@")
    found = [parts._replace(netloc=user + at + host).geturl() for host in hosts.split(",")]
    return sorted(found, key=lambda dsn: dsn != _found.get(url))


def _driver(connection: AsyncConnection) -> Any:
    """The asyncpg connection of a connection."""
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


class Direct:
    """A statement that runs on the driver itself: for the hottest routes alone.

    It is written and bound as every other one. Core's own way through a statement costs some 80
    microseconds of the worker, five times what the driver needs (docs/decisions/0010).
    """

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=postgresql.asyncpg.dialect())  # type: ignore[no-untyped-call]
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())

    async def rows(self, tx: AsyncConnection, values: Mapping[str, Any]) -> list[Any]:
        """Every row; columns are read by name or number."""
        rows: list[Any] = await _driver(tx).fetch(self._sql, *[values[n] for n in self._names])
        return rows

    async def first(self, tx: AsyncConnection, values: Mapping[str, Any]) -> Any:
        """The first row, None where there is none."""
        return await _driver(tx).fetchrow(self._sql, *[values[n] for n in self._names])

    async def run(self, tx: AsyncConnection, values: Mapping[str, Any]) -> None:
        """For its effect alone."""
        await _driver(tx).execute(self._sql, *[values[n] for n in self._names])


@dataclass(frozen=True, slots=True)
class Part:
    """Common table expressions of one room, for a statement that several rooms make together.

    `shows` is what the statement answers of it. Names and bound names must not meet those of the
    other parts: each room has its own.
    """

    sql: str
    values: Mapping[str, Any]
    shows: str | None = None


async def together(tx: AsyncConnection, *parts: Part) -> tuple[Any, ...]:
    """Run the parts as one statement; what each shows, in their order.

    All of it happens or none. Each part sees the tables as they were before: where one must come
    after another, it selects from that one.
    """
    shown = [part.shows for part in parts if part.shows]
    sql = f"WITH {', '.join(part.sql for part in parts)} SELECT {', '.join(shown)}"
    values: dict[str, Any] = {}
    for part in parts:
        values |= part.values
    assert len(values) == sum(len(part.values) for part in parts), "two parts bind the same name"
    return tuple(await _together(sql).first(tx, values))


@lru_cache(100)
def _together(sql: str) -> Direct:
    return Direct(sql)


async def connect(url: str, settings: dict[str, str], *, within: float = 10) -> Any:
    """One connection outside the pool. `url` may name several hosts; the primary is found.

    Each host has its share of the time, so that one that is silent does not hide the others.
    """
    dsns = _dsns(url)
    for left, dsn in enumerate(dsns, 1 - len(dsns)):
        try:
            connection = await asyncpg.connect(
                dsn,
                server_settings=settings,
                target_session_attrs=asyncpg.connect_utils.SessionAttribute.primary,
                timeout=within / len(dsns),
            )
        except _ELSEWHERE:
            if left == 0:
                raise
        else:
            _found[url] = dsn
            return connection
    raise AssertionError("a URL names one host at least")


class Database:
    """A pool of connections of one process."""

    def __init__(self, url: str, settings: Settings, outage: Outage | None = None) -> None:
        self.url = url
        self.outage = outage or Outage()

        def milliseconds(seconds: float) -> str:
            return str(int(seconds * 1000))

        session = {
            "timezone": "UTC",
            "application_name": "komek",
            "statement_timeout": milliseconds(settings.statement_timeout),
            "lock_timeout": milliseconds(settings.lock_timeout),
            # A transaction that a dead process leaves open would hold its locks, and the
            # ledger's order waits for the oldest transaction of the whole cluster.
            "idle_in_transaction_session_timeout": milliseconds(settings.statement_timeout),
            # Compiling costs more than any statement of ours takes.
            "jit": "off",
        }

        async def open_connection() -> Any:
            return await connect(url, session, within=settings.pool_wait)

        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=open_connection,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.pool_wait,
            # Bound values can be names of people; they have no place in a log.
            hide_parameters=True,
            # Transactions are begun on the driver itself; see `transaction`.
            isolation_level="AUTOCOMMIT",
            connect_args={"prepared_statement_cache_size": 500},
        )
        self.outage.watch(self.engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back when anything is raised.

        Raises AppError for what the database refuses.
        """
        try:
            async with self.engine.connect() as connection:
                is_ended = False
                try:
                    await _driver(connection).execute(_BEGIN)
                    try:
                        yield connection
                    except Exception:
                        await _driver(connection).execute("ROLLBACK")
                        is_ended = True
                        raise
                    ended = await _driver(connection).execute("COMMIT")
                    is_ended = True
                    if ended != "COMMIT":
                        # So PostgreSQL answers where a statement failed and its error was passed
                        # over: the caller must not be told that anything was done.
                        raise RuntimeError("a statement failed unheard; nothing was committed")
                finally:
                    # Cancelled, or failed at BEGIN, ROLLBACK or COMMIT: what the driver says of the
                    # state is not to be trusted then, and the connection is given up, which ends
                    # its transaction. Otherwise the next call on it would be a savepoint within
                    # that transaction, and be told that it is committed when nothing is.
                    if not is_ended and connection.sync_connection is not None:
                        connection.sync_connection.invalidate()
        except _REFUSED as error:
            raise self._refusal(error) from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single SELECTs, without a transaction around them."""
        try:
            async with self.engine.connect() as connection:
                try:
                    yield connection
                except AppError:
                    # Said between two statements: the connection is as good as before.
                    raise
                except BaseException:
                    # In the midst of one: its answer may still be on its way, such as the rest of
                    # an export that a full disk did not take. The driver then waits for a word of
                    # the server that never comes, and so would the next call on this connection.
                    if connection.sync_connection is not None:
                        connection.sync_connection.invalidate()
                    raise
        except _REFUSED as error:
            raise self._refusal(error) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection for SELECTs that must all see one and the same state. To be held briefly."""
        try:
            async with self.engine.connect() as connection:
                is_ended = False
                try:
                    driver = _driver(connection)
                    async with driver.transaction(isolation="repeatable_read", readonly=True):
                        yield connection
                    is_ended = True
                finally:
                    # A caller who hangs up cancels it at whichever step; see `transaction`.
                    if not is_ended and connection.sync_connection is not None:
                        connection.sync_connection.invalidate()
        except _REFUSED as error:
            raise self._refusal(error) from error

    def _refusal(self, error: BaseException) -> BaseException:
        if isinstance(getattr(error, "driver_exception", error), _ENDED):
            self.outage.is_noted()
        return refusal(error)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


@cache
def _constraints() -> frozenset[str]:
    """The names of the constraints that the tables of the house have."""
    names = set()
    for table in metadata.tables.values():
        names |= {str(index.name) for index in table.indexes if index.unique}
        for constraint in table.constraints:
            prefix = f"ck_{table.name}_" if isinstance(constraint, CheckConstraint) else ""
            name = str(constraint.name)
            names.add(name if name.startswith(prefix) else prefix + name)
    return frozenset(names)


def refusal(error: BaseException) -> BaseException:
    """What an error of the database means to the caller; the error itself where it is ours."""
    if isinstance(error, PoolTimeout):
        return AppError("busy", "No database connection came free in time.", headers=RETRY)
    driver = getattr(error, "driver_exception", error)
    if isinstance(driver, asyncpg.DiskFullError) or (
        isinstance(driver, OSError) and driver.errno in NO_SPACE
    ):
        # The database's disk, or that of a file which is written from a query.
        return no_space()
    if isinstance(driver, asyncpg.IntegrityConstraintViolationError):
        name = getattr(driver, "constraint_name", None)
        if name in CONSTRAINTS:
            return AppError(*CONSTRAINTS[name])
        if name not in _constraints():
            return error
        # No rule of ours has caught this: whoever operates the service has to hear of it.
        log.error("constraint_violated", constraint=name, kind=type(driver).__name__)
        return AppError(
            "conflict",
            f"This would contradict what is stored (`{name}`); nothing was changed. Read the "
            "objects again and decide anew.",
        )
    if isinstance(driver, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
        return AppError("busy", "Two calls stood in each other's way.", headers=RETRY)
    if isinstance(driver, asyncpg.LockNotAvailableError | asyncpg.QueryCanceledError):
        return AppError("busy", "A lock or a statement took too long.", headers=RETRY)
    if isinstance(driver, _OUT_OF_REACH) or isinstance(error, InterfaceError | OperationalError):
        return AppError("database_unavailable", "The database connection failed.", headers=RETRY)
    return error


_ALLOW = text("""
SELECT set_config('statement_timeout', :milliseconds, true),
       set_config('lock_timeout', :milliseconds, true),
       set_config('idle_in_transaction_session_timeout', :milliseconds, true),
       set_config('work_mem', '32MB', true), set_config('plan_cache_mode', 'auto', true),
       set_config('enable_seqscan', 'on', true)
""")


async def allow(tx: AsyncConnection, seconds: float) -> None:
    """Let the statements of this transaction take more time and memory than a usual call's.

    They are planned for their own values again: they go through thousands of rows.
    """
    await tx.execute(_ALLOW, {"milliseconds": str(int(seconds * 1000))})


def require_all(changed: int, given: int) -> None:
    """Raise where a statement changed less than it was given, in rows or in amounts.

    `UPDATE … FROM unnest(…)` changes a row once, however often it is named, and an id that is not
    there changes nothing. Either way the tables would tell other figures than the ledger, for ever.
    Nothing of it may be committed.
    """
    if changed != given:
        raise RuntimeError(f"{changed} of {given} were changed; nothing is committed")


@asynccontextmanager
async def savepoint(tx: AsyncConnection) -> AsyncIterator[None]:
    """A part of a transaction that is taken back alone when anything is raised in it."""
    await _driver(tx).execute("SAVEPOINT part")
    try:
        yield
    except Exception:
        await _driver(tx).execute("ROLLBACK TO SAVEPOINT part")
        raise
    await _driver(tx).execute("RELEASE SAVEPOINT part")


async def _connection(request: Request) -> AsyncConnection:
    connection: AsyncConnection = request.state.connection
    return connection


Tx = Annotated[AsyncConnection, Depends(_connection)]
ReadTx = Annotated[AsyncConnection, Depends(_connection)]
