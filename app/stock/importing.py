"""Publish a whole sheet of lots, with the effect of publishing each; and give it back."""

from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import imports, incoming
from app.access.actions import Caller
from app.ledger.actions import Fact, record
from app.sheets.checking import Checked
from app.stock import merging, store

_REASONS = {
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
    "stale": ("as_of", "stale_count", "A newer count of this lot stands."),
}


async def bring_in(
    tx: AsyncConnection, caller: Caller, checked: Checked, options: imports.Options
) -> dict[str, Any]:
    """Publish the lots of a checked sheet; what became of them."""
    return await imports.bring_in(tx, caller, checked, merging, _REASONS, options)


async def give_back(tx: AsyncConnection, caller: Caller, file: IO[bytes]) -> None:
    """The caller's own lots as rows, from one snapshot, into a file."""
    await incoming.give_back(tx, merging.EXPORT, caller.society, file)


async def bring_in_sites(
    tx: AsyncConnection, caller: Caller, checked: Checked, options: imports.Options
) -> dict[str, Any]:
    """Publish the sites of a checked sheet; what became of them. None is ever closed by it."""
    report = checked.begin(dry_run=options.dry_run)
    await incoming.wait_turn(tx, merging.site_tables, caller.society)
    await incoming.take(tx, merging.site_tables, checked.spool)
    report.faults(imports.doubled(await incoming.doubled(tx)))
    if options.all_or_nothing:
        imports.all_or_nothing(report)
    facts = []
    for row in await merging.different_sites(tx, caller.society):
        told = {name: getattr(row, name) for name in ("name", "country", "lat", "lon", "kind")}
        report.created += row.created
        report.changed += not row.created
        if options.dry_run:
            continue
        place = {"id": row.id, "society": caller.society, "ref": row.ref, **told}
        site = await store.put_site(tx, place)
        facts.append(
            Fact(
                "site.opened" if site.created else "site.changed",
                site.id,
                {"ref": row.ref, **told},
                audience=[caller.society],
            )
        )
    await record(tx, caller.actor, *facts)
    report.unchanged = report.rows - report.refused - report.created - report.changed
    return report.content()
