"""The sealer: gives every committed record its place in one gapless, chained order.

Writers never wait for each other: they insert records and commit. A serial id is not commit order
(a reader with the cursor `id > x` misses what commits late), so one sealer at a time, chosen by an
advisory lock, takes whatever is committed and has no seal yet, and seals it in the order of `n`.
Nothing is missed, because what has no seal is looked for, and not what is new. The order is that of
cause and effect: a record that builds on another commits after it, so that no look finds it alone,
and within one look its `n` is the larger. (Ordering by transaction id instead would be gapless too,
but would put a promise before the publication that made it possible, and would stand still behind
any transaction that is left open.)

Any worker may be the sealer; when it dies, its lock goes with its connection and another goes on.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from app import db
from app.ledger import rules

log = structlog.get_logger()

LOCK = 0x4B4F4D454B01
CHANNEL = "komek_sealed"
_BATCH = 1000
_IDLE = 0.05
_EAGER = 0.004
_GATHER = 0.006
"""Seconds in which records gather for one batch: a batch costs a commit, however few it seals."""
_STANDBY = 0.5

_waiting: set[asyncio.Event] = set()


def wake() -> None:
    """Tell the sealer of this process that records are on their way."""
    for event in _waiting:
        event.set()


_LAST = "SELECT seq, hash FROM seals ORDER BY seq DESC LIMIT 1"
_MARK = "SELECT mark FROM sealing"
_SET_MARK = """
INSERT INTO sealing (id, mark) VALUES (true, $1) ON CONFLICT (id) DO UPDATE SET mark = excluded.mark
"""

_UNSEALED = """
SELECT pg_snapshot_xmin(now.shot)::text::bigint AS oldest,
       r.id, r.n, r.type, r.emergency, r.commitment
FROM (SELECT pg_current_snapshot() AS shot) now LEFT JOIN LATERAL (
    SELECT id, n, type, emergency, commitment FROM records
    WHERE n > $1 AND NOT EXISTS (SELECT FROM seals WHERE seals.record = records.id)
    ORDER BY n LIMIT $2
) r ON true
ORDER BY r.n
"""

# One notification from the sealer and none from writers: NOTIFY takes an instance-wide lock.
_SEAL = f"""
WITH added AS (
    INSERT INTO seals (seq, record, type, emergency, previous_hash, hash)
    SELECT * FROM unnest(
        $1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::bytea[], $6::bytea[])
    RETURNING seq
)
SELECT pg_current_xact_id()::text::bigint, pg_notify('{CHANNEL}', max(seq)::text) FROM added
"""


class Sealer:
    """The sealing task of one process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._event = asyncio.Event()

    async def run(self) -> None:
        """Seal until cancelled. A lost connection is opened again."""
        _waiting.add(self._event)
        try:
            while True:
                try:
                    await self._hold_office()
                except (
                    asyncpg.PostgresError,
                    asyncpg.InterfaceError,
                    OSError,
                ) as error:
                    log.warning("sealer_connection_lost", error=type(error).__name__)
                except Exception:
                    # A sealer that dies silently would end the feed for everybody.
                    log.exception("sealer_failed")
                await asyncio.sleep(_STANDBY)
        finally:
            _waiting.discard(self._event)

    async def _hold_office(self) -> None:
        connection = await db.connect(
            self._url,
            # Its statements are planned once and kept, while the ledger grows under them.
            {"application_name": "komek-sealer", "timezone": "UTC", "enable_seqscan": "off"},
        )
        try:
            # Another process may end at any moment; nothing tells us but the lock itself.
            while not await connection.fetchval(  # noqa: ASYNC110
                "SELECT pg_try_advisory_lock($1)", LOCK
            ):
                await asyncio.sleep(_STANDBY)
            await self._seal(connection)
        finally:
            connection.terminate()

    async def _seal(self, connection: Any) -> None:
        last = await connection.fetchrow(_LAST)
        seq, previous = last or (0, rules.FIRST_PREVIOUS)
        mark = _Mark(await connection.fetchval(_MARK) or 0)
        pause = _EAGER
        while True:
            # Cleared before the look, so that a record that comes during it wakes us again.
            self._event.clear()
            rows: Sequence[Any] = await connection.fetch(_UNSEALED, mark.n, _BATCH)
            found = rows if rows[0]["id"] is not None else ()
            if found:
                seq, previous, columns = chain(seq, previous, found)
                mark.sealed(found[-1]["n"], await connection.fetchval(_SEAL, *columns))
                pause = _EAGER
            if len(found) == _BATCH:
                continue
            mark.looked(rows[0]["oldest"])
            if mark.is_worth_keeping():
                await connection.execute(_SET_MARK, mark.n)
            try:
                # Woken by this process's own commits; others' commits are found by looking.
                # Not `wait_for`, which in Python 3.11 can swallow the cancellation of this task.
                async with asyncio.timeout(pause):
                    await self._event.wait()
                await asyncio.sleep(_GATHER)
                pause = _EAGER
            except TimeoutError:
                pause = min(pause * 2, _IDLE)


class _Mark:
    """How far back the sealer must look: only to where transactions may still be running.

    Whoever drew a number up to `n` and has not committed yet had its transaction id before the
    seals up to `n` were written (the statement that appends records takes one before it draws), so
    that its id is below theirs. Once a look finds no transaction running below that id, all of them
    have ended, and that same look has found what they left. (The look's own `xmax` would not do for
    that id: it is only one more than the last that ended, and younger ones may be running.)
    """

    _KEEP = 10_000

    def __init__(self, n: int) -> None:
        self.n = n
        self._kept = n
        self._last: tuple[int, int] | None = None
        self._next: tuple[int, int] | None = None

    def sealed(self, n: int, transaction: int) -> None:
        """Note that everything that was seen up to `n` has been sealed by a transaction."""
        if self._last is None or n > self._last[0]:
            self._last = (n, transaction)

    def looked(self, oldest: int) -> None:
        """Note a look that left nothing it found without a seal, and what was running then."""
        if self._next is not None and oldest >= self._next[1]:
            self.n = self._next[0]
            self._next = None
        if self._next is None and self._last is not None and self._last[0] > self.n:
            self._next = self._last

    def is_worth_keeping(self) -> bool:
        """True now and then: writing the mark at every look would cost more than it saves."""
        if self.n - self._kept < self._KEEP:
            return False
        self._kept = self.n
        return True


def chain(
    seq: int, previous: bytes, found: Sequence[Any]
) -> tuple[int, bytes, tuple[list[Any], ...]]:
    """Continue the chain over records; returns the new end and the columns of their seals."""
    columns: tuple[list[Any], ...] = ([], [], [], [], [], [])
    for row in found:
        seq += 1
        link = rules.chained(previous, seq, row["commitment"])
        values = (seq, row["id"], row["type"], row["emergency"], previous, link)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        previous = link
    return seq, previous, columns
