"""How fast one worker delivers: events of the ledger to one receiver on loopback, signed and noted.

The figure of the issue: at least 300 deliveries a second from one worker. The receiver is a process
of its own, as it would be, and answers each POST with 204 at once.
"""

import asyncio
import multiprocessing
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from app import ids
from app.access import actions as access
from app.config import Settings
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.ledger.actions import Actor, Fact, record
from app.ledger.listening import Listening
from app.ledger.sealing import Sealer
from app.ledger.streaming import Stream
from app.service import serving
from app.webhooks import actions as webhooks
from app.webhooks.delivering import Deliverer, Pace
from app.webhooks.sending import Bounds, Sender

WANTED = 300.0
"""Deliveries a second."""

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Counting(asyncio.Protocol):
    """The least that a receiver can do: find the end of each request and answer it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            start = head.index(b"content-length:") + 15
            length = int(head[start:].split(b"\r\n", 1)[0])
            if len(self._rest) < end + 4 + length:
                return
            self._rest = self._rest[end + 4 + length :]
            self._transport.write(_ANSWER)


def _receive(listener: socket.socket) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Counting, sock=listener)
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def _receiver() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        process = multiprocessing.Process(target=_receive, args=(listener,), daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.join()


async def deliveries_a_second(url: str, port: int, events: int = 3000, endpoints: int = 1) -> float:
    """Write `events` events first, then deliver them all; deliveries a second of one worker."""
    settings = Settings(database_url=url)
    database = Database(url, settings)
    listening = Listening(url)
    sender = Sender(Bounds(allow_private=True))
    pace = Pace()
    deliverer = Deliverer(database, Stream(database, listening), sender, pace)
    tasks = [asyncio.create_task(Sealer(url).run()), asyncio.create_task(listening.run())]
    total = events * endpoints
    try:
        async with database.transaction() as tx:
            await access.admit_founders(tx)
        caller = access.Caller("AZE", "member", ids.new_id(), "bench", frozenset(), ("AZE",))
        where = webhooks.Endpoint(f"http://127.0.0.1:{port}/", None, ("stock.*",), None, False)
        async with database.transaction() as tx:
            for _ in range(endpoints):
                await webhooks.open_endpoint(tx, caller, where, None, allow_private=True)
        for _ in range(0, events, 500):
            async with database.transaction() as tx:
                data = {"item": "HSHEBLANPHT1", "available": 450, "lot_number": "L-1"}
                facts = [Fact("stock.published", ids.new_id(), data) for _ in range(500)]
                await record(tx, Actor("AZE", None), *facts)
        await listening.beyond(events)
        started = perf_counter()
        tasks.append(asyncio.create_task(deliverer.run()))
        while await _delivered(database) < total:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.05)
        return total / (perf_counter() - started)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


async def _delivered(database: Database) -> int:
    async with database.reading() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'"
        )
        return int(rows.scalar_one())


def measure(events: int = 3000, endpoints: int = 1) -> float:
    """Deliveries a second, on a database of its own."""
    with tempfile.TemporaryDirectory(prefix="komek-bench-") as folder:
        Path(folder).chmod(0o755)
        postgres = EmbeddedPostgres(Path(folder) / "data")
        postgres.start()
        try:
            serving.migrate(postgres.url)
            with _receiver() as port:
                return asyncio.run(deliveries_a_second(postgres.url, port, events, endpoints))
        finally:
            postgres.stop()


if __name__ == "__main__":
    for count in (1, 8):
        figure = measure(3000 // count, count)
        print(f"{count} endpoint(s): {figure:.0f} deliveries/s, wanted {WANTED:.0f}")
    sys.exit(0)
