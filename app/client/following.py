"""Follow the ledger: server-sent events, connected again from the last place for ever."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import httpx

from app.client import retrying
from app.client.calling import Caller
from app.client.errors import Refused
from app.client.retrying import Outcome
from app.client.shown import Event, Head, TypeOfEvent

_SILENCE = 60.0
"""Seconds without a sign of life after which a connection is given up; one comes every 15."""
_LONGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A place in the ledger that is reached, and the event there; None where it was not wanted."""

    seq: int
    text: str | None = None
    """The event's JSON as it was sent."""

    @property
    def event(self) -> Event | None:
        """The event."""
        return None if self.text is None else cast(Event, json.loads(self.text))


@dataclass(frozen=True, slots=True)
class Sent:
    """One server-sent event."""

    id: str | None
    event: str | None
    data: str | None


async def sent_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Sent]:
    """The events of a stream of bytes. One that is not complete yet when the stream ends is none.

    Lines end at a line feed alone: JSON may hold U+2028 and U+0085, at which Python's `splitlines`
    would cut it.
    """
    fields: dict[str, str] = {}
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST:
            raise httpx.RemoteProtocolError("a line of the stream has no end")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode()
            if line:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "data" and "data" in fields:
                    value = f"{fields['data']}\n{value}"
                fields[name] = value
                continue
            if fields:
                yield Sent(fields.get("id"), fields.get("event"), fields.get("data"))
            fields = {}


class Following(Caller):
    """The feed, read and followed."""

    async def events(
        self,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        emergency: str | None = None,
        mine: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """What happened after a `seq`, up to now."""
        wanted = _filters(types, emergency, mine)
        async for event in self.listed("/v1/events", after=after, **wanted):
            yield event

    def event_types(self, type_: str | None = None) -> AsyncGenerator[TypeOfEvent, None]:
        """What can happen, with the schema of its `data`."""
        return self.listed("/v1/event-types", type_=type_)

    async def head(self) -> Head:
        """The end of the chain of hashes."""
        return cast(Head, await self.get("/v1/events/head"))

    async def follow(
        self,
        after: int | None = None,
        *,
        types: Sequence[str] = (),
        emergency: str | None = None,
        mine: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """What happens after a `seq` (from now on where it is None), for ever.

        Where the link is cut it connects again: nothing is missed and nothing comes twice. Ends by
        Refused alone, such as after the key was revoked.
        """
        heard = self.listen(after, types=types, emergency=emergency, mine=mine)
        async with aclosing(heard) as all_heard:
            async for one in all_heard:
                if one.event is not None:
                    yield one.event

    async def listen(
        self,
        after: int | None = None,
        *,
        types: Sequence[str] = (),
        emergency: str | None = None,
        mine: bool = False,
    ) -> AsyncGenerator[Heard, None]:
        """As `follow`, with the places that are passed without an event: keep the last `seq`."""
        wanted = _filters(types, emergency, mine)
        failures = after_500 = 0
        while True:
            outcome = Outcome(None)
            try:
                async with aclosing(self._connection(after, wanted)) as connection:
                    async for heard in connection:
                        failures = after_500 = 0
                        # What is known already, sent once more, would come twice.
                        if after is None or heard.seq > after:
                            after = heard.seq
                            yield heard
            except Refused as refusal:
                outcome = Outcome(refusal.status, refusal.code, refusal.retry_after)
                if not retrying.may_be_repeated(outcome, after_500):
                    raise
                after_500 += refusal.status == 500
            except httpx.RequestError:
                pass  # The link was cut: the next attempt goes on after the last event.
            pause = retrying.wait(
                self.rules,
                failures,
                outcome.retry_after,
                self.surroundings.chance(),
                self.surroundings.today(),
            )
            failures += 1
            self.called.repeats += 1
            await self.surroundings.sleep(pause)

    async def _connection(
        self, after: int | None, wanted: dict[str, Any]
    ) -> AsyncGenerator[Heard, None]:
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        path = "/v1/events/stream"
        async with self.opened(path, wanted, headers, _SILENCE) as response:
            async for sent in sent_events(response.aiter_bytes()):
                if sent.event == "problem":
                    problem = json.loads(sent.data or "{}")
                    raise Refused(f"GET {path}", int(problem.get("status", 500)), problem)
                if sent.id is not None and sent.id.isdigit():
                    yield Heard(int(sent.id), sent.data)


def _filters(types: Sequence[str], emergency: str | None, mine: bool) -> dict[str, Any]:
    return {"type": list(types) or None, "emergency": emergency, "mine": mine or None}
