"""The network always keeps a secretariat; and what its operator does is told to everybody."""

import asyncio
import functools
import os
import pty
import subprocess
from collections.abc import AsyncIterator

import pytest_asyncio

from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.service import serving
from tests.elsewhere import Exchange, exchange_of_its_own
from tests.processes import KOMEK, environment, komek, make_database, run_sql
from tests.world import System, done, refused


@pytest_asyncio.fixture(scope="module")
async def own(settings: Settings) -> AsyncIterator[Exchange]:
    """An exchange whose societies may be given other roles at any moment."""
    async with exchange_of_its_own(settings) as exchange:
        yield exchange


async def _set(by: System, society: str, role: str) -> int:
    body = {"name": f"Society {society}", "role": role}
    return (await by.put(f"/v1/societies/{society}", body)).status_code


async def _two_secretariats(own: Exchange) -> tuple[System, System]:
    tur, kaz = await own.system("TUR"), await own.system("KAZ")
    await own.sql("UPDATE societies SET role = 'secretariat' WHERE id IN ('TUR', 'KAZ')")
    # Until the service has forgotten the roles that the two had.
    async with asyncio.timeout(20):
        for system in (tur, kaz):
            while done(await system.get("/v1/me"))["role"] != "secretariat":
                pass
    return tur, kaz


async def test_two_secretariats_that_demote_each_other_at_once_leave_one(own: Exchange) -> None:
    for _ in range(4):
        tur, kaz = await _two_secretariats(own)
        answers = await asyncio.gather(_set(tur, "KAZ", "member"), _set(kaz, "TUR", "member"))
        assert sorted(answers) == [200, 403]
        assert await own.value("SELECT count(*) FROM societies WHERE role = 'secretariat'") == 1


async def test_whoever_was_demoted_changes_no_society_from_that_moment_on(own: Exchange) -> None:
    tur, kaz = await _two_secretariats(own)
    assert await _set(tur, "KAZ", "member") == 200
    # The service may still remember the role that the key had.
    body = {"name": "Turkish Red Crescent", "role": "observer"}
    refused(await kaz.put("/v1/societies/TUR", body), 403, "role_forbidden")
    refused(await tur.put("/v1/societies/TUR", body), 409, "conflict")


async def test_what_the_operator_does_at_the_command_line_is_told_to_all_as_theirs(
    own: Exchange,
) -> None:
    aze, uzb = await own.system("AZE"), await own.system("UZB")
    after = (await uzb.told("society.admitted", 0))[-1]["seq"]
    command = functools.partial(komek, KOMEK_DATABASE_URL=own.url)
    made = await asyncio.to_thread(
        command, "client", "create", "AZE", "--name", "ERP", "--scope", "read"
    )
    assert made.returncode == 0, made.stderr
    for reader in (aze, uzb):
        told = (await reader.told("client.created", after))[-1]
        assert (told["society"], told["data"]["actor"]) == ("AZE", "operator")
    client = told["subject"]["id"]
    gone = await asyncio.to_thread(command, "client", "revoke", client)
    assert gone.returncode == 0, gone.stderr
    for reader in (aze, uzb):
        told = (await reader.told("client.revoked", after))[-1]
        assert (told["society"], told["data"]["actor"]) == ("AZE", "operator")
    # A society's own acts are told to it and to the secretariat alone, as before.
    mine = done(await aze.post("/v1/clients", {"name": "Desk", "scopes": ["read"]}), 201)
    seen = (await aze.told("client.created", told["seq"]))[-1]
    assert seen["subject"]["id"] == mine["id"]
    assert seen["data"]["actor"] != "operator"
    assert await uzb.events(told["seq"], type="client.created") == []
    proof = await asyncio.to_thread(command, "verify")
    assert proof.returncode == 0, proof.stderr


def _typed(url: str, answer: str) -> tuple[int, str]:
    """`komek migrate base` at a terminal at which this is typed."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*KOMEK, "migrate", "base"], env=environment(KOMEK_DATABASE_URL=url), cwd="/",
        stdin=end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    os.write(terminal, answer.encode())
    said, _ = process.communicate(timeout=60)
    os.close(end)
    os.close(terminal)
    return process.returncode, " ".join(said.split())


def test_everything_is_dropped_only_where_the_operator_confirms_it(
    postgres: EmbeddedPostgres,
) -> None:
    url = make_database(postgres, "dropped")
    serving.migrate(url)
    there = "SELECT to_regclass('records') IS NOT NULL"
    unasked = komek("migrate", "base", KOMEK_DATABASE_URL=url)
    assert unasked.returncode == 1
    assert "drops everything in the database dropped" in " ".join(unasked.stderr.split())
    code, said = _typed(url, "something\n")
    assert (code, "Nothing was changed" in said) == (1, True), said
    assert run_sql(url, there)[0][0]
    code, said = _typed(url, "dropped\n")
    assert code == 0, said
    assert not run_sql(url, there)[0][0]
    serving.migrate(url)
    assert komek("migrate", "base", "--yes", KOMEK_DATABASE_URL=url).returncode == 0
    assert not run_sql(url, there)[0][0]
