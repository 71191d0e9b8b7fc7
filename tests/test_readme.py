"""The README leads from a running service to the first accepted offer, word for word."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.conftest import Service

README = Path(__file__).resolve().parent.parent / "README.md"


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
