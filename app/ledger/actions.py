"""record(): the audit trail, the event feed and the outbox are one thing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import chance, clock, ids
from app.db import Part
from app.ledger import recording, rules, store
from app.ledger.sealing import wake

SECRETARIAT = "secretariat"
"""Stands in an audience for whichever society runs the network's master data."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and on whose behalf: a client of a society; where it is None, the exchange itself
    or, with `is_operator`, whoever runs it, at the command line."""

    society: str
    client: UUID | None
    is_operator: bool = False

    @property
    def name(self) -> str:
        """What records call it."""
        if self.client:
            return str(self.client)
        return rules.OPERATOR if self.is_operator else rules.EXCHANGE


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened.

    `type` is `<subject>.<verb in the past>`. `moves` are what it adds to balances, each
    `(account, figure, by)`, so that the ledger alone proves every figure. `audience` lists who may
    see the content (None: everybody). `private` is for the acting society alone; the content holds
    a commitment to it. `emergency` is the one that it belongs to, so that a reader can follow one
    emergency alone. No personal data, ever.
    """

    type: str
    subject: UUID | str
    data: Mapping[str, Any]
    moves: Sequence[tuple[str, str, int]] = ()
    audience: Sequence[str] | None = None
    private: Mapping[str, Any] | None = None
    emergency: UUID | None = None


async def record(tx: AsyncConnection, actor: Actor, *facts: Fact) -> None:
    """Write what happened into the transaction of the change itself.

    Either both are there after a crash or neither: nothing is sent, queued or logged beside it.
    """
    if not facts:
        return
    await store.append(tx, _written(actor, facts))
    wake()


def record_part(actor: Actor, *facts: Fact, after: str) -> Part:
    """`record` as a part of a statement, written when the part `after` has done its work."""
    wake()
    return store.append_part(_written(actor, facts), after)


def _written(actor: Actor, facts: Sequence[Fact]) -> str:
    at = clock.text(clock.now())
    return json.dumps([_row(actor, at, fact) for fact in facts], ensure_ascii=False)


def _row(actor: Actor, at: str, fact: Fact) -> dict[str, Any]:
    record_id = str(ids.new_id())
    data = dict(fact.data)
    data["actor"] = actor.name
    emergency = str(fact.emergency) if fact.emergency else None
    if emergency:
        data["emergency"] = emergency
    if fact.moves:
        data["moves"] = [
            {"account": account, "figure": figure, "by": by}
            for account, figure, by in fact.moves
            if by
        ]
    private = None
    if fact.private is not None:
        salt = chance.random_bytes(32)
        sealed = rules.canonical(fact.private)
        data["private_commitment"] = rules.commitment(salt, sealed).hex()
        private = rules.canonical({"salt": salt.hex(), "content": dict(fact.private)}).decode()
    content = rules.canonical(
        {
            "id": record_id,
            "type": fact.type,
            "at": at,
            "society": actor.society,
            "subject": {"type": fact.type.split(".", 1)[0], "id": str(fact.subject)},
            "data": data,
        }
    )
    salt = chance.random_bytes(32)
    return {
        "id": record_id,
        "type": fact.type,
        "at": at,
        "society": actor.society,
        "client": str(actor.client) if actor.client else None,
        "emergency": emergency,
        "content": content.decode(),
        "salt": salt.hex(),
        "commitment": rules.commitment(salt, content).hex(),
        "audience": list(fact.audience) if fact.audience is not None else None,
        "private": private,
    }


LOOKED = store.LOOKED
"""At how many places a filtered page of the feed looks at most."""
_STEP = 20_000


async def record_many(tx: AsyncConnection, actor: Actor, facts: rules.Facts) -> int:
    """Write a fact for each row of a temporary table; returns how many.

    The records are those that `record` would write. The database puts their text together and
    commits to it; ids and salts come from here as always. In steps, so that no statement runs long
    and no value grows with the table.
    """
    at = clock.now()
    count = await recording.number(tx, facts)
    for start in range(0, count, _STEP):
        size = min(_STEP, count - start)
        await recording.append(
            tx,
            facts,
            {
                "at": at,
                "at_text": clock.text(at),
                "society": actor.society,
                "client": str(actor.client) if actor.client else None,
                "actor": actor.name,
                "start": start,
                "end": start + size,
                "ids": b"".join(ids.new_ids(size)),
                "salts": chance.random_bytes(32 * size),
                "private_salts": chance.random_bytes(32 * size),
            },
        )
    if count:
        wake()
    return count


async def read_feed(
    tx: AsyncConnection,
    *,
    society: str,
    eyes: Sequence[str],
    after: int,
    limit: int,
    filters: rules.Filters,
) -> tuple[str | None, store.Reach]:
    """A page of the feed as one reader sees it: JSON text, and how far it reaches."""
    return await store.feed(
        tx, society=society, eyes=eyes, after=after, limit=limit, filters=filters
    )


async def chain_head(tx: AsyncConnection) -> tuple[int, str]:
    """The last seq and hash: what a member keeps, to prove later that nothing was rewritten."""
    return await store.head(tx)


async def sealing_lag(tx: AsyncConnection) -> tuple[float, int]:
    """How old the oldest unsealed record is (seconds), and how many there are."""
    return await store.lag(tx)
