"""The HTTP server: uvicorn, with a deadline for the head of a request."""

import asyncio
import uuid
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import AppError

HEAD_WITHIN = 15.0
"""Seconds in which the head of a request must have arrived."""


class Patient(HttpToolsProtocol):
    """A connection that is closed where the head of a request does not arrive in time.

    Uvicorn waits for it for ever: of 300 connections that sent one byte a second, all 300 were
    still open after 40 s. The body's deadline is the doorway's.
    """

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP in the form of every other error; uvicorn's own is plain text."""
        request_id = uuid.uuid4().hex
        body = AppError("http_error", "The request is not well-formed HTTP.").document(request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._head_is_here()
        self._head = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def _head_is_here(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def options(settings: Any) -> dict[str, Any]:
    """What uvicorn is told, for one worker or several."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": Patient,
        "loop": "uvloop",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 20,
        "backlog": 2048,
    }
