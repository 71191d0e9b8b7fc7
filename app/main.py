"""create_app(): the one file that knows every room."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

import app
from app.access import api as access
from app.access.actions import KeyRing
from app.board import api as board
from app.calls import Exchange
from app.catalogue import api as catalogue
from app.config import Settings
from app.consignments import actions as consigning
from app.consignments import api as consignments
from app.db import Database
from app.deployments import actions as deploying
from app.deployments import api as deployments
from app.emergencies import api as emergencies
from app.inspection import Inspection
from app.ledger import api as ledger
from app.ledger.listening import Listening
from app.ledger.sealing import Sealer
from app.ledger.streaming import Stream
from app.limits import Limits
from app.matching import api as matching
from app.matching.hosting import Thinking
from app.offers import actions as offering
from app.offers import api as offers
from app.requests import api as requests
from app.service import chores, docs, logs, openapi, operations, refusals, stopping
from app.service.doorway import Doorway
from app.shares import Callers, Own
from app.stock import api as stock
from app.stock import bulk as stock_bulk
from app.transport import api as transport
from app.uploads import Slots, Upload
from app.volunteers import api as volunteers
from app.volunteers import bulk as volunteers_bulk
from app.webhooks import api as webhooks
from app.webhooks.delivering import Deliverer, Pace
from app.webhooks.sending import Bounds, Sender

ROOMS = (
    access,
    catalogue,
    transport,
    stock_bulk,
    stock,
    volunteers_bulk,
    volunteers,
    emergencies,
    requests,
    matching,
    offers,
    consignments,
    deployments,
    board,
    ledger,
    webhooks,
)
"""In the order of the story, which is that of the documentation."""

# Before an accepted offer is withdrawn or released, what is planned of it and has not left goes
# back; the rooms of the journeys come after that of the offers, so that it cannot call them.
offering.followers[:] = [consigning.cancel_planned, deploying.cancel_planned]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. `settings.database_url` must name a database that is migrated."""
    settings = settings or Settings.from_env()
    logs.configure(settings.log_level)

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        assert settings.database_url is not None, "serve decides which database it is"
        database = Database(settings.database_url, settings)
        application.state.database = database
        application.state.callers = callers = Callers(database, settings)
        application.state.own = own = Own(settings.database_url, settings, database.outage)
        application.state.keyring = KeyRing(own.keys, settings.key_cache)
        application.state.thinking = thinking = Thinking(settings)
        application.state.inspection = inspection = Inspection(settings)
        application.state.slots = Slots(settings.imports_at_once)
        listening = Listening(settings.database_url)
        application.state.listening = listening
        application.state.stream = Stream(own.chores, callers, listening)
        tasks = [
            asyncio.create_task(Sealer(settings.database_url).run()),
            asyncio.create_task(listening.run()),
        ]
        tasks.append(asyncio.create_task(_deliverer(application, settings).run()))
        # Streams never end by themselves, and the server waits for all that are open.
        stopping.drain_first(application, settings.drain, listening.end)
        stopping.follow_supervisor()
        tasks += [asyncio.create_task(chores.run(own.chores, chore)) for chore in chores.CHORES]
        tasks.append(asyncio.create_task(chores.count_pool(database, callers)))
        try:
            yield
        finally:
            await stopping.end(tasks)
            await thinking.close()
            inspection.close()
            await own.close()
            await database.close()

    application = FastAPI(
        title="Kömek",
        version=app.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # What the service tells of itself are its metrics and its log. Asking at every call whether
        # somebody has set OpenTelemetry up costs as much as taking a connection.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # A redirect would lead to whichever host the request named, and turn a POST over.
        redirect_slashes=False,
        # The route's function names the operation: client generators make method names of it.
        generate_unique_id_function=lambda route: route.name,
    )
    application.state.settings = settings
    application.state.stopping = False
    application.state.limits = Limits(settings.limits, settings.calls_per_second, settings.streams)
    application.add_middleware(
        Doorway,
        body_limit=settings.body_limit,
        body_timeout=settings.body_timeout,
        uploads={
            route.path: (settings.import_limit, settings.import_timeout)
            for route in routes()
            if isinstance(route, Upload)
        },
    )
    refusals.register(application)
    for room in ROOMS:
        application.include_router(room.router)
    application.include_router(operations.router)
    docs.mount(application)
    application.openapi = lambda: openapi.describe(application, routes())  # type: ignore[method-assign]
    return application


def _deliverer(application: FastAPI, settings: Settings) -> Deliverer:
    """What delivers the webhooks in this process."""
    bounds = Bounds(
        timeout=settings.webhook_timeout,
        allow_private=settings.webhook_allow_private,
        connections=settings.webhook_endpoints,
    )
    state = application.state
    # A lease outlasts one post and what surrounds it, so that nobody else does the same meanwhile.
    pace = Pace(endpoints=settings.webhook_endpoints, lease=settings.webhook_timeout + 10)
    return Deliverer(state.own.chores, state.stream, Sender(bounds), pace)


def routes() -> list[Exchange]:
    """Every route of the exchange, with who may call it."""
    return [route for room in ROOMS for route in room.router.routes if isinstance(route, Exchange)]
