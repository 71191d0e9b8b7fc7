"""Every type of event: what it says, who sees it, and what its data holds. Pure.

The one place that the documentation, the filters of webhooks and the tests read. A room that
records a new type, or puts a new field into its data, writes it down here; tests hold it to that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

EVERYBODY = "everybody"
PARTIES = "the two parties and the secretariat"
VISIBLE = "those in `visible_to`; everybody where it is not set"
OWN = "the society itself"
OWN_AND_SECRETARIAT = "the society itself and the secretariat"
CLIENTS = "the society itself and the secretariat; everybody where the operator did it"
CONCERNED = "the society itself and those to whom something of it is promised"


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event. `data` is an example of what is its own.

    Beside it stand `actor` in every event, `emergency` where it belongs to one, `moves` where it
    changes balances and `private_commitment` where a part is for the acting society alone. A field
    in `may_lack` is not in every event of the type; one in `may_be_null` can be null.
    """

    sentence: str
    seen_by: str
    data: Mapping[str, Any] = field(default_factory=dict)
    may_lack: frozenset[str] = frozenset()
    may_be_null: frozenset[str] = frozenset()


_ID = "01935f92-1b2e-7f00-8d10-2a3b4c5d6e7f"
_LINE = "01935f91-2b3c-7d4e-8f50-6a7b8c9d0e1f"
_REQUEST = "01935f90-77aa-7d10-b3c2-5e8f90a1b2c3"
_LOT = "01935f8e-9c5a-7b3d-9e4d-6f1a2b3c4d5e"
_AT = "2026-11-24T08:00:00.000000Z"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_SITE = {
    "ref": "baku-1",
    "name": "Baku central warehouse",
    "country": "AZE",
    "lat": 40.41,
    "lon": 49.87,
    "kind": "warehouse",
}
_ITEM = {"item": {"code": "HSHEBLANPHT1", "category": "H", "unit": "piece"}}
_SKILL = {"skill": {"code": "usar", "names": {"en": "urban search and rescue"}}}
_OFFER_ENDED = {"request": _REQUEST, "reason": "The road is closed."}
_NULL_REQUEST = frozenset({"request", "reason"})
_WEBHOOK = {
    "host": "erp.redcrescent.example",
    "types": ["offer.*"],
    "mine": True,
    "sealed": False,
}
_STOPPED = {
    "reason": "failing",
    "failures_in_a_row": 20,
    "failing_since": _AT,
    "cursor": 42,
}


def _offer_ended(sentence: str) -> EventType:
    return EventType(sentence, PARTIES, _OFFER_ENDED, may_be_null=_NULL_REQUEST)


def _journey(sentence: str, *, null: str = "", **data: Any) -> EventType:
    seen = {"offer": _ID, **data}
    return EventType(sentence, PARTIES, seen, may_be_null=frozenset(null.split()))


def _people(sentence: str) -> EventType:
    return _journey(sentence, null="reason", headcount=40, reason="Snow.")


EVENTS: dict[str, EventType] = {
    "society.admitted": EventType(
        "A society became a member of the network.",
        EVERYBODY,
        {"name": "Kazakh Red Crescent", "role": "member"},
    ),
    "society.changed": EventType(
        "The secretariat changed a society's name or role.",
        EVERYBODY,
        {"name": "Kazakh Red Crescent", "role": "member"},
    ),
    "client.created": EventType(
        "A society has a new client. The key is not told.",
        CLIENTS,
        {"society": "TUR", "name": "Warehouse ERP", "scopes": ["read", "stock:write"]},
    ),
    "client.rotated": EventType(
        "A client has a new key; the one before it ends.",
        OWN_AND_SECRETARIAT,
        {"society": "TUR", "previous_key_until": _AT},
    ),
    "client.revoked": EventType("A client may not call any more.", CLIENTS, {"society": "TUR"}),
    "item.catalogued": EventType("An item is new in the catalogue.", EVERYBODY, _ITEM),
    "item.changed": EventType("An item of the catalogue was changed.", EVERYBODY, _ITEM),
    "skill.catalogued": EventType("A skill is new in the catalogue.", EVERYBODY, _SKILL),
    "skill.changed": EventType("A skill of the catalogue was changed.", EVERYBODY, _SKILL),
    "hub.opened": EventType("A hub is new.", EVERYBODY, {"hub": {"code": "AKTAU"}}),
    "hub.changed": EventType("A hub was changed.", EVERYBODY, {"hub": {"code": "AKTAU"}}),
    "hub.removed": EventType("A hub was removed.", EVERYBODY),
    "leg.opened": EventType("A leg is new.", EVERYBODY, {"leg": {"code": "sea-aktau-baku"}}),
    "leg.changed": EventType("A leg was changed.", EVERYBODY, {"leg": {"code": "sea-aktau-baku"}}),
    "leg.removed": EventType("A leg was removed.", EVERYBODY),
    "site.opened": EventType("A society has a new site.", OWN, _SITE),
    "site.changed": EventType("A society changed a site.", OWN, _SITE),
    "site.closed": EventType("A society gave up a site.", OWN, {"ref": "baku-1"}),
    "stock.published": EventType(
        "A lot was published, or published with other figures.",
        VISIBLE,
        {
            "item": "HSHEBLANPHT1",
            "available": 450,
            "lot_number": "L-2026-11",
            "expires_on": "2028-06-30",
            "as_of": _AT,
        },
        may_be_null=frozenset({"lot_number", "expires_on"}),
    ),
    "stock.shortfall": EventType(
        "A lot holds fewer than are promised of it, by so many; 0 when it is enough again.",
        CONCERNED,
        {"item": "HSHEBLANPHT1", "shortfall": 30},
    ),
    "stock.withdrawn": EventType(
        "A lot was taken off the exchange.", VISIBLE, {"item": "HSHEBLANPHT1"}
    ),
    "volunteers.published": EventType(
        "A pool of volunteers was published, or published anew.",
        VISIBLE,
        {
            "skill": "usar",
            "languages": ["tr", "en"],
            "available_from": _AT,
            "available_until": _AT,
            "as_of": _AT,
        },
    ),
    "volunteers.shortfall": EventType(
        "A pool holds fewer people than are promised, by so many; 0 when it is enough again.",
        CONCERNED,
        {"skill": "usar", "shortfall": 4},
    ),
    "volunteers.withdrawn": EventType(
        "A pool was taken off the exchange.", VISIBLE, {"skill": "usar"}
    ),
    "emergency.opened": EventType(
        "A disaster was reported.",
        EVERYBODY,
        {
            "name": "Kahramanmaraş earthquakes",
            "hazard": "earthquake",
            "glide": "EQ-2023-000015-TUR",
            "country": "TUR",
            "lat": 37.58,
            "lon": 36.93,
            "started_on": "2023-02-06",
        },
        may_be_null=frozenset({"glide"}),
    ),
    "emergency.taken_over": EventType(
        "The society of the country that is hit made an emergency its own.",
        EVERYBODY,
        {"previous_society": "AZE"},
    ),
    "emergency.closed": EventType("An emergency was ended.", EVERYBODY),
    "request.opened": EventType(
        "A society asks for goods or people.",
        EVERYBODY,
        {
            "title": "Winter shelter",
            "priority": "high",
            "needed_by": _AT,
            "destination": {"name": "Pazarcık", "country": "TUR", "lat": 37.49, "lon": 37.3},
            "lines": [
                {
                    "id": _LINE,
                    "kind": "stock",
                    "requested": 400,
                    "item": "HSHEBLANPHT1",
                    "accept_substitutes": True,
                }
            ],
        },
    ),
    "request.changed": EventType(
        "A request was changed: its fields, its lines, or new lines.",
        EVERYBODY,
        {"changed": {"priority": "critical"}, "added": [{"id": _LINE, "kind": "stock"}]},
        may_lack=frozenset({"added"}),
    ),
    "request.closed": EventType("A request is served, or closed by its society.", EVERYBODY),
    "request.cancelled": EventType("A request was cancelled.", EVERYBODY),
    "offer.proposed": EventType(
        "A society offers; what it offers is reserved.",
        PARTIES,
        {
            "request": _REQUEST,
            "to": "TUR",
            "expires_at": _AT,
            "lines": [
                {
                    "line": _LINE,
                    "quantity": 300,
                    "request_line": _LINE,
                    "stock": _LOT,
                    "item": "HSHEBLANPHT1",
                }
            ],
        },
        may_be_null=frozenset({"request"}),
    ),
    "offer.accepted": EventType(
        "An offer was accepted, whole or in part; the rest is free again.",
        PARTIES,
        {
            "request": _REQUEST,
            "by": "TUR",
            "lines": [{"line": _LINE, "accepted": 250, "of": 300}],
        },
        may_be_null=frozenset({"request"}),
    ),
    "offer.declined": _offer_ended("The requester declined an offer."),
    "offer.withdrawn": _offer_ended("The provider withdrew an offer."),
    "offer.expired": _offer_ended("An offer was not answered in time."),
    "offer.released": _offer_ended("The requester freed what has not left of an accepted offer."),
    "offer.completed": _offer_ended("Nothing of an offer is left to send or to receive."),
    "consignment.planned": _journey(
        "A journey of goods was planned.",
        null="eta",
        mode="road",
        eta=_AT,
        lines=[{"offer_line": _LINE, "quantity": 250}],
    ),
    "consignment.dispatched": _journey(
        "The goods have left.", lines=[{"offer_line": _LINE, "quantity": 250}]
    ),
    "consignment.sighted": _journey("The goods passed a checkpoint.", place="Tbilisi", at=_AT),
    "consignment.arrived": _journey("The goods are at their destination, not counted yet."),
    "consignment.received": _journey(
        "The requester signed for what arrived.",
        lines=[{"offer_line": _LINE, "received": 240, "damaged": 8, "missing": 2}],
    ),
    "consignment.cancelled": _journey("A planned journey does not take place."),
    "consignment.lost": _journey(
        "The goods are lost on their way.", null="reason", reason="Avalanche."
    ),
    "deployment.planned": _journey(
        "A deployment was planned.",
        null="eta",
        offer_line=_LINE,
        headcount=40,
        **{"from": _AT},
        until=_AT,
        eta=_AT,
    ),
    "deployment.mobilised": _people("The people have left."),
    "deployment.deployed": _people("The people have arrived."),
    "deployment.extension_asked": _journey(
        "One party asks for a longer deployment.",
        null="reason",
        until=_AT,
        by="TUR",
        reason="Snow.",
    ),
    "deployment.extended": _journey("The other party agreed to the extension.", until=_AT),
    "deployment.extension_declined": _journey(
        "The other party declined the extension.", null="reason", reason="The pool is promised."
    ),
    "deployment.released": _people("The people are needed no longer."),
    "deployment.recalled": _people("Their society calls the people home."),
    "deployment.returned": _people("The people are home."),
    "deployment.cancelled": _people("A deployment does not take place."),
    "deployment.manifest_sealed": EventType(
        "Who comes was told to the two parties. Here stands a commitment alone, and no names.",
        PARTIES,
        {"people": 40, "commitment": _HASH},
    ),
    "deployment.manifest_erased": EventType(
        "The names were erased, and with them what could open the commitment.",
        PARTIES,
        {"commitment": _HASH},
    ),
    "webhook.created": EventType(
        "A society has a new endpoint. Neither its secret nor its whole URL is told.",
        OWN,
        _WEBHOOK,
        may_be_null=frozenset({"types"}),
    ),
    "webhook.changed": EventType(
        "An endpoint was changed.", OWN, _WEBHOOK, may_be_null=frozenset({"types"})
    ),
    "webhook.rotated": EventType(
        "An endpoint has a new secret; the one before it signs along until then.",
        OWN,
        {"previous_secret_until": _AT},
    ),
    "webhook.deleted": EventType("An endpoint was deleted.", OWN),
    "webhook.test": EventType("A test, sent on demand to this one endpoint.", OWN),
    "webhook.replayed": EventType(
        "A range of events, or one, is sent once more to an endpoint.",
        OWN,
        {"after": 40, "until": 42},
    ),
    "webhook.paused": EventType(
        "An endpoint fails again and again and gets nothing until it is resumed.",
        OWN,
        _STOPPED,
        may_be_null=frozenset({"failing_since"}),
    ),
    "webhook.disabled": EventType(
        "An endpoint answered 410 and gets nothing until it is resumed.",
        OWN,
        _STOPPED,
        may_be_null=frozenset({"failing_since"}),
    ),
    "webhook.resumed": EventType("An endpoint gets events again.", OWN),
}

TYPES = tuple(EVENTS)
"""Every type, in the order of the story."""


def expand(patterns: Iterable[str], known: Iterable[str] = TYPES) -> tuple[str, ...]:
    """The types that exact types and patterns such as `offer.*` stand for."""
    wanted = set(patterns)
    return tuple(t for t in known if t in wanted or f"{t.partition('.')[0]}.*" in wanted)
