"""Who may call what: every route of the exchange and everybody who might try."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from app.access.actions import KeyRing
from app.errors import AppError
from app.main import routes
from tests.conftest import Service, make_key
from tests.stage import NOWHERE
from tests.wire import Answer, Wire
from tests.world import System

READ, ADMIN = "read", "admin"
STOCK, POOLS, ASK, GIVE = "stock:write", "volunteers:write", "requests:write", "offers:write"
ALL = frozenset({READ, ADMIN, STOCK, POOLS, ASK, GIVE})


@dataclass(frozen=True)
class Allowed:
    """Any of the scopes, in one of the roles. No scopes: any valid key."""

    scopes: frozenset[str]
    roles: frozenset[str]


def _who(*scopes: str, roles: str = "member secretariat observer") -> Allowed:
    return Allowed(frozenset(scopes), frozenset(roles.split()))


ANYBODY = _who()
READERS = _who(READ)
ADMINS = _who(ADMIN)
MASTER_DATA = _who(ADMIN, roles="secretariat")
SITES_READ, SITES = _who(READ, STOCK, POOLS), _who(STOCK, POOLS, roles="member secretariat")
LOTS_READ, LOTS = _who(READ, STOCK), _who(STOCK, roles="member secretariat")
POOLS_READ, POOLS_WRITE = _who(READ, POOLS), _who(POOLS, roles="member secretariat")
ASKING = _who(ASK, roles="member secretariat")
GIVING = _who(GIVE, roles="member secretariat")
EITHER = _who(ASK, GIVE, roles="member secretariat")

# A route that is not in this table fails the test: who may call it is to be decided here as well.
EXPECTED: dict[str, Allowed] = {
    "GET /v1/me": ANYBODY,
    "GET /v1/societies": ANYBODY,
    "PUT /v1/societies/{id}": MASTER_DATA,
    "GET /v1/clients": ADMINS,
    "POST /v1/clients": ADMINS,
    "POST /v1/clients/{id}/rotate": ADMINS,
    "DELETE /v1/clients/{id}": ADMINS,
    "GET /v1/items": ANYBODY,
    "GET /v1/items/{code}": ANYBODY,
    "PUT /v1/items/{code}": MASTER_DATA,
    "GET /v1/items/{code}/conversion": ANYBODY,
    "GET /v1/skills": ANYBODY,
    "GET /v1/skills/{code}": ANYBODY,
    "PUT /v1/skills/{code}": MASTER_DATA,
    "GET /v1/hubs": ANYBODY,
    "GET /v1/hubs/{code}": ANYBODY,
    "PUT /v1/hubs/{code}": MASTER_DATA,
    "DELETE /v1/hubs/{code}": MASTER_DATA,
    "GET /v1/legs": ANYBODY,
    "GET /v1/legs/{code}": ANYBODY,
    "PUT /v1/legs/{code}": MASTER_DATA,
    "DELETE /v1/legs/{code}": MASTER_DATA,
    "GET /v1/routes": ANYBODY,
    "GET /v1/my/sites": SITES_READ,
    "GET /v1/my/sites/{ref}": SITES_READ,
    "PUT /v1/my/sites/{ref}": SITES,
    "DELETE /v1/my/sites/{ref}": SITES,
    "GET /v1/my/stock": LOTS_READ,
    "GET /v1/my/stock/{ref}": LOTS_READ,
    "PUT /v1/my/stock/{ref}": LOTS,
    "DELETE /v1/my/stock/{ref}": LOTS,
    "POST /v1/my/sites/import": SITES,
    "POST /v1/my/stock/import": LOTS,
    "GET /v1/my/stock/export": LOTS_READ,
    "POST /v1/my/volunteers/import": POOLS_WRITE,
    "GET /v1/my/volunteers/export": POOLS_READ,
    "GET /v1/stock": READERS,
    "GET /v1/stock/{id}": READERS,
    "GET /v1/my/volunteers": POOLS_READ,
    "GET /v1/my/volunteers/{ref}": POOLS_READ,
    "PUT /v1/my/volunteers/{ref}": POOLS_WRITE,
    "DELETE /v1/my/volunteers/{ref}": POOLS_WRITE,
    "GET /v1/volunteers": READERS,
    "GET /v1/volunteers/{id}": READERS,
    "POST /v1/emergencies": ASKING,
    "GET /v1/emergencies": READERS,
    "GET /v1/emergencies/{id}": READERS,
    "POST /v1/emergencies/{id}/close": ASKING,
    "POST /v1/emergencies/{id}/take-over": ASKING,
    "GET /v1/emergencies/{id}/board": READERS,
    "POST /v1/requests": ASKING,
    "GET /v1/requests": READERS,
    "GET /v1/requests/{id}": READERS,
    "PATCH /v1/requests/{id}": ASKING,
    "POST /v1/requests/{id}/close": ASKING,
    "POST /v1/requests/{id}/cancel": ASKING,
    "GET /v1/requests/{id}/matches": READERS,
    "POST /v1/emergencies/{id}/plan": READERS,
    "POST /v1/preparedness": READERS,
    "POST /v1/offers/screening": GIVING,
    "POST /v1/offers": GIVING,
    "GET /v1/offers": READERS,
    "GET /v1/offers/{id}": READERS,
    "POST /v1/offers/{id}/accept": ASKING,
    "POST /v1/offers/{id}/decline": ASKING,
    "POST /v1/offers/{id}/withdraw": GIVING,
    "POST /v1/offers/{id}/release": ASKING,
    "POST /v1/consignments": GIVING,
    "GET /v1/consignments": READERS,
    "GET /v1/consignments/{id}": READERS,
    "POST /v1/consignments/{id}/dispatch": GIVING,
    "POST /v1/consignments/{id}/checkpoints": GIVING,
    "GET /v1/consignments/{id}/checkpoints": READERS,
    "POST /v1/consignments/{id}/arrive": EITHER,
    "POST /v1/consignments/{id}/receive": ASKING,
    "POST /v1/consignments/{id}/cancel": GIVING,
    "POST /v1/consignments/{id}/lost": GIVING,
    "POST /v1/deployments": GIVING,
    "GET /v1/deployments": READERS,
    "GET /v1/deployments/{id}": READERS,
    "POST /v1/deployments/{id}/mobilise": GIVING,
    "POST /v1/deployments/{id}/arrive": EITHER,
    "POST /v1/deployments/{id}/extension": EITHER,
    "POST /v1/deployments/{id}/extension/accept": EITHER,
    "POST /v1/deployments/{id}/extension/decline": EITHER,
    "POST /v1/deployments/{id}/release": ASKING,
    "POST /v1/deployments/{id}/recall": GIVING,
    "POST /v1/deployments/{id}/return": GIVING,
    "POST /v1/deployments/{id}/cancel": GIVING,
    "PUT /v1/deployments/{id}/manifest": GIVING,
    "GET /v1/deployments/{id}/manifest": EITHER,
    "GET /v1/events": READERS,
    "GET /v1/events/head": READERS,
    "GET /v1/events/stream": READERS,
    "GET /v1/event-types": READERS,
    "GET /v1/webhooks": ADMINS,
    "POST /v1/webhooks": ADMINS,
    "GET /v1/webhooks/{id}": ADMINS,
    "PATCH /v1/webhooks/{id}": ADMINS,
    "DELETE /v1/webhooks/{id}": ADMINS,
    "POST /v1/webhooks/{id}/rotate": ADMINS,
    "POST /v1/webhooks/{id}/test": ADMINS,
    "POST /v1/webhooks/{id}/resume": ADMINS,
    "GET /v1/webhooks/{id}/progress": ADMINS,
    "GET /v1/webhooks/{id}/deliveries": ADMINS,
    "POST /v1/webhooks/{id}/deliveries/{delivery}/replay": ADMINS,
    "POST /v1/webhooks/{id}/replay": ADMINS,
}
ENDLESS = frozenset({"GET /v1/events/stream"})
"""Its answer has no end; its head is enough here, and tests/test_stream.py reads it."""


def every_route() -> list[str]:
    """`METHOD path` of every route of the exchange."""
    return [f"{method} {route.path}" for route in routes() for method in route.methods or ()]


def test_every_route_says_here_who_may_call_it() -> None:
    assert set(every_route()) == set(EXPECTED)


@pytest_asyncio.fixture(scope="module")
async def wires(service: Service, tur: System) -> AsyncIterator[dict[str, Wire]]:
    """A connection for each kind of caller: `role scope`, and those who may not call at all."""
    observing = {"name": "Observing Society", "role": "observer"}
    assert (await tur.put("/v1/societies/TKM", observing)).is_success
    found: dict[str, Wire] = {}
    for role, society in (("member", "UZB"), ("secretariat", "TUR"), ("observer", "TKM")):
        for scope in (*ALL, "all"):
            found[f"{role} {scope}"] = Wire(service.url, await make_key(service, society, scope))
    yield found
    for wire in found.values():
        await wire.close()


async def _call(wire: Wire, name: str) -> Answer:
    method, path = name.split(" ")
    target = path.format(id=NOWHERE, ref="nothing", code="nothing", delivery=NOWHERE)
    # Not acceptable to any of them, so that nothing moves; those who may not call never learn it.
    body = b'{"nothing": true}' if method in ("POST", "PUT", "PATCH") else None
    return await wire.send(method, target, body)


async def test_every_route_is_open_to_those_alone_who_may_call_it(wires: dict[str, Wire]) -> None:
    wrong = []
    for name, allowed in EXPECTED.items():
        for caller, wire in wires.items():
            role, scope = caller.split(" ")
            scoped = not allowed.scopes or scope == "all" or scope in allowed.scopes
            code = None
            if not scoped:
                code = "scope_missing"
            elif role not in allowed.roles:
                code = "role_forbidden"
            if code is None and name in ENDLESS:
                continue
            answer = await _call(wire, name)
            told = answer.json()["code"] if answer.status >= 400 else None
            refused_for_that = told in ("scope_missing", "role_forbidden", "unauthenticated")
            if (told == code) if code else not refused_for_that:
                continue
            wrong.append(f"{caller}: {name} answered {answer.status} {told}, expected {code}")
    assert wrong == []


async def test_no_route_is_open_without_a_valid_key(service: Service, tur: System) -> None:
    async def client(scope: str = "read") -> tuple[str, str]:
        made = await tur.post("/v1/clients", {"name": "short-lived", "scopes": [scope]})
        return made.json()["id"], made.json()["key"]

    _, good = await client("all")
    revoked_id, revoked = await client("all")
    assert (await tur.http.delete(f"/v1/clients/{revoked_id}")).status_code == 204
    rotated_id, rotated = await client("all")
    over = await tur.post(f"/v1/clients/{rotated_id}/rotate", {"overlap_hours": 0})
    assert over.status_code == 200
    mistyped = good[:-1] + ("a" if good[-1] != "a" else "b")
    cases = {
        None: "no Authorization",
        mistyped: "mistyped",
        good[:-3]: "mistyped",
        good.removeprefix("komek_"): "mistyped",
        revoked: "unknown, revoked or expired",
        rotated: "unknown, revoked or expired",
    }
    for key, reason in cases.items():
        wire = Wire(service.url, key)
        for name in every_route():
            answer = await _call(wire, name)
            assert answer.status == 401, (name, key, answer.text)
            assert answer.json()["code"] == "unauthenticated"
            assert reason in answer.json()["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert key is None or key not in answer.text
        await wire.close()


async def test_a_mistyped_key_is_told_without_asking_the_database(service: Service) -> None:
    class NoDatabase:
        def reading(self) -> None:
            raise AssertionError("the database was asked")

    ring = KeyRing(NoDatabase(), 1)  # type: ignore[arg-type]
    for key in ("komek_", "komek_" + "a" * 38, "secret", "komek_" + "é" * 38):
        with pytest.raises(AppError, match="mistyped"):
            await ring.identify(f"Bearer {key}")
    for header in ("Basic abc", "Bearer", "Bearer ", "", "bearer\tx"):
        with pytest.raises(AppError) as refused:
            await ring.identify(header)
        assert refused.value.code == "unauthenticated"
