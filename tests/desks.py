"""Societies' systems that say everything twice, over two services, as poor links make them do."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from tests.world import Json, System, done

REFUSED_ANEW = (403, 422)
"""What is forbidden or not understood leaves its key free; any other answer is given again."""


class Calendar:
    """The time of the story: it passes a minute with everything that is said."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def go_to(self, instant: datetime) -> None:
        assert instant > self.now
        self.now = instant


@dataclass(frozen=True)
class Said:
    """A call that was answered, and when its repeat arrives."""

    desk: "Desk"
    door: int
    path: str
    body: Json | None
    key: str
    answer: httpx.Response
    due: datetime


@dataclass
class Post:
    """What holds for all desks: the time, the dice, and the repeats that are still on their way."""

    calendar: Calendar
    dice: random.Random
    repeats: list[Said] = field(default_factory=list)
    counts: list[tuple[datetime, System, str, Json]] = field(default_factory=list)
    calls: int = 0
    at_once: int = 0

    def later(self) -> datetime:
        """When a repeat arrives: today, or two days on."""
        return self.calendar.now + timedelta(hours=self.dice.choice((1, 6, 20, 44)))

    async def deliver(self) -> None:
        """The repeats whose time has come: each is answered as the call was, and does nothing."""
        late = [count for count in self.counts if count[0] <= self.calendar.now]
        self.counts = [count for count in self.counts if count[0] > self.calendar.now]
        for _, door, path, body in late:
            answer = await door.put(path, body)
            # A count that was overtaken by a newer one is refused, and any other changes nothing.
            assert answer.status_code == 200 or answer.json()["code"] == "stale_count", answer.text
        due = [said for said in self.repeats if said.due <= self.calendar.now]
        self.repeats = [said for said in self.repeats if said.due > self.calendar.now]
        for said in due:
            again = await said.desk.send(said.door, said.path, said.body, said.key)
            assert _what(again) == _what(said.answer), said.path
            if said.answer.status_code not in REFUSED_ANEW:
                assert again.headers.get("idempotency-replayed") == "true", said.path


class Desk:
    """A society's system, with a way to each of the services."""

    def __init__(self, society: str, doors: Sequence[System], post: Post) -> None:
        self.society = society
        self._doors = doors
        self._post = post
        self._reads = 0

    async def get(self, path: str, **params: object) -> Json:
        """Read, at one service and then at the other."""
        self._reads += 1
        return done(await self._doors[self._reads % 2].get(path, **params))

    async def all(self, path: str, **params: object) -> list[Json]:
        """The items of a whole list."""
        items: list[Json] = []
        page = await self.get(path, limit=200, **params)
        while True:
            items += page["items"]
            if page["next"] is None:
                return items
            page = await self.get(path, limit=200, cursor=page["next"], **params)

    async def send(
        self, door: int, path: str, body: Json | None, key: str | None = None
    ) -> httpx.Response:
        """One call; sent again while a twin of it is still running."""
        headers = {} if key is None else {"Idempotency-Key": key}
        while True:
            answer = await self._doors[door].post(path, body, **headers)
            if answer.status_code != 409 or answer.json()["code"] != "idempotency_in_progress":
                return answer
            await asyncio.sleep(0.02)

    async def say(self, path: str, body: Json | None = None, key: str | None = None) -> Json:
        """A change that must be made."""
        answer = await self.ask(path, body, key)
        assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text}"
        told: Json = answer.json()
        return told

    async def ask(
        self, path: str, body: Json | None = None, key: str | None = None
    ) -> httpx.Response:
        """A change, said twice: at the same moment to both services, or again another day."""
        post = self._post
        post.calendar.tick()
        post.calls += 1
        key = key or self.key()
        door = post.dice.randrange(2)
        if post.calls % 2:
            post.at_once += 1
            answers = await asyncio.gather(*(self.send(d, path, body, key) for d in (0, 1)))
            assert _what(answers[0]) == _what(answers[1]), path
            return answers[door]
        answer = await self.send(door, path, body, key)
        post.repeats.append(Said(self, 1 - door, path, body, key, answer, post.later()))
        return answer

    async def refused(self, path: str, body: Json | None, code: str) -> None:
        """What may not be done is refused however often it is said."""
        self._refuses(await self.ask(path, body), code)

    async def count_refused(self, path: str, body: Json, code: str) -> None:
        """The same of a count."""
        for door in self._doors:
            self._refuses(await door.put(path, body), code)

    def _refuses(self, answer: httpx.Response, code: str) -> None:
        assert answer.status_code >= 400, f"{answer.url} was allowed: {answer.text}"
        assert answer.json()["code"] == code, answer.text

    def key(self) -> str:
        """A key that nobody has used."""
        return f"{self.society}-{self._post.dice.getrandbits(64):016x}"

    async def publish(self, path: str, body: Json) -> Json:
        """What the society itself counts, written twice: both at once, or one after the other."""
        post = self._post
        post.calendar.tick()
        post.calls += 1
        if post.calls % 2:
            post.at_once += 1
            answers = await asyncio.gather(*(door.put(path, body) for door in self._doors))
        else:
            answers = [await door.put(path, body) for door in self._doors]
            post.counts.append((post.later(), self._doors[0], path, body))
        assert {a.status_code for a in answers} <= {200, 201}, [a.text for a in answers]
        assert sum(a.status_code == 201 for a in answers) <= 1, "it was made once"
        assert answers[0].json() == answers[1].json()
        told: Json = answers[1].json()
        return told

    async def patch(self, path: str, body: Json) -> Json:
        """A change of what is said already: it sets a value, so that it can be said again."""
        self._post.calendar.tick()
        first, second = [await door.http.patch(path, json=body) for door in self._doors]
        assert _what(first) == _what(second)
        return done(second)


def _what(answer: httpx.Response) -> tuple[int, object]:
    body = answer.json()
    # Of a refusal the words may differ by the request's own id; the code is what counts.
    return answer.status_code, body["code"] if answer.status_code >= 400 else body
