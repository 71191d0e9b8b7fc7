"""From what the database wrote to the answer that is shown: on hundreds of small random questions.

What is possible is reckoned here apart from the plan: by the routes, the calendar and a largest
flow from lots to lines.
"""

import io
import json
from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from app.matching import worker
from app.matching.schemas import Options
from app.transport.finding import Network
from app.transport.rules import Hub, Leg, Place
from tests.world import Json

AT = datetime.fromisoformat("2026-12-01T06:00:00+00:00")
HANDLING, MARGIN = 8, 30
SITES = {
    "s-aktau": ("Aktau", "KAZ", 43.65, 51.16),
    "s-baku": ("Baku", "AZE", 40.41, 49.87),
    "s-ganja": ("Ganja", "AZE", 40.68, 46.36),
    "s-osh": ("Osh", "KGZ", 40.53, 72.8),
    "s-samarkand": ("Samarkand", "UZB", 39.65, 66.96),
    "s-sea": ("At sea", "AZE", 41.0, 51.2),
}
DESTINATIONS = {
    "TUR": ("Pazarcık", "TUR", 37.49, 37.3),
    "KAZ": ("Shymkent", "KAZ", 42.32, 69.6),
}
PRIORITIES = ("critical", "high", "normal")


def _seed(name: str) -> list[Json]:
    seed = files("app.transport").joinpath("seed", name).read_text("utf-8")
    entries: list[Json] = json.loads(seed)
    return entries


HUBS = [[h["code"], h["name"], h["country"], h["lat"], h["lon"]] for h in _seed("hubs.json")]
LEGS = [
    [
        leg["code"], leg["start"], leg["end"], leg["mode"], leg["hours"], leg["border_hours"],
        leg["cost_per_tonne"], leg["capacity_t"], leg["months"], False,
    ]
    for leg in _seed("legs.json")
]  # fmt: skip
# Beside each flight one that is a little later and much cheaper: which of them to take is a choice.
LEGS += [[f"{row[0]}-later", *row[1:4], row[4] + 2.5, row[5], row[6] / 10, *row[7:]]
         for row in LEGS if row[3] == "air"]  # fmt: skip


def _leg(*parts: Any) -> Leg:
    *before, months, closed = parts
    whole: Any = (*before, None if months is None else frozenset(months), closed)
    return Leg(*whole)


@cache
def hours(site: str, society: str) -> float | None:
    """From the site to where this society asks: by the soonest route, loading included."""
    hubs = [Hub(code, Place(*where)) for code, *where in HUBS]
    legs = [_leg(*row) for row in LEGS]
    ways = Network(hubs, legs, AT.date()).towards(Place(*DESTINATIONS[society]))
    route = ways.soonest_from(Place(*SITES[site]))
    return None if route is None else HANDLING + route.hours


@st.composite
def deadlines(draw: st.DrawFn, society: str) -> str:
    """Often just before or just after something arrives."""
    site = draw(st.sampled_from(sorted(SITES)))
    around = hours(site, society) or 60.0
    after = timedelta(hours=around, minutes=draw(st.sampled_from([-30, 5, 90, 240, 3000])))
    return (AT + after).isoformat()


@st.composite
def questions(draw: st.DrawFn) -> Json:
    items = {
        code: {
            "unit": "piece", "kg": 10.0, "litres": None, "name": code, "packs": [["box", 2]],
            "substitutes": [["B", 1, 1]] if code == "A" else [],
        }
        for code in "AB"
    }  # fmt: skip
    lots = [
        [
            f"lot-{n}",
            draw(st.sampled_from(["AZE", "KAZ", "UZB", "TUR"])),
            draw(st.sampled_from("AB")),
            draw(st.sampled_from(sorted(SITES))),
            draw(st.integers(0, 6)),
            draw(st.sampled_from([None, "2026-12-20", "2027-01-01", "2027-01-02", "2027-02-20"])),
            draw(st.sampled_from([None, None, ["TUR"], ["KAZ"], []])),
        ]
        for n in range(draw(st.integers(1, 6)))
    ]
    lines = []
    for society in draw(st.sampled_from([["TUR"], ["KAZ"], ["KAZ", "TUR"]])):
        needed_by, priority = draw(deadlines(society)), draw(st.sampled_from(PRIORITIES))
        for n in range(draw(st.integers(1, 3))):
            requested = draw(st.integers(1, 9))
            lines.append(
                {
                    "line": f"line-{society}-{n}", "request": f"request-{society}",
                    "society": society, "title": "Help", "priority": priority,
                    "needed_by": needed_by, "place": list(DESTINATIONS[society]), "kind": "stock",
                    "item": draw(st.sampled_from("AB")), "skill": None, "from": None, "until": None,
                    "accept_substitutes": draw(st.booleans()), "languages": [],
                    "requested": requested, "accepted": 0, "outstanding": requested, "proposed": 0,
                }
            )  # fmt: skip
    options = Options(handling_hours=HANDLING, margin_days=MARGIN)
    return {
        "kind": "plan", "at": AT.isoformat(), "options": options.plain(), "what_if": None,
        "secretariat": False, "only_for": None, "lines": lines, "lots": lots,
        "pools": [], "items": items, "hubs": HUBS, "legs": LEGS,
        "sites": [[key, *where] for key, where in SITES.items()],
    }  # fmt: skip


def answered(question: Json) -> Json:
    """The last answer of the planning process's own code."""
    out = io.BytesIO()
    worker.answer(json.dumps(question).encode(), out)
    out.seek(0)
    last: Json = {}
    while head := out.read(8):
        body = out.read(int.from_bytes(head, "big"))
        last = json.loads(body[1:])
    return last


def serves(lot: list[Any], line: Json) -> bool:
    """Whether a lot could serve a line at all."""
    _, owner, item, site, available, expires, seen = lot
    if owner == line["society"] or not available:
        return False
    if seen is not None and line["society"] not in seen:
        return False
    if item != line["item"] and (line["item"], item, line["accept_substitutes"]) != (
        "A",
        "B",
        True,
    ):
        return False
    after = hours(site, line["society"])
    if after is None:
        return False
    arrives = AT + timedelta(hours=after)
    if arrives > datetime.fromisoformat(line["needed_by"]):
        return False
    good = arrives.date() + timedelta(days=MARGIN)
    return expires is None or date.fromisoformat(expires) > good


def most(question: Json) -> dict[str, int]:
    """The most that can be covered of critical need, then of high, then of normal.

    What can be covered at once are the independent sets of a matroid: the largest flow to the
    lines of the first priorities tells how much each priority adds.
    """
    before, found = 0, {}
    for n, priority in enumerate(PRIORITIES):
        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(("source", "sink"))
        for lot in question["lots"]:
            graph.add_edge("source", lot[0], capacity=lot[4])
        for line in question["lines"]:
            if line["priority"] not in PRIORITIES[: n + 1]:
                continue
            graph.add_edge(line["line"], "sink", capacity=line["outstanding"])
            for lot in question["lots"]:
                if serves(lot, line):
                    graph.add_edge(lot[0], line["line"])
        total = int(networkx.maximum_flow_value(graph, "source", "sink"))
        found[priority], before = total - before, total
    return found


@settings(max_examples=250, deadline=None)
@given(questions())
def test_as_much_is_covered_as_can_arrive_in_time(question: Json) -> None:
    answer = answered(question)
    assert answer["optimal"], answer["stages"]
    assert answer["summary"]["covered"] == most(question)


@settings(max_examples=250, deadline=None)
@given(questions())
def test_an_answer_promises_nothing_that_is_not_so(question: Json) -> None:
    answer = answered(question)
    lots = {lot[0]: lot for lot in question["lots"]}
    lines = {line["line"]: line for line in question["lines"]}
    assert [line["request_line"] for line in answer["lines"]] == list(lines)
    drawn: dict[str, int] = defaultdict(int)
    given_by: dict[tuple[str, str], int] = defaultdict(int)
    for told in answer["lines"]:
        line = lines[told["request_line"]]
        assert told["covered"] == sum(pick["covers"] for pick in told["picks"])
        assert told["covered"] + told["uncovered"] == line["outstanding"]
        assert bool(told["reasons"]) == bool(told["uncovered"])
        for pick in told["picks"]:
            lot = lots[pick["stock"]]
            assert serves(lot, line)
            assert (pick["society"], pick["item"], pick["expires_on"]) == (lot[1], lot[2], lot[5])
            assert 0 < pick["quantity"] == pick["covers"]
            drawn[lot[0]] += pick["quantity"]
            given_by[lot[1], lot[2]] += pick["quantity"]
            arrives = datetime.fromisoformat(pick["arrives"])
            # To the minute, rounded up.
            assert arrives < datetime.fromisoformat(line["needed_by"]) + timedelta(minutes=1)
            good = arrives.date() + timedelta(days=MARGIN)
            assert lot[5] is None or date.fromisoformat(lot[5]) > good
            route = answer["routes"][pick["route"]]
            assert abs(HANDLING + route["hours"] - pick["hours"]) < 0.2
            assert route["stretches"][-1]["end"] == line["place"][0]
    assert all(quantity <= lots[lot][4] for lot, quantity in drawn.items())
    assert {(t["society"], t["code"]): t["quantity"] for t in answer["societies"]} == given_by
    offered: dict[str, int] = defaultdict(int)
    for ready in answer["offers"]:
        for part in ready["offer"]["lines"]:
            assert lots[part["stock"]][1] == ready["society"]
            assert lines[part["request_line"]]["request"] == ready["request"]
            offered[part["stock"]] += part["quantity"]
    assert offered == drawn


@settings(max_examples=60, deadline=None)
@given(questions(), st.randoms(use_true_random=False))
def test_the_order_in_which_lots_come_changes_nothing(question: Json, chance: Any) -> None:
    first = answered(question)
    chance.shuffle(question["lots"])
    assert answered(question) == first
