"""Publish a whole sheet of lots, with the effect of publishing each; and give it back."""

from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import imports
from app.access.actions import Caller
from app.sheets.checking import Checked
from app.stock import merging

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
}


async def bring_in(
    tx: AsyncConnection, caller: Caller, checked: Checked, options: imports.Options
) -> dict[str, Any]:
    """Publish the lots of a checked sheet; what became of them."""
    return await imports.bring_in(tx, caller, checked, merging, _REASONS, options)


async def give_back(tx: AsyncConnection, caller: Caller, file: IO[bytes]) -> None:
    """The caller's own lots as rows, from one snapshot, into a file."""
    await merging.export(tx, caller.society, file)
