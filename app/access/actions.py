"""Societies, clients and keys: the verbs. Also: whose key this is, and what they may do."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import chance, clock, ids
from app.access import rules, store
from app.db import Database
from app.errors import AppError, missing, unknown
from app.ledger.actions import SECRETARIAT, Actor, Fact, record

SOCIETIES = (
    ("AZE", "Red Crescent Society of Azerbaijan", "member"),
    ("KAZ", "Kazakh Red Crescent", "member"),
    ("KGZ", "Red Crescent Society of Kyrgyzstan", "member"),
    ("TUR", "Turkish Red Crescent", "secretariat"),
    ("UZB", "Red Crescent Society of Uzbekistan", "member"),
)
"""The founders of October 2024; the secretariat is planned in Türkiye."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a client of a society, with its scopes and the society's role."""

    society: str
    role: str
    client: UUID
    name: str
    scopes: frozenset[str]
    eyes: tuple[str, ...] = field(default=())

    @property
    def actor(self) -> Actor:
        """The caller as the ledger names it."""
        return Actor(self.society, self.client)

    @property
    def is_secretariat(self) -> bool:
        """Whether the caller's society runs the network's master data."""
        return self.role == "secretariat"


class KeyRing:
    """Whose key is whose, remembered for a short time in this process.

    Asking the database at every call would cost one more round trip; remembering longer than a few
    seconds would let a revoked key go on. `seconds` is the longest time that a revocation needs
    to be in force here.
    """

    _MOST = 10_000

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._known: OrderedDict[bytes, tuple[float, Caller, datetime | None]] = OrderedDict()
        # One look for all calls that came with the same key meanwhile: hundreds of calls of one
        # society, whose key has just been forgotten, must not stand before another's.
        self._looking: dict[bytes, asyncio.Future[Caller]] = {}

    async def identify(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header; raises 401."""
        key = _bearer(authorization)
        digest = rules.digest(key)
        known = self._known.get(digest)
        if known is not None:
            at, caller, expires_at = known
            if monotonic() - at < self._seconds and (
                expires_at is None or expires_at > clock.now()
            ):
                return caller
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.ensure_future(self._look_up(digest))
            looking.add_done_callback(lambda _: self._looking.pop(digest))
        # Not cancelled with one caller: the others wait for it too.
        return await asyncio.shield(looking)

    async def _look_up(self, digest: bytes) -> Caller:
        async with self._database.reading() as connection:
            # Taken before the look: an answer that waited long must not count as fresh.
            at = monotonic()
            row = await store.identify(connection, digest, clock.now())
        if row is None:
            self._known.pop(digest, None)
            raise _refused("The key is unknown, revoked or expired.")
        eyes = (row.society, SECRETARIAT) if row.role == "secretariat" else (row.society,)
        caller = Caller(row.society, row.role, row.id, row.name, frozenset(row.scopes), eyes)
        self._known[digest] = (at, caller, row.expires_at)
        self._known.move_to_end(digest)
        if len(self._known) > self._MOST:
            self._known.popitem(last=False)
        return caller


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise _refused("There is no Authorization header.")
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise _refused("The Authorization header is not `Bearer <key>`.")
    if not rules.is_well_formed(key):
        raise _refused("The key is mistyped or cut off: its checksum does not fit.")
    return key


def _refused(detail: str) -> AppError:
    return AppError("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="komek"'})


async def put_society(
    tx: AsyncConnection,
    caller: Caller,
    society: str,
    name: str,
    role: str,
    check: Callable[[str | None], None],
) -> tuple[bool, str]:
    """Create or change a society; (created, JSON). `check` looks at what is there before.

    The network always keeps a secretariat: without one nobody could undo it.
    """
    # One change after the other: two secretariats that demote each other at the same moment would
    # both be right by what they see.
    await store.hold_network(tx)
    secretariats = await store.secretariats(tx)
    if caller.society not in secretariats:
        # For some seconds the key ring still holds the role that the society had.
        raise AppError("role_forbidden", "Your society is not the secretariat any more.")
    check(await store.society_doc(tx, society))
    if society == caller.society and role != "secretariat":
        raise AppError("conflict", "The secretariat cannot give away its own role.")
    created = await store.put_society(tx, society, name, role)
    await record(
        tx,
        caller.actor,
        Fact(
            "society.admitted" if created else "society.changed",
            society,
            {"name": name, "role": role},
        ),
    )
    doc = await store.society_doc(tx, society)
    assert doc is not None
    return created, doc


async def admit_founders(tx: AsyncConnection) -> None:
    """Load the five societies where they are not there yet."""
    for society, name, role in SOCIETIES:
        if await store.seed_society(tx, society, name, role):
            await record(
                tx,
                Actor(society, None),
                Fact("society.admitted", society, {"name": name, "role": role}),
            )


MOST_CLIENTS = 100
"""Of a society, not counting those that are revoked."""


async def create_client(
    tx: AsyncConnection,
    actor: Actor,
    society: str,
    name: str,
    scopes: list[str],
    most: int | None = None,
) -> tuple[UUID, str]:
    """Create a client with its first key; the key is returned once and stored as a digest.

    `most`: 409 where the society has so many already. The operator's own command knows no limit.
    """
    if await store.society_role(tx, society) is None:
        raise unknown("/society", "society")
    if most is not None and await store.count_clients(tx, society) >= most:
        raise AppError(
            "limit_reached",
            f"A society has at most {most} clients that are not revoked: revoke one first.",
        )
    client, now = ids.new_id(), clock.now()
    granted = rules.expand(scopes)
    await store.add_client(tx, client, society, name, granted, now)
    key = await _new_key(tx, client, now)
    await record(
        tx,
        actor,
        Fact(
            "client.created",
            client,
            {"society": society, "name": name, "scopes": granted},
            audience=_told(actor, society),
        ),
    )
    return client, key


async def _new_key(tx: AsyncConnection, client: UUID, now: datetime) -> str:
    key = rules.make_key(chance.random_bytes(24))
    await store.add_key(tx, ids.new_id(), client, rules.digest(key), rules.shown_prefix(key), now)
    return key


async def rotate(tx: AsyncConnection, caller: Caller, client: UUID, overlap: timedelta) -> str:
    """Give a client a new key; the present one stays valid for the overlap."""
    society = await _held(tx, caller, client)
    now = clock.now()
    await store.end_keys(tx, client, now + overlap, now)
    key = await _new_key(tx, client, now)
    await record(
        tx,
        caller.actor,
        Fact(
            "client.rotated",
            client,
            {"society": society, "previous_key_until": clock.text(now + overlap)},
            audience=[society, SECRETARIAT],
        ),
    )
    return key


async def revoke(tx: AsyncConnection, caller: Caller, client: UUID) -> None:
    """Revoke a client and its keys; in force everywhere within five seconds."""
    row = await store.lock_client(tx, client, _reach(caller))
    if row is None:
        raise missing("client")
    if row.revoked_at is None:
        await _revoke(tx, caller.actor, client, row.society)


async def revoke_by_operator(tx: AsyncConnection, client: UUID) -> None:
    """Revoke a client of any society, at the operator's command line."""
    row = await store.lock_client(tx, client, None)
    if row is None:
        raise missing("client")
    if row.revoked_at is None:
        await _revoke(tx, operator_for(row.society), client, row.society)


async def _revoke(tx: AsyncConnection, actor: Actor, client: UUID, society: str) -> None:
    await store.revoke(tx, client, clock.now())
    fact = Fact("client.revoked", client, {"society": society}, audience=_told(actor, society))
    await record(tx, actor, fact)


def operator_for(society: str) -> Actor:
    """The operator, who acts at the command line for a society."""
    return Actor(society, None, is_operator=True)


def _told(actor: Actor, society: str) -> list[str] | None:
    # Whoever runs the exchange could make themselves a key of any society. Nobody has to trust
    # that they do not: everybody is told.
    return None if actor.is_operator else [society, SECRETARIAT]


async def _held(tx: AsyncConnection, caller: Caller, client: UUID) -> str:
    row = await store.lock_client(tx, client, _reach(caller))
    if row is None:
        raise missing("client")
    if row.revoked_at is not None:
        raise AppError("wrong_state", "The client is revoked.", extra={"state": "revoked"})
    return str(row.society)


def _reach(caller: Caller) -> str | None:
    """Whose clients the caller manages: its own society's; the secretariat everybody's."""
    return None if caller.is_secretariat else caller.society


async def show_client(tx: AsyncConnection, caller: Caller, client: UUID) -> str:
    """One client as JSON."""
    doc = await store.client_doc(tx, client, _reach(caller), clock.now())
    if doc is None:
        raise missing("client")
    return doc


async def list_clients(
    tx: AsyncConnection, caller: Caller, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """The clients that the caller manages, as (id, JSON)."""
    rows = await store.list_clients(tx, _reach(caller), after, limit, clock.now())
    return [(row[0], row[1]) for row in rows]


async def show_society(tx: AsyncConnection, society: str, *, lock: bool = False) -> str | None:
    """One society as JSON, None where there is none."""
    return await store.society_doc(tx, society, lock=lock)


async def list_all_clients(
    tx: AsyncConnection, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """The clients of all societies, for the operator, as (id, JSON)."""
    rows = await store.list_clients(tx, None, after, limit, clock.now())
    return [(row[0], row[1]) for row in rows]


async def list_societies(tx: AsyncConnection, after: str, limit: int) -> list[tuple[str, str]]:
    """The members, as (id, JSON)."""
    return [(row[0], row[1]) for row in await store.list_societies(tx, after, limit)]


async def role_of(tx: AsyncConnection, society: str) -> str | None:
    """The role of a society, None where there is none."""
    return await store.society_role(tx, society)


async def unknown_societies(tx: AsyncConnection, societies: list[str]) -> list[str]:
    """Which of these are no societies of the network."""
    return [s for s in societies if await store.society_role(tx, s) is None]


async def society_codes(tx: AsyncConnection) -> list[str]:
    """The codes of all societies of the network."""
    return await store.society_codes(tx)
