"""How the errors of an operation stand in the OpenAPI document."""

import json
from typing import Any

from pydantic import BaseModel, Field

from app.errors import CODES, AppError, Fault


class FieldFault(BaseModel):
    """One field at fault."""

    pointer: str = Field(
        description="JSON pointer into the body, or `query/…`, `path/…`, `header/…`.",
        examples=["/lines/0/quantity"],
    )
    code: str = Field(description="The kind of fault, for programs.", examples=["greater_than"])
    message: str = Field(
        description="The reason, for people.", examples=["This must be at least 1."]
    )


class LineFault(BaseModel):
    """One line at fault, with what it names and what there is."""

    line: int | str = Field(
        description="The place of the line in your input, from 0.", examples=[0]
    )
    offered: int | None = Field(default=None, description="What you offer.", examples=[500])
    available: int | None = Field(
        default=None, description="What is available at this moment.", examples=[120]
    )
    accepted: int | None = Field(
        default=None, description="What would be accepted.", examples=[500]
    )
    outstanding: int | None = Field(
        default=None, description="What is outstanding of the request line.", examples=[200]
    )
    planned: int | None = Field(default=None, description="What you plan.", examples=[500])
    left: int | None = Field(
        default=None, description="What is accepted and not planned yet.", examples=[200]
    )


class ProblemDocument(BaseModel):
    """RFC 9457 problem details: the form of every error. `code` is what programs switch on."""

    type: str = Field(
        description="Address of the page that explains the problem.",
        examples=["/problems/wrong_state"],
    )
    title: str = Field(
        description="What kind of problem it is.",
        examples=["The present state does not allow this"],
    )
    status: int = Field(description="The HTTP status again.", examples=[409])
    detail: str = Field(
        description="What is wrong in this case.",
        examples=["The offer is declined; this needs it to be proposed."],
    )
    code: str = Field(description="The stable code of the problem.", examples=["wrong_state"])
    errors: list[FieldFault] | None = Field(
        default=None,
        description="The fields at fault, for bad input.",
        examples=[
            [
                {
                    "pointer": "/lines/0/quantity",
                    "code": "greater_than_equal",
                    "message": "This should be greater than or equal to 1.",
                }
            ]
        ],
    )
    state: str | None = Field(
        default=None,
        description="With `wrong_state`: the state that the object is in.",
        examples=["declined"],
    )
    as_of: str | None = Field(
        default=None,
        description="With `stale_count`: when the count that stands was made.",
        examples=["2026-02-06T01:17:00.000000Z"],
    )
    lines: list[LineFault] | None = Field(
        default=None, description="The lines at fault, where a quantity is too large."
    )
    request_id: str | None = Field(
        default=None,
        description="Name this when you ask the operator about the call.",
        examples=["01935f8e0c5a7b3d9e4d6f1a2b3c4d5e"],
    )


_ALWAYS = (
    "unauthenticated",
    "scope_missing",
    "invalid_input",
    "rate_limited",
    "busy",
    "no_space",
    "internal_error",
)
_EXTRA: dict[str, dict[str, Any]] = {
    "wrong_state": {"state": "declined"},
    "insufficient_stock": {"lines": [{"line": 0, "offered": 500, "available": 120}]},
    "insufficient_volunteers": {"lines": [{"line": 0, "offered": 20, "available": 6}]},
    "over_accepted": {"lines": [{"line": 0, "accepted": 500, "outstanding": 200}]},
    "over_planned": {"lines": [{"line": 0, "planned": 500, "left": 200}]},
    "stale_count": {"as_of": "2026-02-06T01:17:00.000000Z"},
    "already_received": {"state": "received"},
}
_DETAIL = {
    "wrong_state": "The offer is declined; this needs it to be proposed.",
    "insufficient_stock": "Not enough is available; nothing was reserved.",
    "invalid_input": "One field is not acceptable.",
    "unknown_reference": "There is no such item, or it is not yours to see.",
}


def answers(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an operation: its own codes and those that every operation has."""
    return refused(*dict.fromkeys((*codes, *_ALWAYS)))


def refused(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` for these codes alone."""
    result: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        problem = CODES[code]
        faults = (
            [
                Fault(
                    "/lines/0/quantity",
                    "greater_than_equal",
                    "This must be at least 1.",
                )
            ]
            if code in ("invalid_input", "unknown_reference", "pack_mismatch")
            else []
        )
        example = AppError(
            code,
            _DETAIL.get(code, problem.meaning),
            faults=faults,
            extra=_EXTRA.get(code),
        )
        answer = result.setdefault(
            problem.status,
            {
                "description": "",
                "content": {
                    "application/problem+json": {
                        "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                        "examples": {},
                    }
                },
            },
        )
        separator = "; " if answer["description"] else ""
        answer["description"] += f"{separator}`{code}`: {problem.title}"
        answer["content"]["application/problem+json"]["examples"][code] = {
            "summary": problem.title,
            "value": json.loads(example.document()),
        }
    return result
