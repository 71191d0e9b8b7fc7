"""Publish a whole sheet of lots, with the effect of publishing each; and give it back."""

from typing import IO, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, db
from app.access import actions as access
from app.access.actions import Caller
from app.errors import AppError
from app.idempotency import Overtaken
from app.ledger.actions import record_many
from app.sheets.checking import Checked
from app.sheets.reports import Report, refused
from app.stock import merging

_FAULTS = {
    "item": ("item", "unknown", "There is no such item in the catalogue: `GET /v1/items?q=`."),
    "pack": ("pack", "unknown", "The item has no such pack: see `GET /v1/items/{code}`."),
    "quantity": ("quantity", "too_large", "This is too much in base units."),
    "site": (
        "site",
        "unknown",
        "You have no such site. Publish it first: `PUT /v1/my/sites/{ref}`, or many at once by "
        "`POST /v1/my/sites/import`.",
    ),
    "visible_to": ("visible_to", "unknown", "One of these is no society of the network."),
    "reserved": (
        "item",
        "lot_reserved",
        "The item of a lot with reservations cannot change.",
    ),
}


def _told(faults: list[Any]) -> list[tuple[int, str | None, str, str]]:
    return [(row, *_FAULTS[fault]) for row, fault in faults]


async def bring_in(
    tx: AsyncConnection,
    caller: Caller,
    checked: Checked,
    *,
    replace: bool = False,
    dry_run: bool = False,
    all_or_nothing: bool = False,
    seconds: float = 600,
) -> dict[str, Any]:
    """Publish the rows of a checked sheet; what became of them.

    The guards and the effect are those of `publish` for each row. What does not differ is left
    alone. With `replace`, what is not listed is withdrawn, unless something of it is promised.
    """
    report = checked.begin(dry_run=dry_run)
    society = caller.society
    await db.allow(tx, seconds)
    if not dry_run:
        await merging.wait_turn(tx, society)
    await merging.take(tx, checked.spool)
    report.faults(
        (row, "ref", "doubled", f"This `ref` stands in row {first} already.")
        for row, first in await merging.doubled(tx)
    )
    societies = await access.society_codes(tx)
    faults, created, changed = await merging.plan(tx, society, societies)
    report.faults(_told(faults))
    if all_or_nothing:
        _all_or_nothing(report)
    withdraws = replace and _may_withdraw(checked, report)
    if dry_run:
        report.created, report.changed = created, changed
        if withdraws:
            report.withdrawn = await merging.would_withdraw(tx, society)
    else:
        await merging.lock(tx, society, replace=withdraws)
        values = {"society": society, "now": clock.now()}
        try:
            faults, report.created, report.changed = await merging.merge(tx, values)
        except IntegrityError as error:
            # A lot was created, or a site closed, between our plan and our lock: plan again.
            raise Overtaken from error
        report.faults(_told(faults))
        if all_or_nothing:
            _all_or_nothing(report)
        if withdraws:
            report.withdrawn = await merging.withdraw(tx, values)
        for facts in (
            merging.published(society),
            merging.SHORTFALLS,
            merging.withdrawn(society),
        ):
            await record_many(tx, caller.actor, facts)
    if withdraws:
        report.keep(await merging.kept(tx, society))
    report.unchanged = report.rows - report.refused - report.created - report.changed
    return report.content()


def _all_or_nothing(report: Report) -> None:
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
            "they may list any of your lots. Correct them and import again."
        )
    return not checked.unnamed


async def give_back(tx: AsyncConnection, caller: Caller, file: IO[bytes]) -> None:
    """The caller's own lots as rows, from one snapshot, into a file."""
    await merging.export(tx, caller.society, file)
