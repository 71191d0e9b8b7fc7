"""Keys end when they are said to end, on every copy of the service."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.config import Settings
from tests.conftest import Service, serving_on
from tests.wire import Wire
from tests.world import Json, System, done, refused

LATEST = 5.0
"""Seconds in which a revocation must be in force everywhere: a promise of the exchange."""


async def _client(system: System) -> Json:
    return done(await system.post("/v1/clients", {"name": "To end", "scopes": ["read"]}), 201)


async def _valid(wire: Wire) -> bool:
    return (await wire.send("GET", "/v1/me")).status == 200


async def _ends(*wires: Wire) -> None:
    async with asyncio.timeout(LATEST):
        for wire in wires:
            # Asked again and again: each call is a client's, none tells which is refused.
            while await _valid(wire):
                pass


async def test_a_revoked_key_ends_on_every_copy_of_the_service(
    service: Service, alone: Callable[..., Settings], aze: System
) -> None:
    """Also where each remembers the key from a moment ago, as long as a copy ever does."""
    client = await _client(aze)
    async with serving_on(alone(key_cache=4.0)) as other:
        here, there = Wire(service.url, client["key"]), Wire(other.url, client["key"])
        assert await _valid(here) and await _valid(there)
        assert (await aze.http.delete(f"/v1/clients/{client['id']}")).status_code == 204
        await _ends(here, there)
        await here.close()
        await there.close()


async def test_two_keys_are_valid_during_a_rotation_and_the_third_ends_the_first(
    service: Service, aze: System
) -> None:
    client = await _client(aze)
    path = f"/v1/clients/{client['id']}"
    first = Wire(service.url, client["key"])
    second = Wire(service.url, done(await aze.post(f"{path}/rotate"))["key"])
    assert await _valid(first) and await _valid(second)
    third_answer = done(await aze.post(f"{path}/rotate", {"overlap_hours": 1}))
    assert len(third_answer["keys"]) == 2, "never more than two"
    third = Wire(service.url, third_answer["key"])
    await _ends(first)
    assert await _valid(second) and await _valid(third)
    last = Wire(service.url, done(await aze.post(f"{path}/rotate", {"overlap_hours": 0}))["key"])
    await _ends(second, third)
    assert await _valid(last)
    for wire in (first, second, third, last):
        await wire.close()


async def test_a_rotated_key_ends_with_its_overlap(
    service: Service, aze: System, at: Callable[[str], None]
) -> None:
    client = await _client(aze)
    path = f"/v1/clients/{client['id']}"
    new = done(await aze.post(f"{path}/rotate", {"overlap_hours": 24}))["key"]
    old_wire, new_wire = Wire(service.url, client["key"]), Wire(service.url, new)
    # Not farther than a day, for other tests' offers would lapse.
    end = datetime.now(UTC) + timedelta(hours=24)
    at((end - timedelta(minutes=5)).isoformat())
    assert await _valid(old_wire)
    at((end + timedelta(minutes=5)).isoformat())
    assert not await _valid(old_wire)
    assert await _valid(new_wire)
    await old_wire.close()
    await new_wire.close()


async def test_a_revoked_client_gets_no_new_key(aze: System) -> None:
    client = await _client(aze)
    path = f"/v1/clients/{client['id']}"
    assert (await aze.http.delete(path)).status_code == 204
    assert (await aze.http.delete(path)).status_code == 204, "done is done"
    refused(await aze.post(f"{path}/rotate"), 409, "wrong_state")


async def test_a_repeated_call_never_shows_a_key_again(aze: System) -> None:
    body = {"name": "Shown once", "scopes": ["read"]}
    first = await aze.post("/v1/clients", body, Idempotency_Key="shown-once")
    again = await aze.post("/v1/clients", body, Idempotency_Key="shown-once")
    assert done(first, 201)["key"].startswith("komek_")
    assert done(again, 201)["key"] is None
    assert {**first.json(), "key": None} == again.json()
