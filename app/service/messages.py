"""The `webhooks` of the OpenAPI document: every type of event, as an endpoint gets it."""

from typing import Any

from app.ledger import events

_WEBHOOK_HEADERS = (
    ("webhook-id", "The event's id: the same at every attempt. What came before is a repeat."),
    ("webhook-timestamp", "Seconds since 1970. Refuse what is older than five minutes."),
    (
        "webhook-signature",
        "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; one for each secret.",
    ),
)


def _described(name: str, event: events.EventType) -> dict[str, Any]:
    """One type of event as it is sent to an endpoint."""
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Event"},
            {
                "type": "object",
                "properties": {"type": {"const": name}, "data": events.data_schema(event)},
            },
        ]
    }
    headers = [
        {
            "name": header,
            "in": "header",
            "required": True,
            "description": said,
            "schema": {"type": "string"},
        }
        for header, said in _WEBHOOK_HEADERS
    ]
    return {
        "post": {
            "tags": ["Webhooks"],
            "operationId": "told_" + name.replace(".", "_"),
            "summary": name,
            "description": f"{event.sentence}\n\n*Seen by:* {event.seen_by}.",
            "parameters": headers,
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": schema, "example": events.example(name)}
                },
            },
            "responses": {
                "2XX": {"description": "Delivered. Every other answer is a failure."},
                "410": {"description": "Send nothing any more: the endpoint is disabled."},
                "429": {"description": "Slow down; `Retry-After` in seconds is honoured."},
            },
        }
    }


def described() -> dict[str, Any]:
    """Each type of event under its name, in the order of the story."""
    return {name: _described(name, event) for name, event in events.EVENTS.items()}
