"""The end of the story: do the figures of the exchange agree with what was done?"""

from collections import Counter
from typing import Any

from app.exercise import kahramanmaras as facts
from app.exercise.stage import FIGURES, Stage, expect
from app.exercise.telling import Json, on_the_way


async def reckon(stage: Stage) -> Json:
    """The board, once everything on it is what the story did; raises Unexpected otherwise."""
    emergency = stage.emergency["id"]
    boards: list[Json] = [
        dict(await stage.systems[society].board(emergency)) for society in facts.SOCIETIES
    ]
    board = boards[0]
    expect(
        all(_undated(other) == _undated(board) for other in boards),
        "the societies do not see one set of figures",
    )
    _compare(stage, board)
    under_way = await _under_way(stage)
    for line in board["lines"]:
        name = line["item"] or line["skill"]
        expect(line["requested"] >= line["accepted"], f"{name}: more is accepted than asked for")
        expect(line["accepted"] >= line["dispatched"], f"{name}: more has left than is accepted")
        expect(
            on_the_way(line) == under_way.get(line["line"], 0),
            f"{name}: {on_the_way(line)} on the way by the board, "
            f"{under_way.get(line['line'], 0)} by the consignments and deployments",
        )
    return board


def _undated(board: Json) -> Json:
    return {name: value for name, value in board.items() if name != "as_of"}


def _compare(stage: Stage, board: Json) -> None:
    need_of = {line: need for need, (_, line) in stage.needs.items()}
    asked = {need.name: need.requested for request in facts.REQUESTS for need in request.needs}
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for line in board["lines"]:
        need = need_of[line["line"]]
        expect(line["requested"] == asked.pop(need), f"{need}: {line['requested']} are asked for")
        for given in line["societies"]:
            shown[need, given["society"]] = given
        for figure in FIGURES:
            total = sum(given[figure] for given in line["societies"])
            expect(line[figure] == total, f"{need}: {figure} is not the sum of the societies'")
    expect(not asked, f"not on the board: {', '.join(asked)}")
    for given in board["unsolicited"]:
        shown[given["item"], given["society"]] = given
    for key, counted in stage.tally.items():
        told = {figure: shown[key][figure] for figure in FIGURES} if key in shown else {}
        expect(told == counted, f"{key[0]} of {key[1]}: the board says {told}, done was {counted}")
    # Whoever offered and withdrew stays on the board with nothing.
    for key in shown.keys() - stage.tally.keys():
        expect(not any(shown[key][figure] for figure in FIGURES), f"{key} is not of this story")


async def _under_way(stage: Stage) -> Counter[str]:
    """What is on its way by request line, from the consignments and deployments themselves."""
    lines: dict[str, str] = {}
    for request in {request for request, _ in stage.needs.values()}:
        for offer in await _all(stage, "/v1/offers", request=request):
            lines |= {line["id"]: line["request_line"] for line in offer["lines"]}
    under_way: Counter[str] = Counter()
    for status in ("dispatched", "arrived"):
        for consignment in await _all(stage, "/v1/consignments", status=status):
            for line in consignment["lines"]:
                if line["offer_line"] in lines:
                    under_way[lines[line["offer_line"]]] += line["quantity"]
    for team in await _all(stage, "/v1/deployments", status="mobilised"):
        if team["offer_line"] in lines:
            under_way[lines[team["offer_line"]]] += team["headcount"]
    return under_way


async def _all(stage: Stage, path: str, **query: Any) -> list[Json]:
    """Every page of a list, as Türkiye sees it."""
    found: list[Json] = []
    page = await stage.tur.get(path, limit=200, **query)
    while True:
        found += page["items"]
        if page["next"] is None:
            return found
        page = await stage.tur.get(path, limit=200, cursor=page["next"], **query)
