"""Have your own systems told: an endpoint from its opening to its end."""

from app import specimens as s
from app.service.story.step import HELPER, Step

_ENDPOINT = {"id": s.WEBHOOK}

MESSAGES = [
    Step(HELPER, "list_event_types", query={"type": "stock.*"}),
    Step(
        HELPER,
        "open_webhook",
        body={
            "url": "https://erp.redcrescent.example/komek",
            "types": ["offer.*", "stock.shortfall"],
            "description": "Warehouse ERP",
        },
        gives={s.WEBHOOK: "id"},
    ),
    Step(HELPER, "list_webhooks"),
    Step(HELPER, "get_webhook", _ENDPOINT),
    Step(HELPER, "test_webhook", _ENDPOINT),
    Step(HELPER, "list_deliveries", _ENDPOINT, {"limit": 1}, gives={s.DELIVERY: "items/0/id"}),
    Step(HELPER, "get_progress", _ENDPOINT),
    Step(HELPER, "replay_delivery", _ENDPOINT | {"delivery": s.DELIVERY}),
    Step(HELPER, "replay_range", _ENDPOINT, body={"after": 0}),
    Step(HELPER, "rotate_webhook", _ENDPOINT, body={"overlap_hours": 24}),
    Step(HELPER, "change_webhook", _ENDPOINT, body={"types": ["offer.*"], "mine": True}),
    Step(HELPER, "resume_webhook", _ENDPOINT),
    Step(HELPER, "close_webhook", _ENDPOINT),
]
