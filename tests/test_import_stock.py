"""A sheet of lots goes in as if each row had been published, and comes out unchanged."""

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from app.ledger import rules
from app.ledger.verifying import verify
from tests.conftest import Enrol, Service
from tests.world import BLANKET, JERRYCAN, Json, System, done, fresh, from_lot, goods, refused

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA = {"csv": "text/csv", "xlsx": XLSX, "ndjson": "application/x-ndjson"}
HEAD = "ref,item,site,quantity"


async def sent(
    system: System,
    body: str | bytes,
    media: str = "text/csv",
    key: str | None = None,
    **params: Any,
) -> httpx.Response:
    """An import, whatever its answer."""
    headers = {"Content-Type": media} | ({"Idempotency-Key": key} if key else {})
    content = body.encode() if isinstance(body, str) else body
    return await system.http.post(
        "/v1/my/stock/import", content=content, params=params, headers=headers
    )


async def bring(system: System, body: str | bytes, **more: Any) -> Json:
    """The report of an import that must be answered."""
    return done(await sent(system, body, **more))


def counts(report: Json) -> tuple[int, ...]:
    names = ("rows", "created", "changed", "unchanged", "withdrawn", "refused")
    return tuple(report[name] for name in names)


def sheet(*lines: str, head: str = HEAD) -> str:
    return "\n".join([head, *lines]) + "\n"


async def told(reader: System, kind: str, subject: str) -> list[Json]:
    """What the feed tells a reader of a subject, once all that was done is sealed."""
    # A record of the reader's own, last of all: what came before it is sealed when it is.
    last = await reader.lot(1)
    while True:
        seen = await reader.events(mine=True, type="stock.published")
        if any(e["subject"]["id"] == last["id"] for e in seen):
            break
    return [e for e in await reader.events(type=kind) if e["subject"]["id"] == subject]


async def owned(system: System) -> list[Json]:
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        page = done(await system.get("/v1/my/stock", limit=200, **cursor))
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def test_a_sheet_publishes_its_good_rows_and_tells_of_the_others(aze: System) -> None:
    site = await aze.site()
    a, b, c = fresh("imp"), fresh("imp"), fresh("imp")
    table = (
        "ref;item;site;quantity;keep_back;lot_number;expires_on;visible_to\r\n"
        f"{a};{BLANKET};{site};1 200;50;B-1;30.06.2027;KAZ TUR\r\n"
        f"{b};{BLANKET};{site};1.000;;;;\r\n"
        f"{c};NOSUCH;{site};5;;;;\r\n"
        f"{c};{BLANKET};nowhere;5;;;;\r\n"
        f"{fresh('imp')};{BLANKET};nowhere;5;;;;XXX\r\n"
    )
    report = await bring(aze, table)
    assert counts(report) == (5, 1, 0, 0, 0, 4), report
    assert [(e["row"], e["field"], e["code"]) for e in report["errors"]] == [
        (3, "quantity", "ambiguous_number"), (4, "item", "unknown"), (5, "ref", "doubled"),
        (6, "site", "unknown"),
    ]  # fmt: skip
    assert "/v1/my/sites" in report["errors"][-1]["message"], "it tells what to do"
    lot = done(await aze.get(f"/v1/my/stock/{a}"))
    assert (lot["quantity"], lot["keep_back"], lot["expires_on"]) == (1200, 50, "2027-06-30")
    assert (lot["lot_number"], lot["visible_to"]) == ("B-1", ["KAZ", "TUR"])
    assert counts(await bring(aze, table)) == (5, 0, 0, 1, 0, 4)


async def test_a_mode_that_stands_twice_is_refused_and_withdraws_nothing(aze: System) -> None:
    kept = await aze.lot(10)
    answer = await aze.http.post(
        "/v1/my/stock/import?mode=merge&mode=replace",
        content=f"ref,item,site,quantity\n{fresh('twice')},{BLANKET},central,5\n",
        headers={"Content-Type": "text/csv"},
    )
    assert refused(answer, 422, "invalid_input")["errors"][0]["pointer"] == "query/mode"
    assert not (await aze.own_lot(kept)).get("withdrawn")
    assert (await aze.own_lot(kept))["quantity"] == 10


async def test_an_import_and_a_put_of_the_same_leave_nothing_to_change(aze: System) -> None:
    site = await aze.site()
    ref = fresh("same")
    body = {
        "item": BLANKET, "site": site, "quantity": 70, "keep_back": 5,
        "lot_number": "Ö'\"\\/\x7e ş",
        "expires_on": "2027-06-30", "unit_value": 12.5, "currency": "USD",
        "visible_to": ["TUR", "KAZ"], "as_of": "2026-02-06T03:17:00.5+02:00",
    }  # fmt: skip
    line = json.dumps({"ref": ref, **body})
    assert (await bring(aze, line, media=MEDIA["ndjson"]))["created"] == 1
    by_import = done(await aze.get(f"/v1/my/stock/{ref}"))
    assert done(await aze.put(f"/v1/my/stock/{ref}", body)) == by_import
    assert counts(await bring(aze, line, media=MEDIA["ndjson"])) == (1, 0, 0, 1, 0, 0)


async def test_bulk_records_are_those_of_a_single_publication(
    aze: System, kaz: System, service: Service
) -> None:
    site = await aze.site()
    refs = fresh("one"), fresh("bulk")
    name = 'Қазақ "q" \\ / ünï \U0001f9e3 <&>'
    body = {"item": BLANKET, "site": site, "quantity": 70, "lot_number": name,
            "visible_to": ["KAZ"], "as_of": "2026-02-06T01:17:00Z"}  # fmt: skip
    done(await aze.put(f"/v1/my/stock/{refs[0]}", body), 201)
    line = json.dumps({"ref": refs[1], **body})
    assert (await bring(aze, line, media=MEDIA["ndjson"]))["created"] == 1
    ids = [done(await aze.get(f"/v1/my/stock/{ref}"))["id"] for ref in refs]
    records = []
    async with service.database.reading() as connection:
        for lot in ids:
            found = await connection.exec_driver_sql(
                "SELECT id, type, at, society, client, emergency, content, salt, commitment,"
                " audience, private FROM records WHERE content::jsonb #>> '{subject,id}' = $1",
                (lot,),
            )
            records.append(found.one())
    for record in records:
        content = json.loads(record.content)
        assert rules.canonical(content).decode() == record.content, "the text itself is RFC 8785"
        assert rules.commitment(record.salt, record.content.encode()) == record.commitment
        private = json.loads(record.private)
        assert rules.canonical(private).decode() == record.private
        committed = rules.commitment(
            bytes.fromhex(private["salt"]), rules.canonical(private["content"])
        )
        assert content["data"]["private_commitment"] == committed.hex()
        assert content["id"] == str(record.id) and record.id.version == 7
    single, bulk = (json.loads(record.content) for record in records)
    for content, lot in ((single, ids[0]), (bulk, ids[1])):
        assert content["subject"] == {"type": "stock", "id": lot}
        for own in ("id", "at", "subject"):
            del content[own]
        del content["data"]["private_commitment"]
    assert single == bulk
    assert single["data"]["lot_number"] == name
    for name in ("type", "society", "client", "emergency", "audience"):
        assert getattr(records[0], name) == getattr(records[1], name)
    assert service.settings.database_url is not None
    assert (await verify(service.settings.database_url)).faults == []


async def test_packs_are_converted_exactly_and_an_unknown_pack_is_told(tur: System) -> None:
    site = await tur.site()
    item = f"PACKED-{fresh('i').upper()}"
    body = {"names": {"en": "Packed"}, "unit": "piece", "category": "housing",
            "packs": [{"code": "BALE", "quantity": 25, "name": "Bale"}]}  # fmt: skip
    assert (await tur.put(f"/v1/items/{item}", body)).status_code == 201
    a, b, c = fresh("p"), fresh("p"), fresh("p")
    lines = (
        f"{a},{item},{site},4,BALE",
        f"{b},{item},{site},4,BOX",
        f"{c},{item},{site},999999999999,BALE",
    )
    report = await bring(tur, sheet(*lines, head=f"{HEAD},pack"))
    assert [(e["row"], e["field"], e["code"]) for e in report["errors"]] == [
        (3, "pack", "unknown"), (4, "quantity", "too_large"),
    ]  # fmt: skip
    assert done(await tur.get(f"/v1/my/stock/{a}"))["quantity"] == 100


async def recorded(service: Service, society: str) -> Any:
    """How many records a society has in the ledger, sealed or not."""
    async with service.database.reading() as connection:
        counted = await connection.exec_driver_sql(
            "SELECT count(*) FROM records WHERE society = $1", (society,)
        )
        return counted.scalar_one()


async def test_a_dry_run_tells_what_would_be_and_changes_nothing(
    kaz: System, tur: System, service: Service
) -> None:
    site = await kaz.site()
    lot = await kaz.lot(5)
    request = await tur.request(goods(2))
    await kaz.offer(request, from_lot(request, await kaz.lot(5), 2))
    before = await owned(kaz)
    told_before = await recorded(service, "KAZ")
    table = sheet(
        f"{fresh('dry')},{BLANKET},{site},5", f"{lot['ref']},{BLANKET},{site},6", "x,y,z,1"
    )
    report = await bring(kaz, table, dry_run=True, mode="replace")
    # Of what other tests left behind something may be promised.
    gone = sum(not lot["reserved"] for lot in before) - 1
    assert counts(report) == (3, 1, 1, 0, gone, 1)
    assert report["kept_reserved_total"] == len(before) - 1 - gone
    assert report["dry_run"] is True
    assert await owned(kaz) == before
    assert await recorded(service, "KAZ") == told_before
    real = await bring(kaz, table, mode="replace")
    assert counts(real) == counts(report)


async def test_all_or_nothing_changes_nothing_where_one_row_is_at_fault(aze: System) -> None:
    site = await aze.site()
    ref = fresh("all")
    for wrong in (f"{fresh('x')},NOSUCH,{site},1", f"{fresh('x')},{BLANKET},{site},-1"):
        table = sheet(f"{ref},{BLANKET},{site},5", wrong)
        problem = refused(await sent(aze, table, all_or_nothing=True), 422, "import_refused")
        assert (problem["rows"], problem["refused"], problem["created"]) == (2, 1, 0)
        assert problem["errors"][0]["row"] == 3
        refused(await aze.get(f"/v1/my/stock/{ref}"), 404, "not_found")
    assert counts(await bring(aze, sheet(f"{ref},{BLANKET},{site},5"), all_or_nothing=True)) == (
        1, 1, 0, 0, 0, 0,
    )  # fmt: skip


async def test_replace_withdraws_what_is_not_listed_but_never_what_is_promised(
    tur: System, uzb: System
) -> None:
    promised, listed, gone, misspelt = [await uzb.lot(10) for _ in range(4)]
    request = await tur.request(goods(4))
    await uzb.offer(request, from_lot(request, promised, 4))
    site = await uzb.site()
    table = sheet(f"{listed['ref']},{BLANKET},{site},10", f"{misspelt['ref']},{BLANKET},{site},ten")
    report = await bring(uzb, table, mode="replace")
    kept = {"ref": promised["ref"], "reserved": 4}
    assert kept in report["kept_reserved"]
    assert report["withdrawn"] >= 1 and report["unchanged"] == 1
    assert (await uzb.get(f"/v1/my/stock/{gone['ref']}")).status_code == 404
    for lot in (promised, listed, misspelt):
        assert (await uzb.own_lot(lot))["quantity"] == 10, "a row at fault is listed all the same"
    found = await told(uzb, "stock.withdrawn", gone["id"])
    assert [e["private"]["content"]["ref"] for e in found] == [gone["ref"]]
    back = await bring(uzb, sheet(f"{gone['ref']},{BLANKET},{site},3"))
    assert back["created"] == 1


async def test_replace_withdraws_nothing_where_a_reference_cannot_be_read(uzb: System) -> None:
    lot = await uzb.lot(10)
    site = await uzb.site()
    report = await bring(
        uzb, sheet(f"a/b,{BLANKET},{site},10", f"{fresh('r')},{BLANKET},{site},1"), mode="replace"
    )
    assert report["withdrawn"] == 0 and "Nothing was withdrawn" in report["notes"][0]
    assert (await uzb.own_lot(lot))["quantity"] == 10


async def test_a_count_below_what_is_promised_is_the_truth_and_tells_both(
    tur: System, aze: System, kaz: System
) -> None:
    lot, other = await aze.lot(100), await aze.lot(100)
    request = await tur.request(goods(200))
    await aze.offer(request, from_lot(request, lot, 80), from_lot(request, other, 10))
    site = await aze.site()
    report = await bring(
        aze, sheet(f"{lot['ref']},{BLANKET},{site},50", f"{other['ref']},{JERRYCAN},{site},50")
    )
    assert counts(report) == (2, 0, 1, 0, 0, 1)
    assert report["errors"][0]["code"] == "lot_reserved", "a lot with reservations keeps its item"
    assert (await aze.own_lot(lot))["shortfall"] == 30
    for reader, seen in ((tur, 1), (aze, 1), (kaz, 0)):
        found = await told(reader, "stock.shortfall", lot["id"])
        assert [e["data"]["shortfall"] for e in found] == [30] * seen


@pytest.mark.parametrize("kind", ["csv", "xlsx", "ndjson"])
async def test_what_is_exported_is_imported_again_and_nothing_changes(
    enrol: Enrol, kgz: System, kind: str
) -> None:
    names = [
        "=1+1",
        "'=x",
        "-5",
        "@a",
        "+b",
        "'q",
        'a"b,c;d|e',
        "two  spaces",
        "_x000D_",
        " ş ğ ",
        "Өзгөн қойма",
        "Ёж",
    ]
    for n, name in enumerate(names):
        seen: Any = (None, [], ["TUR"], ["KAZ", "TUR"])[n % 4]
        value: Json = {"unit_value": 0.07 + n, "currency": "EUR"} if n % 2 else {}
        await kgz.lot(1000 + n, lot_number=name, visible_to=seen, keep_back=n, **value)
    await kgz.lot(3, ref=fresh("+ref"))
    before = await owned(kgz)
    answer = await kgz.get("/v1/my/stock/export", format=kind)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == MEDIA[kind]
    assert answer.headers["content-disposition"] == f'attachment; filename="komek-stock.{kind}"'
    known = await kgz.http.get(
        "/v1/my/stock/export",
        params={"format": kind},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert known.status_code == 304
    report = await bring(kgz, answer.content, media=MEDIA[kind], mode="replace")
    assert counts(report) == (len(before), 0, 0, len(before), 0, 0), report
    lot = before[-1]
    changed = await kgz.put(
        f"/v1/my/stock/{lot['ref']}", {"item": BLANKET, "site": "central", "quantity": 9}
    )
    assert changed.status_code == 200
    # Yesterday's file does not bring back what was counted since.
    again = await bring(kgz, answer.content, media=MEDIA[kind])
    assert (again["changed"], [e["code"] for e in again["errors"]]) == (0, ["stale_count"])
    after = await owned(kgz)
    assert after[-1]["quantity"] == 9
    for lot in (*before, *after):
        del lot["updated_at"]
    assert after[:-1] == before[:-1]


async def test_a_repeated_import_has_one_effect_and_another_mode_is_another_call(
    aze: System,
) -> None:
    site, key = await aze.site(), fresh("import-key")
    table = sheet(f"{fresh('rep')},{BLANKET},{site},5")
    first = await sent(aze, table, key=key)
    again = await sent(aze, table, key=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json() and first.json()["created"] == 1
    other = await sent(aze, table, key=key, mode="replace", dry_run=True)
    refused(other, 422, "idempotency_key_reused")


async def test_a_file_that_cannot_be_read_changes_nothing_and_tells_the_place(aze: System) -> None:
    site, ref = await aze.site(), fresh("bad")
    good = f"{ref},{BLANKET},{site},5"
    file = sheet(good).encode()
    cases: list[tuple[bytes, str, str, int, str | None]] = [
        (file + "Şuşa,1,2,3\n".encode("cp1254"), "text/csv", "encoding", 3, None),
        (file + b'"' + b"x" * 1_048_576, "text/csv", "row_too_long", 3, None),
        (HEAD.encode() + b"," * 10_000_000 + b"\n", "text/csv", "row_too_long", 1, None),
        (sheet(good + ",1", head=HEAD + ",ref").encode(), "text/csv", "doubled_header", 1, "E"),
        (sheet(good, head="ref,item,site,amount").encode(), "text/csv", "unknown_header", 1, "D"),
        (sheet(good, head="ref,item,site").encode(), "text/csv", "missing_header", 1, None),
        (b"", "text/csv", "empty_file", 0, None),
        (HEAD.encode(), "text/csv", "empty_file", 1, None),
        (file, XLSX, "not_a_workbook", 0, None),
        (zipped("0" * 300_000_000), XLSX, "unpacks_too_large", 0, None),
        (zipped("no workbook"), "text/csv", "not_what_it_says", 0, None),
        (file, "text/csv; charset=utf-16", "charset", 0, None),
    ]
    for body, media, code, row, column in cases:
        answer = await sent(aze, body, media, mode="replace")
        problem = refused(answer, 422, "unreadable_file")
        assert [(e["code"], e["row"], e["field"]) for e in problem["errors"]] == [
            (code, row, column)
        ]
        assert problem["created"] == problem["changed"] == problem["withdrawn"] == 0
    refused(await aze.get(f"/v1/my/stock/{ref}"), 404, "not_found")
    refused(await sent(aze, sheet(good), "application/pdf"), 415, "unsupported_media_type")
    refused(await sent(aze, sheet(good), mode="all"), 422, "invalid_input")


def zipped(content: str) -> bytes:
    """A ZIP with a sheet's name in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", content)
    return file.getvalue()


async def test_what_ends_the_reading_is_told_however_many_rows_are_at_fault_before_it(
    aze: System,
) -> None:
    lines = [f"r-{n},{BLANKET},x,many" for n in range(1200)]
    body = sheet(*lines).encode() + b"\xff\xfe\n"
    problem = refused(await sent(aze, body), 422, "unreadable_file")
    assert [(e["code"], e["row"]) for e in problem["errors"]] == [("encoding", 1202)]
    assert (problem["errors_total"], problem["refused"]) == (1, 0)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("charset", "codec", "batch"),
    [
        ("", "utf-8", "Қостанай ğ"), ("", "utf-8-sig", "Қостанай ğ"),
        ("; charset=windows-1251", "cp1251", "Ташкент, 1"),
        ('; charset="windows-1254"', "cp1254", "Şırnak; 1"),
    ],
)  # fmt: skip
async def test_a_sheet_comes_as_each_office_saves_it(
    aze: System, delimiter: str, charset: str, codec: str, batch: str
) -> None:
    site, ref = await aze.site(), fresh("saved")
    lines = (
        f"{HEAD},lot_number",
        "#meta+id+ref,#item+code,#loc+site+ref,#capacity+num,#item+lot+id",
        f'{ref},{BLANKET},{site},5,"B"',
    )
    text = "\r\n".join(lines).replace(",", delimiter).replace('"B"', f'"{batch}"')
    report = await bring(aze, text.encode(codec), media=f"text/csv{charset}")
    assert counts(report) == (1, 1, 0, 0, 0, 0), report
    assert done(await aze.get(f"/v1/my/stock/{ref}"))["lot_number"] == batch


async def test_the_ledger_has_one_fact_of_each_lot_that_changed(
    uzb: System, service: Service
) -> None:
    site = await uzb.site()
    refs = [fresh("fact") for _ in range(30)]
    before = await recorded(service, "UZB")
    await bring(uzb, sheet(*(f"{ref},{BLANKET},{site},5" for ref in refs)))
    assert await recorded(service, "UZB") == before + 30
    changed = sheet(*(f"{ref},{BLANKET},{site},{5 + (n < 7)}" for n, ref in enumerate(refs[:20])))
    report = await bring(uzb, changed, mode="replace")
    assert (report["changed"], report["unchanged"]) == (7, 13)
    assert report["withdrawn"] >= 10
    assert await recorded(service, "UZB") == before + 30 + 7 + report["withdrawn"]
    await bring(uzb, changed, mode="replace")
    assert await recorded(service, "UZB") == before + 30 + 7 + report["withdrawn"]


async def test_an_import_needs_the_scope_and_a_society_that_takes_part(enrol: Enrol) -> None:
    reader = await enrol("AZE", "read")
    refused(await sent(reader, sheet("a,b,c,1")), 403, "scope_missing")
    assert (await reader.get("/v1/my/stock/export")).status_code == 200
    stranger = await enrol("AZE", "volunteers:write")
    refused(await stranger.get("/v1/my/stock/export"), 403, "scope_missing")


async def test_a_society_that_begins_imports_its_sites_first(uzb: System) -> None:
    a, b = fresh("s"), fresh("s")
    table = f"ref;name;country;lat;lon;kind\n{a};Термез;UZB;37,22;67.28;base\n{b};x;UZB;97;1;\n"
    headers = {"Content-Type": "text/csv"}
    report = done(
        await uzb.http.post("/v1/my/sites/import", content=table.encode(), headers=headers)
    )
    assert counts(report) == (2, 1, 0, 0, 0, 1)
    site = done(await uzb.get(f"/v1/my/sites/{a}"))
    assert (site["name"], site["lat"], site["kind"]) == ("Термез", 37.22, "base")
    again = done(
        await uzb.http.post("/v1/my/sites/import", content=table.encode(), headers=headers)
    )
    assert again["unchanged"] == 1
    assert counts(await bring(uzb, sheet(f"{fresh('l')},{BLANKET},{a},5")))[1] == 1


async def test_a_change_of_any_one_column_is_a_change_and_nothing_else_is(aze: System) -> None:
    await aze.site("other")
    row: Json = {
        "ref": fresh("each"), "item": BLANKET, "site": await aze.site(), "quantity": 70,
        "keep_back": 5, "lot_number": "B-1", "expires_on": "2027-06-30", "unit_value": 12.5,
        "currency": "USD", "visible_to": ["KAZ"], "as_of": "2026-02-06T03:17:00Z",
    }  # fmt: skip
    changes: Json = {
        "item": JERRYCAN, "site": "other", "quantity": 71, "keep_back": 0, "lot_number": None,
        "expires_on": "2027-07-01", "unit_value": 12.51, "currency": "EUR", "visible_to": None,
        "as_of": "2026-02-06T03:17:00.000001Z",
    }  # fmt: skip
    await bring(aze, json.dumps(row), media=MEDIA["ndjson"])
    for name, value in changes.items():
        row[name] = value
        for expected in ((1, 0, 1, 0, 0, 0), (1, 0, 0, 1, 0, 0)):
            assert counts(await bring(aze, json.dumps(row), media=MEDIA["ndjson"])) == expected, (
                name
            )
    row["as_of"] = None
    assert counts(await bring(aze, json.dumps(row), media=MEDIA["ndjson"])) == (1, 0, 0, 1, 0, 0)
