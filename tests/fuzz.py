"""Schemathesis against the running service: `python -m tests.fuzz [--smoke]`.

Starts the service on an embedded database of its own, sets a small world up, and lets schemathesis
hold the service to its own OpenAPI document with all of its checks: once as the secretariat, which
asks for help, and once as a member, which gives it. Bounded in examples and time; exits with 1
where it finds anything. What it knows of the world is in `tests/fuzz_hooks.py`.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.conftest import free_port
from tests.stage import Stage
from tests.world import System

ROOT = Path(__file__).resolve().parent.parent

# `positive_data_acceptance` cannot be right here: a body that fits the schema is refused with 422
# where it names an item or a request that does not exist. `refused_for_a_reason` (fuzz_hooks.py)
# takes its place: it lets only those refusals pass that a schema cannot express.
EXCLUDED = ("positive_data_acceptance",)
SMOKE = {"as": "TUR", "phases": "examples,fuzzing", "examples": "1"}
FULL = {"as": "TUR,AZE", "phases": "examples,coverage,fuzzing,stateful", "examples": "8"}
LONGEST = 900
"""Seconds for one run; far more than it needs."""


def main(arguments: list[str]) -> int:
    """Fuzz; the exit code."""
    bounds = SMOKE if "--smoke" in arguments else FULL
    with tempfile.TemporaryDirectory(prefix="komek-fuzz-") as folder:
        # The account of the embedded PostgreSQL must be able to enter it.
        Path(folder).chmod(0o755)
        port = free_port()
        env = os.environ | {
            "KOMEK_DATA_DIR": str(Path(folder) / "data"),
            "KOMEK_PORT": str(port),
            "KOMEK_LOG_LEVEL": "error",
            # It opens endpoints at made-up names: nobody is to be called.
            "KOMEK_WEBHOOK_ENDPOINTS": "0",
            "KOMEK_LIMITS": "off",
        }
        env.pop("KOMEK_DATABASE_URL", None)
        service = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=env, cwd=ROOT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, service)
            keys = {society: _key(env, society) for society in ("TUR", "AZE")}
            known = asyncio.run(_world(url, keys))
            codes = [
                _fuzz(url, keys[society], known, bounds, Path(folder) / society, env)
                for society in bounds["as"].split(",")
            ]
            if service.poll() is not None:
                print("the service has ended", file=sys.stderr)
                return 1
            return max(codes)
        finally:
            service.terminate()
            service.wait(60)


def _wait(url: str, service: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and service.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not start")


def _key(env: dict[str, str], society: str) -> str:
    command = [sys.executable, "-m", "app.cli", "client", "create", society]
    made = subprocess.run(
        [*command, "--name", "fuzz", "--scope", "all"],
        env=env, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


async def _world(url: str, keys: dict[str, str]) -> str:
    """Objects in each state; what the hooks put in the place of made-up ids."""
    systems = {
        society: System(
            society,
            httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60),
        )
        for society, key in keys.items()
    }
    stage = await Stage(systems["TUR"], systems["AZE"]).build()
    own = [(await s.get("/v1/me")).json()["client"] for s in systems.values()]
    for system in systems.values():
        await system.http.aclose()
    first, second = (line["id"] for line in stage.request["lines"])
    return json.dumps(
        {
            **stage.paths(),
            "own": own,
            "body": {
                "emergency": stage.emergency,
                "request": stage.request["id"],
                "request_line": first,
                "stock": stage.lot["id"],
                "volunteers": stage.pool["id"],
                "offer": stage.accepted["id"],
                "offer_line": stage.accepted["lines"][0]["id"],
                "line": stage.on_its_way["lines"][0]["id"],
                "id": second,
                "item": "HSHEBLANPHT1",
                "skill": "usar",
                "site": "central",
            },
        }
    )


def _fuzz(
    url: str, key: str, known: str, bounds: dict[str, str], folder: Path, env: dict[str, str]
) -> int:
    folder.mkdir()
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
        "--header", f"Authorization: Bearer {key}",
        "--phases", bounds["phases"],
        "--max-examples", bounds["examples"],
        "--checks", "all",
        "--exclude-checks", ",".join(EXCLUDED),
        # Its answer has no end, for which schemathesis would wait; tests/test_stream.py reads it.
        "--exclude-path", "/v1/events/stream",
        "--continue-on-failure",
        "--request-timeout", "30",
        "--suppress-health-check", "all",
        "--warnings", "off",
        "--no-color",
        # The same cases every time: a check that fails by chance is no check.
        "--seed", "20230206",
    ]  # fmt: skip
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz_hooks", "KOMEK_FUZZ_WORLD": known}
    paths = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    # In a folder of its own: schemathesis leaves a cache and reports where it runs.
    return subprocess.run(
        command, check=False, cwd=folder, env=env | hooks | {"PYTHONPATH": paths}, timeout=LONGEST
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
