"""A sheet of pools goes in as if each row had been published, and comes out unchanged."""

import json
from typing import Any

import pytest

from tests.test_import_stock import MEDIA, counts, told
from tests.world import AVAILABLE, FROM, UNTIL, Json, System, done, fresh, from_pool, people

HEAD = "ref,skill,languages,headcount,available_from,available_until,notice_hours,site,visible_to"


async def bring(system: System, body: str | bytes, media: str = "text/csv", **params: Any) -> Json:
    content = body.encode() if isinstance(body, str) else body
    return done(
        await system.http.post(
            "/v1/my/volunteers/import",
            content=content,
            params=params,
            headers={"Content-Type": media},
        )
    )


def row(ref: str, headcount: int | str, skill: str = "usar", until: str = AVAILABLE[1]) -> str:
    return f"{ref},{skill},tr|ru,{headcount},{AVAILABLE[0]},{until},12,central,"


def sheet(*rows: str) -> str:
    return "\n".join([HEAD, *rows]) + "\n"


async def test_pools_are_published_by_the_sheet_and_left_alone_the_second_time(
    kgz: System,
) -> None:
    await kgz.site()
    a, b, c, d = [fresh("pool") for _ in range(4)]
    table = sheet(row(a, 40), row(b, 5, "nosuch"), row(c, "many"), row(d, 3, until=AVAILABLE[0]))
    report = await bring(kgz, table)
    assert counts(report) == (4, 1, 0, 0, 0, 3)
    assert [(e["row"], e["field"], e["code"]) for e in report["errors"]] == [
        (3, "skill", "unknown"), (4, "headcount", "number_form"),
        (5, "available_until", "before_from"),
    ]  # fmt: skip
    pool = done(await kgz.get(f"/v1/my/volunteers/{a}"))
    assert (pool["headcount"], pool["languages"], pool["available"]) == (40, ["ru", "tr"], 40)
    assert counts(await bring(kgz, table)) == (4, 0, 0, 1, 0, 3)
    body = {
        name: pool[name] for name in ("skill", "languages", "headcount", "notice_hours", "site")
    }
    body |= {"available_from": AVAILABLE[0], "available_until": AVAILABLE[1]}
    again = done(await kgz.put(f"/v1/my/volunteers/{a}", body))
    assert again["updated_at"] == pool["updated_at"], "a PUT of the same has nothing to change"


async def test_fewer_people_than_are_promised_is_the_truth_and_tells_both(
    tur: System, kgz: System, kaz: System
) -> None:
    pool, other = await kgz.pool(40), await kgz.pool(10)
    request = await tur.request(people(30), people(5))
    await kgz.offer(request, from_pool(request, pool, 30), from_pool(request, other, 5, 1))
    report = await bring(
        kgz, sheet(row(pool["ref"], 22), row(other["ref"], 10, "first_aid")), mode="replace"
    )
    skills = [s["code"] for s in done(await kgz.get("/v1/skills", limit=200))["items"]]
    assert report["errors"][0]["code"] == (
        "pool_reserved" if "first_aid" in skills else "unknown"
    ), report
    assert counts(report)[:3] == (2, 0, 1)
    assert (await kgz.own_pool(pool))["shortfall"] == 8
    for reader, seen in ((tur, 1), (kgz, 1), (kaz, 0)):
        found = await told(reader, "volunteers.shortfall", pool["id"])
        assert [e["data"]["shortfall"] for e in found] == [8] * seen


async def test_replace_never_withdraws_a_pool_with_promised_people(
    tur: System, uzb: System
) -> None:
    promised, gone = await uzb.pool(10), await uzb.pool(10)
    request = await tur.request(people(4, start=FROM, end=UNTIL))
    await uzb.offer(request, from_pool(request, promised, 4))
    report = await bring(uzb, sheet(row(fresh("new"), 3)), mode="replace")
    assert {"ref": promised["ref"], "reserved": 4} in report["kept_reserved"]
    assert report["withdrawn"] >= 1
    assert (await uzb.get(f"/v1/my/volunteers/{gone['ref']}")).status_code == 404
    assert (await uzb.own_pool(promised))["headcount"] == 10


@pytest.mark.parametrize("kind", ["csv", "xlsx", "ndjson"])
async def test_exported_pools_are_imported_again_and_nothing_changes(
    aze: System, kind: str
) -> None:
    await aze.pool(10, languages=[], visible_to=[])
    await aze.pool(11, ref=fresh("=ref"), visible_to=["TUR", "KAZ"])
    await aze.pool(12, notice_hours=0, as_of="2026-02-06T01:17:00.000001Z")
    answer = await aze.get("/v1/my/volunteers/export", format=kind)
    assert answer.status_code == 200
    report = await bring(aze, answer.content, MEDIA[kind], mode="replace")
    assert counts(report)[1:3] == (0, 0) and counts(report)[4:] == (0, 0)
    assert report["unchanged"] == report["rows"] >= 3


async def test_a_change_of_any_one_column_of_a_pool_is_a_change(kgz: System) -> None:
    await kgz.site("other")
    skills = [s["code"] for s in done(await kgz.get("/v1/skills", limit=200))["items"]]
    line: Json = {
        "ref": fresh("each"), "skill": "usar", "languages": ["tr"], "headcount": 7,
        "available_from": AVAILABLE[0], "available_until": AVAILABLE[1], "notice_hours": 1,
        "site": await kgz.site(), "visible_to": None, "as_of": "2026-02-06T01:17:00Z",
    }  # fmt: skip
    changes: Json = {
        "skill": next(s for s in skills if s != "usar"), "languages": [], "headcount": 8,
        "available_from": FROM, "available_until": UNTIL, "notice_hours": 2, "site": "other",
        "visible_to": [], "as_of": "2026-02-07T01:17:00Z",
    }  # fmt: skip
    await bring(kgz, json.dumps(line), MEDIA["ndjson"])
    for name, value in changes.items():
        line[name] = value
        for expected in ((1, 0, 1, 0, 0, 0), (1, 0, 0, 1, 0, 0)):
            assert counts(await bring(kgz, json.dumps(line), MEDIA["ndjson"])) == expected, name
