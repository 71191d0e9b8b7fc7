"""The stop: readiness goes first, nothing accepted is dropped, and the database ends too."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import db, embedded
from app.embedded import EmbeddedPostgres
from app.ledger.verifying import verify
from tests.conftest import free_port
from tests.processes import komek, make_client, make_database, run_sql, running
from tests.test_embedded import lives, server_of, until
from tests.test_operations import eventually
from tests.world import BLANKET


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> str:
    """A database of these tests' own, migrated by the first service that starts on it."""
    return make_database(postgres, "stopping")


@pytest.fixture
def own(scratch: Path) -> Iterator[Path]:
    """A data directory whose server is the service's own."""
    folder = scratch / "stopping"
    yield folder
    until(lambda: server_of(folder) is None)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_under_load_drops_nothing_that_was_accepted(
    url: str, scratch: Path, workers: str
) -> None:
    log = scratch / f"load-{workers}.log"
    with running(log, KOMEK_DATABASE_URL=url, KOMEK_WORKERS=workers, KOMEK_DRAIN="1") as service:
        key = await make_client(url, "AZE")
        limits = httpx.Limits(max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {key}"}
        stopping = asyncio.Event()
        held: list[int] = []
        async with httpx.AsyncClient(
            base_url=service.url, headers=headers, timeout=60, limits=limits
        ) as http:
            site = {"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}
            lot: dict[str, Any] = {"item": BLANKET, "site": "s", "quantity": 5}
            assert (await http.put("/v1/my/sites/s", json=site)).status_code in (200, 201)
            assert (await http.put("/v1/my/stock/held", json=lot)).status_code in (200, 201)

            async def send(sender: int) -> int:
                sent = 0
                # As a load balancer does it: nothing is sent any more once it is not ready.
                while not stopping.is_set():
                    ref = f"w{workers}-{sender}-{sent}"
                    answer = await http.put(f"/v1/my/stock/{ref}", json=lot)
                    assert answer.status_code == 201, answer.text
                    sent += 1
                return sent

            async def watch() -> None:
                while True:
                    answer = await http.get("/readyz")
                    if answer.status_code == 503:
                        assert answer.json()["code"] == "stopping"
                        assert (await http.get("/v1/me")).status_code == 200, "not yet"
                        stopping.set()
                        return
                    await asyncio.sleep(0.01)

            holder = await db.connect(url, {"application_name": "komek-tests"})
            hold = holder.transaction()
            await hold.start()
            await holder.execute("SELECT FROM lots WHERE ref = 'held' FOR UPDATE")
            slow = asyncio.create_task(http.put("/v1/my/stock/held", json=lot | {"quantity": 9}))
            senders = [asyncio.create_task(send(n)) for n in range(6)]
            watcher = asyncio.create_task(watch())
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await eventually(lambda: holder.fetchval(waiting))
            service.process.send_signal(signal.SIGTERM)
            await watcher
            held = await asyncio.gather(*senders)
            if workers == "1":  # of several, the supervisor holds the port until all have ended
                await eventually(lambda: is_closed(service.url))
            assert service.process.poll() is None, "a request is still in flight"
            await hold.rollback()
            await holder.close()
            assert (await slow).status_code == 200
        assert await asyncio.to_thread(service.process.wait, 30) == 0
    like = f"SELECT count(*) FROM lots WHERE ref LIKE 'w{workers}-%'"
    assert (await asyncio.to_thread(run_sql, url, like))[0][0] == sum(held) > 0
    assert (await verify(url)).faults == []


async def is_closed(url: str) -> bool:
    """Whether nobody listens there any more."""
    address = httpx.URL(url)
    try:
        _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize(
    ("workers", "signals", "impatient"),
    [
        ("1", [signal.SIGINT], False),
        ("1", [signal.SIGTERM], True),
        ("2", [signal.SIGTERM, signal.SIGINT], False),
        ("2", [signal.SIGTERM], True),
    ],
)
def test_the_embedded_database_ends_with_the_service_however_often_it_is_asked(
    own: Path, scratch: Path, workers: str, signals: list[signal.Signals], impatient: bool
) -> None:
    log = scratch / "signals.log"
    with running(log, KOMEK_DATA_DIR=str(own), KOMEK_WORKERS=workers, KOMEK_DRAIN="0.2") as service:
        pid = server_of(own)
        assert pid is not None
        for number in signals:
            service.process.send_signal(number)
        deadline = time.monotonic() + 60
        while impatient and service.process.poll() is None and time.monotonic() < deadline:
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.002)
        assert service.process.wait(60) == 0, service.lines()
        assert server_of(own) is None
        assert not lives(pid)
        assert '"level": "error"' not in service.lines()
    assert not embedded._socket_dir(own / "postgresql").exists()


def test_a_stop_in_the_middle_of_the_start_leaves_no_database_behind(
    own: Path, scratch: Path
) -> None:
    with running(scratch / "early.log", ready=False, KOMEK_DATA_DIR=str(own)) as service:
        until(lambda: server_of(own) is not None or service.process.poll() is not None)
        service.stop()
        assert server_of(own) is None


def test_after_kill_9_the_next_start_takes_the_port_and_the_data(own: Path, scratch: Path) -> None:
    given: dict[str, Any] = {
        "KOMEK_DATA_DIR": str(own),
        "KOMEK_PORT": str(free_port()),
        "KOMEK_WORKERS": "2",
    }
    with running(scratch / "killed.log", **given) as service:
        server = server_of(own)
        assert server is not None
        service.process.kill()
        service.process.wait()
        os.kill(server, signal.SIGKILL)
        # Workers whose supervisor is gone must not hold the port.
        until(lambda: asyncio.run(is_closed(service.url)), within=60)
    with running(scratch / "again.log", **given) as service:
        assert httpx.get(f"{service.url}/livez").status_code == 200
        assert service.stop() == 0


def test_a_port_that_is_taken_is_told_and_the_database_ended(own: Path, scratch: Path) -> None:
    with running(scratch / "first.log", KOMEK_DATA_DIR=str(own)) as service:
        port = service.url.rpartition(":")[2]
        other = komek("serve", KOMEK_DATA_DIR=str(own), KOMEK_PORT=port)
        assert other.returncode != 0
        assert "address already in use" in other.stderr
        assert server_of(own) is not None, "the first one still uses it"
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        assert service.stop() == 0
