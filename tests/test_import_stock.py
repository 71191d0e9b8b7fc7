"""A sheet of lots goes in as if each row had been published, and comes out unchanged."""

from typing import Any

from tests.world import BLANKET, Json, System, done, fresh

CSV = {"Content-Type": "text/csv"}


async def bring(system: System, body: str | bytes, **params: Any) -> Json:
    """The report of an import that must be answered."""
    return done(await sent(system, body, **params))


async def sent(
    system: System,
    body: str | bytes,
    media: str = "text/csv",
    key: str | None = None,
    **params: Any,
) -> Any:
    headers = {"Content-Type": media} | ({"Idempotency-Key": key} if key else {})
    content = body.encode() if isinstance(body, str) else body
    return await system.http.post(
        "/v1/my/stock/import", content=content, params=params, headers=headers
    )


def counts(report: Json) -> tuple[int, ...]:
    names = ("rows", "created", "changed", "unchanged", "withdrawn", "refused")
    return tuple(report[name] for name in names)


async def test_a_sheet_publishes_its_good_rows_and_tells_of_the_others(aze: System) -> None:
    site = await aze.site()
    a, b, c = fresh("imp"), fresh("imp"), fresh("imp")
    sheet = (
        "ref;item;site;quantity;keep_back;lot_number;expires_on;visible_to\r\n"
        f"{a};{BLANKET};{site};1 200;50;B-1;30.06.2027;KAZ TUR\r\n"
        f"{b};{BLANKET};{site};1.000;;;;\r\n"
        f"{c};NOSUCH;{site};5;;;;\r\n"
        f"{c};{BLANKET};nowhere;5;;;;\r\n"
    )
    report = await bring(aze, sheet)
    assert counts(report) == (4, 1, 0, 0, 0, 3), report
    told = [(e["row"], e["field"], e["code"]) for e in report["errors"]]
    assert told == [
        (3, "quantity", "ambiguous_number"),
        (4, "item", "unknown"),
        (5, "ref", "doubled"),
    ]
    lot = done(await aze.get(f"/v1/my/stock/{a}"))
    assert (lot["quantity"], lot["keep_back"], lot["expires_on"]) == (1200, 50, "2027-06-30")
    assert lot["visible_to"] == ["KAZ", "TUR"]
    again = await bring(aze, sheet)
    assert counts(again) == (4, 0, 0, 1, 0, 3)
