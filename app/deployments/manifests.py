"""The manifest: who comes. For the two parties alone, and erased 30 days after the return."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app import chance, clock, json_text
from app.access.actions import Caller
from app.calls import Precondition
from app.deployments import rules, store
from app.deployments.actions import hold
from app.errors import AppError, invalid, missing, wrong_state
from app.ledger import rules as ledger
from app.ledger.actions import SECRETARIAT, Actor, Fact, record


async def seal(
    tx: AsyncConnection,
    caller: Caller,
    deployment: UUID,
    people: Sequence[Mapping[str, Any]],
    precondition: Precondition,
) -> tuple[bool, str]:
    """Name the people of a deployment; (created, JSON). The ledger gets a commitment alone."""
    held = await hold(tx, caller, deployment, "provider")
    before = await store.manifest(tx, deployment, caller.society)
    if precondition.asked:
        precondition.check(before.doc if before else None)
    if held.status not in rules.MOVES["name"]:
        raise wrong_state("deployment", held.status, " or ".join(sorted(rules.MOVES["name"])))
    if len(people) > held.headcount:
        raise invalid(
            "/people",
            "too_many",
            f"The deployment is of {held.headcount} people; these are more.",
        )
    salt = chance.random_bytes(32)
    commitment = ledger.commitment(salt, ledger.canonical({"people": list(people)}))
    created = await store.put_manifest(
        tx,
        {
            "deployment": deployment,
            "content": json_text.dump(list(people)).decode(),
            "salt": salt,
            "commitment": commitment,
            "now": clock.now(),
        },
    )
    await record(
        tx,
        caller.actor,
        Fact(
            "deployment.manifest_sealed",
            deployment,
            {"people": len(people), "commitment": commitment.hex()},
            audience=[held.society, held.to_society, SECRETARIAT],
            emergency=held.offer.emergency,
        ),
    )
    return created, await show(tx, caller, deployment)


async def show(tx: AsyncConnection, caller: Caller, deployment: UUID) -> str:
    """The manifest as JSON, for the two parties; 410 once it is erased."""
    row = await store.manifest(tx, deployment, caller.society)
    if row is None:
        raise missing("manifest")
    if row.erased_at is not None:
        raise AppError("manifest_erased", f"It was erased at {clock.text(row.erased_at)}.")
    return str(row.doc)


async def find_due(tx: AsyncConnection, passed_over: Sequence[UUID]) -> UUID | None:
    """A deployment whose manifest's time is over; None where there is none."""
    now = clock.now()
    return await store.to_erase(
        tx, now - rules.MANIFEST_KEPT, now - rules.MANIFEST_KEPT_AT_MOST, passed_over
    )


async def erase(tx: AsyncConnection, deployment: UUID) -> None:
    """Erase a manifest, and tell that it is erased."""
    row = await store.erase(tx, deployment, clock.now())
    if row is not None:
        await record(
            tx,
            Actor(row.society, None),
            Fact(
                "deployment.manifest_erased",
                row.deployment,
                {"commitment": row.commitment},
                audience=[row.society, row.to_society, SECRETARIAT],
                emergency=row.emergency,
            ),
        )
