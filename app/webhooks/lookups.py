"""Look names up, so that a name server that never answers costs nobody but its own endpoint."""

import asyncio
import contextlib
import socket
from threading import Thread

_MOST = 256


class LookUps:
    """The look-ups of one process: each name once at a time, each in a thread of its own.

    The system's look-up cannot be broken off: it keeps its thread until its name server answers or
    the system gives up, which can be long after the time-out of a post. In the few threads that
    asyncio has for everything, a handful of such names would keep all others waiting. Whoever asks
    for a name that is being looked up waits for that look-up, and nobody waits for it at the end.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a name, as this machine resolves them now."""
        return await asyncio.shield(self._under_way.get(host) or self._begin(host, port))

    def _begin(self, host: str, port: int) -> asyncio.Future[list[str]]:
        if len(self._under_way) >= _MOST:
            raise OSError("too many look-ups are under way")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def end(found: list[str], error: Exception | None) -> None:
            del self._under_way[host]
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)
                # Looked at, since nobody may wait for it any more.
                answer.exception()

        def look() -> None:
            found: list[str] = []
            failed: Exception | None = None
            try:
                entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
            except Exception as error:
                failed = error
            # The loop may be closed: then nobody waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end, found, failed)

        Thread(target=look, name="look-up", daemon=True).start()
        self._under_way[host] = answer
        return answer
