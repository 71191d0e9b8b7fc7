"""The board: in pages, with totals over all of it, and without what was cancelled."""

import csv
import io

import pytest

from tests.world import BLANKET, TENT, Json, System, done, from_lot, goods, people, refused


async def pages(system: System, emergency: str, **more: object) -> list[Json]:
    """Every page of a board, by `next`."""
    path, found = f"/v1/emergencies/{emergency}/board", list[Json]()
    while True:
        answer = await system.get(path, **more)
        found.append(done(answer))
        following = found[-1]["next"]
        assert ("link" in answer.headers) == (following is not None)
        if following is None:
            return found
        assert f"cursor={following}" in answer.headers["link"]
        more = {**more, "cursor": following}


async def test_a_board_comes_in_pages_and_each_tells_the_totals_of_all(
    tur: System, aze: System, uzb: System
) -> None:
    emergency = (await tur.emergency())["id"]
    lot = await aze.lot(1000)
    first = await tur.request(*[goods(10)] * 3, people(4), emergency=emergency)
    await tur.request(*[goods(7, TENT)] * 4, emergency=emergency)
    await tur.accept(await aze.offer(first, from_lot(first, lot, 6, line=1)))
    for item in ("FCERRICELGGR", "FCERWHEAFL01"):
        stock = await uzb.lot(1000, item)
        body = {"emergency": emergency, "to": "TUR", "lines": [{"stock": stock["id"],
                "quantity": 60}]}  # fmt: skip
        done(await uzb.post("/v1/offers", body), 201)
    [whole] = await pages(uzb, emergency)
    assert (len(whole["lines"]), len(whole["unsolicited"])) == (8, 2)
    for limit in (1, 2, 3, 8, 9, 10):
        found = await pages(uzb, emergency, limit=limit)
        assert all(len(p["lines"]) + len(p["unsolicited"]) <= limit for p in found)
        assert [line for p in found for line in p["lines"]] == whole["lines"]
        assert [u for p in found for u in p["unsolicited"]] == whole["unsolicited"]
        assert all(p["totals"] == whole["totals"] for p in found)
        assert len(found) == -(-10 // limit)
    blankets = next(t for t in whole["totals"] if t["item"] == BLANKET)
    assert (blankets["lines"], blankets["requested"], blankets["accepted"]) == (3, 30, 6)
    assert blankets["outstanding"] == 24
    for total in whole["totals"]:
        own = [
            line for line in whole["lines"]
            if (line["kind"], line["item"], line["skill"])
            == (total["kind"], total["item"], total["skill"])
        ]  # fmt: skip
        assert len(own) == total["lines"]
        for figure in ("requested", "offered", "accepted", "dispatched", "outstanding"):
            assert total[figure] == sum(line[figure] for line in own), figure
    together = await aze.exchange.board(emergency)
    assert (together["lines"], together["totals"]) == (whole["lines"], whole["totals"])


async def test_a_table_as_csv_is_whole_unless_a_page_is_asked_for(tur: System) -> None:
    emergency = (await tur.emergency())["id"]
    await tur.request(*[goods(1)] * 60, emergency=emergency)
    path = f"/v1/emergencies/{emergency}/board"
    assert len(done(await tur.get(path))["lines"]) == 50

    def rows(table: str) -> int:
        return len(list(csv.reader(io.StringIO(table)))) - 2

    assert rows((await tur.get(path, format="csv")).text) == 60
    part = await tur.get(path, format="csv", limit=40)
    assert rows(part.text) == 40
    rest = await tur.http.get(part.headers["link"].partition(">")[0].removeprefix("<"))
    assert rows(rest.text) == 20


async def test_what_was_cancelled_is_left_out_unless_it_is_asked_for(tur: System) -> None:
    emergency = (await tur.emergency())["id"]
    kept = await tur.request(goods(5), emergency=emergency)
    gone = await tur.request(goods(70), people(3), emergency=emergency)
    await tur.move("requests", gone, "cancel")
    [board] = await pages(tur, emergency)
    assert {line["request"] for line in board["lines"]} == {kept["id"]}
    assert [t["requested"] for t in board["totals"]] == [5]
    [board] = await pages(tur, emergency, include_cancelled="true")
    assert {line["request"] for line in board["lines"]} == {kept["id"], gone["id"]}
    assert sorted(t["requested"] for t in board["totals"]) == [3, 75]
    table = (await tur.get(f"/v1/emergencies/{emergency}/board", format="csv")).text
    assert gone["id"] not in table


@pytest.mark.parametrize("cursor", ["x", "WyIxIl0x", "WzFd", "W10"])
async def test_a_cursor_of_another_list_is_refused(tur: System, cursor: str) -> None:
    emergency = (await tur.emergency())["id"]
    answer = await tur.get(f"/v1/emergencies/{emergency}/board", cursor=cursor)
    refused(answer, 422, "invalid_input")
