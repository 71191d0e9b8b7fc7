"""What goes wrong, as each operation would tell it: the examples of the errors."""

import json
from typing import Any

from app.errors import AppError, Fault

Json = dict[str, Any]

_OBJECT = {
    "Access": "client",
    "Catalogue": "item",
    "Transport": "hub",
    "Stock": "lot",
    "Volunteers": "pool",
    "Emergencies": "emergency",
    "Requests": "request",
    "Matching": "emergency",
    "Offers": "offer",
    "Consignments": "consignment",
    "Deployments": "deployment",
    "Board": "emergency",
    "Ledger": "event",
    "Webhooks": "webhook",
    "Operations": "problem",
}
_STATES = {
    "change_request": ("request", "closed", "open"),
    "open_request": ("emergency", "closed", "open"),
    "take_over_emergency": ("emergency", "closed", "open"),
    "test_webhook": ("webhook", "paused", "active"),
    "close_request": ("request", "cancelled", "open"),
    "cancel_request": ("request", "closed", "open"),
    "get_matches": ("request", "closed", "open"),
    "propose_offer": ("request", "closed", "open"),
    "accept_offer": ("offer", "expired", "proposed"),
    "decline_offer": ("offer", "accepted", "proposed"),
    "withdraw_offer": ("offer", "completed", "proposed or accepted"),
    "release_offer": ("offer", "proposed", "accepted"),
    "plan_consignment": ("offer", "proposed", "accepted"),
    "dispatch_consignment": ("consignment", "cancelled", "planned"),
    "report_checkpoint": ("consignment", "planned", "dispatched"),
    "arrive_consignment": ("consignment", "planned", "dispatched"),
    "receive_consignment": ("consignment", "planned", "dispatched or arrived"),
    "cancel_consignment": ("consignment", "dispatched", "planned"),
    "report_lost_consignment": ("consignment", "received", "dispatched or arrived"),
    "plan_deployment": ("offer", "proposed", "accepted"),
    "put_manifest": ("deployment", "returned", "planned, mobilised or deployed"),
    "mobilise_deployment": ("deployment", "cancelled", "planned"),
    "arrive_deployment": ("deployment", "planned", "mobilised"),
    "ask_extension": ("deployment", "returned", "planned, mobilised or deployed"),
    "release_deployment": ("deployment", "mobilised", "deployed"),
    "recall_deployment": ("deployment", "mobilised", "deployed"),
    "return_deployment": ("deployment", "mobilised", "released"),
    "cancel_deployment": ("deployment", "deployed", "planned or mobilised"),
}
_UNKNOWN = {
    "create_client": ("/society", "society"),
    "put_item": ("/substitutes/0/item", "item"),
    "convert_quantity": ("query/pack", "pack of this item"),
    "publish_lot": ("/site", "site of yours"),
    "publish_pool": ("/site", "site of yours"),
    "open_request": ("/emergency", "emergency"),
    "open_webhook": ("/types/0", "type of event"),
    "change_webhook": ("/types/0", "type of event"),
    "change_request": ("/lines", "line of this request"),
    "put_leg": ("/end", "hub"),
    "plan_emergency": ("/what_if/closed_legs/0", "leg"),
    "try_scenario": ("/needs/0/item", "item"),
    "screen_offer": ("/lines/0/stock", "lot of yours"),
    "propose_offer": ("/lines/0/stock", "lot of yours"),
    "accept_offer": ("/lines/0/line", "line of this offer"),
    "plan_consignment": ("/lines/0/offer_line", "line of goods of this offer"),
    "receive_consignment": ("/lines/0/line", "line of this consignment"),
    "plan_deployment": ("/offer_line", "line of volunteers of this offer"),
}
_WRONG = {
    "publish_lot": ("/quantity", "int_type", "This should be a valid integer."),
    "publish_pool": (
        "/available_until",
        "before_from",
        "`available_until` must be later than `available_from`.",
    ),
    "open_request": (
        "/needed_by",
        "instant_form",
        "An instant is RFC 3339 text with its offset, such as 2026-02-06T01:17:00Z.",
    ),
    "propose_offer": ("/request", "own_society", "A society does not offer to itself."),
    "import_sites": ("query/dry_run", "bool_parsing", "This should be `true` or `false`."),
    "import_lots": ("query/mode", "literal_error", "This should be `merge` or `replace`."),
    "import_pools": ("query/mode", "literal_error", "This should be `merge` or `replace`."),
    "export_lots": ("query/format", "literal_error", "This should be `csv`, `xlsx` or `ndjson`."),
    "export_pools": ("query/format", "literal_error", "This should be `csv`, `xlsx` or `ndjson`."),
    "find_lots": ("query/within_km", "incomplete", "`within_km` goes with `near`."),
    "find_pools": ("query/until", "before_from", "`until` must be later than `from`."),
}
_ONE_FIELD = {
    "malformed_json": ("", "The key `quantity` stands twice in one object."),
    "not_a_match": (
        "/lines/0/stock",
        "The line asks for HSHEBLANPHT1; this lot's item does not stand in for it.",
    ),
    "lot_expired": ("/lines/0/stock", "The goods expired on 2026-01-31."),
    "duplicate_ref": ("/ref", "You made another offer under this reference."),
}
_COUNTS: Json = {
    "dry_run": False,
    "rows": 2,
    "created": 0,
    "changed": 0,
    "unchanged": 0,
    "withdrawn": 0,
    "refused": 1,
    "errors_total": 1,
    "kept_reserved_total": 0,
    "kept_reserved": [],
    "notes": [],
}
# Of a file, not of JSON.
_FILE = {
    "body_too_large": "The limit is 104857600 bytes.",
    "body_timeout": "The body did not arrive within 600 seconds.",
    "unsupported_media_type": "Say what the file is: `Content-Type: text/csv`, XLSX's own type or "
    "`application/x-ndjson`.",
}
_PLAIN: dict[str, tuple[str, Json]] = {
    "unauthenticated": ("The key is not valid: it was revoked, has expired, or is another's.", {}),
    "method_not_allowed": ("This address does not take this method.", {}),
    "idempotency_in_progress": ("The first call with this key has not ended yet.", {}),
    "idempotency_key_reused": (
        "This key was used for another call within the last 7 days.",
        {},
    ),
    "insufficient_stock": (
        "Not enough is available; nothing was reserved.",
        {"lines": [{"line": 0, "offered": 500, "available": 120}]},
    ),
    "insufficient_volunteers": (
        "Not enough people are available; nothing was reserved.",
        {"lines": [{"line": 0, "offered": 25, "available": 6}]},
    ),
    "over_accepted": (
        "This is more than is outstanding.",
        {"lines": [{"line": 0, "accepted": 400, "outstanding": 200}]},
    ),
    "over_planned": (
        "This is more than is accepted and not yet planned.",
        {"lines": [{"line": 0, "planned": 250, "left": 50}]},
    ),
    "below_accepted": ("250 are accepted already.", {}),
    "already_received": (
        "The consignment is received, with other figures than these. A receipt stands; what was "
        "counted wrong is settled between the two societies.",
        {"state": "received"},
    ),
    "stale_count": (
        "It was counted later, at 2026-02-06T01:17:00.000000Z; this is as of "
        "2026-02-05T01:17:00.000000Z.",
        {"as_of": "2026-02-06T01:17:00.000000Z"},
    ),
    "lot_reserved": ("400 of this lot are promised.", {}),
    "pool_reserved": ("People of this pool are promised.", {}),
    "site_in_use": ("Lots or pools stand at this site.", {}),
    "already_exists": ("An open emergency with this GLIDE number exists.", {}),
    "conflict": ("It was created by another call at this moment.", {}),
    "precondition_failed": ("The object is not the one in `If-Match`.", {}),
    "body_too_large": ("The limit is 1048576 bytes.", {}),
    "unsupported_media_type": ("The body must be `application/json`.", {}),
    "body_timeout": ("The body did not arrive within 20 seconds.", {}),
    "unreadable_file": (
        "Row 3: Line 3, byte 17 is not UTF-8.",
        _COUNTS
        | {
            "refused": 0,
            "errors": [
                {
                    "pointer": "row/3",
                    "row": 3,
                    "field": None,
                    "code": "encoding",
                    "message": "Line 3, byte 17 is not UTF-8.",
                }
            ],
        },
    ),
    "import_refused": (
        "1 of 2 rows are at fault; nothing was changed.",
        _COUNTS
        | {
            "errors": [
                {
                    "pointer": "row/3/quantity",
                    "row": 3,
                    "field": "quantity",
                    "code": "number_form",
                    "message": "This is not a number.",
                }
            ],
        },
    ),
    "manifest_erased": ("It was erased at 2027-03-10T04:00:00.000000Z.", {}),
    "rate_limited": (
        "Your society sends more calls than it may; `RateLimit-Policy` tells how many.",
        {},
    ),
    "limit_reached": (
        "A society has at most 100 clients that are not revoked: revoke one first.",
        {},
    ),
    "plan_failed": ("No plan was found within the limits.", {}),
    "no_space": ("There is no space left on the disk; nothing was changed.", {}),
    "busy": ("No database connection came free in time.", {}),
    "database_unavailable": ("The database connection failed.", {}),
    "stopping": ("The service is stopping.", {}),
    "internal_error": ("Something went wrong on our side; nothing was changed.", {}),
}


_OWN: dict[tuple[str, str], tuple[str, Json]] = {
    ("dispatch_consignment", "insufficient_stock"): (
        "More is to leave than its owner counts in the lot; nothing was dispatched. Publish what "
        "is really there, or dispatch less.",
        {
            "lines": [
                {
                    "line": "01935f91-2b3c-7d4e-8f50-6a7b8c9d0e1f",
                    "planned": 500,
                    "available": 120,
                }
            ]
        },
    ),
    ("delete_hub", "conflict"): ("Legs end at this hub; delete them first.", {}),
    ("get_matches", "busy"): ("Plans of others are being made.", {}),
    ("plan_emergency", "busy"): ("Plans of others are being made.", {}),
    ("try_scenario", "busy"): ("Plans of others are being made.", {}),
    ("open_request", "limit_reached"): (
        "A society has at most 2000 lines open in one emergency. Close what is served, or ask for "
        "more in fewer lines.",
        {},
    ),
    ("change_request", "limit_reached"): (
        "A request has at most 500 lines: open another one for the rest.",
        {},
    ),
}
"""What an operation says in its own words."""
_MAY = {
    "take_over_emergency": "Only the society of the country that is hit may do this.",
    "close_emergency": "Only the society whose emergency it is or the secretariat may close it.",
    "get_matches": "Only the society that asked and the secretariat see its plan.",
    "plan_emergency": "Only societies with an open request in this emergency and the "
    "secretariat plan.",
}


def examples(operation: Json) -> None:
    """Replace each error's example by what this very operation would say."""
    for answer in operation["responses"].values():
        problems = answer.get("content", {}).get("application/problem+json")
        for code, example in (problems or {}).get("examples", {}).items():
            said = _said(operation, code)
            # The id is the call's own, as in the header.
            example["value"] = json.loads(said.document("01935f8e0c5a7b3d9e4d6f1a2b3c4d5e"))


def _said(operation: Json, code: str) -> AppError:
    name = operation["operationId"]
    what = _OBJECT.get(operation["tags"][0], "object")
    if code == "wrong_state":
        return _state(name, what)
    if code == "not_found":
        named = next((w for w in ("site", "skill", "leg", "matches") if w in name), what)
        what = "request" if named == "matches" else named
        return AppError(code, f"There is no such {what}, or it is not yours to see.")
    if code == "unknown_reference":
        pointer, what = _UNKNOWN.get(name, ("", what))
        message = f"There is no such {what}, or it is not yours to see."
        return _fault(code, pointer, "unknown", message)
    if code == "invalid_input":
        return _fault(code, *_WRONG.get(name, _usual(operation)))
    if code == "pack_mismatch":
        message = "This is no whole number of packs; 380 or 400 is."
        return _fault(code, "query/quantity" if "query" in name else "/lines/0", code, message)
    if code in _ONE_FIELD:
        pointer, message = _ONE_FIELD[code]
        return _fault(code, pointer, code, message)
    if code == "receipt_mismatch":
        message = "200 were dispatched; 190 + 8 + 1 is not that."
        faults = [Fault("/lines/0", code, message)]
        return AppError(code, "The receipt does not add up to what was sent.", faults=faults)
    if code == "scope_missing":
        scope = operation["description"].partition("*Scope:* ")[2].partition(".")[0]
        return AppError(code, f"This needs the scope {scope}.")
    if code == "role_forbidden":
        return AppError(code, _role(operation))
    detail, extra = _OWN.get((name, code)) or _PLAIN[code]
    if "text/csv" in operation.get("requestBody", {}).get("content", {}):
        detail = _FILE.get(code, detail)
    return AppError(code, detail, extra=extra)


def _state(name: str, what: str) -> AppError:
    if name not in _STATES:
        detail, state = {
            "rotate_client": ("The client is revoked.", "revoked"),
        }.get(name, ("No extension is asked for.", "deployed"))
        return AppError("wrong_state", detail, extra={"state": state})
    what, state, needed = _STATES[name]
    detail = f"The {what} is {state}; this needs it to be {needed}."
    return AppError("wrong_state", detail, extra={"state": state})


def _fault(code: str, pointer: str, kind: str, message: str) -> AppError:
    return AppError(code, message, faults=[Fault(pointer, kind, message)])


def _usual(operation: Json) -> tuple[str, str, str]:
    parameters = [p for p in operation.get("parameters", []) if p["in"] != "header"]
    if "requestBody" in operation:
        return (
            "/quantitty",
            "extra_forbidden",
            "There is no such field; check its spelling.",
        )
    names = [p["name"] for p in parameters]
    if "limit" in names:
        return ("query/limit", "less_than_equal", "This should be less than or equal to 200.")
    if "id" in names:
        return ("path/id", "id_form", "An id is a UUID in its usual 36 characters.")
    if names:
        return (f"path/{names[0]}", "string_too_long", "This is too long.")
    return ("header/Idempotency-Key", "key_form", "An Idempotency-Key is 1 to 200 characters.")


def _role(operation: Json) -> str:
    roles = operation["description"].partition("*Roles:* ")[2].partition(".")[0]
    if roles:
        needed = " or ".join(roles.split(", "))
        return f"This is open to the role {needed} alone."
    return _MAY.get(operation["operationId"], "Only the two parties may do this.")
