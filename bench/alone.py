"""The database alone: pgbench, PostgreSQL's own load generator, running the floor's SQL.

It keeps as many connections busy as there are clients, and does nothing with what it gets: what is
left between its rate and ours is the price of HTTP, JSON and Python.
"""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from app.embedded import pg_bin
from bench import floor
from bench.stage import Database

_ITEM = "'HBENITEM' || lpad(CAST(:item AS text), 3, '0')"
_RECORD = json.dumps({"id": "0" * 36, "type": "offer.proposed", "data": {"lines": ["x" * 500]}})
_DEPOT = """
CREATE TABLE IF NOT EXISTS alone_offers AS
SELECT l.n, r.id AS request, q.id AS line, r.emergency, r.society AS beneficiary, l.id AS lot,
       l.society, l.item, i.unit
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM lots WHERE ref LIKE 'depot-%') l
JOIN items i ON i.code = l.item
JOIN (SELECT q.*, row_number() OVER (ORDER BY q.id) AS n FROM request_lines q
      JOIN requests r ON r.id = q.request WHERE r.ref LIKE 'depot-%') q ON q.n = l.n
JOIN requests r ON r.id = q.request
"""


def stock_script() -> str:
    """A page of the search for any item of the filler."""
    return "\\set item random(1, 100)\n" + _bound(floor.STOCK, _ITEM, "51") + ";\n"


def events_script(database: Database) -> str:
    """A page of the feed, from anywhere in it."""
    last = database.size.records - 100
    return f"\\set after random(0, {last})\n" + _bound(floor.EVENTS, ":after", "50") + ";\n"


def offers_script(database: Database) -> str:
    """Offers of one piece: every statement of the floor's transaction, and the draw of a lot."""
    database.ask(_DEPOT)
    database.ask("CREATE UNIQUE INDEX IF NOT EXISTS alone_offers_n ON alone_offers (n)")
    [last] = database.ask("SELECT max(n) AS n FROM alone_offers")
    society, beneficiary = "CAST(:society AS text)", "CAST(:beneficiary AS text)"
    record = f"CAST('{_RECORD}' AS bytea)"
    statements = [
        _bound(floor.ASKED, ":request", ":line"),
        _bound(floor.OFFERED, ":lot"),
        _bound(
            floor.ADD, ":offer", ":emergency", ":request", society, beneficiary,
            "now() + interval '7 days'", "now()", ":holder", ":line", ":lot", ":item", ":unit",
            "1",
        ),
        _bound(floor.PLEDGE, ":holder", ":line", society, "1", "now()"),
        _bound(floor.RESERVE, "CAST(:lot AS uuid)", "1", "CAST(:holder AS uuid)", beneficiary),
        _bound(
            floor.RECORD, "uuidv7()", "now()", society, f"'{_RECORD}'", f"sha256({record})",
            f"sha256({record})", f"ARRAY[{society}, {beneficiary}]",
        ),
    ]  # fmt: skip
    return "\n".join(
        [
            f"\\set n random(1, {last['n']})",
            "SELECT *, uuidv7() AS offer, uuidv7() AS holder FROM alone_offers WHERE n = :n \\gset",
            "BEGIN;",
            *(f"{statement};" for statement in statements),
            "COMMIT;\n",
        ]
    )


def _bound(statement: str, *values: str) -> str:
    """The statement with its values in the places of `$1`, `$2`, …"""
    return re.sub(r"\$(\d+)", lambda place: values[int(place[1]) - 1], statement.strip())


def pgbench(database: Database, script: str, folder: Path, clients: int, seconds: float) -> float:
    """Runs of the script a second, on so many connections."""
    where = urlsplit(database.url)
    file = folder / "alone.sql"
    file.write_text(script)
    run = subprocess.run(
        [
            str(pg_bin("pgbench")), "--no-vacuum", "--protocol=prepared",
            f"--client={clients}", f"--time={max(1, round(seconds))}",
            "--host", parse_qs(where.query)["host"][0], "--username", where.username or "komek",
            "--file", str(file), where.path.lstrip("/"),
        ],
        capture_output=True,
        text=True,
        timeout=60 + seconds,
        check=False,
    )  # fmt: skip
    rate = re.search(r"^tps = ([\d.]+)", run.stdout, re.MULTILINE)
    # It goes on with fewer connections where a statement fails: that would measure nothing.
    if run.returncode or rate is None:
        raise RuntimeError(f"pgbench failed:\n{run.stdout[-500:]}\n{run.stderr[-2000:]}")
    return float(rate[1])
