"""The exercise as a user starts it: what it tells, what the board says, and how it ends."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from app import embedded
from app.client.exchange import Exchange
from app.exercise import journeys, kahramanmaras, reckoning, story
from app.exercise.kahramanmaras import BLANKET, FLOUR, PASTA, RICE, TENT, WOOL
from app.exercise.stage import Stage, Unexpected
from app.exercise.telling import Telling
from tests.conftest import Service, free_port, make_key
from tests.world import Json

DEMO = [sys.executable, "-P", "-m", "app.cli", "demo"]
ROOT = Path(__file__).resolve().parent.parent


def environment(data_dir: Path, port: int) -> dict[str, str]:
    """What a user sets, and nothing that is left over from other tests."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KOMEK_")}
    return clean | {
        "KOMEK_DATA_DIR": str(data_dir),
        "KOMEK_PORT": str(port),
        "KOMEK_DRAIN": "0",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def data_dir(scratch: Path) -> Path:
    return scratch / "exercise"


@pytest.fixture(scope="module")
def first(data_dir: Path) -> subprocess.CompletedProcess[str]:
    """A first run, on a data directory that is not there yet."""
    return subprocess.run(
        [*DEMO, "--exit"],
        env=environment(data_dir, free_port()),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def stopped_cleanly(data_dir: Path) -> bool:
    """Whether the database was shut down, and not left running or killed."""
    log = (data_dir / "postgresql" / "server.log").read_text(encoding="utf-8")
    at_end = log.strip().splitlines()[-1]
    return embedded.running_url(data_dir) is None and "database system is shut down" in at_end


def test_the_exercise_tells_its_story_and_ends_with_a_proved_ledger(
    first: subprocess.CompletedProcess[str], data_dir: Path
) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    told = " ".join(first.stdout.split())
    for sentence in (
        "AZE Offers 10,000 family tents (reported: 10,000+ tents)",
        "the same offer again, reserved once",
        "8,000 wool blankets of 12,000, the rest is free again",
        "TUR Declines the nets",
        "AZE Offers 800 hygiene parcels (synthetic)",
        "AZE ✗ 409 insufficient_stock",
        "offered 4,000, 2,000 were available, and nothing of its offer was reserved",
        "Each line from its nearest stock would make",
        "Beside that the plan has",
        "sent their offers as the plan made them; all are accepted",
        "One pallet of 6 was crushed",
        "400 damaged, 20 missing",
        "the load is lost (synthetic)",
        "✗ 404 not_found",
        "AZE Agrees: 690 rescuers stay a week longer",
        "KGZ 63 rescuers: released with thanks, and home again",
    ):
        assert sentence in told
    [proof] = re.findall(r"verified: (\d+) records, (\d+) of them sealed; (\d+) balances", told)
    assert all(int(figure) > 100 for figure in proof)
    tents = next(row for row in first.stdout.splitlines() if row.split()[:2] == ["family", "tents"])
    figures = " ".join(tents.split()[2:])
    assert figures == "12,000 10,100 10,100 10,100 8,094 6 0 2,000 1,906"
    assert first.stderr == "", "nothing but the story is written"
    assert stopped_cleanly(data_dir)


@contextmanager
def staying_up(data_dir: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run that has told its story and stays up, with what it told."""
    with subprocess.Popen(
        DEMO, env=environment(data_dir, port), stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        told = ""
        try:
            for line in demo.stdout:
                told += line
                if line.startswith("docs "):
                    break
            yield demo, told
        finally:
            demo.terminate()
            demo.stdout.read()


def test_it_plays_again_on_the_same_data_stays_up_with_its_keys_and_ends_on_sigterm(
    first: subprocess.CompletedProcess[str], data_dir: Path
) -> None:
    assert first.returncode == 0
    port = free_port()
    with staying_up(data_dir, port) as (demo, told):
        assert "is an earlier run's" in told, "the GLIDE number is taken once"
        keys = dict(re.findall(r"^([A-Z]{3})  (komek_\w+)$", told, re.MULTILINE))
        assert sorted(keys) == ["AZE", "KAZ", "KGZ", "TUR", "UZB"]
        for society, key in keys.items():
            assert get(f"http://127.0.0.1:{port}/v1/me", key)["society"] == society
        [(key, address)] = re.findall(r'curl -H "Authorization: Bearer (\S+)" (\S+)', told)
        check_board(get(address, key), f"http://127.0.0.1:{port}", key)
        docs = re.findall(r"^docs  (\S+)$", told, re.MULTILINE)[0]
        assert httpx.get(docs).status_code == 200
        demo.terminate()
        assert demo.wait(90) == 0
    assert stopped_cleanly(data_dir)
    with socket.create_server(("127.0.0.1", port)):
        pass  # nobody listens there any more


def get(address: str, key: str) -> Json:
    answer = httpx.get(address, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def check_board(board: Json, url: str, key: str) -> None:
    """requested ≥ accepted ≥ dispatched = received + damaged + lost + on the way."""
    under_way: Counter[str] = Counter()
    for consignment in get(f"{url}/v1/consignments?status=dispatched&limit=200", key)["items"]:
        offer = get(f"{url}/v1/offers/{consignment['offer']}", key)
        line_of = {line["id"]: line["request_line"] for line in offer["lines"]}
        for line in consignment["lines"]:
            under_way[line_of[line["offer_line"]]] += line["quantity"]
    seen = {}
    for line in board["lines"]:
        assert line["requested"] >= line["accepted"] >= line["dispatched"] > 0
        found = line["received"] + line["damaged"] + line["lost"]
        assert line["dispatched"] == found + under_way[line["line"]]
        seen[line["title"], line["item"] or line["skill"]] = (
            *(line[f] for f in ("requested", "accepted", "dispatched", "received")),
            *(line[f] for f in ("damaged", "lost")),
        )
    shelter, food, teams = (
        f"{title} (synthetic)"
        for title in ("Shelter and warmth", "Food", "Search and rescue, and medics")
    )
    assert seen[shelter, "HHEASTOHWCTE"] == (25_000, 20_000, 17_000, 12_000, 0, 0)
    assert seen[shelter, "EGENDIGE003T"] == (2_500, 2_400, 2_400, 1_400, 0, 0)
    assert seen[shelter, BLANKET] == (60_000, 56_000, 56_000, 55_580, 400, 20)
    assert seen[food, FLOUR] == (2_500_000, 2_488_000, 2_488_000, 2_468_000, 0, 20_000)
    assert seen[teams, "usar"] == (1_000, 953, 953, 953, 0, 0)
    assert [(u["society"], u["received"]) for u in board["unsolicited"]] == [("AZE", 500)]


def test_ctrl_c_in_the_middle_of_the_story_leaves_nothing_behind(data_dir: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        DEMO,
        env=environment(data_dir, port),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("Before"):
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(90) == 130
        assert "Your turn" not in rest
        assert "Traceback" not in rest
    assert stopped_cleanly(data_dir)


def test_a_port_that_is_taken_is_said_before_anything_is_started(scratch: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = subprocess.run(
            [*DEMO, "--exit"],
            env=environment(scratch / "never", taken.getsockname()[1]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert "is not free" in ended.stdout
    assert "KOMEK_PORT" in ended.stdout
    assert not (scratch / "never").exists()


async def test_the_reckoning_notices_a_figure_that_the_story_did_not_make(service: Service) -> None:
    async with AsyncExitStack() as stack:
        systems = {}
        for society in kahramanmaras.SOCIETIES:
            system = Exchange(service.url, await make_key(service, society))
            systems[society] = await stack.enter_async_context(system)
        stage = Stage(systems, Telling(Console(file=io.StringIO())), run="unit")
        await story.publish(stage)
        await story.report(stage)
        taken = await story.offer(stage)
        taken += await story.contest(stage)
        await journeys.receive(stage, await journeys.send(stage, taken))
        await journeys.deploy(stage, taken)
        await reckoning.reckon(stage)
        stage.count("tents", "AZE", received=1)
        with pytest.raises(Unexpected, match="tents of AZE: the board says"):
            await reckoning.reckon(stage)


def test_what_each_society_sends_adds_up_to_what_was_reported() -> None:
    sent: Counter[tuple[str, str]] = Counter()
    for given in (*kahramanmaras.GOODS, *kahramanmaras.PEOPLE):
        for line in given.lines:
            sent[given.society, line.code] += line.accepted
    for society in kahramanmaras.CONTESTED_BY:
        sent[society, BLANKET] += kahramanmaras.CONTESTED_QUANTITY
    assert sent["AZE", TENT] == 10_000
    assert sent["AZE", BLANKET] == 32_000
    assert sent["AZE", "HHEASTOHWCTE"] == 20_000
    assert sent["AZE", "EGENDIGE003T"] == 2_400
    assert sent["AZE", "usar"] + sent["AZE", "emergency_medicine"] == 867
    assert [sent[s, "usar"] for s in ("KAZ", "KGZ", "UZB")] == [100, 63, 100]
    grams = {BLANKET: 2_000, WOOL: 1_750, FLOUR: 1_000, RICE: 1_000, PASTA: 1_000}
    tonnes: Counter[str] = Counter()
    for (society, code), quantity in sent.items():
        tonnes[society] += quantity * grams.get(code, 0)
    assert (tonnes["KAZ"], tonnes["KGZ"], tonnes["UZB"]) == (55e6, 55e6, 600e6)
    food = sum(sent["AZE", code] for code in (FLOUR, RICE, PASTA))
    assert food == 3_000_000
