"""Bodies that are no JSON, too large or of the wrong kind; dates and lines that do not fit."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import Service
from tests.described import Contract, put
from tests.stage import NOWHERE, Stage
from tests.test_bad_bodies import judged
from tests.wire import wire_of
from tests.world import AVAILABLE, BLANKET, Json, System, done, from_lot, goods, people, refused

_SITE = {"name": "Central", "country": "AZE", "lat": 40.4, "lon": 49.9}
_RAW = json.dumps(_SITE).encode()
_DEEP = 100_000


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "invalid_input", ""),
        (b" ", "malformed_json", ""),
        (b"{", "malformed_json", ""),
        (_RAW + b"x", "malformed_json", ""),
        (_RAW.replace(b'"', b"'"), "malformed_json", ""),
        (b"\xef\xbb\xbf" + _RAW, "malformed_json", ""),
        (_RAW.decode().encode("utf-16"), "malformed_json", ""),
        (_RAW.replace(b"Central", b"\xff\xfe"), "malformed_json", ""),
        (_RAW.replace(b"Central", b"\xed\xa0\x80"), "malformed_json", ""),
        (_RAW.replace(b"Central", b"a\x00b"), "malformed_json", ""),
        (b"[" * _DEEP + b"]" * _DEEP, "malformed_json", ""),
        (b'{"name":' * _DEEP + b"1" + b"}" * _DEEP, "malformed_json", ""),
        (_RAW[:-1] + b',"name":"Other"}', "malformed_json", "/name"),
        (_RAW[:-1] + b',"\\u006eame":"Other"}', "malformed_json", "/name"),
        (_RAW[:-1] + b',"\\ud800":1}', "malformed_json", ""),
        (_RAW[:-1] + b',"nam\\u0000e":1}', "invalid_input", "/nam\0e"),
        (_RAW[:-1] + b',"Kind":"port"}', "invalid_input", "/Kind"),
        (_RAW[:-1] + b',"__proto__":{}}', "invalid_input", "/__proto__"),
        (_RAW[:-1] + b',"a/b~c":1}', "invalid_input", "/a~1b~0c"),
        (_RAW[:-1] + b',"' + b"x" * 5000 + b'":1}', "invalid_input", "/" + "x" * 200),
        (_RAW.replace(b"40.4", b"4e400"), "malformed_json", "/lat"),
        (_RAW.replace(b"40.4", b"+40.4"), "malformed_json", ""),
        (_RAW.replace(b"40.4", b"040.4"), "malformed_json", ""),
        (_RAW.replace(b"40.4", b"0x28"), "malformed_json", ""),
    ],
)
async def test_what_is_no_json_of_ours_is_refused(
    aze: System, body: bytes, code: str, pointer: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await aze.http.put("/v1/my/sites/no-json", content=body, headers=headers)
    problem = refused(answer, 422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert (await aze.get("/v1/my/sites/no-json")).status_code == 404


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/xml", "", "application/jsonx", "json", "text/json"],
)  # fmt: skip
async def test_a_body_that_says_it_is_no_json_is_refused(aze: System, media: str) -> None:
    answer = await aze.http.put("/v1/my/sites/media", content=_RAW, headers={"content-type": media})
    refused(answer, 415, "unsupported_media_type")


async def test_json_may_be_called_by_its_other_names(aze: System) -> None:
    for media in (
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/merge-patch+json",
    ):
        answer = await aze.http.put(
            "/v1/my/sites/named", content=_RAW, headers={"content-type": media}
        )
        assert answer.is_success, answer.text


async def test_fifty_megabytes_are_refused_before_they_are_read(
    service: Service, aze: System
) -> None:
    key = aze.http.headers["authorization"]
    contract = Contract((await aze.get("/openapi.json")).json())
    taking = [o for o in contract.operations() if o.body is not None]
    assert taking
    for operation in taking:
        path = operation.path.format_map(dict.fromkeys(operation.names("path"), "x"))
        reader, writer = await asyncio.open_connection("127.0.0.1", service.settings.port)
        writer.write(
            f"{operation.method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 52428800\r\n\r\n[".encode()
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        # Those who may not call at all learn that, and nothing of the size.
        assert head.split()[1] in (b"413", b"403"), (operation.name, head)
        assert b"application/problem+json" in head
        writer.close()


async def test_a_body_without_end_is_refused_when_it_is_too_large(aze: System) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(800):
            sent += 1
            yield b"[" * 65_536

    try:
        answer = await aze.http.put(
            "/v1/my/sites/large", content=chunks(), headers={"content-type": "application/json"}
        )
    except (httpx.WriteError, httpx.ReadError):
        pass  # The service closed the connection while this end was still writing.
    else:
        refused(answer, 413, "body_too_large")
    assert sent < 800, "the rest is not taken"


async def test_the_end_comes_after_the_beginning(tur: System, aze: System) -> None:
    pool = {
        "skill": "usar", "headcount": 1, "site": await aze.site(),
        "available_from": AVAILABLE[1], "available_until": AVAILABLE[0],
    }  # fmt: skip
    emergency = (await tur.emergency())["id"]
    request: Json = {
        "emergency": emergency,
        "title": "Late",
        "needed_by": "2027-02-01T12:00:00Z",
        "destination": {"name": "P", "country": "TUR", "lat": 37.5, "lon": 37.3},
        "lines": [people(1, start=AVAILABLE[1], end=AVAILABLE[0])],
    }
    for body in (pool, pool | {"available_until": AVAILABLE[1]}):
        problem = refused(await aze.put("/v1/my/volunteers/late", body), 422, "invalid_input")
        assert problem["errors"][0]["code"] == "before_from"
    problem = refused(await tur.post("/v1/requests", request), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "/lines/0/until"
    window = {"from_": AVAILABLE[1], "until": AVAILABLE[0]}
    problem = refused(await tur.get("/v1/volunteers", **window), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "query/until"


async def test_a_line_stands_once_in_a_call(tur: System, aze: System) -> None:
    lot = await aze.lot(100)
    request = await tur.request(goods(100))
    offer = await aze.offer(request, from_lot(request, lot, 100))
    line = offer["lines"][0]["id"]
    part = {"line": line, "quantity": 10}
    path = f"/v1/offers/{offer['id']}/accept"
    answer = await tur.post(path, {"lines": [part, {**part, "quantity": 90}]})
    assert refused(answer, 422, "invalid_input")["errors"][0]["pointer"].startswith("/lines/1")
    await tur.accept(offer)
    body = {
        "offer": offer["id"],
        "lines": [{"offer_line": line, "quantity": 60}, {"offer_line": line, "quantity": 60}],
        "mode": "road",
    }
    assert (await aze.post("/v1/consignments", body)).status_code in (409, 422)
    sent = await aze.consign(offer, 100)
    await aze.move("consignments", sent, "dispatch")
    found = {"line": sent["lines"][0]["id"], "received": 50}
    answer = await tur.post(f"/v1/consignments/{sent['id']}/receive", {"lines": [found, found]})
    assert answer.status_code == 422, answer.text


async def test_a_quantity_in_packs_never_grows_beyond_what_is_counted(
    tur: System, aze: System
) -> None:
    body = {"item": BLANKET, "site": await aze.site(), "quantity": 10**12, "pack": "pallet-400"}
    problem = refused(await aze.put("/v1/my/stock/many", body), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "/quantity"
    request = await tur.request(goods(1))
    change = {"add_lines": [goods(10**12, pack="pallet-400")]}
    answer = await tur.http.patch(f"/v1/requests/{request['id']}", json=change)
    assert refused(answer, 422, "invalid_input")["errors"][0]["pointer"] == "/add_lines/0/quantity"


@pytest.mark.usefixtures("endpoints_closed")
async def test_what_is_another_societys_is_unknown_to_ones_own_calls(
    tur: System, aze: System, kaz: System
) -> None:
    """What a body names and is not one's own answers as what does not exist at all."""
    stage = await Stage(tur, aze).build()
    theirs = await kaz.lot(10, visible_to=[])
    calls = stage.calls()
    cases = [
        ("POST /v1/offers", aze, "/lines/0/stock", theirs["id"]),
        ("POST /v1/offers", aze, "/lines/1/volunteers", (await kaz.pool(5))["id"]),
        ("PUT /v1/my/stock/{ref}", aze, "/site", await _site(kaz)),
        ("PUT /v1/my/volunteers/{ref}", aze, "/site", await _site(kaz)),
        ("POST /v1/consignments", kaz, "", None),
        ("POST /v1/deployments", kaz, "", None),
    ]
    for name, system, pointer, value in cases:
        call = calls[name][0]
        body = put(call.body, pointer, value) if pointer else call.body
        nothing = put(call.body, pointer or "/offer", NOWHERE)
        method, path = name.split(" ")
        path = path.format(**call.path)
        mine, none = [await system.http.request(method, path, json=b) for b in (body, nothing)]
        assert mine.status_code == none.status_code, (name, mine.text, none.text)
        assert _plain(mine) == _plain(none)


async def _site(kaz: System) -> str:
    return await kaz.site("only-kazakhstans")


def _plain(answer: httpx.Response) -> Json:
    return {k: v for k, v in done(answer, answer.status_code).items() if k != "request_id"}


async def test_no_path_of_the_document_takes_other_methods(aze: System) -> None:
    """405 with every method that the address does take."""
    contract = Contract((await aze.get("/openapi.json")).json())
    by_path: dict[str, set[str]] = {}
    for operation in contract.operations():
        by_path.setdefault(operation.path, set()).add(operation.method)
    wire = wire_of(aze)
    for path, methods in by_path.items():
        target = path.replace("{", "").replace("}", "")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            if method in methods:
                continue
            answer = await wire.send(method, target)
            assert answer.status == 405, (method, path, answer.status)
            assert judged(answer, None) == []
            told = {m.strip() for m in answer.headers["allow"].split(",")}
            assert told - {"HEAD"} == methods, (method, path)
        if "GET" in methods:
            head = await wire.send("HEAD", target)
            assert head.status < 500
    await wire.close()


async def test_odd_addresses_are_refused_as_problems(aze: System) -> None:
    wire = wire_of(aze)
    for target, status in {
        "/v1/nowhere": 404,
        "/v1/me/": 404,
        "//v1/me": 404,
        "/v1//me": 404,
        "/V1/ME": 404,
        "/v1/my/stock/..": 422,
        "/v1/my/stock/%2e%2e": 422,
        "/v1/my/stock/a%2Fb": 404,
        "/v1/my/stock/..%2F..%2Fme": 404,
        "/v1/my/stock/%00": 422,
        "/v1/my/stock/%ff": 422,
        "/v1/my/stock/%": 404,
        "/v1/my/stock/%zz": 404,
        "/v1/my/stock/%ed%a0%80": 422,
        "/v1/stock/%00": 422,
        "/v1/me?x=1": 422,
        "/v1/stock?unknown=1": 422,
        "/v1/stock?limit=1&limit=2": 422,
        "/v1/stock?item=a&item=b": 422,
        "/v1/stock?limit=%00": 422,
        "/v1/stock?%ff=1": 422,
        "/v1/stock?limit": 422,
        "/v1/stock?&&&": 200,
        "/problems/%00": 404,
        "/problems/" + "x" * 100: 422,
        "/docs/assets/none.js": 404,
        "/docs/assets/..%2f..%2fconfig.py": 404,
    }.items():
        answer = await wire.send("GET", target)
        assert answer.status == status, (target, answer.status, answer.text)
        assert judged(answer, None) == [], target
    long = await wire.send("GET", "/v1/my/stock/" + "x" * 30_000)
    assert long.status in (414, 422)
    await wire.close()


async def test_headers_of_any_size_and_form_do_not_break_it(aze: System) -> None:
    wire = wire_of(aze)
    for headers, statuses in (
        ({"X-Long": "x" * 30_000}, (200, 431)),
        ({"X-Request-Id": "a\tb; Set-Cookie: x=1"}, (200,)),
        ({"Accept": "text/nonsense"}, (200,)),
        ({"Accept-Encoding": "br, *;q=0"}, (200,)),
        ({"Range": "bytes=0-1"}, (200,)),
        ({"Expect": "200-maybe"}, (200, 417)),
        ({"Content-Length": "abc"}, (400,)),
        ({"Content-Length": "-1"}, (400,)),
        ({"Transfer-Encoding": "gzip"}, (200, 400, 501)),
        ({f"X-{n}": "y" for n in range(500)}, (200, 431)),
    ):
        answer = await wire.send("GET", "/v1/me", None, headers)
        assert answer.status in statuses, (headers, answer.status)
        assert judged(answer, None) == []
        assert "set-cookie" not in answer.headers
        await wire.close()
    upgraded = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    answer = await wire.send("GET", "/v1/me", None, upgraded)
    assert answer.status < 500
    await wire.close()
