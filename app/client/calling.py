"""One call: attempts until there is a final answer, by the rules of retrying.py."""

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import httpx

from app.client import retrying
from app.client.errors import Refused, Unreachable
from app.client.retrying import Fate, Outcome, Rules

_KEYED = frozenset({"POST", "PATCH"})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
Content = bytes | Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, so that tests can set them."""

    elapsed: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Document(dict[str, Any]):
    """An object as the exchange shows it, with what the answer's headers tell of it."""

    etag: str | None = None
    created: bool = False
    replayed: bool = False


def etag_of(document: Mapping[str, Any]) -> str | None:
    """The ETag that an object came with, for `if_match`."""
    return document.etag if isinstance(document, Document) else None


@dataclass(slots=True)
class Called:
    """What the calls of a client have needed so far."""

    attempts: int = 0
    repeats: int = 0
    replayed: int = 0


@dataclass(slots=True)
class _Attempts:
    """The attempts of one call."""

    began: float
    carrying: float
    repeats: int = 0
    after_500: int = 0
    unknown: bool = False
    last: str = "no answer"


class Line:
    """The line to the exchange: a key, connections, and calls that are repeated safely."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        rules: Rules | None = None,
        silence: float = 30.0,
        surroundings: Surroundings | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`silence` is how many seconds without a single byte end an attempt.

        An `http` that is given is used as it is (its own address, headers and time-outs), and
        is left open.
        """
        self.url = url.rstrip("/")
        self.key = key
        self.rules = rules or Rules()
        self.silence = silence
        self.surroundings = surroundings or Surroundings()
        self.called = Called()
        self._own = http is None
        self.http = http or httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(silence, connect=min(10.0, silence), pool=None),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self.http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        once: str | None = None,
        patience: float | None = None,
        carrying: float = 0.0,
    ) -> httpx.Response:
        """Call until there is a final answer; raises Refused or Unreachable.

        An attempt ends with patience, or after `carrying` seconds where that is later: a file
        that a slow link needs minutes for would otherwise begin anew for ever.

        `once` is the Idempotency-Key of a POST or PATCH. It is made once for each call of this
        function and kept on every attempt; give one of your own where the intention outlives the
        process, so that the next process can go on with it.

        A 412 is raised as it is, also after an attempt whose outcome is not known: it may then be
        that attempt which changed the object. Read it again and decide.
        """
        sent = dict(headers or {})
        key = None
        if method in _KEYED:
            key = sent["Idempotency-Key"] = once or uuid4().hex
        if body is not None:
            # Written once: the key stands for these very bytes.
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            sent["Content-Type"] = "application/json"
        elif isinstance(content, bytes) and not content:
            content = None
        attempts = _Attempts(self.surroundings.elapsed(), carrying)
        whole = self.rules.patience if patience is None else patience
        while True:
            left = whole - (self.surroundings.elapsed() - attempts.began)
            self.called.attempts += 1
            response, outcome = await self._attempt(
                method, path, query, content, sent, max(left, 0.0), attempts
            )
            if response is not None and (
                final := self._final(method, path, response, outcome, attempts)
            ):
                return final
            await self._wait(f"{method} {path}", outcome, attempts, whole, key)

    async def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        content: Content | None,
        headers: Mapping[str, str],
        left: float,
        attempts: _Attempts,
    ) -> tuple[httpx.Response | None, Outcome]:
        request = self.http.build_request(
            method,
            path,
            params=_plain(query),
            # A source that can be read once only would send nothing the second time.
            content=content() if callable(content) else content,
            headers=headers,
        )
        waits = request.extensions["timeout"]
        if waits.get("read") is not None:
            # What is under way is not heard of before the far end has it, and has worked on it.
            waits["read"] = max(waits["read"], attempts.carrying)
        try:
            async with asyncio.timeout(max(left, attempts.carrying)):
                response = await self.http.send(request)
        except TimeoutError:
            attempts.last = "no answer in time"
            return None, Outcome(None)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ValueError(f"{self.url} is no address of an exchange: {error}") from None
        except httpx.RequestError as error:
            attempts.last = f"{type(error).__name__} {error}".strip()
            return None, Outcome(None, sent=not isinstance(error, _NOT_SENT))
        code = problem_of(response)["code"] if response.is_error else None
        attempts.last = f"{response.status_code} {code}"
        outcome = Outcome(response.status_code, code, response.headers.get("retry-after"))
        if response.is_success and not _is_ours(response):
            # What logs one in to a wireless network answers 200 to everything.
            attempts.last = f"{response.status_code}, but not the exchange's answer"
            return None, Outcome(None)
        return response, outcome

    def _final(
        self,
        method: str,
        path: str,
        response: httpx.Response,
        outcome: Outcome,
        attempts: _Attempts,
    ) -> httpx.Response | None:
        if response.is_success or response.status_code == 304:
            self.called.replayed += "idempotency-replayed" in response.headers
            return response
        if retrying.counts_as_done(method, response.status_code, attempts.unknown):
            return response
        if not retrying.may_be_repeated(outcome, attempts.after_500):
            raise _refused(method, path, response)
        return None

    async def _wait(
        self, call: str, outcome: Outcome, attempts: _Attempts, whole: float, key: str | None
    ) -> None:
        attempts.unknown |= outcome.fate is Fate.UNKNOWN
        pause = retrying.wait(
            self.rules,
            attempts.repeats,
            outcome.retry_after,
            self.surroundings.chance(),
            self.surroundings.today(),
        )
        # Waiting for an attempt that may not be made any more helps nobody.
        if self.surroundings.elapsed() - attempts.began + pause >= whole:
            raise Unreachable(call, attempts.last, key)
        attempts.after_500 += outcome.status == 500
        attempts.repeats += 1
        self.called.repeats += 1
        await self.surroundings.sleep(pause)

    @asynccontextmanager
    async def opened(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        silence: float,
    ) -> AsyncIterator[httpx.Response]:
        """One attempt of a read whose answer is streamed; raises httpx's errors and Refused."""
        self.called.attempts += 1
        async with self.http.stream(
            "GET",
            path,
            params=_plain(query),
            headers=dict(headers),
            timeout=httpx.Timeout(silence, pool=None),
        ) as response:
            if not response.is_success:
                await response.aread()
                raise _refused("GET", path, response)
            yield response


class Caller(Line):
    """Calls by method and path, for what has no verb of its own."""

    async def get(self, path: str, **query: Any) -> Document:
        """Read one object. A trailing `_` of a parameter's name is dropped (`as_`, `from_`)."""
        return shown(await self.call("GET", path, query=_named(query)))

    async def get_unless(self, path: str, etag: str) -> Document | None:
        """Read one object; None where it is still the one with this ETag."""
        response = await self.call("GET", path, headers={"If-None-Match": etag})
        return None if response.status_code == 304 else shown(response)

    async def put(
        self, path: str, body: Mapping[str, Any], if_match: str | None = None
    ) -> Document:
        """Create or replace. It is repeated as it is: the second time it changes nothing."""
        return shown(await self.call("PUT", path, body, headers=_if(if_match)))

    async def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Document:
        """Do something once, however often it has to be sent."""
        return shown(await self.call("POST", path, body, once=once, headers=_if(if_match)))

    async def patch(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Document:
        """Change something once, however often it has to be sent."""
        return shown(await self.call("PATCH", path, body, once=once, headers=_if(if_match)))

    async def delete(self, path: str, if_match: str | None = None) -> None:
        """Remove. Not being there after an attempt whose outcome is not known counts as done."""
        await self.call("DELETE", path, headers=_if(if_match))

    async def listed(self, path: str, **query: Any) -> AsyncGenerator[Any, None]:
        """Everything of a list, page by page, by `next`."""
        wanted = {"limit": 200, **_named(query)}
        while True:
            page = shown(await self.call("GET", path, query=wanted))
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            wanted = {k: v for k, v in wanted.items() if k != "after"} | {"cursor": page["next"]}


def _refused(method: str, path: str, response: httpx.Response) -> Refused:
    refusal = Refused(f"{method} {path}", response.status_code, problem_of(response))
    refusal.retry_after = response.headers.get("retry-after")
    return refusal


def shown(response: httpx.Response) -> Document:
    """The object of an answer."""
    document = Document(response.json() if response.content else {})
    document.etag = response.headers.get("etag")
    document.created = response.status_code == 201
    document.replayed = "idempotency-replayed" in response.headers
    return document


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem of an answer, `http_error` where something else than the exchange answered."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("code"), str):
        return problem
    detail = "This is no answer of the exchange; is the address right?"
    if response.has_redirect_location:
        detail = f"It points to {response.headers['location']}: use the address there."
    return {"status": response.status_code, "code": "http_error", "detail": detail}


def _is_ours(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return not response.content or not kind.startswith("text/html")


def _if(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"If-Match": etag}


def _named(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in query.items()}


def _plain(query: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Parameters as text; what is None is left out."""
    if not query:
        return None
    return {name: _text(value) for name, value in query.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)
    return str(value)
