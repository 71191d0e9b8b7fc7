"""The steps of an import, whatever is imported: one transaction, few statements, one report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, db, incoming
from app.access import actions as access
from app.access.actions import Caller
from app.errors import AppError
from app.idempotency import Overtaken
from app.incoming import Tables
from app.ledger.actions import record_many
from app.ledger.rules import Facts
from app.sheets.checking import Checked
from app.sheets.reports import Report, refused

Rows = Sequence[Any]


class Merging(Protocol):
    """The SQL of an import; a room's own."""

    @property
    def tables(self) -> Tables:
        """What the import makes for its transaction."""

    @property
    def facts(self) -> Sequence[Facts]:
        """What the ledger is told."""

    async def plan(self, tx: AsyncConnection, values: Mapping[str, Any]) -> None:
        """Compare with what is published: what is new, what differs, what is at fault."""

    async def lock(self, tx: AsyncConnection, values: Mapping[str, Any]) -> None:
        """Hold what will change, in the order of ids."""

    async def merge(self, tx: AsyncConnection, values: Mapping[str, Any]) -> Rows:
        """Publish what is planned; (row, fault) of what became impossible."""

    async def withdraw(self, tx: AsyncConnection, values: Mapping[str, Any]) -> int:
        """Take off the exchange what is not listed and not promised; how many."""

    async def would_withdraw(self, tx: AsyncConnection, values: Mapping[str, Any]) -> int:
        """How many are neither listed nor promised."""

    async def kept(self, tx: AsyncConnection, values: Mapping[str, Any]) -> Rows:
        """(ref, how much is promised) of what is not listed but promised."""


_ROUNDS = 20
_MEANWHILE = frozenset({"UniqueViolationError", "ForeignKeyViolationError"})


@dataclass(frozen=True, slots=True)
class Options:
    """How to import; `seconds` is how long a statement may take."""

    replace: bool = False
    dry_run: bool = False
    all_or_nothing: bool = False
    seconds: float = 600
    as_of: datetime | None = None
    """When the rows were counted that have no date of their own."""


Reasons = Mapping[str, tuple[str, str, str]]
"""What a fault of the SQL is called: (field, code, message)."""


def _told(reasons: Reasons, faults: Rows) -> list[tuple[int, str | None, str, str]]:
    return [(row, *reasons[fault]) for row, fault in faults]


async def _merged(tx: AsyncConnection, merging: Merging, values: Mapping[str, Any]) -> Rows:
    """Plan, hold and publish; again where something was created, or a site closed, meanwhile."""
    for _ in range(_ROUNDS):
        try:
            async with db.savepoint(tx):
                await merging.plan(tx, values)
                await merging.lock(tx, values)
                late = await merging.merge(tx, values)
                return [*await incoming.faults(tx), *late]
        except IntegrityError as error:
            if type(getattr(error, "driver_exception", None)).__name__ not in _MEANWHILE:
                raise
            # Single publications of the same references came first. They are committed now, so
            # that the next plan sees them; the rows need not be sent again.
            continue
    raise Overtaken


def doubled(found: Rows) -> list[tuple[int, str | None, str, str]]:
    """The faults of rows whose reference stands further up already."""
    return [
        (row, "ref", "doubled", f"This `ref` stands in row {first} already.")
        for row, first in found
    ]


async def bring_in(
    tx: AsyncConnection,
    caller: Caller,
    checked: Checked,
    merging: Merging,
    reasons: Reasons,
    options: Options,
) -> dict[str, Any]:
    """Publish the rows of a checked sheet; what became of them.

    The guards and the effect are those of publishing each row. What does not differ is left
    alone. With `replace`, what is not listed is withdrawn, unless something of it is promised.
    """
    report = checked.begin(dry_run=options.dry_run)
    await db.allow(tx, options.seconds)
    if not options.dry_run:
        await incoming.wait_turn(tx, merging.tables, caller.society)
    await incoming.take(tx, merging.tables, checked.spool)
    if options.as_of is not None:
        await incoming.date(tx, options.as_of)
    report.faults(doubled(await incoming.doubled(tx)))
    values = {
        "society": caller.society,
        "societies": await access.society_codes(tx),
        "replace": options.replace and _may_withdraw(checked, report),
        "now": clock.now(),
    }
    if options.dry_run:
        await merging.plan(tx, values)
        report.faults(_told(reasons, await incoming.faults(tx)))
        report.created, report.changed = await incoming.planned(tx)
        if values["replace"]:
            report.withdrawn = await merging.would_withdraw(tx, values)
    else:
        report.faults(_told(reasons, await _merged(tx, merging, values)))
        report.created, report.changed = await incoming.published(tx)
    if options.all_or_nothing:
        all_or_nothing(report)
    if not options.dry_run:
        if values["replace"]:
            report.withdrawn = await merging.withdraw(tx, values)
        for facts in merging.facts:
            await record_many(tx, caller.actor, facts)
    if values["replace"]:
        report.keep(await merging.kept(tx, values))
    report.unchanged = report.rows - report.refused - report.created - report.changed
    return report.content()


def all_or_nothing(report: Report) -> None:
    """Refuse the whole where a row is at fault."""
    if report.refused:
        raise AppError(
            "import_refused",
            f"{report.refused} of {report.rows} rows are at fault; nothing was changed.",
            extra=refused(report.content()),
        )


def _may_withdraw(checked: Checked, report: Report) -> bool:
    # A row without a readable reference may mean any lot: to withdraw the one that it lists
    # would do what its owner never asked.
    if checked.unnamed:
        report.notes.append(
            f"Nothing was withdrawn: of {checked.unnamed} rows the `ref` could not be read, and "
            "they may list anything of yours. Correct them and import again."
        )
    return not checked.unnamed
