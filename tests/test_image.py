"""The image and the compose file: there is no engine here, so each command is run by itself."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from app import inspection
from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import serving
from tests.conftest import free_port
from tests.processes import accounts, make_database, wait_until_ready

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, stage by stage."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = [[]]
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append((word, rest.strip()))
    return found[1:]


BUILD, FINAL = stages()


def final(word: str) -> str:
    """The last instruction of this kind in the final stage."""
    return [rest for given, rest in FINAL if given == word][-1]


def environment() -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(final("ENV")))


def test_the_image_runs_as_an_account_without_rights_and_is_stopped_by_sigterm() -> None:
    assert final("USER") == "komek"
    assert "--uid 10001" in final("RUN")
    assert final("STOPSIGNAL") == "SIGTERM"
    assert json.loads(final("CMD")) == ["komek", "serve"], "exec form: the signal must reach it"
    assert not [
        rest for word, rest in BUILD + FINAL if re.search(r"(?i)password|secret|key=", rest)
    ]


def test_nothing_but_the_code_can_get_into_the_image() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    copied = {
        source.split("/")[0]
        for word, rest in BUILD
        if word == "COPY"
        for source in rest.split()[:-1]
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


def interpreter() -> tuple[str, dict[str, Any]]:
    """A Python for the image's environment, and the account that can run it: not root, if any."""
    for python in (sys.executable, "/usr/bin/python3"):
        ready = "import ensurepip, sys; assert sys.version_info >= (3, 11)"
        with contextlib.suppress(OSError):
            found = [str(Path(python).resolve()), "-c", ready]
            if not subprocess.run(
                found, cwd="/", check=False, stderr=subprocess.DEVNULL, **accounts()
            ).returncode:
                return python, dict(accounts())
    return sys.executable, {}


PYTHON, ACCOUNT = interpreter()


@pytest.fixture(scope="module")
def image(scratch: Path) -> Iterator[Path]:
    """The final stage's file system, made by the build stage's own commands in a folder."""
    place = scratch / "image"
    source = place / "src"
    source.mkdir(parents=True)
    for name in ("app", "migrations", "requirements"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    (source / "README.md").write_text("Kömek\n", encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for word, rest in BUILD:
        if word == "RUN":
            command = rest.replace("/opt/", f"{place}/opt/")
            command = command.replace("python -m venv", f"{PYTHON} -m venv")
            ended = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=source,
                env=clean,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 0, ended.stderr[-2000:]
    shutil.rmtree(source)
    yield place
    shutil.rmtree(place)


def test_the_image_starts_is_healthy_and_stops_without_writing_to_its_files(
    image: Path, scratch: Path, postgres: EmbeddedPostgres
) -> None:
    url = make_database(postgres, "image")
    port = free_port()
    given = environment()
    env = {
        **given,
        "PATH": given["PATH"]
        .replace("/opt/", f"{image}/opt/")
        .replace("$PATH", os.environ["PATH"]),
        "KOMEK_HOST": "127.0.0.1",
        "KOMEK_PORT": str(port),
        "KOMEK_DATA_DIR": str(image / "data"),
        "KOMEK_DATABASE_URL": url,
        "KOMEK_WORKERS": COMPOSE["services"]["komek"]["environment"]["KOMEK_WORKERS"][-2],
        "KOMEK_LOG_LEVEL": "warning",
        "PGPASSWORD": "",
    }
    before = listing(image)
    command = json.loads(final("CMD"))
    service = subprocess.Popen(
        [str(image / "opt/komek/bin" / command[0]), *command[1:]], cwd="/", env=env, **ACCOUNT
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", service)
        check = json.loads(final("HEALTHCHECK").partition("CMD ")[2])
        python = str(image / "opt/komek/bin" / check[0])
        healthy = subprocess.run([python, *check[1:]], cwd="/", env=env, check=False, **ACCOUNT)
        assert healthy.returncode == 0
    finally:
        service.send_signal(getattr(signal, final("STOPSIGNAL")))
        assert service.wait(60) == 0
    sick = subprocess.run(
        [python, *check[1:]], cwd="/", env=env, capture_output=True, check=False, **ACCOUNT
    )
    assert sick.returncode != 0
    assert listing(image) == before


def listing(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*")}


def test_the_compose_file_follows_its_schema() -> None:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    # Variables are put in before the schema is applied; so they are here.
    filled = json.loads(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", json.dumps(COMPOSE)))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(filled)] == []
    filled["services"]["komek"]["read_onyl"] = True
    assert list(Draft202012Validator(schema).iter_errors(filled)), "the schema notices nothing"


def test_the_compose_file_is_understood_by_compose() -> None:
    docker = shutil.which("docker")
    known = docker and subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False
    )
    if not known or known.returncode:
        pytest.skip("`docker compose` is not installed here")
    command = [str(docker), "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "-q"]
    without = {k: v for k, v in os.environ.items() if k != "KOMEK_DB_PASSWORD"}
    refused = subprocess.run(command, capture_output=True, text=True, env=without, check=False)
    assert refused.returncode and "set KOMEK_DB_PASSWORD" in refused.stderr
    given = {**without, "KOMEK_DB_PASSWORD": "x"}
    assert subprocess.run(command, env=given, check=False).returncode == 0


def test_compose_has_no_default_password() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for name, value in re.findall(r"(\w*PASSWORD\w*): (.*)", text):
        assert value.startswith("${KOMEK_DB_PASSWORD:?"), name
    url = COMPOSE["services"]["komek"]["environment"]["KOMEK_DATABASE_URL"]
    assert re.fullmatch(r"postgresql://\w+@[\w:/]+", url), "no password within the URL"


@pytest.mark.parametrize("name", ["komek", "postgres"])
def test_each_container_can_do_no_more_than_it_must(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert {"memory", "cpus"} <= set(service["deploy"]["resources"]["limits"])
    assert service["pids_limit"] <= 300
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def composed() -> dict[str, str]:
    """The environment of the service as compose sets it, with what stands for unset variables."""
    text = json.dumps(COMPOSE["services"]["komek"]["environment"])
    given: dict[str, str] = json.loads(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return {**environment(), **given}


def megabytes(size: str) -> float:
    number, unit = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)([mg])\}?", size.lower()).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "g": 1024}[unit]


def mounts(kind: str) -> dict[str, str]:
    """Where something of this kind is mounted in the service, and the rest of its entry."""
    entries = (entry.split(":", 1) for entry in COMPOSE["services"]["komek"][kind])
    if kind == "volumes":
        return {place: name for name, place in entries}
    return dict(entries)


def test_the_files_of_imports_and_the_counters_of_workers_lie_apart() -> None:
    env = composed()
    files, counters = env["TMPDIR"], env["KOMEK_METRICS_DIR"]
    # On the disk: what is allowed is more than a container has memory for.
    assert mounts("volumes")[files] in COMPOSE["volumes"]
    assert files not in mounts("tmpfs")
    assert "uid=10001" in mounts("tmpfs")[counters]
    assert not Path(files).is_relative_to(counters)
    assert not Path(counters).is_relative_to(files)
    assert f"--mode=0750 {files}" in final("RUN"), "a new volume takes its owner from the image"
    size = re.search(r"size=(\w+)", mounts("tmpfs")[counters])
    assert size is not None
    # A worker has some files of up to a megabyte; those of workers that ended stay.
    assert megabytes(size[1]) >= 16 * int(env["KOMEK_WORKERS"])


def test_the_container_has_the_memory_that_the_settings_allow() -> None:
    env = composed()
    settings = Settings.from_env({k: v for k, v in env.items() if k != "KOMEK_METRICS_DIR"})
    limits = COMPOSE["services"]["komek"]["deploy"]["resources"]["limits"]
    sizes = [re.search(r"size=(\w+)", rest) for rest in mounts("tmpfs").values()]
    held = sum(megabytes(size[1]) for size in sizes if size)
    checks = inspection.AT_ONCE * inspection.MEMORY / 2**20
    # The worker itself, and the processes that stand ready to plan and to check.
    one = 400 + checks + settings.plans_at_once * settings.plan_memory / 2**20
    assert held + settings.workers * one <= megabytes(limits["memory"])


def test_a_folder_for_counters_is_used_where_it_is_named(tmp_path: Path) -> None:
    settings = Settings.from_env({"KOMEK_WORKERS": "2", "KOMEK_METRICS_DIR": str(tmp_path)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
        with serving._metrics_folder(settings):
            assert Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).parent == tmp_path
    with pytest.raises(ValueError, match="KOMEK_METRICS_DIR"):
        Settings.from_env({"KOMEK_METRICS_DIR": str(tmp_path / "none")})


def test_the_database_keeps_its_data_in_a_named_volume_where_version_18_expects_it() -> None:
    postgres = COMPOSE["services"]["postgres"]
    assert postgres["image"] == "postgres:18"
    name, _, place = postgres["volumes"][0].partition(":")
    assert place == "/var/lib/postgresql"
    assert name in COMPOSE["volumes"]
    assert COMPOSE["services"]["komek"]["depends_on"]["postgres"]["condition"] == "service_healthy"
