"""What became of an import: counts, and for each row at fault its number, field and reason."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_ERRORS = 1000
"""So many are told one by one; all are counted."""


@dataclass(slots=True)
class Report:
    """The counts of an import. Every row is created, changed, unchanged or refused."""

    dry_run: bool = False
    rows: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: int = 0
    errors_total: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    kept_reserved: list[dict[str, Any]] = field(default_factory=list)
    kept_reserved_total: int = 0
    notes: list[str] = field(default_factory=list)

    def fault(self, row: int, name: str | None, code: str, message: str) -> None:
        """Tell of one fault."""
        self.errors_total += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append({"row": row, "field": name, "code": code, "message": message})

    def faults(self, found: Iterable[tuple[int, str | None, str, str]]) -> None:
        """Tell of several, each of a row that is refused by it alone."""
        for row, name, code, message in found:
            self.refused += 1
            self.fault(row, name, code, message)

    def keep(self, reserved: Iterable[tuple[str, int]]) -> None:
        """Tell what is not withdrawn because something of it is promised: (ref, how much)."""
        for ref, promised in reserved:
            self.kept_reserved_total += 1
            if len(self.kept_reserved) < MOST_ERRORS:
                self.kept_reserved.append({"ref": ref, "reserved": promised})

    def content(self) -> dict[str, Any]:
        """As it is shown."""
        return {
            "dry_run": self.dry_run,
            "rows": self.rows,
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "withdrawn": self.withdrawn,
            "refused": self.refused,
            "errors_total": self.errors_total,
            "errors": sorted(self.errors, key=lambda e: e["row"]),
            "kept_reserved_total": self.kept_reserved_total,
            "kept_reserved": self.kept_reserved,
            "notes": self.notes,
        }


def refused(content: dict[str, Any]) -> dict[str, Any]:
    """The members of a report as those of a problem: each error with a pointer as well."""
    errors = [{"pointer": _pointer(e["row"], e["field"]), **e} for e in content["errors"]]
    return {**content, "created": 0, "changed": 0, "withdrawn": 0, "errors": errors}


def _pointer(row: int, field: str | None) -> str:
    # Row 0 is the file as a whole, as "" is a whole document of JSON.
    place = f"row/{row}" if row else ""
    return f"{place}/{field}" if field else place
