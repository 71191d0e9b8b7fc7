"""The HTTP server: uvicorn, with bounds for the head of a request and for what comes beside it."""

import asyncio
import uuid
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import AppError

HEAD_WITHIN = 15.0
"""Seconds in which the head of a request must have arrived."""
HEAD_LIMIT = 32 * 1024
"""Bytes of the head of a request, its first line included; and of the trailers of a body."""

_PIECE = 4096
_MOST_HELD = 512 * 1024
_LINGER = 1.0


class Patient(HttpToolsProtocol):
    """A connection that is closed where the head of a request is too slow or too large.

    Uvicorn waits for a head for ever (of 300 connections that sent one byte a second, all 300
    were still open after 40 s) and keeps whatever comes, of callers whom nobody knows yet. The
    body's bounds are the doorway's; here it is what stands around bodies: heads, trailers, and
    requests that are sent before the one ahead is answered.

    What comes is given to the parser piece by piece, since the parser itself keeps a field until
    it has ended, and tells nothing of it before.
    """

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _in_body = False
    _size = 0
    """Of the head so far, by the fields that have ended."""
    _loose = 0
    """Bytes since anything of the head began or of the body came."""
    _refusal: AppError | None = None
    _held = b""
    """What came behind a request that waits for the one ahead of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._held = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, as far as it may be looked at now."""
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            # The caller is still sending what nobody reads; the connection ends soon.
            return
        if self._held:
            data = self._held + data
            self._held = b""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            if self.pipeline:
                self._hold(bytes(view[start:]))
                return
            if not self._parse(view[start : start + _PIECE]):
                return
        is_answered = self.cycle is None or self.cycle.response_complete
        if is_answered and not self._in_body and self._deadline is None:
            # Empty lines between two requests are no head, and would never end.
            self._await_head()

    def _parse(self, piece: memoryview) -> bool:
        """Whether the next piece may follow."""
        self._loose += len(piece)
        super().data_received(piece)  # type: ignore[arg-type]
        if self._refusal is not None or self.transport.is_closing():
            return False
        # The first of these pieces may hold something of what came before.
        if self._loose > HEAD_LIMIT + _PIECE and (self._in_head or self._in_body):
            self._refuse(_too_large())
            return False
        return True

    def _hold(self, rest: bytes) -> None:
        if len(rest) > _MOST_HELD:
            self.transport.abort()
            return
        self._held = rest
        # Its head is not late: it is we who do not look at it.
        self._stop_waiting()

    def on_response_complete(self) -> None:
        """Go on with what was held back."""
        super().on_response_complete()
        if self._held and not self.pipeline and not self.transport.is_closing():
            if self._in_head:
                self._await_head()
            self.data_received(b"")

    def on_message_begin(self) -> None:
        self._await_head()
        self._in_head, self._in_body = True, False
        self._size = self._loose = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; one behind the body is left out, since nobody asked for it."""
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_head, self._in_body = False, True
        self._size = self._loose = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > HEAD_LIMIT and self._refusal is None:
            self._refusal = _too_large()
            # Stops the parser, which then lets `send_400_response` be called.
            raise httptools.HttpParserError

    def send_400_response(self, msg: str) -> None:
        """Refuse in the form of every other error; uvicorn's own is plain text."""
        self._refuse(
            self._refusal or AppError("http_error", "The request is not well-formed HTTP.")
        )

    def _refuse(self, refusal: AppError) -> None:
        self._refusal = refusal
        self._stop_waiting()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # Requests ahead are answered first: this answer must not stand amid theirs.
            cycle.keep_alive = False
            return
        if self.pipeline or (
            cycle is not None and cycle.response_started and not cycle.response_complete
        ):
            # An answer is on its way already, and what belongs to the next one is broken.
            self.transport.close()
            return
        request_id = uuid.uuid4().hex
        body = refusal.document(request_id)
        head = (
            f"HTTP/1.1 {refusal.status_code} {refusal.problem.title}\r\n"
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        if cycle is not None and not cycle.response_complete:
            # Its own body is broken: nothing that it would answer may follow.
            cycle.disconnected = True
            cycle.message_event.set()
        # Closing at once would cut the answer off for a caller that is still sending.
        self.loop.call_later(_LINGER, self._give_up)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _too_large() -> AppError:
    return AppError("head_too_large", f"The limit is {HEAD_LIMIT} bytes.")


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
