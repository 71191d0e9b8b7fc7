"""Endpoints of a society: open, change, rotate, test, resume, replay, close."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import chance, clock, ids
from app.access import actions as access
from app.access.actions import Caller
from app.calls import Precondition
from app.emergencies import actions as emergencies
from app.errors import AppError, invalid, missing, unknown, wrong_state
from app.ledger import actions as ledger
from app.ledger import events
from app.ledger.actions import Fact, record
from app.webhooks import addresses, signing, store

MOST_ENDPOINTS = 20
KEPT = timedelta(days=30)
"""How long deliveries that ended well are listed; any of them can be replayed from the ledger."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an endpoint is: where to send, and which events."""

    url: str
    description: str | None
    types: tuple[str, ...] | None
    emergency: UUID | None
    mine: bool
    sealed: bool = False


async def open_endpoint(
    tx: AsyncConnection, caller: Caller, new: Endpoint, start: int | None, *, allow_private: bool
) -> tuple[UUID, str, str]:
    """Add an endpoint that begins after the `seq` `start` (None: now); (id, JSON, secret)."""
    await _check(tx, new, allow_private=allow_private)
    # Held, so that two calls at once cannot both be the last that fits.
    await access.show_society(tx, caller.society, lock=True)
    if await store.count(tx, caller.society) >= MOST_ENDPOINTS:
        raise AppError("conflict", f"A society has at most {MOST_ENDPOINTS} endpoints.")
    head, _ = await ledger.chain_head(tx)
    if start is not None and start > head:
        raise invalid("/from", "beyond_the_end", f"The ledger ends at {head}.")
    webhook, now = ids.new_id(), clock.now()
    values = _values(new) | {
        "id": webhook,
        "society": caller.society,
        "now": now,
        "cursor": head if start is None else start,
    }
    await store.add(tx, values)
    secret = await _new_secret(tx, webhook)
    await _tell(tx, caller, "created", webhook, _told(new))
    return webhook, await show(tx, caller, webhook), secret


def _values(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "types": list(endpoint.types) if endpoint.types is not None else None,
        "emergency": endpoint.emergency,
        "mine": endpoint.mine,
        "sealed": endpoint.sealed,
    }


def _told(endpoint: Endpoint) -> dict[str, Any]:
    # Not the URL itself: its path or query is often a secret between the society and its system.
    return {
        "host": urlsplit(endpoint.url).hostname,
        "types": list(endpoint.types) if endpoint.types is not None else None,
        "mine": endpoint.mine,
        "sealed": endpoint.sealed,
    }


async def _check(tx: AsyncConnection, endpoint: Endpoint, *, allow_private: bool) -> None:
    fault = addresses.fault_of(endpoint.url, allow_private=allow_private)
    if fault is not None:
        raise invalid("/url", "url_form", fault)
    for n, pattern in enumerate(endpoint.types or ()):
        if not events.expand([pattern]):
            raise unknown(f"/types/{n}", "type of event")
    if endpoint.emergency is not None:
        try:
            await emergencies.show(tx, endpoint.emergency)
        except AppError:
            raise unknown("/emergency", "emergency") from None
    if endpoint.sealed and (endpoint.types or endpoint.emergency or endpoint.mine):
        raise invalid("/sealed", "one_of", "Envelopes tell nothing that a filter could look at.")


async def _new_secret(tx: AsyncConnection, webhook: UUID) -> str:
    secret = chance.random_bytes(signing.LENGTH)
    await store.add_secret(tx, ids.new_id(), webhook, secret, clock.now())
    return signing.shown(secret)


async def _tell(
    tx: AsyncConnection,
    caller: Caller,
    verb: str,
    webhook: UUID,
    data: dict[str, Any],
    emergency: UUID | None = None,
) -> None:
    fact = Fact(f"webhook.{verb}", webhook, data, audience=[caller.society], emergency=emergency)
    await record(tx, caller.actor, fact)


async def _held(tx: AsyncConnection, caller: Caller, webhook: UUID) -> Any:
    row = await store.lock(tx, webhook, caller.society)
    if row is None:
        raise missing("webhook")
    return row


async def show(tx: AsyncConnection, caller: Caller, webhook: UUID) -> str:
    """One endpoint as JSON; 404 where it is not the caller's society's."""
    doc = await store.doc(tx, webhook, caller.society, clock.now())
    if doc is None:
        raise missing("webhook")
    return doc


async def find(tx: AsyncConnection, caller: Caller, after: UUID | None, limit: int) -> list[Any]:
    """(id, JSON) of the caller's endpoints."""
    return await store.find(tx, caller.society, after, limit, clock.now())


async def change(
    tx: AsyncConnection,
    caller: Caller,
    webhook: UUID,
    fields: dict[str, Any],
    precondition: Precondition,
    *,
    allow_private: bool,
) -> str:
    """Change what an endpoint is; what is under way may still go by the old."""
    row = await _held(tx, caller, webhook)
    if precondition.asked:
        precondition.check(await show(tx, caller, webhook))
    types = tuple(row.types) if row.types is not None else None
    before = Endpoint(row.url, row.description, types, row.emergency, row.mine, row.sealed)
    after = replace(before, **fields)
    if after != before:
        await _check(tx, after, allow_private=allow_private)
        await store.change(tx, _values(after) | {"id": webhook})
        await _tell(tx, caller, "changed", webhook, _told(after))
    return await show(tx, caller, webhook)


async def rotate(
    tx: AsyncConnection, caller: Caller, webhook: UUID, overlap: timedelta
) -> tuple[str, str]:
    """Give an endpoint a new secret; the present one signs along for the overlap. (JSON, secret)"""
    await _held(tx, caller, webhook)
    until = clock.now() + overlap
    await store.end_secrets(tx, webhook, until)
    secret = await _new_secret(tx, webhook)
    await _tell(tx, caller, "rotated", webhook, {"previous_secret_until": clock.text(until)})
    return await show(tx, caller, webhook), secret


async def close(
    tx: AsyncConnection, caller: Caller, webhook: UUID, precondition: Precondition
) -> None:
    """Delete an endpoint, with its secrets and the list of its deliveries."""
    await _held(tx, caller, webhook)
    if precondition.asked:
        precondition.check(await show(tx, caller, webhook))
    await store.delete(tx, webhook)
    await _tell(tx, caller, "deleted", webhook, {})


async def test(tx: AsyncConnection, caller: Caller, webhook: UUID) -> str:
    """Put a test event for this one endpoint into the ledger; it goes the way of all others."""
    row = await _held(tx, caller, webhook)
    _must_be_active(row)
    await _tell(tx, caller, "test", webhook, {}, row.emergency)
    return await show(tx, caller, webhook)


def _must_be_active(row: Any) -> None:
    if row.status != "active":
        raise wrong_state("webhook", row.status, "active")


async def resume(tx: AsyncConnection, caller: Caller, webhook: UUID) -> str:
    """Deliver again, from where it stopped; nothing was lost meanwhile."""
    row = await _held(tx, caller, webhook)
    await store.resume(tx, webhook, clock.now())
    if row.status != "active":
        await _tell(tx, caller, "resumed", webhook, {})
    return await show(tx, caller, webhook)


async def replay(
    tx: AsyncConnection, caller: Caller, webhook: UUID, after: int, until: int | None
) -> str:
    """Send what the endpoint wants of a range once more; its progress as JSON."""
    row = await _held(tx, caller, webhook)
    if row.replay_until is not None:
        raise AppError("conflict", f"A replay up to {row.replay_until} is still under way.")
    # What comes after the cursor is going to be sent anyway.
    until = row.cursor if until is None else min(until, row.cursor)
    if until > after:
        await store.replay_range(tx, webhook, after, until)
        await _tell(tx, caller, "replayed", webhook, {"after": after, "until": until})
    return await progress(tx, caller, webhook)


async def replay_one(tx: AsyncConnection, caller: Caller, webhook: UUID, delivery: UUID) -> str:
    """Send one delivery once more, under the same `webhook-id`; its JSON."""
    await _held(tx, caller, webhook)
    seq = await store.replay_one(tx, webhook, delivery, clock.now())
    doc = await store.delivery_doc(tx, webhook, delivery)
    if seq is None or doc is None:
        raise missing("delivery")
    await _tell(tx, caller, "replayed", webhook, {"after": seq - 1, "until": seq})
    return doc


async def progress(tx: AsyncConnection, caller: Caller, webhook: UUID) -> str:
    """How far an endpoint is, as JSON."""
    head, _ = await ledger.chain_head(tx)
    doc = await store.progress(tx, webhook, caller.society, head, clock.now())
    if doc is None:
        raise missing("webhook")
    return doc


async def deliveries(
    tx: AsyncConnection,
    caller: Caller,
    webhook: UUID,
    *,
    status: str | None,
    types: Sequence[str] | None,
    before: int | None,
    limit: int,
) -> list[Any]:
    """(seq, JSON) of an endpoint's deliveries, newest first."""
    await show(tx, caller, webhook)
    wanted = events.expand(types) if types is not None else None
    return await store.deliveries(
        tx, webhook, status=status, types=wanted, before=before, limit=limit
    )


async def standing(tx: AsyncConnection) -> tuple[dict[str, int], int]:
    """How many endpoints there are by status; how many events the last of the active is behind."""
    head, _ = await ledger.chain_head(tx)
    rows = await store.standing(tx, head)
    behind = max((row.behind for row in rows if row.status == "active"), default=0)
    return {row.status: row.endpoints for row in rows}, behind


async def forget_old(tx: AsyncConnection) -> int:
    """Forget deliveries that ended well long ago; how many. May run in any number of workers."""
    return await store.prune(tx, clock.now() - KEPT)
