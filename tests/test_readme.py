"""The README leads to the first accepted offer, word for word, and a desk's list gets published."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from tests.conftest import Enrol, Service

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BULK = ROOT / "docs" / "bulk.md"


def steps() -> str:
    """The commands of the section, as they stand in the README."""
    section = README.read_text(encoding="utf-8").split("## The first accepted offer")[1]
    lines = section.split("## What to know")[0].splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    "))


async def test_the_readme_leads_to_the_first_accepted_offer(service: Service) -> None:
    komek = Path(sys.executable).parent / "komek"
    script = steps().replace("http://127.0.0.1:8000", service.url)
    script = script.replace(".venv/bin/komek", str(komek))
    assert service.settings.database_url is not None
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        env=os.environ | {"KOMEK_DATABASE_URL": service.settings.database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    # Not `splitlines`: a text may hold U+2028, at which it would cut.
    answers = [json.loads(line) for line in out.decode().split("\n") if line]
    accepted, request, board = answers[-3:]
    assert accepted["status"] == "accepted"
    assert request["lines"][0]["accepted"] == 300
    assert board["lines"][0]["societies"][0]["accepted"] == 300


def blocks() -> list[str]:
    """What stands indented in the page, each piece by itself."""
    found = re.findall(r"(?:^    .*\n)+", BULK.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


async def test_the_page_for_a_desk_puts_its_list_on_the_exchange(
    service: Service, enrol: Enrol, tmp_path: Path
) -> None:
    aze = await enrol("AZE", "read", "stock:write", "volunteers:write")
    sheets = [block for block in blocks() if block.startswith("ref,")]
    for name, sheet in zip(("sites", "stock", "volunteers"), sheets, strict=True):
        (tmp_path / f"{name}.csv").write_text(sheet, encoding="utf-8")
    calls = [block for block in blocks() if block.startswith("curl")]
    key = aze.http.headers["Authorization"].removeprefix("Bearer ")
    answers: list[Any] = []
    for call in [*calls, calls[-2].replace("stock", "volunteers")]:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", call, cwd=tmp_path,
            env=os.environ | {"KOMEK": service.url, "KEY": key},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        answers.append(json.loads(out) if out else None)
    sites, tried, stock, exported, volunteers = answers
    assert (sites["rows"], sites["refused"]) == (2, 0)
    assert (tried["dry_run"], tried["rows"], tried["refused"]) == (True, 2, 0)
    assert stock["created"] + stock["unchanged"] + stock["changed"] == 2, stock
    assert exported is None and (tmp_path / "komek-stock.xlsx").stat().st_size > 1000
    assert volunteers["refused"] == 0, volunteers
    tents = (await aze.get("/v1/my/stock/TENT-1")).json()
    assert (tents["quantity"], tents["site"]) == (120, "ganja-1")
