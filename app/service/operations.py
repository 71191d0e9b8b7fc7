"""Is it alive, is it ready, how does it do; what do its errors mean. Open to everybody."""

import asyncio
import re
from dataclasses import replace
from html import escape
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from pydantic import Field
from sqlalchemy import text

from app.calls import Handler
from app.errors import CODES, AppError, missing
from app.fields import Shown
from app.problems import refused
from app.service import metrics
from app.unknown_input import UnknownInput

_PROBES = frozenset({"/livez", "/readyz", "/metrics"})


class Open(APIRoute):
    """A route without a key, as strict about what it is sent as every other one."""

    def get_route_handler(self) -> Handler:
        """The route's code; first it is seen that nothing is sent which would be dropped."""
        inner: Handler = super().get_route_handler()
        unknown_input = UnknownInput.of(self)
        if self.path in _PROBES:
            # Load balancers and scrapers add parameters of their own, and no one reads the answer.
            unknown_input = replace(unknown_input, parameters=None)

        async def handle(request: Request) -> Response:
            await unknown_input.refuse(request)
            return await inner(request)

        return handle


router = APIRouter(tags=["Operations"], route_class=Open)

_READY_WITHIN = 2.0


class State(Shown):
    """How the service is."""

    status: Literal["alive", "ready"] = Field(description="How it is.", examples=["ready"])


class ProblemPage(Shown):
    """What an error means and what the caller can do."""

    code: str = Field(description="The code.", examples=["wrong_state"])
    status: int = Field(description="The HTTP status that it comes with.", examples=[409])
    title: str = Field(
        description="What kind of problem it is.",
        examples=["The present state does not allow this"],
    )
    meaning: str = Field(
        description="What it means and what to do.",
        examples=["`state` tells the state that the object is in. Read it again."],
    )


@router.get("/livez", summary="Alive?", response_model=State, responses=refused("invalid_input"))
async def get_liveness() -> Response:
    """Answers as long as the process runs. Where it does not answer, start the process anew."""
    return JSONResponse({"status": "alive"})


@router.get(
    "/readyz",
    summary="Ready?",
    response_model=State,
    responses=refused("invalid_input", "stopping", "database_unavailable"),
)
async def get_readiness(request: Request) -> Response:
    """Whether to send requests here: the database answers, and the service is not stopping."""
    if request.app.state.stopping:
        raise AppError("stopping", "The service is stopping.", headers={"Retry-After": "2"})
    try:
        async with asyncio.timeout(_READY_WITHIN):
            async with request.app.state.own.probes.reading() as connection:
                await connection.execute(text("SELECT 1"))
    except TimeoutError:
        raise AppError(
            "database_unavailable", "The database does not answer.", headers={"Retry-After": "2"}
        ) from None
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=PlainTextResponse,
    responses=refused("invalid_input")
    | {
        200: {
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": "# TYPE komek_ledger_lag_seconds gauge\n"
                    "komek_ledger_lag_seconds 0.004\n",
                }
            },
            "description": "Metrics in the text format of Prometheus.",
        }
    },
)
async def get_metrics(request: Request) -> Response:
    """Request durations by route template, the pool, the ledger's lag, open offers by state."""
    state = request.app.state
    body = await metrics.exposed(state.database, state.callers, state.own.chores)
    return Response(body, headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get(
    "/problems/{code}",
    summary="What an error means",
    response_model=ProblemPage,
    responses=refused("not_found", "invalid_input")
    | {
        200: {
            "description": "The explanation, as JSON or as a page for people.",
            "content": {
                "text/html": {
                    "schema": {"type": "string"},
                    "example": "<h1>The present state does not allow this</h1>",
                }
            },
        }
    },
)
async def explain_problem(
    request: Request,
    code: Annotated[
        str, Path(description="The code of the problem.", examples=["wrong_state"], max_length=60)
    ],
) -> Response:
    """The page behind the `type` of a problem."""
    problem = CODES.get(code)
    if problem is None:
        raise missing("problem")
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(
            {
                "code": code,
                "status": problem.status,
                "title": problem.title,
                "meaning": problem.meaning,
            }
        )
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/docs/page.css">'
        f"<title>{escape(problem.title)}</title>"
        f'<body class="plain"><h1>{escape(problem.title)}</h1>'
        f"<p><code>{escape(code)}</code>, HTTP {problem.status}</p>"
        f"<p>{_marked(problem.meaning)}</p>"
        '<p><a href="/docs">API</a></p></html>'
    )


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
