"""What a society publishes of its own: sites, lots, pools; one by one and by the file."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import quote

from app.client.calling import Caller, Content, shown
from app.client.given import LotInput, PoolInput, SiteInput
from app.client.shown import ImportReport, OwnLot, OwnPool, Site

Form = Literal["csv", "xlsx", "ndjson"]
Mode = Literal["merge", "replace"]
Kind = Literal["stock", "volunteers", "sites"]
MEDIA: dict[Form, str] = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ndjson": "application/x-ndjson",
}
_CHUNK = 65_536
_IMPORT_PATIENCE = 3600.0
"""A file takes longer than a call: seconds of patience with it."""
_SLOWEST = 2_000
"""Bytes a second: a link that is slower is none for a file."""
_LONGEST_CARRYING = 900.0


class Publishing(Caller):
    """The caller's own sites, lots and pools, under its own references."""

    def sites(self) -> AsyncGenerator[Site, None]:
        """Your sites."""
        return self.listed("/v1/my/sites")

    async def read_site(self, ref: str) -> Site:
        """One of your sites."""
        return cast(Site, await self.get(f"/v1/my/sites/{_part(ref)}"))

    async def publish_site(self, ref: str, site: SiteInput, *, if_match: str | None = None) -> Site:
        """Create or replace a site."""
        return cast(Site, await self.put(f"/v1/my/sites/{_part(ref)}", site, if_match))

    async def remove_site(self, ref: str, *, if_match: str | None = None) -> None:
        """Remove a site."""
        await self.delete(f"/v1/my/sites/{_part(ref)}", if_match)

    def own_lots(self) -> AsyncGenerator[OwnLot, None]:
        """Your lots, with what is reserved of them."""
        return self.listed("/v1/my/stock")

    async def read_own_lot(self, ref: str) -> OwnLot:
        """One of your lots."""
        return cast(OwnLot, await self.get(f"/v1/my/stock/{_part(ref)}"))

    async def publish_lot(self, ref: str, lot: LotInput, *, if_match: str | None = None) -> OwnLot:
        """Publish a lot or its new count."""
        return cast(OwnLot, await self.put(f"/v1/my/stock/{_part(ref)}", lot, if_match))

    async def remove_lot(self, ref: str, *, if_match: str | None = None) -> None:
        """Take a lot off the exchange; refused while something of it is promised."""
        await self.delete(f"/v1/my/stock/{_part(ref)}", if_match)

    def own_pools(self) -> AsyncGenerator[OwnPool, None]:
        """Your pools, with how many people are promised."""
        return self.listed("/v1/my/volunteers")

    async def read_own_pool(self, ref: str) -> OwnPool:
        """One of your pools."""
        return cast(OwnPool, await self.get(f"/v1/my/volunteers/{_part(ref)}"))

    async def publish_pool(
        self, ref: str, pool: PoolInput, *, if_match: str | None = None
    ) -> OwnPool:
        """Publish a pool of volunteers or its new headcount."""
        return cast(OwnPool, await self.put(f"/v1/my/volunteers/{_part(ref)}", pool, if_match))

    async def remove_pool(self, ref: str, *, if_match: str | None = None) -> None:
        """Take a pool off the exchange; refused while people of it are promised."""
        await self.delete(f"/v1/my/volunteers/{_part(ref)}", if_match)

    async def import_stock(self, source: Path | bytes, form: Form, **how: Any) -> ImportReport:
        """Publish many lots from a file; see `import_rows`."""
        return await self.import_rows("stock", source, form, **how)

    async def import_volunteers(self, source: Path | bytes, form: Form, **how: Any) -> ImportReport:
        """Publish many pools from a file; see `import_rows`."""
        return await self.import_rows("volunteers", source, form, **how)

    async def import_sites(self, source: Path | bytes, form: Form, **how: Any) -> ImportReport:
        """Publish many sites from a file, before the lots and pools that stand at them."""
        return await self.import_rows("sites", source, form, **how)

    async def import_rows(
        self,
        kind: Kind,
        source: Path | bytes,
        form: Form,
        *,
        mode: Mode = "merge",
        dry_run: bool = False,
        all_or_nothing: bool = False,
        charset: str | None = None,
        as_of: str | None = None,
        once: str | None = None,
        patience: float = _IMPORT_PATIENCE,
    ) -> ImportReport:
        """Publish the rows of a file. Good rows go in, bad ones are told by number and reason.

        `as_of` is when lots or pools were counted that have no date of their own in the file; sites
        have none. `merge` leaves what the file does not list; `replace` withdraws it, as far as
        nothing of it is promised. A path is read anew for every attempt and never held whole in
        memory.
        """
        media = MEDIA[form] + (f"; charset={charset}" if charset else "")
        response = await self.call(
            "POST",
            f"/v1/my/{kind}/import",
            query={
                "mode": mode,
                "dry_run": dry_run or None,
                "all_or_nothing": all_or_nothing or None,
                "as_of": as_of,
            },
            content=_content(source),
            headers={"Content-Type": media},
            once=once,
            patience=patience,
            carrying=min(_size(source) / _SLOWEST, _LONGEST_CARRYING),
        )
        return cast(ImportReport, shown(response))

    async def export_stock(self, form: Form, into: BinaryIO) -> None:
        """Write your lots as a file, which can be imported again unchanged."""
        await self.export_rows("stock", form, into)

    async def export_volunteers(self, form: Form, into: BinaryIO) -> None:
        """Write your pools as a file, which can be imported again unchanged."""
        await self.export_rows("volunteers", form, into)

    async def export_rows(self, kind: Kind, form: Form, into: BinaryIO) -> None:
        """Write what is published as a file; nothing is written where it does not arrive whole."""
        response = await self.call(
            "GET", f"/v1/my/{kind}/export", query={"format": form}, patience=_IMPORT_PATIENCE
        )
        into.write(response.content)


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _content(source: Path | bytes) -> Content:
    if isinstance(source, bytes):
        return source

    async def read() -> AsyncIterator[bytes]:
        # From the disk beside it: shorter than the time that the network takes for the chunk.
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    return read


def _part(ref: str) -> str:
    return quote(ref, safe="")
