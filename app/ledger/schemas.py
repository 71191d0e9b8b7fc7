"""An example of each type of event, and the JSON Schema of its data. Pure."""

from typing import Any

from app import specimens
from app.ledger import events

_LOT = "01935f8e-9c5a-7b3d-9e4d-6f1a2b3c4d5e"
_AT = "2026-11-24T08:00:00.000000Z"


def example(name: str) -> dict[str, Any]:
    """An event of a type as its society sees it."""
    return {
        "seq": 42,
        "id": specimens.EVENT,
        "type": name,
        "at": _AT,
        "society": "AZE",
        "subject": {"type": name.partition(".")[0], "id": _LOT},
        "data": {**events.EVENTS[name].data, "actor": specimens.EVENT},
        "salt": specimens.DIGEST,
        "commitment": specimens.DIGEST,
        "hash": specimens.DIGEST,
        "previous_hash": specimens.DIGEST,
    }


def data_schema(event: events.EventType) -> dict[str, Any]:
    """JSON Schema of an event's data."""
    properties = {
        name: schema_of(value, nullable=name in event.may_be_null)
        for name, value in event.data.items()
    }
    return {
        "type": "object",
        "required": ["actor", *(n for n in event.data if n not in event.may_lack)],
        "properties": {**properties, **_BESIDE},
        "additionalProperties": False,
    }


_BESIDE: dict[str, Any] = {
    "actor": {
        "type": "string",
        "description": "The client that acted; `exchange` where the exchange did by itself, "
        "`operator` where whoever runs it did so at the command line.",
    },
    "emergency": {"type": "string", "format": "uuid"},
    "private_commitment": {"type": "string"},
    "moves": {
        "type": "array",
        "description": "What it adds to balances.",
        "items": {
            "type": "object",
            "required": ["account", "figure", "by"],
            "properties": {
                "account": {"type": "string"},
                "figure": {"type": "string"},
                "by": {"type": "integer"},
            },
        },
    },
}


def schema_of(value: Any, *, nullable: bool = False) -> dict[str, Any]:
    """The schema of an example's kind. Objects in objects stay open: they are shown elsewhere."""
    kind, more = "string", {}
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, int):
        kind = "integer"
    elif isinstance(value, float):
        kind = "number"
    elif isinstance(value, list):
        kind, more = "array", {"items": schema_of(value[0])}
    elif isinstance(value, dict):
        kind, more = "object", {"properties": {k: schema_of(v) for k, v in value.items()}}
    return {"type": [kind, "null"] if nullable else kind, **more}
