"""Fill a database with a network of a given size: societies, items, sites, lots, requests, offers.

Straight into the tables, by the set and not by the row: a million lots over HTTP would take an
hour. Foreign keys are not checked while filling, and hold all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.ledger import rules
from app.ledger.sealing import chain


@dataclass(frozen=True)
class Size:
    """How much a network has published, asked for and recorded."""

    lots: int
    requests: int
    records: int


ITEMS = 100
"""As many in every size: a catalogue does not grow with the stock."""
PER_EMERGENCY = 10
DEPOT = 1000
"""Lots of one item of one society, and as many request lines for it: for offers."""

_SOCIETIES = "(ARRAY['AZE','KAZ','KGZ','TUR','UZB'])"
_OFFERING = "(ARRAY['AZE','KAZ','KGZ','UZB'])"


# Ids are drawn in the order of rows over the last year, as they would have been in life: an index
# on random ids would spread what belongs together over all of its pages.
def _id(count: str, n: str = "n") -> str:
    return f"uuidv7(make_interval(secs => -31536000 + {n} * 31536000.0 / {count}))"


_STATEMENTS = f"""
INSERT INTO items (code, category, unit, names, weight_kg, volume_l, perishable, search)
SELECT 'HBENITEM' || lpad(n::text, 3, '0'), 'housing', 'piece',
    jsonb_build_object('en', 'Blanket, kind ' || n, 'tr', 'Battaniye, tür ' || n), 2, 11, false,
    'hbenitem blanket battaniye ' || n
FROM generate_series(0, {ITEMS}) n;

INSERT INTO substitutes (item, substitute, quantity, per)
VALUES ('HBENITEM001', 'HBENITEM002', 1, 1), ('HBENITEM001', 'HBENITEM003', 2, 1);

CREATE TEMP TABLE site AS
SELECT n, uuidv7(interval '-400 days') AS id, {_SOCIETIES}[1 + n % 5] AS society
FROM generate_series(0, greatest(20, :lots / 500) - 1) n;

INSERT INTO sites (id, society, ref, name, country, lat, lon, kind)
SELECT id, society, 'site-' || n, 'Warehouse ' || n, society, 36 + random() * 15,
    27 + random() * 50, 'warehouse'
FROM site;

CREATE TEMP TABLE lot AS
SELECT g.n, {_id(":lots", "g.n")} AS id, site.society, site.id AS site,
    'HBENITEM' || lpad((1 + floor(random() * {ITEMS}))::text, 3, '0') AS item,
    (CASE WHEN random() < 0.05 THEN 0 ELSE 100 + floor(random() * 100000) END)::bigint AS quantity,
    (random() * 50)::bigint AS keep_back, random() < 0.1 AS named, random() < 0.02 AS withdrawn
FROM generate_series(0, :lots - 1) g(n)
JOIN site ON site.n = (hashint4(g.n) & 1048575) % greatest(20, :lots / 500);

INSERT INTO lots (id, society, ref, item, site, quantity, keep_back, reserved, ceiling, lot_number,
                  expires_on, unit_value, currency, visible_to, as_of, updated_at, withdrawn)
SELECT id, society, 'lot-' || n, item, site,
    CASE WHEN withdrawn THEN 0 ELSE quantity END, CASE WHEN withdrawn THEN 0 ELSE keep_back END,
    0, CASE WHEN withdrawn THEN 0 ELSE greatest(0, quantity - keep_back) END, 'B-2025-' || n,
    CASE WHEN random() < 0.4 THEN current_date - 30 + (random() * 700)::int END,
    round((1 + random() * 500)::numeric, 2), 'USD', CASE WHEN named THEN ARRAY['KAZ', 'TUR'] END,
    now() - random() * interval '90 days', now(), withdrawn
FROM lot ORDER BY n;

CREATE TEMP TABLE emergency AS
SELECT n, {_id(f"(:requests / {PER_EMERGENCY})")} AS id
FROM generate_series(0, :requests / {PER_EMERGENCY} - 1) n;

INSERT INTO emergencies (id, society, name, hazard, glide, country, lat, lon, started_on, status,
                         created_at)
SELECT id, 'TUR', 'Earthquake ' || n, 'earthquake', NULL, 'TUR', 37.58, 36.93, '2026-02-06',
    'open', now()
FROM emergency ORDER BY n;

CREATE TEMP TABLE request AS
SELECT n, {_id(":requests")} AS id, n % 10 >= 7 AS ended,
    CASE WHEN n % 2 = 0 THEN 'TUR' ELSE {_SOCIETIES}[1 + n % 5] END AS society
FROM generate_series(0, :requests - 1) n;

INSERT INTO requests (id, emergency, society, ref, title, priority, needed_by, place, country, lat,
                      lon, status, created_at, updated_at, ended_at)
SELECT r.id, e.id, r.society, 'request-' || r.n, 'Winter shelter ' || r.n,
    (ARRAY['critical', 'high', 'normal', 'normal'])[1 + r.n % 4], now() + interval '30 days',
    'Pazarcık', 'TUR', 37.49, 37.3, CASE WHEN ended THEN 'closed' ELSE 'open' END, now(), now(),
    CASE WHEN ended THEN now() - interval '40 days' END
FROM request r JOIN emergency e ON e.n = r.n / {PER_EMERGENCY} ORDER BY r.n;

CREATE TEMP TABLE line AS
SELECT n, {_id("(2 * :requests)")} AS id, n / 2 AS request, n % 2 AS position,
    'HBENITEM' || lpad((1 + floor(random() * {ITEMS}))::text, 3, '0') AS item
FROM generate_series(0, 2 * :requests - 1) n;

INSERT INTO request_lines (id, request, position, kind, item, accept_substitutes, languages,
                           requested)
SELECT l.id, r.id, l.position, 'stock', l.item, true, '{{}}', 1000000000
FROM line l JOIN request r ON r.n = l.request ORDER BY l.n;

CREATE TEMP TABLE offer AS
SELECT l.n, l.n % 20 = 5 AS unsolicited, {_id("(2 * :requests)", "l.n")} AS id,
    {_id("(2 * :requests)", "l.n")} AS line, r.id AS request,
    e.id AS emergency, r.society AS to_society, l.id AS request_line, x.id AS lot, x.society,
    x.item, (1 + floor(random() * 20))::bigint AS quantity, l.n % 3 = 0 AS open
FROM line l JOIN request r ON r.n = l.request JOIN emergency e ON e.n = r.n / {PER_EMERGENCY}
JOIN LATERAL (SELECT (l.n::bigint * 7919 % :lots)::int AS n) pick ON true
JOIN lot x ON x.n = pick.n AND x.society <> r.society AND NOT x.withdrawn;

INSERT INTO offers (id, emergency, request, society, to_society, status, expires_at, created_at,
                    updated_at)
SELECT id, emergency, CASE WHEN NOT unsolicited THEN request END, society, to_society,
    CASE WHEN open THEN 'proposed' ELSE 'declined' END, now() + interval '7 days', now(), now()
FROM offer ORDER BY n;

INSERT INTO offer_lines (id, offer, position, request_line, lot, item, unit, ratio_quantity,
                         ratio_per, quantity)
SELECT line, id, 0, CASE WHEN NOT unsolicited THEN request_line END, lot, item, 'piece', 1, 1,
    quantity
FROM offer ORDER BY n;

INSERT INTO pledges (holder, line, society, offered, updated_at)
SELECT line, request_line, society, CASE WHEN open THEN quantity ELSE 0 END, now()
FROM offer WHERE NOT unsolicited ORDER BY n;

INSERT INTO reservations (holder, lot, quantity, beneficiary)
SELECT line, lot, CASE WHEN open THEN quantity ELSE 0 END, to_society FROM offer ORDER BY n;

INSERT INTO records (id, type, at, society, emergency, content, salt, commitment, audience)
SELECT id, type, at, society, emergency, content, salt,
    sha256(salt || convert_to(content, 'UTF8')), audience
FROM (
    SELECT n, id, type, at, society, emergency, audience,
        -- A salt for the measurement alone; real ones are random.
        sha256(convert_to('salt' || n, 'UTF8')) AS salt,
        format('{{"at":"%s","data":{{"actor":"exchange","as_of":"2026-10-01T08:00:00.000000Z",'
            '"available":%s,%s"expires_on":null,"item":"%s","lot_number":"B-2025-%s","moves":['
            '{{"account":"lot:%s","by":%s,"figure":"reserved"}}]}},"id":"%s","society":"%s",'
            '"subject":{{"id":"%s","type":"%s"}},"type":"%s"}}',
            to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 100 + n % 1000,
            CASE WHEN emergency IS NULL THEN '' ELSE format('"emergency":"%s",', emergency) END,
            item, n, subject,
            1 + n % 20, id, society, subject, split_part(type, '.', 1), type) AS content
    FROM (
        SELECT g.n, {_id(":records", "g.n")} AS id, now() AS at, x.society, x.item,
            x.id AS subject, (ARRAY['stock.published', 'stock.published', 'stock.published',
                'stock.published', 'stock.published', 'stock.published', 'offer.proposed',
                'offer.proposed', 'offer.declined', 'request.opened'])[1 + g.n % 10] AS type,
            CASE WHEN g.n % 10 IN (6, 7, 8) THEN ARRAY[x.society, 'TUR', 'secretariat'] END
                AS audience,
            e.id AS emergency
        FROM generate_series(0, :records - 1) g(n)
        JOIN lot x ON x.n = g.n % :lots
        LEFT JOIN emergency e
            ON g.n % 10 >= 6 AND e.n = g.n % (:requests / {PER_EMERGENCY})
    ) drawn
) written ORDER BY n;
"""

_DEPOT = f"""
INSERT INTO sites (id, society, ref, name, country, lat, lon, kind)
VALUES (uuidv7(), 'AZE', 'depot', 'Depot', 'AZE', 40.41, 49.87, 'warehouse');

INSERT INTO lots (id, society, ref, item, site, quantity, keep_back, reserved, ceiling, as_of,
                  updated_at, withdrawn)
SELECT uuidv7(), 'AZE', 'depot-' || n, 'HBENITEM000', s.id, 1000000000, 0, 0, 1000000000, now(),
    now(), false
FROM generate_series(1, {DEPOT}) n, sites s WHERE s.ref = 'depot';

INSERT INTO requests (id, emergency, society, ref, title, priority, needed_by, place, country, lat,
                      lon, status, created_at, updated_at)
SELECT uuidv7(), e.id, 'TUR', 'depot-' || n, 'Winter shelter', 'high', now() + interval '30 days',
    'Pazarcık', 'TUR', 37.49, 37.3, 'open', now(), now()
FROM generate_series(1, {DEPOT}) n, (SELECT id FROM emergencies ORDER BY id DESC LIMIT 1) e;

INSERT INTO request_lines (id, request, position, kind, item, accept_substitutes, languages,
                           requested)
SELECT uuidv7(), id, 0, 'stock', 'HBENITEM000', false, '{{}}', 1000000000
FROM requests WHERE ref LIKE 'depot-%';

CREATE TABLE floor_records (LIKE records INCLUDING ALL);
"""

_UNSEALED = """
SELECT id, n, type, emergency, commitment FROM records
WHERE n > $1 ORDER BY n LIMIT 50000
"""


async def fill(connection: Any, size: Size) -> None:
    """Fill a database that is migrated and loaded, and nothing else."""
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("SET jit = off; SET work_mem = '256MB'; SELECT setseed(0.42)")
    statements = _STATEMENTS
    for name in ("lots", "requests", "records"):
        statements = statements.replace(f":{name}", str(getattr(size, name)))
    for statement in (statements + _DEPOT).strip().removesuffix(";").split(";\n"):
        await connection.execute(statement)
    await _seal(connection)
    await connection.execute("RESET ALL")
    for statement in ("DISCARD TEMP", "VACUUM (ANALYZE)", "CHECKPOINT"):
        await connection.execute(statement, timeout=600)


async def _seal(connection: Any) -> None:
    """Seal the records as the sealer would, but without a transaction for each batch."""
    last = await connection.fetchrow("SELECT seq, hash FROM seals ORDER BY seq DESC LIMIT 1")
    seq, previous = last or (0, rules.FIRST_PREVIOUS)
    n = 0
    while rows := await connection.fetch(_UNSEALED, n):
        seq, previous, columns = chain(seq, previous, rows)
        await connection.copy_records_to_table(
            "seals",
            records=_rows(columns),
            columns=["seq", "record", "type", "emergency", "previous_hash", "hash"],
        )
        n = rows[-1]["n"]
    await connection.execute("INSERT INTO sealing (id, mark) VALUES (true, $1)", n)


def _rows(columns: tuple[list[Any], ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*columns, strict=True)
