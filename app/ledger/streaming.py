"""The stream: the feed as server-sent events, from a shared window of what was sealed last.

Every listener has a cursor of its own and reads from a window that its process keeps of the newest
records, so that a record is fetched once for all who listen; whoever is further behind reads pages
from the database until the window is reached. An idle listener is a coroutine that waits.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from app.db import Database
from app.ledger import store
from app.ledger.listening import Listening
from app.ledger.rules import Filters
from app.shares import Callers

_PAGE = 200
_WINDOW = 2000


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, as far as it decides what is shown."""

    society: str
    eyes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed record, before it is known who reads it."""

    seq: int
    type: str
    emergency: str | None
    society: str
    audience: frozenset[str] | None
    private: str | None
    shown: str
    envelope: str

    @classmethod
    def of(cls, row: Any) -> "Sealed":
        """The record of a row; both of its forms are written once, however many read them."""
        end = (
            f',"commitment":"{row.commitment}","hash":"{row.hash}",'
            f'"previous_hash":"{row.previous_hash}"}}'
        )
        return cls(
            seq=row.seq,
            type=row.type,
            emergency=str(row.emergency) if row.emergency else None,
            society=row.society,
            audience=None if row.audience is None else frozenset(row.audience),
            private=row.private,
            # The content is canonical JSON already: it is sent as it is.
            shown=f'"salt":"{row.salt}",{row.content[1:-1]}{end}',
            envelope=f'"id":null,"type":"sealed","at":null,"society":null,"subject":null,'
            f'"data":null,"salt":null{end}',
        )

    def is_seen_by(self, reader: Reader) -> bool:
        """Whether the reader may see the content."""
        return self.audience is None or not self.audience.isdisjoint(reader.eyes)

    def passes(self, filters: Filters, reader: Reader) -> bool:
        """Whether the reader wants it; who filters gets no envelopes."""
        if not filters.any:
            return True
        if not self.is_seen_by(reader):
            return False
        if filters.types and self.type not in filters.types:
            return False
        if filters.emergency and self.emergency != str(filters.emergency):
            return False
        return not filters.mine or (
            self.society == reader.society
            or (self.audience is not None and reader.society in self.audience)
        )

    def told_to(self, reader: Reader) -> "Told":
        """The record as the reader sees it: the same text as in `GET /v1/events`."""
        if not self.is_seen_by(reader):
            return Told(self.seq, "sealed", f'{{"seq":{self.seq},{self.envelope}')
        own = self.private is not None and self.society == reader.society
        # The salt comes first, then what is the society's own, then the content: as the SQL does.
        if own:
            salt, _, rest = self.shown.partition(",")
            return Told(
                self.seq, self.type, f'{{"seq":{self.seq},{salt},"private":{self.private},{rest}'
            )
        return Told(self.seq, self.type, f'{{"seq":{self.seq},{self.shown}')


@dataclass(frozen=True, slots=True)
class Told:
    """An event as one reader sees it; `doc` is JSON text without line breaks."""

    seq: int
    type: str
    doc: str


@dataclass(slots=True)
class Stream:
    """The window of one process, and how readers follow the ledger through it."""

    database: Database
    callers: Callers
    listening: Listening
    _window: deque[Sealed] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _filling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def follow(
        self,
        who: Callable[[], Awaitable[Reader]],
        filters: Filters,
        after: int,
        quiet: float,
    ) -> AsyncIterator[tuple[list[Told], int]]:
        """What is sealed after a `seq`, for ever: (events, the `seq` up to which nothing is left).

        `who` tells who reads, and raises where that reader may read no longer; asked before each
        page. Where nothing comes for `quiet` seconds, an empty list says so. Ends when the service
        stops.
        """
        while not self.listening.is_ended:
            try:
                async with asyncio.timeout(quiet):
                    await self.listening.beyond(after)
            except TimeoutError:
                yield [], after
                continue
            if self.listening.is_ended:
                return
            events, after = await self.page(await who(), filters, after)
            yield events, after

    async def page(self, reader: Reader, filters: Filters, after: int) -> tuple[list[Told], int]:
        """What comes after a `seq`, at once: (events, the `seq` up to which nothing is left)."""
        if self.listening.seq - after <= _WINDOW:
            await self._fill(after)
        if self._window and self._window[0].seq <= after + 1 <= self._window[-1].seq:
            # Sealed without gaps, so that the place in the window is known without a search.
            start = after + 1 - self._window[0].seq
            page = list(islice(self._window, start, start + _PAGE))
            told = [r.told_to(reader) for r in page if r.passes(filters, reader)]
            return told, page[-1].seq
        # Taken before the look: up to there, what is not found is not wanted.
        known = self.listening.seq
        # In the society's turn: all its listeners that catch up must not hold up everything else.
        async with self.callers.of(reader.society).reading() as connection:
            rows, reach = await store.told(
                connection,
                society=reader.society,
                eyes=reader.eyes,
                after=after,
                limit=_PAGE,
                filters=filters,
            )
        told = [Told(row["seq"], row["type"], row["doc"]) for row in rows]
        # The look may have found more than was known before it: that must not come once more.
        return told, reach.seq if reach.more else max(known, reach.seq)

    async def _fill(self, after: int) -> None:
        """Bring the window to the end of the ledger; one listener fetches for all who wait."""
        async with self._filling:
            last = self._window[-1].seq if self._window else None
            if last is None or last < after:
                self._window.clear()
                last = after
            while last < self.listening.seq:
                async with self.database.reading() as connection:
                    rows = await store.sealed(connection, last, _PAGE)
                if not rows:
                    return
                self._window.extend(Sealed.of(row) for row in rows)
                last = rows[-1].seq


def read_place(text: str) -> int | None:
    """The `seq` of a `Last-Event-ID`, None where it is none of ours."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return int(text)
