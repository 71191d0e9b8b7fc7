"""One society's IT system as the exchange sees it: a key, and calls that can be repeated safely."""

import asyncio
from typing import Any, Self
from uuid import uuid4

import httpx

Json = dict[str, Any]

_TRIES = 6
_LONGEST_WAIT = 5.0


class Refused(Exception):
    """The exchange answered with a problem; `code` is what programs switch on."""

    def __init__(self, call: str, problem: Json) -> None:
        self.problem = problem
        self.code = str(problem.get("code"))
        super().__init__(f"{call}: {problem.get('status')} {self.code}: {problem.get('detail')}")


class Unreachable(Exception):
    """The exchange did not answer, however often the call was repeated."""


class System:
    """An IT system of a society, with connections of its own."""

    def __init__(self, society: str, key: str, url: str) -> None:
        self.society = society
        self.key = key
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Json:
        """Read."""
        return _body("GET", path, await self.call("GET", path, query=query))

    async def put(self, path: str, body: Json) -> Json:
        """Create or replace; repeating it changes nothing."""
        return _body("PUT", path, await self.call("PUT", path, body))

    async def post(self, path: str, body: Json | None = None) -> Json:
        """Do something once, however often the call has to be repeated."""
        return _body("POST", path, await self.call("POST", path, body))

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Json | None = None,
        once: str | None = None,
    ) -> httpx.Response:
        """Call until there is an answer. `once` is the Idempotency-Key, a new one where left out.

        A lost connection says nothing about whether the call had its effect; the key is what makes
        the repeat safe.
        """
        headers = {"Idempotency-Key": once or uuid4().hex} if method == "POST" else {}
        failure = "no answer"
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(min(0.2 * 2**attempt, _LONGEST_WAIT))
            try:
                response = await self._http.request(
                    method, path, json=body, params=query, headers=headers
                )
            except httpx.TransportError as error:
                failure = repr(error)
                continue
            if response.status_code != 503 and not _still_running(response):
                return response
            failure = f"{response.status_code} {response.text}"
        raise Unreachable(f"{method} {path}: {failure}")


def _still_running(response: httpx.Response) -> bool:
    """Whether the first call with this key has not ended yet."""
    return response.status_code == 409 and response.json().get("code") == "idempotency_in_progress"


def _body(method: str, path: str, response: httpx.Response) -> Json:
    body: Json = response.json()
    if response.is_error:
        raise Refused(f"{method} {path}", body)
    return body
