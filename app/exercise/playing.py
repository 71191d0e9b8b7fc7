"""Play the exercise: start the service, let five systems meet on it, prove the ledger."""

import asyncio
from contextlib import AsyncExitStack

from app.chance import random_bytes
from app.config import Settings
from app.exercise import journeys, kahramanmaras, planned, reckoning, running, story
from app.exercise.running import NotStarted, Service, serving_apart
from app.exercise.stage import Stage, Unexpected
from app.exercise.system import Json, Refused, System, Unreachable
from app.exercise.telling import Telling
from app.ledger.verifying import verify
from app.service import serving


def play(settings: Settings, *, leave: bool) -> int:
    """Play, and keep the service up until Ctrl-C or SIGTERM unless `leave`; the exit code."""
    telling = Telling()
    played = False
    try:
        telling.notes("Starting the service …")
        with serving_apart(settings) as service:
            telling.notes(f"It is ready on {service.url}.")
            keys = running.make_keys(service.settings, kahramanmaras.SOCIETIES)
            stage, board = asyncio.run(_play(service, keys, telling))
            telling.board(board, stage.by_line())
            _prove(service, telling)
            played = True
            _show_keys(service, stage, telling)
            if leave:
                return 0
            telling.notes("The service stays up until Ctrl-C.")
            telling.fails(f"The service ended by itself, with {service.wait()}.")
            return 1
    except KeyboardInterrupt:
        telling.notes("Stopped.")
        return 0 if played else 130
    except (Unexpected, Refused, Unreachable, NotStarted) as error:
        telling.fails(f"Not as expected: {error}")
        return 1


async def _play(service: Service, keys: dict[str, str], telling: Telling) -> tuple[Stage, Json]:
    async with AsyncExitStack() as stack:
        systems = {
            society: await stack.enter_async_context(System(society, key, service.url))
            for society, key in keys.items()
        }
        stage = Stage(systems, telling, run=random_bytes(3).hex())
        await story.publish(stage)
        await story.report(stage)
        await planned.look_ahead(stage)
        taken = await story.offer(stage)
        taken += await story.help_unasked(stage)
        taken += await story.contest(stage)
        await planned.follow(stage)
        sent = await journeys.send(stage, taken)
        await journeys.receive(stage, sent)
        await journeys.deploy(stage, taken)
        return stage, await reckoning.reckon(stage)


def _prove(service: Service, telling: Telling) -> None:
    """What `komek verify` does, on the ledger that the story has written."""
    telling.notes("The five see this same board. komek verify recomputes it from the ledger alone:")
    with serving.database_url(service.settings) as url:
        report = asyncio.run(verify(url))
    if report.faults:
        raise Unexpected("; ".join(report.faults))
    telling.plain(
        f"verified: {report.records} records, {report.sealed} of them sealed; "
        f"{report.balances} balances add up; head {report.head[0]}:{report.head[1]}"
    )


def _show_keys(service: Service, stage: Stage, telling: Telling) -> None:
    telling.day("Your turn", "The keys of this run")
    for society, system in stage.systems.items():
        telling.plain(f"{society}  {system.key}")
    telling.console.print()
    board = f"{service.url}/v1/emergencies/{stage.emergency['id']}/board"
    telling.plain(f'curl -H "Authorization: Bearer {stage.tur.key}" {board}')
    telling.plain(f"docs  {service.url}/docs")
