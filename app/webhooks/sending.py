"""One POST to a receiver that nobody has to trust: checked inside the connection, and bounded."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, perf_counter
from typing import Any

import httpcore
import httpx
import structlog

import app
from app.webhooks.addresses import is_public
from app.webhooks.lookups import LookUps
from app.webhooks.rules import Outcome, retry_after

log = structlog.get_logger()

Resolve = Callable[[str, int], Awaitable[list[str]]]

_MOST_READ = 65_536
_MOST_SHOWN = 1_000
_ADDRESSES_TRIED = 4
# Shorter than the idle time after which common servers close (Node and uvicorn: 5 s), so that we
# rarely write into a connection that is just being closed.
_IDLE = 4.0

_ALWAYS = [
    (b"content-type", b"application/json"),
    (b"user-agent", f"Komek/{app.__version__} (Standard Webhooks)".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"identity"),
]


class NoTarget(httpcore.ConnectError):
    """The name stands for no address of the open internet, whatever else it stands for.

    A name that is known inside alone must not be told from one that nobody knows: whoever may open
    endpoints would otherwise read the names of the operator's network.
    """

    def __init__(self) -> None:
        super().__init__("the name stands for no address of the open internet")


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to exactly the address that was checked.

    A check before the connection would be worth nothing: the name can stand for another address a
    moment later. Here the look-up, the check and the connection are one, and TLS and `Host` keep
    the name. One address that is not public refuses them all, since it shows what the name is for;
    a failed look-up refuses, in the same words and after the same time.
    """

    def __init__(
        self, resolve: Resolve, *, allow_private: bool = False, refusing: float = 0.0
    ) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._refusing = refusing
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own parameter
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        refused_at = monotonic() + self._refusing
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            # UnicodeError: a name that is none, such as one with an empty part.
            addresses = []
        if not self._allow_private and not all(is_public(address) for address in addresses):
            addresses = []
        if not addresses:
            # A name of the house is found at once, and the internet asked for any other.
            await asyncio.sleep(refused_at - monotonic())
            raise NoTarget
        failure: Exception | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        raise NoTarget

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one receiver may cost. `timeout` is for everything together, in seconds."""

    timeout: float = 20.0
    allow_private: bool = False
    connections: int = 32
    refusing: float = 1.0
    """The least time, in seconds, after which a name is refused: longer than most look-ups take."""


class Sender:
    """The connections of one process to its receivers; kept alive between posts."""

    def __init__(self, bounds: Bounds, resolve: Resolve | None = None) -> None:
        self._timeout = bounds.timeout
        # Neither proxies nor certificates of the environment: httpcore reads none.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=bounds.connections * 2,
            max_keepalive_connections=bounds.connections * 2,
            keepalive_expiry=_IDLE,
            network_backend=CheckedNetwork(
                resolve or LookUps(),
                allow_private=bounds.allow_private,
                refusing=bounds.refusing,
            ),
        )

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Outcome:
        """Send one message; never raises for what the receiver does."""
        started = perf_counter()
        answer: list[Any] = [None, b"", None]
        error: str | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(url, headers, body, answer)
        except TimeoutError:
            error = f"no complete answer within {self._timeout:g} s"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as failed:
            error = _reason(failed)
        except (ssl.SSLError, OSError) as failed:
            error = _reason(failed)
        except Exception as failed:
            # One receiver must not stop what comes after it, whatever it made us stumble over.
            log.exception("post_failed", error=type(failed).__name__)
            error = "an error of the exchange"
        status, read, asked = answer
        return Outcome(
            status=status,
            body=_readable(read),
            milliseconds=round((perf_counter() - started) * 1000),
            error=error,
            retry_after=retry_after(asked),
        )

    async def _exchange(
        self, url: str, headers: list[tuple[bytes, bytes]], body: bytes, answer: list[Any]
    ) -> None:
        async with self._pool.stream(
            "POST", url, headers=[_host(url), *_ALWAYS, *headers], content=body
        ) as response:
            answer[0] = response.status
            answer[2] = next(
                (v.decode("latin-1") for k, v in response.headers if k.lower() == b"retry-after"),
                None,
            )
            async for part in response.aiter_stream():
                answer[1] += part[: _MOST_READ - len(answer[1])]
                # Left unread, the rest makes the library close this connection.
                if len(answer[1]) >= _MOST_READ:
                    break

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@lru_cache(maxsize=1000)
def _host(url: str) -> tuple[bytes, bytes]:
    # By ourselves: the library leaves out the brackets of an IPv6 address.
    return (b"host", httpx.URL(url).netloc)


def _reason(failed: BaseException) -> str:
    """A failure in a few words, the same on every machine as far as can be."""
    text = str(failed) or type(failed).__name__
    return f"{_KINDS.get(type(failed), type(failed).__name__)}: {text}"[:300]


_KINDS: dict[type[BaseException], str] = {
    NoTarget: "no connection",
    httpcore.ConnectError: "no connection",
    httpcore.RemoteProtocolError: "not HTTP",
    httpcore.ReadError: "connection lost",
    httpcore.WriteError: "connection lost",
}


def _readable(body: bytes) -> str:
    """The beginning of an answer as text; control characters would not go into the database."""
    text = body[: _MOST_SHOWN * 4].decode("utf-8", errors="replace")[:_MOST_SHOWN]
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
