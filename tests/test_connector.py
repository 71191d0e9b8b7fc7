"""The connector goes on where it was: killed at any moment, or with the link down."""

import asyncio
import csv
import json
import os
import random
import shlex
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from app import clock
from app.client.exchange import Exchange
from app.client.following import Heard
from app.connector.handing import CommandFailed, ToCommand, ToFile, follow, read_cursor
from app.connector.settings import Misused
from tests.conftest import Service, free_port, make_key
from tests.proxy import PoorLink
from tests.world import BLANKET, Json, System, done, fresh, from_lot, goods

LONG = os.environ.get("KOMEK_HYPOTHESIS") == "long"
ROWS = EVENTS = 10_000 if LONG else 400
KILLS = 40 if LONG else 5


@dataclass
class Desk:
    """A society's desk: its folder, its environment, and the commands it runs."""

    folder: Path
    url: str
    key: str
    settings: dict[str, str] = field(default_factory=dict)

    async def start(self, *words: str) -> Process:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "KOMEK_URL": self.url,
            "KOMEK_KEY": self.key,
            "KOMEK_CONNECTOR_DIR": str(self.folder / "state"),
            "COLUMNS": "200",
            **self.settings,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.connector", *words,
            cwd=self.folder, env=environment, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip

    async def run(self, *words: str) -> tuple[int, str]:
        """The exit code and everything that was said."""
        async with asyncio.timeout(120):
            process = await self.start(*words)
            said, complained = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode() + complained.decode()

    async def run_to_its_death(
        self,
        chance: random.Random,
        longest: float,
        *words: str,
        place: Callable[[], int] | None = None,
    ) -> bool:
        """Killed after a random time; whether it ended by itself before.

        With `place`, the time begins when the process has got somewhere: on a busy machine it takes
        longer than any fixed time until it has started.
        """
        before = place() if place else 0
        process = await self.start(*words)
        speaking = asyncio.ensure_future(process.communicate())
        patience = time.monotonic() + 30
        while place and place() == before and not speaking.done() and time.monotonic() < patience:
            await asyncio.wait([speaking], timeout=0.01)
        try:
            async with asyncio.timeout(0.15 + chance.random() * longest):
                await asyncio.shield(speaking)
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
        await speaking
        return process.returncode == 0

    def waiting(self) -> list[Path]:
        return sorted((self.folder / "state" / "outbox").glob("[0-9]*-*"))

    def sent(self) -> int:
        """How many pieces the exchange has answered for."""
        return sum(len(list(entry.glob("report-*"))) for entry in self.waiting())

    def sheet(self, name: str, rows: list[tuple[object, ...]]) -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("ref", "item", "site", "quantity"), *rows])
        return path


@pytest_asyncio.fixture
async def desk(service: Service, aze: System, tmp_path: Path) -> AsyncIterator[Desk]:
    """Azerbaijan's."""
    await aze.site()
    yield Desk(tmp_path, service.url, await make_key(service, "AZE"))


async def published(aze: System, word: str) -> dict[str, int]:
    lots = [lot async for lot in aze.exchange.own_lots() if lot["ref"].startswith(f"{word}-")]
    return {lot["ref"]: lot["quantity"] for lot in lots}


def rows_of(word: str, count: int) -> list[tuple[object, ...]]:
    return [(f"{word}-{n}", BLANKET, "central", n + 1) for n in range(count)]


async def test_a_push_that_is_killed_again_and_again_ends_with_exactly_the_file(
    desk: Desk, service: Service, aze: System
) -> None:
    word = fresh("pushed")
    path = desk.sheet("stock.csv", rows_of(word, ROWS))
    desk.settings["KOMEK_CONNECTOR_PIECE"] = str(path.stat().st_size // (8 * KILLS))
    start = done(await aze.get("/v1/events/head"))["seq"]
    chance = random.Random(5)
    places: set[int] = set()
    link = PoorLink(service.settings.port, seed=5, cuts=0.1, delay=0.1)
    async with link.open():
        desk.url = link.url
        for _ in range(KILLS):
            if await desk.run_to_its_death(chance, 1.5, "push", "stock.csv", place=desk.sent):
                break
            places.add(desk.sent())
        else:
            code, said = await desk.run("push", "stock.csv", "--wait")
            assert code == 0, said
            assert f"{ROWS} rows: {ROWS} created" in said
    print(f"{ROWS} rows, killed at pieces {sorted(places)}; {link.cut_after} cut after sending")
    assert len(places - {0}) > 1, "it was killed in the middle"
    assert await published(aze, word) == {f"{word}-{n}": n + 1 for n in range(ROWS)}
    assert desk.waiting() == []
    assert list((desk.folder / "state" / "outbox").glob(".[ng]*")) == []
    lots = {lot["id"] async for lot in aze.exchange.own_lots() if lot["ref"].startswith(f"{word}-")}
    told = await sealed(aze, start, lots)
    assert len(told) == ROWS, "each row was published once, however often its piece was sent"


async def sealed(aze: System, after: int, lots: set[str]) -> list[str]:
    """The lots of the events of a kind; an event is sealed a moment after it happened."""
    async with asyncio.timeout(30):
        while True:
            events = aze.exchange.events(after, types=["stock.published"], mine=True)
            told = [e["subject"]["id"] async for e in events if e["subject"]]
            found = [lot for lot in told if lot in lots]
            if len(found) >= len(lots):
                return found
            await asyncio.sleep(0.05)


async def test_what_is_pushed_without_a_link_is_sent_when_it_is_back(
    desk: Desk, service: Service, aze: System
) -> None:
    word = fresh("later")
    link = PoorLink(service.settings.port, cuts=0, down=True)
    async with link.open():
        desk.url = link.url
        for n, quantity in enumerate((5, 7)):
            desk.sheet(f"stock-{n}.csv", [(f"{word}-a", BLANKET, "central", quantity)])
            code, said = await desk.run("push", f"stock-{n}.csv", "--patience", "1")
            assert (code, "kept in the outbox" in " ".join(said.split())) == (3, True), said
        assert len(desk.waiting()) == 2
        code, said = await desk.run("push", "stock-1.csv", "--patience", "1")
        assert (code, len(desk.waiting())) == (3, 2), "the same file waits once"
        _, said = await desk.run("outbox", "list")
        assert "stock-0.csv" in said
        assert "0 of 1 pieces" in said
        waits = await desk.start("outbox", "send", "--wait", "--patience", "1")
        assert waits.stderr is not None
        assert b"trying on" in await waits.stderr.readline()
        link.down = False
        said_bytes, _ = await waits.communicate()
        assert waits.returncode == 0, said_bytes
    assert await published(aze, word) == {f"{word}-a": 7}, "in the order in which they were pushed"
    assert desk.waiting() == []


async def test_a_piece_that_a_slow_link_carries_for_longer_than_patience_gets_through(
    desk: Desk, service: Service, aze: System
) -> None:
    word = fresh("slow")
    path = desk.sheet("stock.csv", rows_of(word, 1000))
    link = PoorLink(service.settings.port, cuts=0, rate=path.stat().st_size / 4)
    async with link.open():
        desk.url = link.url
        code, said = await desk.run("push", "stock.csv", "--patience", "1")
    assert (code, "1000 created" in said) == (0, True), said
    assert link.passed == 1, "it was sent once"
    assert len(await published(aze, word)) == 1000


async def test_rows_that_are_refused_are_told_by_their_number_in_the_file(
    desk: Desk, aze: System
) -> None:
    word = fresh("partly")
    rows = rows_of(word, 40)
    rows[6] = (f"{word}-6", "NOSUCHITEM", "central", 1)
    rows[33] = (f"{word}-33", BLANKET, "nowhere", 1)
    desk.sheet("stock.csv", rows)
    desk.settings["KOMEK_CONNECTOR_PIECE"] = "300"
    code, said = await desk.run("push", "stock.csv", "--refused", "bad.csv")
    assert (code, "38 created" in said, "2 refused" in said) == (1, True, True), said
    with (desk.folder / "bad.csv").open(encoding="utf-8-sig") as file:
        assert [(r["row"], r["field"]) for r in csv.DictReader(file)] == [
            ("8", "item"),
            ("35", "site"),
        ]
    assert len(await published(aze, word)) == 38
    assert desk.waiting() == [], "it was sent: what is wrong is in the file"


async def test_what_was_exported_as_a_workbook_is_pushed_and_changes_nothing(
    desk: Desk, aze: System
) -> None:
    pool = await aze.pool(5)
    async with Exchange(desk.url, desk.key) as exchange:
        with (desk.folder / "volunteers.xlsx").open("wb") as file:
            await exchange.export_volunteers("xlsx", file)
    code, said = await desk.run("push", "volunteers.xlsx", "--dry-run")
    assert (code, "Nothing was changed" in said, " 0 changed" in said) == (0, True, True), said
    assert desk.waiting() == []
    code, said = await desk.run("push", "volunteers.xlsx", "--mode", "replace")
    assert (code, " 0 created, 0 changed" in said, " 0 withdrawn" in said) == (0, True, True), said
    assert await aze.own_pool(pool) == pool


async def test_a_file_that_the_exchange_does_not_take_waits_to_be_dropped(
    desk: Desk, aze: System
) -> None:
    (desk.folder / "stock.csv").write_text("nonsense,more\n1,2\n")
    code, said = await desk.run("push", "stock.csv")
    assert (code, "422" in said) == (1, True), said
    word = fresh("after")
    desk.sheet("stock-2.csv", rows_of(word, 1))
    code, said = await desk.run("push", "stock-2.csv")
    assert code == 0, said
    assert len(await published(aze, word)) == 1
    assert len(desk.waiting()) == 1
    assert (await desk.run("outbox", "drop", "9"))[0] == 2
    assert (await desk.run("outbox", "drop", "1"))[0] == 0
    assert desk.waiting() == []


async def test_what_is_misused_is_told_with_exit_code_2(desk: Desk) -> None:
    desk.sheet("stock.csv", rows_of("x", 1))
    (desk.folder / "text").write_bytes(b"\xff\xfe")
    for words, says in (
        (("push", "nowhere-stock.csv"), "No such file"),
        (("push", "stock.csv", "--mode", "destroy"), "--mode"),
        (("push", "stock.csv", "--kind", "people"), "--kind"),
        (("push", "stock.csv", "--charset", "utf-16"), "--charset"),
        (("push", "stock.csv", "--key-file", "nokey"), "nokey cannot be read"),
        (("push", "stock.csv", "--key-file", "text"), "text cannot be read"),
        (("follow",), "--out FILE or --exec"),
        (("follow", "--exec", "no-such-command-at-all"), "no command"),
        (("follow", "--out", "nofolder/events"), "cannot be written"),
        (("follow", "--out", "stock.csv"), "something else than events"),
    ):
        code, said = await desk.run(*words)
        assert (code, says in " ".join(said.split())) == (2, True), (words, said)
    assert (desk.folder / "stock.csv").read_text().startswith("ref,item")
    desk.settings["KOMEK_URL"] = "exchange"
    assert (await desk.run("push", "stock.csv"))[0] == 2


async def test_a_wrong_key_is_told_and_the_file_is_kept(desk: Desk) -> None:
    desk.key += "x"
    desk.sheet("stock.csv", rows_of("x", 1))
    code, said = await desk.run("push", "stock.csv")
    assert (code, "unauthenticated" in said) == (1, True), said
    assert len(desk.waiting()) == 1


async def happen(aze: System, count: int) -> None:
    """Events, 20 at once."""
    door = asyncio.Semaphore(20)
    word = fresh("followed")

    async def one(n: int) -> None:
        async with door:
            await aze.lot(1 + n, ref=f"{word}-{n}")

    await asyncio.gather(*(one(n) for n in range(count)))


def lines_of(path: Path) -> list[Json]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


async def test_a_follower_that_is_killed_at_random_ends_with_exactly_the_ledger(
    desk: Desk, service: Service, aze: System
) -> None:
    start = done(await aze.get("/v1/events/head"))["seq"]
    events = desk.folder / "events.ndjson"
    words = ("follow", "--out", "events.ndjson", "--after", str(start))
    happening = asyncio.create_task(happen(aze, EVENTS))
    chance = random.Random(11)
    kills = 0
    while kills < KILLS or not happening.done():
        assert not await desk.run_to_its_death(chance, 1.5, *words)
        kills += 1
    await happening
    ledger = [e async for e in aze.exchange.events(start)]
    while (
        len(ledger) < EVENTS or len(ledger) < done(await aze.get("/v1/events/head"))["seq"] - start
    ):
        await asyncio.sleep(0.05)
        ledger = [e async for e in aze.exchange.events(start)]
    while len(lines_of(events)) < len(ledger):
        got = lambda: events.stat().st_size  # noqa: E731
        await desk.run_to_its_death(chance, 3.0, *words, place=got)
    assert lines_of(events)[: len(ledger)] == ledger
    assert [e["seq"] for e in lines_of(events)] == list(
        range(start + 1, start + 1 + len(lines_of(events)))
    )


async def test_a_command_gets_each_event_at_least_once_and_in_order(
    desk: Desk, aze: System
) -> None:
    start = done(await aze.get("/v1/events/head"))["seq"]
    # Fails the first time for each event, and takes it the second time.
    script = (
        "import json, sys, pathlib\n"
        "seq = json.load(sys.stdin)['seq']\n"
        "mark = pathlib.Path(f'tried-{seq}')\n"
        "if seq % 3 == 0 and not mark.exists(): mark.touch(); sys.exit(1)\n"
        "open('taken', 'a').write(f'{seq}\\n')\n"
    )
    (desk.folder / "take.py").write_text(script)
    await happen(aze, 12)
    command = f"{shlex.quote(sys.executable)} -S take.py"
    types = ("--mine", "--type", "stock.published")
    words = ("follow", "--exec", command, *types, "--after", str(start))
    chance = random.Random(3)

    def taken() -> list[int]:
        path = desk.folder / "taken"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async with asyncio.timeout(120):
        while len(set(taken())) < 12:
            await desk.run_to_its_death(chance, 3.0, *words, place=lambda: len(taken()))
    fed = [e["seq"] async for e in aze.exchange.events(start, types=["stock.published"], mine=True)]
    assert sorted(set(taken())) == fed[:12]
    assert taken() == sorted(taken()), "again where it was killed, but never out of order"


async def test_a_command_that_always_fails_stops_the_following_before_the_event(
    aze: System, tmp_path: Path
) -> None:
    start = done(await aze.get("/v1/events/head"))["seq"]
    await happen(aze, 1)
    taker, cursor = ToCommand("false", pause=0), tmp_path / "cursor"
    with pytest.raises(CommandFailed, match="failed 5 times"):
        await follow(aze.exchange, taker, cursor, after=start, types=(), emergency=None, mine=False)
    assert read_cursor(cursor) is None


def line(seq: int) -> bytes:
    return b'{"seq":%d,"x":"a"}\n' % seq


@pytest.mark.parametrize(
    ("before", "place", "after"),
    [
        (b"", None, b""),
        (line(1) + line(2), 2, line(1) + line(2)),
        (line(1) + line(2)[:-1], 1, line(1)),
        (line(1) + b"{", 1, line(1)),
        (b'{"seq":3', None, b""),
        (line(7) * 9_000 + b'{"seq":8,"x":"', 7, line(7) * 9_000),
        (b'{"seq":5,"x":"' + b"b" * 300_000 + b'"}\n{"se', 5, None),
    ],
)
async def test_half_a_line_is_cut_off_and_the_last_whole_one_tells_the_place(
    tmp_path: Path, before: bytes, place: int | None, after: bytes | None
) -> None:
    path = tmp_path / "events"
    path.write_bytes(before)
    taker = ToFile(path)
    assert taker.begin() == place
    await taker.take(Heard(9, '{"seq":9}'))
    taker.settle()
    whole = before[: before.rfind(b"\n") + 1] if after is None else after
    assert path.read_bytes() == whole + b'{"seq":9}\n'
    taker.close()


@pytest.mark.parametrize(
    "strange", [b"my diary", b"my diary\n", b"1\n", b'{"a":1}\n', b'["seq"]\n{']
)
def test_a_file_with_something_else_is_left_alone(tmp_path: Path, strange: bytes) -> None:
    path = tmp_path / "diary"
    path.write_bytes(strange)
    with pytest.raises(Misused, match="something else"):
        ToFile(path).begin()
    assert path.read_bytes() == strange


async def test_a_list_that_waited_does_not_bring_back_what_has_left_meanwhile(
    desk: Desk, aze: System, tur: System
) -> None:
    """Counted and pushed on Monday without a link; 600 leave; it is sent on Wednesday."""
    lot = await aze.lot(1000, as_of=clock.text(clock.now() - timedelta(days=4)))
    path = desk.sheet("stock.csv", [(lot["ref"], BLANKET, "central", 1000)])
    monday = clock.now() - timedelta(days=2)
    os.utime(path, (monday.timestamp(), monday.timestamp()))
    exchange, desk.url = desk.url, f"http://127.0.0.1:{free_port()}"
    desk.settings["KOMEK_CONNECTOR_PIECE"] = "4096"
    code, said = await desk.run("push", "stock.csv", "--patience", "1")
    assert code == 3, said
    request = await tur.request(goods(1000))
    offer = await tur.accept(await aze.offer(request, from_lot(request, lot, 600)))
    await aze.move("consignments", await aze.consign(offer, 600), "dispatch")
    # The link is back: what waits goes to the address that it was pushed to.
    [waiting] = desk.waiting()
    manifest = json.loads((waiting / "manifest.json").read_text())
    (waiting / "manifest.json").write_text(json.dumps(manifest | {"url": exchange}))
    desk.url = exchange
    code, said = await desk.run("outbox", "send")
    assert code == 0, said
    told = await aze.own_lot(lot)
    assert (told["quantity"], told["available"]) == (400, 400)
    assert abs(datetime.fromisoformat(told["as_of"]) - monday) < timedelta(seconds=1)
