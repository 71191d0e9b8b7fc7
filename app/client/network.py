"""The network: members, systems and keys, the catalogue, and what all societies have."""

from collections.abc import AsyncGenerator
from typing import Any, cast
from urllib.parse import quote

from app.client.agreed import Board
from app.client.calling import Caller
from app.client.given import (
    Category,
    ClientInput,
    ItemInput,
    RotationInput,
    SkillInput,
    SocietyInput,
)
from app.client.shown import (
    Client,
    ClientWithKey,
    Conversion,
    Item,
    LotShown,
    Me,
    PoolShown,
    Skill,
    Society,
)


class Network(Caller):
    """What everybody may read, and the master data."""

    async def me(self) -> Me:
        """Who the caller is. Begin here."""
        return cast(Me, await self.get("/v1/me"))

    def societies(self) -> AsyncGenerator[Society, None]:
        """The members."""
        return self.listed("/v1/societies")

    async def admit_society(
        self, society: str, body: SocietyInput, *, if_match: str | None = None
    ) -> Society:
        """Admit or change a member; the secretariat's alone."""
        return cast(Society, await self.put(f"/v1/societies/{_part(society)}", body, if_match))

    def clients(self) -> AsyncGenerator[Client, None]:
        """The systems of your society."""
        return self.listed("/v1/clients")

    async def create_client(self, client: ClientInput, *, once: str | None = None) -> ClientWithKey:
        """Create a system. Its `key` is in this answer alone; null where the answer is a repeat."""
        return cast(ClientWithKey, await self.post("/v1/clients", client, once=once))

    async def rotate_client(
        self, client: str, overlap: RotationInput | None = None, *, once: str | None = None
    ) -> ClientWithKey:
        """Give a system a new key."""
        path = f"/v1/clients/{_part(client)}/rotate"
        return cast(ClientWithKey, await self.post(path, overlap, once=once))

    async def revoke_client(self, client: str) -> None:
        """Revoke a system and its keys."""
        await self.delete(f"/v1/clients/{_part(client)}")

    def items(
        self, q: str | None = None, category: Category | None = None
    ) -> AsyncGenerator[Item, None]:
        """Items whose code or name, in any language, holds the words of `q`."""
        return self.listed("/v1/items", q=q, category=category)

    async def read_item(self, code: str) -> Item:
        """One item."""
        return cast(Item, await self.get(f"/v1/items/{_part(code)}"))

    async def put_item(self, code: str, item: ItemInput, *, if_match: str | None = None) -> Item:
        """Create or replace an item; the secretariat's alone."""
        return cast(Item, await self.put(f"/v1/items/{_part(code)}", item, if_match))

    async def convert(self, code: str, quantity: int, pack: str) -> Conversion:
        """How many packs a quantity is; refused where they cannot express it."""
        path = f"/v1/items/{_part(code)}/conversion"
        return cast(Conversion, await self.get(path, quantity=quantity, pack=pack))

    def skills(self, q: str | None = None) -> AsyncGenerator[Skill, None]:
        """Skills whose code or name, in any language, holds the words of `q`."""
        return self.listed("/v1/skills", q=q)

    async def read_skill(self, code: str) -> Skill:
        """One skill."""
        return cast(Skill, await self.get(f"/v1/skills/{_part(code)}"))

    async def put_skill(
        self, code: str, skill: SkillInput, *, if_match: str | None = None
    ) -> Skill:
        """Create or replace a skill; the secretariat's alone."""
        return cast(Skill, await self.put(f"/v1/skills/{_part(code)}", skill, if_match))

    def find_lots(
        self,
        item: str | None = None,
        *,
        substitutes: bool | None = None,
        society: str | None = None,
        country: str | None = None,
        min_available: int | None = None,
        expires_after: str | None = None,
        near: tuple[float, float] | None = None,
        within_km: float | None = None,
    ) -> AsyncGenerator[LotShown, None]:
        """Stock of the whole network; nearest first with `near` (latitude, longitude)."""
        return self.listed(
            "/v1/stock",
            item=item,
            substitutes=substitutes,
            society=society,
            country=country,
            min_available=min_available,
            expires_after=expires_after,
            near=near,
            within_km=within_km,
        )

    async def read_lot(self, lot: str) -> LotShown:
        """One lot as everybody sees it."""
        return cast(LotShown, await self.get(f"/v1/stock/{_part(lot)}"))

    def find_pools(
        self,
        skill: str | None = None,
        *,
        from_: str | None = None,
        until: str | None = None,
        min_headcount: int | None = None,
        language: str | None = None,
        society: str | None = None,
        country: str | None = None,
    ) -> AsyncGenerator[PoolShown, None]:
        """Volunteers of the whole network, as many as are free for the whole window."""
        return self.listed(
            "/v1/volunteers",
            skill=skill,
            from_=from_,
            until=until,
            min_headcount=min_headcount,
            language=language,
            society=society,
            country=country,
        )

    async def read_pool(self, pool: str) -> PoolShown:
        """One pool as everybody sees it."""
        return cast(PoolShown, await self.get(f"/v1/volunteers/{_part(pool)}"))

    async def board(self, emergency: str, *, include_cancelled: bool = False) -> Board:
        """The mobilisation table of an emergency, all pages of it in one.

        Head, totals and `as_of` are those of the last page, the newest.
        """
        path = f"/v1/emergencies/{_part(emergency)}/board"
        wanted: dict[str, Any] = {"limit": 200}
        if include_cancelled:
            wanted["include_cancelled"] = "true"
        lines, unsolicited = [], []
        while True:
            page = cast(Board, await self.get(path, **wanted))
            lines += page["lines"]
            unsolicited += page["unsolicited"]
            if page["next"] is None:
                page["lines"], page["unsolicited"] = lines, unsolicited
                return page
            wanted["cursor"] = page["next"]

    async def board_csv(self, emergency: str, *, include_cancelled: bool = False) -> str:
        """The mobilisation table as CSV with HXL tags, whole."""
        path = f"/v1/emergencies/{_part(emergency)}/board"
        wanted = {"format": "csv"}
        if include_cancelled:
            wanted["include_cancelled"] = "true"
        return (await self.call("GET", path, query=wanted)).text


def _part(value: str) -> str:
    return quote(value, safe="")
