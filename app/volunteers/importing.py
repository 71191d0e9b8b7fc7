"""Publish a whole sheet of pools, with the effect of publishing each; and give it back."""

from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import imports, incoming
from app.access.actions import Caller
from app.sheets.checking import Checked
from app.volunteers import merging

_REASONS = {
    "skill": ("skill", "unknown", "There is no such skill in the catalogue: `GET /v1/skills`."),
    "site": (
        "site",
        "unknown",
        "You have no such site. Publish it first: `PUT /v1/my/sites/{ref}`, or many at once by "
        "`POST /v1/my/sites/import`.",
    ),
    "visible_to": ("visible_to", "unknown", "One of these is no society of the network."),
    "promised": (
        "skill",
        "pool_reserved",
        "The skill of a pool with promised people cannot change.",
    ),
    "stale": ("as_of", "stale_count", "A newer count of this pool stands."),
}


async def bring_in(
    tx: AsyncConnection, caller: Caller, checked: Checked, options: imports.Options
) -> dict[str, Any]:
    """Publish the pools of a checked sheet; what became of them."""
    return await imports.bring_in(tx, caller, checked, merging, _REASONS, options)


async def give_back(tx: AsyncConnection, caller: Caller, file: IO[bytes]) -> None:
    """The caller's own pools as rows, from one snapshot, into a file."""
    await incoming.give_back(tx, merging.EXPORT, caller.society, file)
