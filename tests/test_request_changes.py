"""A change of a request is taken as it was sent, or refused by the field's own name."""

from tests.test_operations import eventually
from tests.world import BLANKET, Json, System, goods, people, refused


async def _changed(tur: System, request: Json, change: Json) -> tuple[str, str]:
    answer = await tur.http.patch(f"/v1/requests/{request['id']}", json=change)
    error = answer.json()["errors"][0]
    assert answer.status_code == 422
    assert (await tur.own_request(request)) == request, "nothing moved"
    return error["pointer"], error["code"]


async def test_an_added_line_at_fault_is_named_where_it_was_sent(tur: System) -> None:
    request = await tur.request(goods(10))
    line = {"id": request["lines"][0]["id"], "quantity": 11}
    change = {"lines": [line], "add_lines": [goods(1), goods(1, "NOSUCHITEM")]}
    assert await _changed(tur, request, change) == ("/add_lines/1/item", "unknown")


async def test_people_have_no_substitutes(tur: System) -> None:
    request = await tur.request(goods(10), people(10))
    line = {"id": request["lines"][1]["id"], "headcount": 5, "accept_substitutes": True}
    found = await _changed(tur, request, {"lines": [line]})
    assert found == ("/lines/0/accept_substitutes", "wrong_kind")


async def test_goods_are_not_counted_by_heads_nor_people_by_quantity(tur: System) -> None:
    request = await tur.request(goods(10), people(10))
    stock, volunteers = (line["id"] for line in request["lines"])
    heads = await _changed(tur, request, {"lines": [{"id": stock, "headcount": 5}]})
    assert heads == ("/lines/0/headcount", "wrong_kind")
    quantity = await _changed(tur, request, {"lines": [{"id": volunteers, "quantity": 10**12}]})
    assert quantity == ("/lines/0/quantity", "wrong_kind")


async def test_a_line_is_changed_once_in_a_call(tur: System) -> None:
    request = await tur.request(goods(10))
    line = request["lines"][0]["id"]
    twice = {"lines": [{"id": line, "quantity": 11}, {"id": line, "quantity": 12}]}
    assert await _changed(tur, request, twice) == ("/lines/1/id", "duplicate")


async def test_a_line_of_another_request_is_unknown(tur: System) -> None:
    request, other = await tur.request(goods(10)), await tur.request(goods(10, BLANKET))
    change = {"lines": [{"id": other["lines"][0]["id"], "quantity": 11}]}
    assert await _changed(tur, request, change) == ("/lines/0/id", "unknown")


async def test_a_line_of_no_kind_is_told_by_its_kind_and_not_quoted(tur: System) -> None:
    bad = {**goods(1), "kind": "zq7zq"}
    request = await tur.request(goods(10))
    answer = await tur.http.patch(f"/v1/requests/{request['id']}", json={"add_lines": [bad]})
    problem = refused(answer, 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "/add_lines/0/kind"
    assert "zq7zq" not in answer.text
    del bad["kind"]
    answer = await tur.http.patch(f"/v1/requests/{request['id']}", json={"add_lines": [bad]})
    assert refused(answer, 422, "invalid_input")["errors"][0] == {
        "pointer": "/add_lines/0/kind", "code": "union_tag_not_found",
        "message": "This is required.",
    }  # fmt: skip


async def test_a_change_that_is_sent_again_changes_nothing_and_is_told_once(tur: System) -> None:
    request = await tur.request(goods(10))
    line = {"id": request["lines"][0]["id"], "quantity": 11, "accept_substitutes": True}
    answers = [
        await tur.http.patch(f"/v1/requests/{request['id']}", json={"lines": [line]})
        for _ in range(2)
    ]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]

    await tur.move("requests", request, "close")

    async def told() -> list[str]:
        events = await tur.events(type="request.changed,request.closed")
        return [e["type"] for e in events if e["subject"]["id"] == request["id"]]

    async def is_told() -> bool:
        return "request.closed" in await told()

    await eventually(is_told)
    assert await told() == ["request.changed", "request.closed"]
