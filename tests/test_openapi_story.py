"""The document's examples are a story that can be played, and its answers are what really comes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable

import httpx
import pytest_asyncio

from app import specimens
from app.access import actions as access
from app.config import Settings
from app.db import connect
from app.ledger.actions import Actor
from app.service import serving
from app.service.story import ASKER, HELPER, STORY
from tests.conftest import serving_on
from tests.contract import Document, operations
from tests.receivers import Obliging, delivering
from tests.storytelling import ANSWERS, Telling, tell_all


@pytest_asyncio.fixture
async def telling(alone: Callable[..., Settings], settings: Settings) -> AsyncIterator[Telling]:
    """A service on a database of its own: nobody else's stock stands in the lists."""
    url = await _new_database(settings, "story")
    own = alone(database_url=url)
    async with serving_on(own) as service:
        clients, real = {}, {}
        for society, specimen in (
            (HELPER, specimens.CLIENT),
            (ASKER, specimens.ASKING_CLIENT),
        ):
            async with service.database.transaction() as tx:
                client, key = await access.create_client(
                    tx, Actor(society, None), society, "Emergency desk", ["all"]
                )
            real[specimen] = str(client)
            clients[society] = httpx.AsyncClient(
                base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
            )
        telling = Telling(service.app.openapi(), clients)
        telling.real |= real
        async with delivering(service, sender=Obliging()):
            yield telling
        for http in clients.values():
            await http.aclose()


async def _new_database(settings: Settings, name: str) -> str:
    assert settings.database_url is not None
    server = await connect(settings.database_url, {})
    try:
        await server.execute(f"DROP DATABASE IF EXISTS {name}")
        await server.execute(f"CREATE DATABASE {name}")
    finally:
        await server.close()
    url = settings.database_url.replace("/komek?", f"/{name}?", 1)
    assert url != settings.database_url
    await asyncio.to_thread(serving.migrate, url)
    await serving.load(settings, url)
    return url


async def test_the_story_can_be_played_and_is_answered_as_the_document_tells(
    telling: Telling,
) -> None:
    told = await tell_all(telling)
    if os.environ.get("KOMEK_TELL_ANEW"):
        ANSWERS.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    assert told == json.loads(ANSWERS.read_text("utf-8")), (
        "the answers have changed: KOMEK_TELL_ANEW=1 pytest tests/test_openapi_story.py"
    )


def test_every_operation_has_its_place_in_the_story(document: Document) -> None:
    told = {step.operation for step in STORY if step.shown}
    # A stream has no end, and so no answer to tell; `tests/test_stream.py` listens to it.
    assert told == {
        operation["operationId"]
        for *_, operation in operations(document)
        if "text/event-stream" not in operation["responses"].get("200", {}).get("content", {})
    }


async def test_the_story_can_still_be_played_in_years_to_come(
    telling: Telling, at: Callable[[str], None]
) -> None:
    """Nothing that the examples say is refused because its day has passed."""
    at("2036-02-29T12:00:00Z")
    for step in STORY:
        if step.operation != "list_events":
            await telling.play(step)
