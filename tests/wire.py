"""HTTP as bytes on a connection: for what no proper client would send, and for sending a lot."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.world import System

_ANSWERED_WITHIN = 30
"""Seconds; an answer that never comes is a failure and must not hold the tests up."""


@dataclass
class Answer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Wire:
    """One connection to the service; opened anew where the service has closed it."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request with these very bytes as its target."""
        lines = [f"{method} {target} HTTP/1.1", "Host: exchange"]
        if self._key:
            lines.append(f"Authorization: Bearer {self._key}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
        async with asyncio.timeout(_ANSWERED_WITHIN):
            return await self.raw(head + (body or b""), method)

    async def raw(self, sent: bytes, method: str = "GET") -> Answer:
        """Send bytes, read one answer."""
        reused = self._streams is not None
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        reader, writer = self._streams
        try:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            if reused:
                # The service closed it after the answer before; not because of this request.
                return await self.raw(sent, method)
            raise
        first, *rest = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest if line)
        }
        content = b""
        if method != "HEAD" and status not in (204, 304):
            content = await reader.readexactly(int(headers.get("content-length", 0)))
        endless = "transfer-encoding" in headers
        if endless or headers.get("connection", "").lower() == "close":
            # A stream has no end: its head is the answer.
            await self.close()
        return Answer(status, headers, content)

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            # Not closed in order: what the other side never reads would be waited for.
            writer.transport.abort()


def wire_of(system: System) -> Wire:
    """A connection that speaks for a society's system."""
    key = system.http.headers["authorization"].removeprefix("Bearer ")
    return Wire(str(system.http.base_url), key)
