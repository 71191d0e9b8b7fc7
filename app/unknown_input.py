"""What a call brings beyond what its route takes: refused by name, never dropped in silence."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app import json_text
from app.errors import AppError, Fault, invalid
from app.fields import said

_MOST_FAULTS = 50
_UNKNOWN = "extra_forbidden"
_EMPTY = (b"", b"{}")


@dataclass(frozen=True, slots=True)
class UnknownInput:
    """What a route does not take."""

    parameters: frozenset[str] | None
    """The query parameters that the route knows; None where any may come."""
    is_bodiless: bool
    """Whether the route takes no body at all: the framework would not even look at one."""

    @classmethod
    def of(cls, route: APIRoute, *, is_bodiless: bool | None = None) -> "UnknownInput":
        """That of a route; `is_bodiless` where its body is not one that the framework reads."""
        names = frozenset(_parameters(route.dependant))
        bodiless = route.body_field is None if is_bodiless is None else is_bodiless
        return cls(names, bodiless)

    async def refuse(self, request: Request) -> None:
        """422 where the call brings what the route does not take."""
        if self.parameters is not None:
            self._refuse_parameters(request, self.parameters)
        # A call without these headers has no body: nothing need be waited for.
        if self.is_bodiless and (
            "content-length" in request.headers or "transfer-encoding" in request.headers
        ):
            _refuse_body(await request.body())

    def _refuse_parameters(self, request: Request, known: frozenset[str]) -> None:
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            raise _refusal([f"query/{name[:200]}" for name in unknown])


def _parameters(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, field in annotation.model_fields.items():
                yield from {name, field.alias or name}
        else:
            yield parameter.alias
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _refuse_body(body: bytes) -> None:
    if body.strip() in _EMPTY:
        return
    try:
        sent = json_text.load(body)
    except json_text.MalformedJson:
        sent = None
    if sent == {}:
        return
    if not isinstance(sent, dict):
        raise invalid("", _UNKNOWN, "This call takes no body.")
    raise _refusal([json_text.pointer([name]) for name in sent])


def _refusal(pointers: list[str]) -> AppError:
    message = said(_UNKNOWN, "")
    faults = [Fault(pointer, _UNKNOWN, message) for pointer in pointers[:_MOST_FAULTS]]
    detail = message if len(pointers) == 1 else f"{len(pointers)} fields are not acceptable."
    return AppError("invalid_input", detail, faults=faults)
