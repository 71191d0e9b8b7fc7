"""Delivering: what is sealed goes to every endpoint that wants it, at least once, in order.

Each process has one deliverer. It takes endpoints by a lease, so that several processes share the
work and none does it twice; reads the ledger after the endpoint's cursor; posts, outside any
transaction; and writes down what came of it, and the new cursor, in one transaction. If it dies
between the post and the note, the lease runs out and another goes on at the old cursor: the
receiver gets those few once more, with the same `webhook-id`.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.db import Database
from app.errors import AppError
from app.ledger import actions as ledger
from app.ledger import events
from app.ledger.actions import SECRETARIAT, Actor, Fact
from app.ledger.rules import Filters
from app.ledger.streaming import Reader, Stream
from app.webhooks import leases, rules, signing
from app.webhooks.rounds import Round, message_of, noted, standing_after, withheld
from app.webhooks.sending import Sender

log = structlog.get_logger()

_NOTE_AFTER = 0.5
_NOTE_EACH = 100
_DUE_AT_ONCE = 50
_TURN = 15.0
_COALESCE = 0.005
_NOTHING = 0.1
"""Seconds until the next look where the last one found no endpoint with work: under load something
is sealed every few milliseconds, and each look is a transaction."""
_LAST_WORDS = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a process delivers. Times are in seconds."""

    endpoints: int = 32
    """How many endpoints are served at once; 0 leaves the work to other processes."""
    lease: float = 30.0
    """Longer than the time-out of a post: a lease that runs out meanwhile doubles the work."""
    tick: float = 1.0
    """How often the database is asked for what no notification tells: the end of a wait."""


class Deliverer:
    """The delivering task of one process."""

    def __init__(self, database: Database, stream: Stream, sender: Sender, pace: Pace) -> None:
        self._database = database
        self._stream = stream
        self._listening = stream.listening
        self._sender = sender
        self._pace = pace
        self._serving: set[asyncio.Task[None]] = set()
        self._again = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Deliver until cancelled; what is being sent then is noted, as far as it is answered."""
        if self._pace.endpoints == 0:
            return
        try:
            while not self._listening.is_ended and not _is_cancelled():
                head = self._listening.seq
                claimed = await self._claim(head)
                for row, lease in claimed:
                    task = asyncio.create_task(self._serve(row, lease))
                    self._serving.add(task)
                    task.add_done_callback(self._ended)
                await self._wait(head, _COALESCE if claimed else _NOTHING)
        finally:
            self._stopping = True
            if self._serving:
                await asyncio.wait(self._serving, timeout=_LAST_WORDS)
            for task in tuple(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._sender.close()

    async def _claim(self, head: int) -> list[tuple[Any, UUID]]:
        free = self._pace.endpoints - len(self._serving)
        if free <= 0:
            return []
        lease = ids.new_id()
        try:
            async with self._database.transaction() as tx:
                rows = await leases.claim(
                    tx, lease=lease, seconds=self._pace.lease, head=head, now=clock.now(),
                    limit=free,
                )  # fmt: skip
        except AppError as error:
            log.warning("delivering_put_off", code=error.code)
            return []
        except Exception:
            # A deliverer that dies silently would leave every society without news.
            log.exception("delivering_failed")
            return []
        return [(row, lease) for row in rows]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if len(self._serving) >= self._pace.endpoints:
            self._again.set()
        self._serving.discard(task)

    async def _wait(self, head: int, pause: float) -> None:
        """Until something new is sealed, an endpoint is free again, or a wait may be over."""
        full = len(self._serving) >= self._pace.endpoints
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(self._again.wait())]
        if not full:
            ends.append(asyncio.create_task(self._listening.beyond(head)))
        try:
            await asyncio.wait(ends, timeout=self._pace.tick, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
        self._again.clear()
        # What is sealed within this pause is one piece of work, not many.
        await asyncio.sleep(pause)

    async def _serve(self, row: Any, lease: UUID) -> None:
        turn_ends = monotonic() + _TURN
        standing: Any = row
        try:
            while standing is not None:
                work = Round(live_end=standing.cursor, failures=standing.failures)
                try:
                    await self._prepare(standing, work)
                    await self._send(standing, lease, work)
                except asyncio.CancelledError:
                    # What was sent must not be sent again.
                    await self._note(standing, lease, work, go_on=False)
                    raise
                stops = self._stopping or self._listening.is_ended
                go_on = not stops and monotonic() < turn_ends
                standing = await self._note(standing, lease, work, go_on=go_on)
        except AppError as error:
            log.warning("delivery_put_off", webhook=str(row.id), code=error.code)
        except Exception:
            # The lease is left to run out: whoever takes the endpoint at once would fail again.
            log.exception("delivery_failed", webhook=str(row.id))

    async def _prepare(self, row: Any, work: Round) -> None:
        """Find what is to be sent: what is new, what is due again, what is asked for once more."""
        reader = Reader(row.society, eyes(row.society, row.role))
        wanted = [*row.types, rules.TEST] if row.types is not None else None
        filters = Filters(
            types=events.expand(wanted) if wanted is not None else None,
            emergency=row.emergency,
            mine=row.mine,
        )
        if row.cursor < self._listening.seq:
            told, work.live_end = await self._stream.page(reader, filters, row.cursor)
            work.messages += [m for t in told if (m := message_of(row, t.doc, "live"))]
        now = clock.now()
        if row.due_at is not None and row.due_at <= now:
            await self._add_due(work, row, reader, now)
        if row.replay_until is not None:
            told, end = await self._stream.page(reader, filters, row.replay_after)
            work.replay_end = min(end, row.replay_until)
            taken = {m.seq for m in work.messages}
            work.messages += [
                m
                for t in told
                if t.seq <= row.replay_until and t.seq not in taken
                and (m := message_of(row, t.doc, "replay"))
            ]  # fmt: skip

    async def _add_due(self, work: Round, row: Any, reader: Reader, now: datetime) -> None:
        async with self._database.reading() as connection:
            for waiting in await leases.due(connection, row.id, now, _DUE_AT_ONCE):
                doc, _ = await ledger.read_feed(
                    connection,
                    society=reader.society,
                    eyes=reader.eyes,
                    after=waiting.seq - 1,
                    limit=1,
                    filters=Filters(),
                )
                assert doc is not None, "what was delivered once is sealed"
                message = message_of(row, doc, "due", waiting.tries)
                if message is not None:
                    work.messages.append(message)
                else:
                    work.withheld.append(withheld(waiting, now))

    async def _send(self, row: Any, lease: UUID, work: Round) -> None:
        if not work.messages:
            return
        async with self._database.reading() as connection:
            # Looked up after the events: those that came after a rotation are signed by its secret.
            endpoint = await leases.addressed(connection, row.id, lease, clock.now())
        if endpoint is None:
            return
        secrets = [bytes(secret) for secret in endpoint.secrets]
        note_at = monotonic() + _NOTE_AFTER
        for message in work.messages:
            if self._stopping or self._listening.is_ended:
                return
            now = clock.now()
            headers = signing.headers(message.record, int(now.timestamp()), message.body, secrets)
            outcome = await self._sender.post(endpoint.url, headers, message.body)
            work.sent.append((message, outcome, clock.text(now)))
            work.failures = 0 if outcome.delivered else work.failures + 1
            work.rests = rules.rest(work.failures, outcome)
            if work.rests or outcome.gone:
                return
            if len(work.sent) >= _NOTE_EACH or monotonic() >= note_at:
                return

    async def _note(self, row: Any, lease: UUID, work: Round, *, go_on: bool) -> Any:
        """Write down a round; the endpoint for the next one, None where this turn is over."""
        now = clock.now()
        async with self._database.transaction() as tx:
            held = await leases.hold(tx, row.id, lease)
            if held is None:
                # Deleted, or so slow that another has it now: whatever was sent may come again.
                log.warning("lease_lost", webhook=str(row.id))
                return None
            notes = [noted(m, outcome, at, now) for m, outcome, at in work.sent]
            if notes or work.withheld:
                await leases.note(tx, row.id, notes + work.withheld, now)
            standing = standing_after(held, row, work, notes, now)
            head = self._listening.seq
            more = (
                standing.status == "active"
                and standing.rests_until is None
                and (
                    not work.is_complete
                    or standing.cursor < head
                    or standing.replay_until is not None
                )
            )
            due_at = await leases.settle(
                tx, row.id, standing, keep=go_on and more, seconds=self._pace.lease, now=now
            )
            if standing.status != "active":
                await _tell(tx, held, standing)
        if standing.status != "active":
            log.warning("webhook_stopped", webhook=str(row.id), status=standing.status)
        if not (go_on and more):
            # Whoever looked for work while the lease was still held found none.
            if more or self._listening.seq > head:
                self._again.set()
            return None
        return _Next.after(held, standing, due_at)


@dataclass(frozen=True, slots=True)
class _Next:
    """An endpoint for the next round of the same turn."""

    id: UUID
    society: str
    role: str
    types: Any
    emergency: UUID | None
    mine: bool
    sealed: bool
    cursor: int
    replay_after: int | None
    replay_until: int | None
    due_at: Any
    failures: int

    @classmethod
    def after(cls, held: Any, standing: leases.Standing, due_at: Any) -> "_Next":
        return cls(
            id=held.id,
            society=held.society,
            role=held.role,
            types=held.types,
            emergency=held.emergency,
            mine=held.mine,
            sealed=held.sealed,
            cursor=standing.cursor,
            replay_after=standing.replay_after,
            replay_until=standing.replay_until,
            due_at=due_at,
            failures=standing.failures,
        )


def _is_cancelled() -> bool:
    """Whether this task is to end, though the database made another error of the cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def eyes(society: str, role: str) -> tuple[str, ...]:
    """As whom a society's endpoint reads the feed: as the society itself does."""
    return (society, SECRETARIAT) if role == "secretariat" else (society,)


async def _tell(tx: AsyncConnection, held: Any, standing: leases.Standing) -> None:
    """Tell the society by the ledger that an endpoint gets nothing any more."""
    since = standing.failing_since
    data = {
        "reason": standing.reason,
        "failures_in_a_row": standing.failures,
        "failing_since": clock.text(since) if since else None,
        "cursor": standing.cursor,
    }
    fact = Fact(f"webhook.{standing.status}", held.id, data, audience=[held.society])
    await ledger.record(tx, Actor(held.society, None), fact)
