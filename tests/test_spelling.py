"""One text has one spelling: the same reference by every door, and nothing in it that hides."""

import io
import json
import unicodedata
from urllib.parse import quote

import pytest
from openpyxl import Workbook
from pydantic import TypeAdapter, ValidationError

from app.embedded import EmbeddedPostgres
from app.fields import Name, Ref, Text, Words
from app.service import serving
from tests.processes import make_database, run_sql
from tests.test_import_stock import MEDIA, bring, counts, sent
from tests.wire import wire_of
from tests.world import BLANKET, System, done, fresh, goods, refused

HEAD = "ref,item,site,quantity"


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def workbook(*cells: object) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(HEAD.split(","))
    sheet.append(list(cells))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


async def test_a_reference_means_the_same_lot_by_every_door(aze: System) -> None:
    site = "Şəki ö"
    done(await aze.put(f"/v1/my/sites/{nfd(site)}", {
        "name": nfd("Şəki ambarı"), "country": "AZE", "lat": 41.2, "lon": 47.2,
    }), 201)  # fmt: skip
    assert done(await aze.get(f"/v1/my/sites/{site}"))["name"] == "Şəki ambarı"
    ref = f"Ədyal ğöüçşйё {fresh('n')}"
    body = {"item": BLANKET, "site": nfd(site), "quantity": 5}
    lot = done(await aze.put(f"/v1/my/stock/{nfd(ref)}", body), 201)
    assert (lot["ref"], lot["site"]) == (ref, site)
    wire = wire_of(aze)
    for spelling in (ref, nfd(ref), ref.replace(" ", "\u00a0")):
        assert done(await aze.get(f"/v1/my/stock/{spelling}"))["id"] == lot["id"]
        escaped = await wire.send("GET", f"/v1/my/stock/{quote(spelling, safe='')}")
        assert escaped.json()["id"] == lot["id"]
    await wire.close()
    for quantity, (media, file) in enumerate((
        ("text/csv", f"{HEAD}\n{nfd(ref)},{BLANKET},{nfd(site)},10\n".encode()),
        (MEDIA["xlsx"], workbook(nfd(ref), BLANKET, site, 11)),
        (MEDIA["ndjson"], json.dumps({"ref": nfd(ref), **body, "quantity": 12}).encode()),
        ("text/csv", f"{HEAD}\n {ref}\u00a0,{BLANKET},{site},13\n".encode()),
    ), 10):  # fmt: skip
        assert counts(await bring(aze, file, media=media)) == (1, 0, 1, 0, 0, 0)
        own = done(await aze.get(f"/v1/my/stock/{ref}"))
        assert (own["id"], own["quantity"]) == (lot["id"], quantity)
    both = f"{HEAD}\n{ref},{BLANKET},{site},1\n{nfd(ref)},{BLANKET},{site},2\n"
    [fault] = (await bring(aze, both))["errors"]
    assert (fault["row"], fault["code"]) == (3, "doubled")
    assert (await aze.http.delete(f"/v1/my/stock/{nfd(ref)}")).is_success


async def test_a_request_cannot_be_made_twice_by_another_spelling(tur: System) -> None:
    ref = f"Çadır é {fresh('r')}"
    emergency = (await tur.emergency())["id"]
    asked = await tur.request(goods(1), emergency=emergency, ref=nfd(ref))
    assert asked["ref"] == ref
    again = await tur.post("/v1/requests", {
        "emergency": emergency, "ref": ref, "title": "Again", "priority": "high",
        "needed_by": "2097-01-01T00:00:00Z", "lines": [goods(1)],
        "destination": {"name": "X", "country": "TUR", "lat": 37.49, "lon": 37.3},
    })  # fmt: skip
    assert again.status_code == 409, again.text


@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ("\u200b", "U+200B (ZERO WIDTH SPACE)"), ("\u200c", "U+200C"), ("\u200e", "U+200E"),
        ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"), ("\u2066", "U+2066"), ("\ufeff", "U+FEFF"),
        ("\u00ad", "U+00AD (SOFT HYPHEN)"), ("\u2028", "U+2028"), ("\x85", "U+0085"),
        ("\ue000", "U+E000"), ("\U000e0041", "U+E0041"), ("\u3164", "U+3164"),
        ("\ufe0f", "U+FE0F"), ("\ufffd", "U+FFFD"), ("\u0378", "U+0378"), ("\n", "U+000A"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused_with_its_name_and_place(hidden: str, told: str) -> None:
    kinds = [Ref, Name] if hidden in "\ufe0f\ufffd\n" else [Ref, Name, Words, Text]
    for kind in kinds:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(kind).validate_python(f"BLK{hidden}-7")
        message = caught.value.errors()[0]["msg"]
        assert told in message, message
        assert "place 4" in message


def test_the_writing_of_the_network_and_its_people_is_taken_as_it_is() -> None:
    for text in (
        "Oʻzbekiston gʻisht",
        "Ақтөбе һ ә ң ұ",
        "Ысык-Көл ө ү",
        "İstanbul ığ",
        "ёлка “№ 5”",
    ):
        for kind in (Ref, Name, Words, Text):
            assert TypeAdapter(kind).validate_python(text) == text
    for note in ("🇰🇿 👨‍👩‍👧 ❤️", "one\r\n\ttwo", "5\u00a0000"):
        assert TypeAdapter(Text).validate_python(note) == note
    for apart in (" BLK", "BLK ", "BLK  7", "BLK\u00a0 7"):
        with pytest.raises(ValidationError, match="space"):
            TypeAdapter(Ref).validate_python(apart)


def test_what_is_counted_is_the_normal_form_and_long_texts_cost_no_time() -> None:
    assert len(TypeAdapter(Ref).validate_python("e\u0301" * 100)) == 100
    with pytest.raises(ValidationError, match="at most 100"):
        TypeAdapter(Ref).validate_python("\u0958" * 60)
    # Half a million marks out of order: to put them in order takes minutes.
    with pytest.raises(ValidationError, match="at most 2000"):
        TypeAdapter(Text).validate_python("e" + "\u0301\u0316" * 250_000)


async def test_no_door_lets_in_what_hides(aze: System, tur: System) -> None:
    problem = refused(await tur.post("/v1/emergencies", {
        "name": "Flood \u202eyes", "hazard": "flood", "country": "TUR", "lat": 37.0, "lon": 36.0,
        "started_on": "2027-02-06",
    }), 422, "invalid_input")  # fmt: skip
    assert problem["errors"][0]["pointer"] == "/name"
    site, body = await aze.site(), {"item": BLANKET, "site": "central", "quantity": 5}
    for ref in ("BLK\u200b-7", "BLK\u202e-7"):
        answer = await aze.put(f"/v1/my/stock/{ref}", body)
        assert refused(answer, 422, "invalid_input")["errors"][0]["pointer"] == "path/ref"
        for media, file in (
            ("text/csv", f"{HEAD}\n{ref},{BLANKET},{site},10\n".encode()),
            (MEDIA["xlsx"], workbook(ref, BLANKET, site, 11)),
            (MEDIA["ndjson"], json.dumps({"ref": ref, **body}).encode()),
        ):
            report = done(await sent(aze, file, media=media))
            [fault] = report["errors"]
            assert (fault["field"], fault["code"]) == ("ref", "text_character")
            assert "place 4" in fault["message"]
    wire = wire_of(aze)
    damaged = await wire.send("PUT", "/v1/my/stock/BLK%ff7", json.dumps(body).encode())
    assert damaged.status == 422, "two references that are no UTF-8 would become one"
    await wire.close()


def test_references_of_before_are_found_under_their_one_spelling(
    postgres: EmbeddedPostgres,
) -> None:
    url = make_database(postgres, "spelling")
    serving.migrate(url, "0003")
    named = {1: "é", 2: nfd("é"), 3: nfd("ö"), 4: nfd("ǖ"), 5: "ü\u0304", 6: "plain"}
    run_sql(url, "INSERT INTO societies (id, name, role) VALUES ('AZE', 'Azerbaijan', 'member')",
            "SELECT 1")  # fmt: skip
    for n, ref in named.items():
        run_sql(
            url,
            "INSERT INTO sites (id, society, ref, name, country, lat, lon, kind) VALUES "
            f"('00000000-0000-7000-8000-00000000000{n}', 'AZE', '{ref}', 'x', 'AZE', 1, 1, 'base')",
            "SELECT 1",
        )
    serving.migrate(url)
    found = {row["n"]: row["ref"] for row in run_sql(
        url, "SELECT ref, CAST(right(id::text, 1) AS int) AS n FROM sites"
    )}  # fmt: skip
    assert found == {1: "é", 2: nfd("é"), 3: "ö", 4: "ǖ", 5: "ü\u0304", 6: "plain"}
