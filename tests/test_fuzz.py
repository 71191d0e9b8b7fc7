"""A short run of the fuzz; the long one is `python -m tests.fuzz` in `make check`."""

import subprocess
import sys

from tests.fuzz import ROOT


def test_the_service_keeps_to_its_own_document() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--smoke"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
