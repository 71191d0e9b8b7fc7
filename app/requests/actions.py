"""Open, change, close and cancel a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, ids
from app.access.actions import Caller
from app.calls import Precondition
from app.catalogue import actions as catalogue
from app.emergencies import actions as emergencies
from app.errors import AppError, invalid, missing, unknown, wrong_state
from app.ledger.actions import Fact, record
from app.requests import store

Moves = list[tuple[str, str, int]]

MOST_LINES = 500
"""Of one request."""
MOST_OPEN_LINES = 2_000
"""Of one society's open requests in one emergency: more could not be planned with the others'."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the help is to go."""

    name: str
    country: str
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line as it is asked for; `quantity` in packs where `pack` is given."""

    kind: str
    quantity: int
    item: str | None = None
    pack: str | None = None
    accept_substitutes: bool = False
    skill: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resized:
    """A line that asks for another quantity now."""

    line: UUID
    kind: str
    quantity: int
    accept_substitutes: bool | None = None

    def alters(self, line: Any) -> bool:
        """Whether a stored line is another one after it."""
        substitutes = self.accept_substitutes
        return self.quantity != line.requested or (
            substitutes is not None and substitutes != line.accept_substitutes
        )


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request as it is opened."""

    emergency: UUID
    ref: str | None
    title: str
    priority: str
    needed_by: datetime
    destination: Destination
    lines: Sequence[NewLine]
    notes: str | None


async def open_request(tx: AsyncConnection, caller: Caller, new: NewRequest) -> tuple[UUID, str]:
    """Ask the network; (id, JSON)."""
    await emergencies.hold_open(tx, new.emergency, "/emergency")
    request, now = ids.new_id(), clock.now()
    lines = [
        await _line(tx, request, position, line, f"/lines/{position}")
        for position, line in enumerate(new.lines)
    ]
    place = new.destination
    await store.add(
        tx,
        {
            "id": request,
            "emergency": new.emergency,
            "society": caller.society,
            "ref": new.ref,
            "title": new.title,
            "priority": new.priority,
            "needed_by": new.needed_by,
            "place": place.name,
            "country": place.country,
            "lat": place.lat,
            "lon": place.lon,
            "notes": new.notes,
            "now": now,
        },
    )
    await store.add_lines(tx, lines)
    await _bound(tx, new.emergency, caller.society)
    await record(
        tx,
        caller.actor,
        Fact(
            "request.opened",
            request,
            {
                "title": new.title,
                "priority": new.priority,
                "needed_by": clock.text(new.needed_by),
                "destination": {
                    "name": place.name,
                    "country": place.country,
                    "lat": place.lat,
                    "lon": place.lon,
                },
                "lines": [_told(line) for line in lines],
            },
            moves=[_asked(line["id"], line["requested"]) for line in lines],
            emergency=new.emergency,
        ),
    )
    return request, await show(tx, request)


async def _bound(tx: AsyncConnection, emergency: UUID, society: str) -> None:
    """409 where a society now asks for more lines than one may: the others have to plan with it."""
    if await store.open_lines(tx, emergency, society) > MOST_OPEN_LINES:
        raise AppError(
            "limit_reached",
            f"A society has at most {MOST_OPEN_LINES} lines open in one emergency. Close what is "
            "served, or ask for more in fewer lines.",
        )


def _asked(line: UUID, by: int) -> tuple[str, str, int]:
    return (f"line:{line}", "requested", by)


def _told(line: dict[str, Any]) -> dict[str, Any]:
    told = {"id": str(line["id"]), "kind": line["kind"], "requested": line["requested"]}
    if line["kind"] == "stock":
        return told | {
            "item": line["item"],
            "accept_substitutes": line["accept_substitutes"],
        }
    return told | {
        "skill": line["skill"],
        "from": clock.text(line["from_at"]),
        "until": clock.text(line["until_at"]),
    }


async def _line(
    tx: AsyncConnection, request: UUID, position: int, line: NewLine, pointer: str
) -> dict[str, Any]:
    requested = line.quantity
    if line.item is not None:
        if await catalogue.unit_of(tx, line.item) is None:
            raise unknown(f"{pointer}/item", "item")
        requested = await catalogue.in_base_units(tx, line.item, line.quantity, line.pack, pointer)
    elif line.skill is not None and not await catalogue.skill_exists(tx, line.skill):
        raise unknown(f"{pointer}/skill", "skill")
    if line.start is not None and line.end is not None and line.end <= line.start:
        raise invalid(f"{pointer}/until", "before_from", "`until` must be later than `from`.")
    return {
        "id": ids.new_id(),
        "request": request,
        "position": position,
        "kind": line.kind,
        "item": line.item,
        "accept_substitutes": line.accept_substitutes,
        "skill": line.skill,
        "from_at": line.start,
        "until_at": line.end,
        "languages": list(line.languages),
        "requested": requested,
    }


async def show(tx: AsyncConnection, request: UUID) -> str:
    """A request as JSON; everybody may read requests."""
    doc = await store.doc(tx, request)
    if doc is None:
        raise missing("request")
    return doc


async def find(
    tx: AsyncConnection,
    *,
    status: str | None,
    emergency: UUID | None,
    society: str | None,
    priority: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """(id, JSON) of requests, newest first."""
    return await store.find(
        tx,
        status=status,
        emergency=emergency,
        society=society,
        priority=priority,
        after=after,
        limit=limit,
    )


async def _own(
    tx: AsyncConnection, caller: Caller, request: UUID, precondition: Precondition
) -> Any:
    row = await store.lock(tx, request)
    if row is None:
        raise missing("request")
    if row.society != caller.society:
        # Everybody may read it, so that to say "not yours" tells nothing new.
        raise AppError("role_forbidden", "Only the society that asked may change its request.")
    if precondition.asked:
        precondition.check(await show(tx, request))
    return row


async def change(
    tx: AsyncConnection,
    caller: Caller,
    request: UUID,
    fields: dict[str, Any],
    resized: Sequence[Resized],
    added: Sequence[NewLine],
    precondition: Precondition,
) -> str:
    """Change what an open request asks for; a line never goes below what is accepted."""
    row = await _own(tx, caller, request, precondition)
    if row.status != "open":
        raise wrong_state("request", row.status, "open")
    present = {
        name: getattr(row, name)
        for name in (
            "title",
            "priority",
            "needed_by",
            "place",
            "country",
            "lat",
            "lon",
            "notes",
        )
    }
    changed = {k: v for k, v in fields.items() if present[k] != v}
    existing = await store.list_lines(tx, request)
    _must_fit({line.id: line.kind for line in existing}, resized)
    # A change that is sent again is told once.
    known = {line.id: line for line in existing}
    resized = [part for part in resized if part.alters(known[part.line])]
    moves = [m for part in resized for m in await _resize(tx, request, part)]
    lines = [
        await _line(tx, request, len(existing) + n, line, f"/add_lines/{n}")
        for n, line in enumerate(added)
    ]
    if len(existing) + len(lines) > MOST_LINES:
        raise AppError(
            "limit_reached",
            f"A request has at most {MOST_LINES} lines: open another one for the rest.",
        )
    if lines:
        await store.add_lines(tx, lines)
        await _bound(tx, row.emergency, row.society)
        moves.extend(_asked(line["id"], line["requested"]) for line in lines)
    if changed or resized or lines:
        await store.change(tx, {**present, **changed, "id": request, "now": clock.now()})
        told = {k: clock.text(v) if isinstance(v, datetime) else v for k, v in changed.items()}
        data: dict[str, Any] = {"changed": told}
        if lines:
            data["added"] = [_told(line) for line in lines]
        fact = Fact("request.changed", request, data, moves=moves, emergency=row.emergency)
        await record(tx, caller.actor, fact)
    return await show(tx, request)


def _must_fit(kinds: dict[UUID, str], resized: Sequence[Resized]) -> None:
    """422 where a change names no line of the request, a line twice, or a figure of the other kind.

    Each would otherwise be taken and stored as something else than was sent.
    """
    seen: set[UUID] = set()
    for n, part in enumerate(resized):
        kind = kinds.get(part.line)
        if kind is None:
            raise unknown(f"/lines/{n}/id", "line of this request")
        if part.line in seen:
            raise invalid(f"/lines/{n}/id", "duplicate", "This line stands twice.")
        seen.add(part.line)
        if kind != part.kind:
            figure = "headcount" if part.kind == "volunteers" else "quantity"
            asked = "goods" if kind == "stock" else "people"
            raise invalid(f"/lines/{n}/{figure}", "wrong_kind", f"The line asks for {asked}.")
        if kind == "volunteers" and part.accept_substitutes is not None:
            pointer = f"/lines/{n}/accept_substitutes"
            raise invalid(pointer, "wrong_kind", "Only goods have substitutes.")


async def _resize(tx: AsyncConnection, request: UUID, part: Resized) -> Moves:
    by = await store.resize(
        tx,
        {
            "id": part.line,
            "request": request,
            "requested": part.quantity,
            "accept_substitutes": part.accept_substitutes,
        },
    )
    if by is not None:
        return [_asked(part.line, by)]
    for line in await store.list_lines(tx, request):
        if line.id == part.line:
            raise AppError(
                "below_accepted",
                f"{line.accepted - line.losses} are accepted already; release offers first.",
                extra={"line": str(line.id), "accepted": line.accepted - line.losses},
            )
    raise AssertionError("the line was there when the request was held")


async def end(
    tx: AsyncConnection,
    caller: Caller,
    request: UUID,
    status: str,
    precondition: Precondition,
) -> str:
    """Close a request that is served, or cancel one that nobody has helped with yet."""
    row = await _own(tx, caller, request, precondition)
    if row.status == status:
        return await show(tx, request)
    if row.status != "open":
        raise wrong_state("request", row.status, "open")
    if status == "cancelled":
        # Held, so that no acceptance slips in between this look and the end.
        lines = await store.list_lines(tx, request)
        if any(line.accepted for line in lines):
            raise AppError(
                "below_accepted",
                "Offers are accepted: release them first, or close the request.",
            )
    await store.end(tx, request, status, clock.now())
    await record(
        tx,
        caller.actor,
        Fact(f"request.{status}", request, {}, emergency=row.emergency),
    )
    return await show(tx, request)
