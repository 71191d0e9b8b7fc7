"""The answer: picks with their routes, what stays uncovered and why, totals, offers to send."""

from collections import defaultdict
from typing import Any

import numpy as np

from app.matching.asking import Asked, to_the_minute
from app.matching.candidates import Candidates, Fate
from app.matching.planning import Plan
from app.matching.rules import PRIORITIES, Way
from app.transport.finding import shown

Json = dict[str, Any]

_MOST_LINES = 200
"""Of one offer; what is more goes into a second one."""


def answer(
    asked: Asked, found: Candidates, plan: Plan, secretariat: bool, only: str | None
) -> Json:
    """The plan as it is shown; of one society's requests alone where `only` names it."""
    picks = _picks(asked, found, plan)
    used = plan.x.sum() > 0
    shown_lines = [
        _line(asked, found, n, picks.get(n, []), secretariat)
        for n, line in enumerate(found.lines)
        if only is None or line.society == only
    ]
    routes: dict[tuple[int, int, bool], int] = {}
    route_list: list[Json] = []
    for line in shown_lines:
        for pick in line["picks"]:
            site, place, way = pick.pop("_way")
            key = (site, place, way.soonest)
            if key not in routes:
                routes[key] = len(route_list)
                route = shown(asked.route(site, place, way))
                route_list.append(
                    {k: route[k] for k in ("mode", "hours", "cost_per_tonne", "stretches")}
                )
            pick["route"] = routes[key]
    return {
        "as_of": to_the_minute(asked.at),
        "optimal": plan.optimal,
        "stages": [_stage(stage) for stage in plan.stages] if only is None else [],
        "summary": _summary(shown_lines),
        "lines": shown_lines,
        "routes": route_list,
        "societies": _totals(shown_lines),
        "offers": _offers(shown_lines) if used else [],
    }


def _stage(stage: Any) -> Json:
    return {"criterion": stage.name, "proven": stage.proven, "gap": round(stage.gap, 6)}


def _picks(asked: Asked, found: Candidates, plan: Plan) -> dict[int, list[Json]]:
    """Units of lots and people of pools for each line: of a class the earliest-expiring first."""
    i = found.instance
    lots_of: dict[int, list[list[int]]] = defaultdict(list)
    for lot, row in enumerate(i.lot_row.tolist()):
        lots_of[row].append([lot, int(i.lot_left[lot])])
    row_of = dict(zip(i.at_arc.tolist(), i.at_row.tolist(), strict=True))
    picks: dict[int, list[Json]] = defaultdict(list)
    # The most urgent line gets what expires first; then in the order of arrival.
    used = np.flatnonzero(plan.x)
    order = used[np.lexsort((used, i.step[used], i.line[used], i.rank[i.line[used]]))]
    for arc in order.tolist():
        n = int(i.line[arc])
        site, place, way, arrives = found.arc_place[arc]
        use, cover, steps = int(i.use[arc]), int(i.cover[arc]), int(plan.x[arc])
        base = {
            "arrives": to_the_minute(asked.instant(arrives)), "hours": round(arrives, 1),
            "site": _site(asked, site), "_way": (site, place, way),
        }  # fmt: skip
        if arc in found.pool_of_arc:
            pool = found.pool_of_arc[arc]
            picks[n].append(
                {
                    "society": pool.society, "volunteers": pool.id, "headcount": steps,
                    "skill": pool.skill, "covers": steps,
                    "speak": sorted(pool.languages & found.lines[n].languages), **base,
                }
            )  # fmt: skip
            continue
        left = steps * use
        shelf = lots_of[row_of[arc]]
        while left:
            lot, has = shelf[0]
            taken = min(left, has)
            left -= taken
            shelf[0][1] -= taken
            if shelf[0][1] == 0:
                shelf.pop(0)
            picks[n].append(_pick(asked, found, lot, taken, taken // use * cover, way) | base)
    return picks


def _pick(
    asked: Asked, found: Candidates, number: int, quantity: int, covers: int, way: Way
) -> Json:
    lot = found.lot_of[number]
    item = asked.items[lot.item]
    weight = None if item["kg"] is None else round(quantity * item["kg"], 3)
    volume = None if item["litres"] is None else round(quantity * item["litres"], 3)
    return {
        "society": lot.society,
        "stock": None if lot.supposed else lot.id,
        "supposed": lot.supposed,
        "item": lot.item,
        "quantity": quantity,
        "unit": item["unit"],
        "packs": next(
            (
                {"pack": code, "count": quantity // size}
                for code, size in item["packs"] or ()
                if quantity % size == 0
            ),
            None,
        ),
        "covers": covers,
        "expires_on": lot.expires_on,
        "weight_kg": weight,
        "volume_l": volume,
        "cost": None if weight is None else round(weight / 1000 * way.cost_per_tonne, 2),
    }


def _site(asked: Asked, site: int) -> Json:
    place = asked.sites[site]
    return {"name": place.name, "country": place.country, "lat": place.lat, "lon": place.lon}


def _line(asked: Asked, found: Candidates, n: int, picks: list[Json], secretariat: bool) -> Json:
    line = found.lines[n]
    covered = sum(pick["covers"] for pick in picks)
    return {
        "request": line.request,
        "request_line": line.id,
        "society": line.society,
        "title": line.title,
        "priority": line.priority,
        "needed_by": line.needed_by,
        "kind": "volunteers" if line.people else "stock",
        "code": line.code,
        "requested": line.requested,
        "outstanding": line.need,
        "proposed": line.proposed,
        "covered": covered,
        "uncovered": line.need - covered,
        "reasons": _reasons(asked, found, n, line.need - covered, secretariat),
        "picks": picks,
    }


def _reasons(
    asked: Asked, found: Candidates, n: int, uncovered: int, secretariat: bool
) -> list[Json]:
    if uncovered == 0:
        return []
    line, fates = found.lines[n], found.fates[n]

    def total(name: str) -> int:
        return sum(getattr(fate, name) for fate in fates)

    said: list[Json] = []

    def say(code: str, sentence: str, quantity: int | None = None) -> None:
        said.append({"code": code, "sentence": sentence, "quantity": quantity})

    unit = "people" if line.people else asked.items[line.code]["unit"]
    if total("published") == 0:
        say("none_published", "No other society has published any that the requester may see.")
    soonest = _soonest(fates)
    if total("late") and soonest is not None:
        say(
            "too_late",
            f"{total('late')} ({unit}) would arrive too late, the first of them on "
            f"{to_the_minute(asked.instant(soonest))}.",
            total("late"),
        )
    if total("expires"):
        say(
            "expires",
            f"{total('expires')} ({unit}) would expire before or within "
            f"{asked.options.margin_days} days after they arrive.",
            total("expires"),
        )
    if total("no_route"):
        say("no_route", f"For {total('no_route')} ({unit}) there is no route to "
            f"{asked.places[line.place].name}.", total("no_route"))  # fmt: skip
    if total("window"):
        say("window", "Some who can do it are not there for the whole of the time.")
    if total("left_out"):
        say("left_out", f"{total('left_out')} ({unit}) are of societies that the plan leaves out.",
            total("left_out"))  # fmt: skip
    if total("empty"):
        say("floor", "Of some of it nothing is available: it is promised, or its owner keeps it.")
    if secretariat and total("hidden"):
        say("not_visible", f"{total('hidden')} entries are not for the requester to see.")
    if total("fit"):
        _of_what_fits(asked, found, n, said)
    return said


def _of_what_fits(asked: Asked, found: Candidates, n: int, said: list[Json]) -> None:
    """All that could serve is in the plan, for this line or for another."""
    fits, line = sum(fate.fit for fate in found.fates[n]), found.lines[n]
    most = asked.options.max_consignments
    if most is not None:
        code, quantity = "consignments", None
        sentence = (
            f"What else could arrive in time needs more than {most} consignments, or goes to "
            "lines that come first."
        )
    elif len(found.fates[n]) > 1 or fits >= line.need or line.people:
        code, quantity = "taken", fits
        sentence = (
            f"{fits} could arrive in time; what is not here goes to lines that come first, or "
            "stands for no whole number of these."
        )
    else:
        code, quantity = "none_published", fits
        sentence = f"No more than {fits} that could arrive in time are published."
    said.append({"code": code, "sentence": sentence, "quantity": quantity})


def _soonest(fates: list[Fate]) -> float | None:
    return min((fate.soonest for fate in fates if fate.soonest is not None), default=None)


def _summary(lines: list[Json]) -> Json:
    picks = [(line, pick) for line in lines for pick in line["picks"]]
    return {
        "outstanding": {p: _sum(lines, p, "outstanding") for p in PRIORITIES},
        "covered": {p: _sum(lines, p, "covered") for p in PRIORITIES},
        "consignments": len(
            {
                (line["request"], pick["society"], str(pick["site"]))
                for line, pick in picks
                if "headcount" not in pick
            }
        ),
        "teams": len(
            {
                (line["request"], pick["society"], str(pick["site"]))
                for line, pick in picks
                if "headcount" in pick
            }
        ),
        "mean_hours": _mean(picks),
        "last_arrival": max((pick["arrives"] for _, pick in picks), default=None),
        "weight_kg": round(sum(pick.get("weight_kg") or 0.0 for _, pick in picks), 3),
        "cost": round(sum(pick.get("cost") or 0.0 for _, pick in picks), 2),
    }


def _sum(lines: list[Json], priority: str, figure: str) -> int:
    return sum(line[figure] for line in lines if line["priority"] == priority)


def _mean(picks: list[tuple[Json, Json]]) -> float | None:
    total: int = sum(pick["covers"] for _, pick in picks)
    if not total:
        return None
    hours: float = sum(pick["covers"] * pick["hours"] for _, pick in picks)
    return round(hours / total, 2)


def _totals(lines: list[Json]) -> list[Json]:
    found: dict[tuple[str, str], Json] = {}
    for line in lines:
        for pick in line["picks"]:
            code = pick.get("item") or pick["skill"]
            total = found.setdefault(
                (pick["society"], code),
                {"society": pick["society"], "code": code, "unit": pick.get("unit", "person"),
                 "quantity": 0, "weight_kg": 0.0, "volume_l": 0.0, "cost": 0.0},
            )  # fmt: skip
            total["quantity"] += pick.get("quantity") or pick["headcount"]
            for figure in ("weight_kg", "volume_l", "cost"):
                total[figure] = round(total[figure] + (pick.get(figure) or 0.0), 3)
    return [found[key] for key in sorted(found)]


def _offers(lines: list[Json]) -> list[Json]:
    """For each society and request the body of an offer, as `POST /v1/offers` takes it."""
    bodies: dict[tuple[str, str], list[tuple[str, Json]]] = defaultdict(list)
    for line in lines:
        for pick in line["picks"]:
            if pick.get("supposed"):
                continue
            part: Json = {"request_line": line["request_line"]}
            if "headcount" in pick:
                part |= {"volunteers": pick["volunteers"], "headcount": pick["headcount"]}
            else:
                part |= {"stock": pick["stock"], "quantity": pick["quantity"]}
            bodies[pick["society"], line["request"]].append((pick["arrives"], part))
    return [
        {
            "society": society,
            "request": request,
            "offer": {
                "request": request,
                "lines": [part for _, part in parts[n : n + _MOST_LINES]],
                "eta": max(arrives for arrives, _ in parts[n : n + _MOST_LINES]),
            },
        }
        for (society, request), parts in sorted(bodies.items())
        for n in range(0, len(parts), _MOST_LINES)
    ]


def figures(document: Json) -> Json:
    """The figures by which plans are compared."""
    names = ("covered", "consignments", "teams", "mean_hours", "last_arrival", "cost")
    return {name: document["summary"][name] for name in names}


def compare(before: Json, after: Json) -> Json:
    """What the suppositions change."""
    return {"as_it_is": figures(before), "supposed": figures(after)}
