"""The locks: what is installed is what the project asks for, and exactly the files it was."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WANTED = {
    "run": PROJECT["project"]["dependencies"],
    "dev": PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"],
    "bench": PROJECT["project"]["dependencies"]
    + PROJECT["project"]["optional-dependencies"]["bench"],
    "build": PROJECT["build-system"]["requires"],
}


def locked(name: str) -> dict[str, tuple[Version, list[str]]]:
    """The packages of a lock: version and hashes."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    found: dict[str, tuple[Version, list[str]]] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        words = entry.split()
        assert re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.!+]+", words[0]), entry[:80]
        package, _, version = words[0].partition("==")
        found[canonicalize_name(package)] = (Version(version), words[1:])
    return found


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_holds_every_dependency_in_a_version_that_satisfies_it(name: str) -> None:
    packages = locked(name)
    for line in WANTED[name]:
        wanted = Requirement(line)
        version, _ = packages[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), line


@pytest.mark.parametrize("name", WANTED)
def test_every_package_of_a_lock_is_held_by_hashes_and_no_address_is_named(name: str) -> None:
    for package, (_, hashes) in locked(name).items():
        assert hashes, package
        for given in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", given), (package, given)
    assert "://" not in (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["run", "build"])
def test_the_image_runs_what_the_tests_ran(name: str) -> None:
    tested = locked("dev")
    for package, (version, hashes) in locked(name).items():
        assert tested[package] == (version, hashes), package
