"""`If-None-Match: *` is for whoever comes first, and `If-Match` for whoever has seen the last."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.contract import Document
from tests.world import AVAILABLE, BLANKET, Json, System, done, fresh, from_pool, people

PLACE = {"name": "Central", "country": "TUR", "lat": 40.4, "lon": 49.9}
MANIFEST = "/v1/deployments/{id}/manifest"
NEW: dict[str, Json] = {
    "/v1/my/sites/{ref}": PLACE,
    "/v1/my/stock/{ref}": {"item": BLANKET, "site": "central", "quantity": 10},
    "/v1/my/volunteers/{ref}": {
        "skill": "usar", "languages": ["en"], "headcount": 5, "available_from": AVAILABLE[0],
        "available_until": AVAILABLE[1], "notice_hours": 24, "site": "central",
    },
    "/v1/items/{code}": {"unit": "piece", "packs": [{"code": "a", "quantity": 2}]},
    "/v1/skills/{code}": {},
    "/v1/hubs/{code}": PLACE,
    "/v1/legs/{code}": {
        "start": "AKTAU", "end": "ATYRAU", "mode": "road", "hours": 9, "cost_per_tonne": 90,
        "border_hours": 0, "closed": True,
    },
    "/v1/societies/{id}": {"role": "observer"},
    MANIFEST: {},
}  # fmt: skip
SOCIETIES = iter(("XFA", "XFB"))
WRITERS = 16


def _by(template: str, n: int) -> Json:
    """A body that tells which writer sent it."""
    mark = {
        "/v1/my/stock/{ref}": ("quantity", n + 1),
        "/v1/my/volunteers/{ref}": ("headcount", n + 1),
        "/v1/legs/{code}": ("note", f"Writer {n}"),
        MANIFEST: ("people", [{"name": f"Example {n}"}]),
    }
    field, value = mark.get(template, ("name", f"Writer {n}"))
    return NEW[template] | {field: value}


async def _absent(tur: System, aze: System, template: str) -> tuple[str, System]:
    """The address of something that is not there yet, and who may create it."""
    await tur.site()
    if template == MANIFEST:
        request = await tur.request(people(5))
        offer = await aze.offer(request, from_pool(request, await aze.pool(10), 5))
        await tur.accept(offer)
        return template.replace("{id}", (await aze.deploy(offer, 5))["id"]), aze
    if "{id}" in template:
        return template.replace("{id}", next(SOCIETIES)), tur
    return template.replace("{ref}", fresh("first")).replace("{code}", fresh("first")), tur


async def _at_once(system: System, path: str, template: str, **headers: str) -> Counter[int]:
    answers: list[httpx.Response] = await asyncio.gather(
        *(system.put(path, _by(template, n), **headers) for n in range(WRITERS))
    )
    return Counter(r.status_code for r in answers)


def test_every_call_that_creates_by_put_is_tried_here(document: Document) -> None:
    assert {path for path, methods in document["paths"].items() if "put" in methods} == set(NEW)


@pytest.mark.parametrize("template", NEW)
async def test_of_many_first_writers_exactly_one_creates(
    tur: System, aze: System, template: str
) -> None:
    path, system = await _absent(tur, aze, template)
    assert await _at_once(system, path, template, If_Match="*") == {412: WRITERS}
    assert await _at_once(system, path, template, If_Match='"0"') == {412: WRITERS}
    found = await _at_once(system, path, template, If_None_Match="*")
    assert found == {201: 1, 412: WRITERS - 1}
    if template.startswith("/v1/my/"):
        # What was withdrawn is created anew by one of them, too.
        assert (await system.http.delete(path)).status_code == 204
        found = await _at_once(system, path, template, If_None_Match="*")
        assert found == {201: 1, 412: WRITERS - 1}
        tag = (await system.get(path)).headers["ETag"]
        await system.put(path, _by(template, WRITERS))
        assert await _at_once(system, path, template, If_Match=tag) == {412: WRITERS}


@pytest.mark.parametrize("template", ["/v1/my/sites/{ref}", "/v1/items/{code}"])
async def test_of_many_who_publish_the_same_at_once_one_is_told_that_it_created(
    tur: System, aze: System, template: str
) -> None:
    path, system = await _absent(tur, aze, template)
    before = done(await system.get("/v1/events/head"))["seq"]
    assert await _at_once(system, path, template) == {201: 1, 200: WRITERS - 1}
    kind = {"/v1/my/sites/{ref}": "site.opened", "/v1/items/{code}": "item.catalogued"}[template]
    assert len(await system.told(kind, before)) == 1
