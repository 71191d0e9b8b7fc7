"""The `webhooks` of the OpenAPI document: every type of event, as an endpoint gets it."""

from typing import Any

from app.ledger import events, schemas

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
    properties = {"type": {"const": name}, "data": schemas.data_schema(event)}
    sentence = f"{event.sentence}\n\n*Seen by:* {event.seen_by}."
    return _message(name, sentence, properties, schemas.example(name))


def _message(
    name: str, sentence: str, properties: dict[str, Any], example: dict[str, Any]
) -> dict[str, Any]:
    event = {"$ref": "#/components/schemas/Event"}
    schema = {"allOf": [event, {"type": "object", "properties": properties}]}
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
            "description": sentence,
            "parameters": headers,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": example}},
            },
            "responses": {
                "2XX": {"description": "Delivered. Every other answer is a failure."},
                "410": {"description": "Send nothing any more: the endpoint is disabled."},
                "429": {"description": "Slow down; `Retry-After` in seconds is honoured."},
            },
        }
    }


def described() -> dict[str, Any]:
    """Each type of event under its name, in the order of the story; the envelope comes last."""
    told = {name: _described(name, event) for name, event in events.EVENTS.items()}
    hidden = dict.fromkeys(("id", "at", "society", "subject", "data", "salt"))
    properties = {"type": {"const": "sealed"}} | {name: {"type": "null"} for name in hidden}
    example = schemas.example("stock.published") | {"type": "sealed"} | hidden
    example.pop("private", None)
    sentence = (
        "The envelope of what your society may not see; sent only to an endpoint that is `sealed`. "
        "Its `webhook-id` is the first half of the `commitment`, written as a UUID."
    )
    return told | {"sealed": _message("sealed", sentence, properties, example)}
