"""Structured logs: one JSON object a line on standard error. No keys and no personal data."""

import logging
import sys
from typing import Any, TextIO, cast

import structlog

_DICTS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)
_LONGEST = 300


class _Trace:
    """A trace without local variables, and of each message the first line alone.

    Locals hold keys and bodies, and a database's second line quotes the row that it refused: names
    of people among them.
    """

    def __call__(self, exc_info: structlog.typing.ExcInfo) -> Any:
        trace = _DICTS(exc_info)
        for error in trace:
            error["exc_value"] = error["exc_value"].partition("\n")[0][:_LONGEST]
        return trace


class _StandardError:
    """Standard error as it is when a line is written.

    Loggers are kept from their first use on: one that was used while standard error was replaced
    would write into a closed file ever after, and a line of the log would end a call with 500.
    """

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(level: str) -> None:
    """Let structlog and the standard library's loggers write the same JSON lines.

    `level` is a name such as `info`: of a lower one nothing is written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[structlog.typing.Processor] = [
        structlog.processors.ExceptionRenderer(_Trace()),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    standard_error = cast(TextIO, _StandardError())
    # Our own lines do not go through the standard library's loggers, which take twice as long for
    # one, and every request has one.
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(standard_error),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(standard_error)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendered,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A line for every request is the doorway's; a line for every statement or start is noise.
    for name in ("uvicorn.access", "httpx", "alembic.runtime.plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)
