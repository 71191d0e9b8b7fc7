"""The client says what the contract says: names, fields and types, paths and methods."""

import asyncio
import importlib
import re
import types
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pytest

import app.client
from app.client import agreed, given, planned, roads, shown, webhooks
from app.client.calling import etag_of
from app.client.errors import Refused
from app.client.exchange import Exchange
from app.client.planned import ScreeningLine
from app.main import create_app
from tests.conftest import Service, make_key
from tests.world import BLANKET, System, fresh, goods

DOCUMENT = create_app().openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def named() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in (given, shown, agreed, roads, planned, webhooks):
        for name, kind in vars(module).items():
            if is_typeddict(kind):
                assert found.setdefault(name, kind) is kind
    return found


def alternatives(kind: Any) -> frozenset[Any]:
    """A type as a set of what may stand there, comparable with a schema's."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return frozenset().union(*(alternatives(k) for k in get_args(kind)))
    if origin is Literal:
        return frozenset({("text", value) for value in get_args(kind)})
    if origin is list:
        return frozenset({("list", alternatives(get_args(kind)[0]))})
    if origin is dict or kind is dict:
        return frozenset({"object"})
    if is_typeddict(kind):
        return frozenset({("named", kind.__name__)})
    return frozenset({{str: "string", int: "integer", float: "number", bool: "boolean"}.get(
        kind, "null" if kind is type(None) else kind
    )})  # fmt: skip


def allowed(schema: dict[str, Any]) -> frozenset[Any]:
    if "$ref" in schema:
        return frozenset({("named", schema["$ref"].rsplit("/", 1)[1])})
    if "const" in schema:
        return frozenset({("text", schema["const"])})
    if "enum" in schema:
        return frozenset({("text", value) for value in schema["enum"]})
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return frozenset().union(*(allowed(s) for s in schema[several]))
    if schema["type"] == "array":
        return frozenset({("list", allowed(schema["items"]))})
    return frozenset({schema["type"]})


@pytest.mark.parametrize("name", sorted(named()))
def test_a_type_has_the_fields_of_its_schema_and_no_others(name: str) -> None:
    schema = SCHEMAS[name]
    kind = named()[name]
    hints = get_type_hints(kind, include_extras=True)
    assert set(hints) == set(schema["properties"])
    optional = {field for field, hint in hints.items() if get_origin(hint) is NotRequired}
    assert optional == set(schema["properties"]) - set(schema.get("required", []))
    for field, hint in get_type_hints(kind).items():
        assert alternatives(hint) == allowed(schema["properties"][field]), field


_CALL = re.compile(
    r"(?:self\.(get|put|post|patch|delete|listed|call)|path = )\(?\s*"
    r"(?:\"(GET|POST)\",\s*)?f?\"(/v1/[^\"]*)\""
)
_LATER = re.compile(r"self\.(get|put|post|patch|call)\(\s*(?:\"(GET|POST)\", )?path\b")


def calls() -> set[str]:
    """Method and path of every verb, as its source says."""
    found = set()
    folder = Path(app.client.__file__).parent
    for file in folder.glob("*.py"):
        for body in re.split(r"\n    (?:async )?def ", file.read_text())[1:]:
            if not (call := _CALL.search(body)):
                continue
            method = call[2] or call[1]
            if method is None:
                later = _LATER.search(body)
                method = later[2] or later[1] if later else "GET"
            path = re.sub(r"\{answer\}", "accept", call[3])
            path = re.sub(r"\{[^}]*\}", "{}", path)
            found.add(f"{'GET' if method == 'listed' else method.upper()} {path}")
            if "{answer}" in call[3]:
                found.add(f"POST {path.removesuffix('accept')}decline")
    return found


def test_every_call_of_the_contract_has_a_verb_and_every_verb_is_in_the_contract() -> None:
    documented = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"
        for path, methods in DOCUMENT["paths"].items()
        if path.startswith("/v1/")
        for method in methods
    }
    concrete = {re.sub(r"/my/\w+/(import|export)", r"/my/{}/\1", call) for call in documented}
    assert calls() - concrete == set()
    assert concrete - calls() == set()


@pytest.fixture
def exchange(aze: System) -> Exchange:
    return aze.exchange


async def test_an_object_comes_with_its_etag(exchange: Exchange, aze: System) -> None:
    site = await aze.site()
    lot = await exchange.publish_lot(fresh("typed"), {"item": BLANKET, "site": site, "quantity": 5})
    tag = etag_of(lot)
    assert tag is not None
    assert await exchange.get_unless(f"/v1/my/stock/{lot['ref']}", tag) is None
    newer = {"item": BLANKET, "site": site, "quantity": 6}
    await exchange.put(f"/v1/my/stock/{lot['ref']}", newer, tag)
    with pytest.raises(Refused, match="precondition_failed"):
        await exchange.put(f"/v1/my/stock/{lot['ref']}", newer, tag)
    await exchange.remove_lot(lot["ref"])
    with pytest.raises(Refused, match="not_found"):
        await exchange.read_own_lot(lot["ref"])


async def test_a_list_holds_more_than_a_page(exchange: Exchange, aze: System) -> None:
    word = fresh("many")
    site = await aze.site()
    for n in range(7):
        await exchange.publish_lot(f"{word}-{n}", {"item": BLANKET, "site": site, "quantity": n})
    found = [lot async for lot in exchange.listed("/v1/my/stock", limit=3)]
    assert [lot["quantity"] for lot in found if lot["ref"].startswith(word)] == list(range(7))


async def test_references_hold_whatever_a_society_writes_into_them(
    exchange: Exchange, aze: System
) -> None:
    site = await aze.site()
    for strange in ("Əliağa 50% #1?", "a&b=c;d", "100%25", "одеяла"):
        ref = f"{strange} {fresh('r')}"
        await exchange.publish_lot(ref, {"item": BLANKET, "site": site, "quantity": 1})
        assert (await exchange.read_own_lot(ref))["ref"] == ref


async def test_a_follower_hears_what_the_feed_says(exchange: Exchange, aze: System) -> None:
    start = (await exchange.head())["seq"]
    note = "no-break\u00a0space"
    for n in range(30):
        await aze.lot(n + 1, lot_number=note)
    heard = []
    async for event in exchange.follow(start, types=["stock.published"], mine=True):
        heard.append(event)
        if len(heard) == 30:
            break
    fed = [e async for e in exchange.events(start, types=["stock.published"], mine=True)]
    assert heard == fed[:30]


async def test_an_endpoint_is_opened_changed_and_closed_by_its_verbs(exchange: Exchange) -> None:
    opened = await exchange.open_webhook(
        {"url": "https://erp.redcrescent.example/komek", "types": ["offer.*"], "from": 0}
    )
    assert opened["secret"] is not None
    assert opened["id"] in [w["id"] async for w in exchange.webhooks()]
    tag = etag_of(await exchange.read_webhook(opened["id"]))
    changed = await exchange.change_webhook(
        opened["id"], {"types": ["stock.shortfall"]}, if_match=tag
    )
    assert changed == await exchange.read_webhook(opened["id"])
    rotated = await exchange.rotate_webhook(opened["id"], {"overlap_hours": 1})
    assert rotated["secret"] not in (None, opened["secret"])
    assert (await exchange.webhook_progress(opened["id"]))["exhausted"] == 0
    assert [d async for d in exchange.deliveries(opened["id"], status="exhausted")] == []
    await exchange.close_webhook(opened["id"])
    with pytest.raises(Refused, match="not_found"):
        await exchange.read_webhook(opened["id"])


async def test_plans_roads_and_screening_are_asked_for_by_their_verbs(
    exchange: Exchange, aze: System, tur: System
) -> None:
    hubs = {hub["code"]: hub async for hub in exchange.hubs()}
    leg = await exchange.read_leg("sea-aktau-baku")
    assert {leg["start"], leg["end"]} == {"AKTAU", "BAKU"} <= set(hubs)
    start, end = hubs["AKTAU"], hubs["BAKU"]
    from_, to = (start["lat"], start["lon"]), (end["lat"], end["lon"])
    way = await exchange.route(from_, start["country"], to, end["country"], by="cost")
    assert "sea-aktau-baku" in [stretch["leg"] for stretch in way["stretches"]]
    emergency = await tur.emergency()
    request = await tur.request(goods(60), emergency=emergency["id"])
    lot = await aze.lot(100)
    plan = await tur.exchange.matches(request["id"])
    assert [line["outstanding"] for line in plan["lines"]] == [60]
    whole = await tur.exchange.plan(emergency["id"], {"leave_out": ["KAZ"]})
    assert [line["request"] for line in whole["lines"]] == [request["id"]]
    line: ScreeningLine = {"stock": lot["id"], "quantity": 10}
    screened = await exchange.screen_offer(
        {"emergency": emergency["id"], "to": "TUR", "lines": [line]}
    )
    assert screened["needed"]
    ready = await exchange.preparedness(
        {
            "place": {"name": "Ganja", "country": "AZE", "lat": 40.68, "lon": 46.36},
            "people": 100,
            "needs": [{"item": BLANKET, "per_person": 1}],
        }
    )
    assert [need["needed"] for need in ready["needs"]] == [100]


async def test_the_types_of_events_are_those_that_the_feed_tells(exchange: Exchange) -> None:
    known = {kind["type"] async for kind in exchange.event_types()}
    assert {"offer.proposed", "stock.published"} <= known
    assert [kind["type"] async for kind in exchange.event_types("offer.proposed")] == [
        "offer.proposed"
    ]
    told = {event["type"] async for event in exchange.events()}
    assert told - {"sealed"} <= known


async def test_a_key_that_is_revoked_ends_the_following(service: Service, kgz: System) -> None:
    key = await make_key(service, "KGZ")
    async with Exchange(service.url, key) as other, asyncio.timeout(20):
        await kgz.exchange.revoke_client((await other.me())["client"])
        publishing = asyncio.create_task(_publish(kgz))
        with pytest.raises(Refused, match="unauthenticated"):
            async for _ in other.follow():
                # Whoever listens is asked for the key again with the next event.
                await asyncio.sleep(0)
        publishing.cancel()


async def _publish(system: System) -> None:
    while True:
        await system.lot(1)
        await asyncio.sleep(0.1)


def test_the_client_has_no_module_that_cannot_be_imported_alone() -> None:
    for file in Path(app.client.__file__).parent.glob("*.py"):
        importlib.import_module(f"app.client.{file.stem}")
