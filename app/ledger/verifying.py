"""verify: recompute every balance and the whole chain from the ledger alone.

The records of one snapshot go by once, each checked by itself and against the one before. What they
add to balances is written into a temporary table, where PostgreSQL adds it up and holds it against
what is stored: memory does not grow with the ledger. After a fault the proof goes on, so that all
faults are named.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from app import clock, db
from app.ledger import rules

_STEP = 200
_BATCH = 5000
MOST_FAULTS = 100
"""So many faults are named; of the rest the report tells the number."""

# The records of a snapshot: the sealed ones in the order of their seals, then those that are
# committed and not sealed yet.
_SEALED = """
SELECT s.seq, s.previous_hash, s.hash, s.type AS sealed_type, s.emergency AS sealed_emergency,
       r.id, r.type, r.at, r.emergency, r.society, r.client, r.content, r.salt, r.commitment,
       r.private
FROM seals s LEFT JOIN records r ON r.id = s.record ORDER BY s.seq
"""
_WAITING = """
SELECT NULL::bigint AS seq, NULL::bytea AS previous_hash, NULL::bytea AS hash,
       r.type AS sealed_type, r.emergency AS sealed_emergency, r.id, r.type, r.at, r.emergency,
       r.society, r.client, r.content, r.salt, r.commitment, r.private
FROM records r LEFT JOIN seals s ON s.record = r.id WHERE s.record IS NULL ORDER BY r.n
"""

# Every balance that the ledger must add up to, as (account, figure, value). What is reserved of a
# lot stands in two tables: both must agree with the ledger.
BALANCES = """
SELECT 'lot:' || l.id AS account, f.figure, f.value FROM lots l,
    LATERAL (VALUES ('reserved', l.reserved), ('quantity', l.quantity)) AS f(figure, value)
UNION ALL
SELECT 'line:' || l.id, f.figure, f.value FROM request_lines l,
    LATERAL (VALUES ('requested', l.requested), ('accepted', l.accepted), ('losses', l.losses))
        AS f(figure, value)
UNION ALL
SELECT 'line:' || p.line, f.figure, sum(f.value)::bigint FROM pledges p,
    LATERAL (VALUES ('offered', p.offered), ('dispatched', p.dispatched),
                    ('received', p.received), ('damaged', p.damaged), ('lost', p.lost))
        AS f(figure, value)
GROUP BY p.line, f.figure
UNION ALL
SELECT 'offer_line:' || l.id, f.figure, f.value FROM offer_lines l,
    LATERAL (VALUES ('quantity', l.quantity), ('accepted', l.accepted), ('planned', l.planned),
                    ('dispatched', l.dispatched), ('received', l.received),
                    ('damaged', l.damaged), ('lost', l.lost)) AS f(figure, value)
UNION ALL
SELECT 'pool:' || p.pool, 'promise:' || p.holder, p.headcount FROM promises p
UNION ALL
SELECT 'lot:' || r.lot, 'reserved', sum(r.quantity)::bigint FROM reservations r GROUP BY r.lot
"""

# What may never exceed what, after any record: (account, part, whole).
PROPORTIONS = (
    ("offer_line", ("accepted",), "quantity"),
    ("offer_line", ("planned",), "accepted"),
    ("offer_line", ("dispatched",), "planned"),
    ("offer_line", ("received", "damaged", "lost"), "dispatched"),
    ("line", ("dispatched",), "accepted"),
    ("line", ("losses",), "accepted"),
    ("line", ("received", "damaged", "lost"), "dispatched"),
)

# What each record does to a figure. An owner's count is the truth: it `resets` the figure instead
# of adding to it. On a connection of its own: a transaction that reads the snapshot and writes as
# well would count as a writer for as long as the proof runs, and the sealer waits for writers.
_MAKE = """
CREATE TEMP TABLE moves (
    place bigint NOT NULL, n integer NOT NULL, seq bigint, record uuid NOT NULL,
    account text NOT NULL, figure text NOT NULL, amount numeric NOT NULL, resets boolean NOT NULL);
CREATE TEMP TABLE stored (account text NOT NULL, figure text NOT NULL, value bigint NOT NULL)
"""
_MOVE = ("place", "n", "seq", "record", "account", "figure", "amount", "resets")
_KEEP_BACK = "keep_back"
_COUNTED = frozenset({"stock.published", "stock.withdrawn"})


def _standings(condition: str) -> str:
    """SQL of the moves of some accounts: each with the value of its figure after it, and by how
    much it changed."""
    return f"""(
    SELECT *, value - coalesce(lag(value) OVER figures, 0) AS change,
        lead(1) OVER figures IS NULL AS is_last
    FROM (
        SELECT *, sum(amount) OVER (PARTITION BY account, figure, epoch ORDER BY place, n) AS value
        FROM (
            SELECT *, count(*) FILTER (WHERE resets) OVER (
                PARTITION BY account, figure ORDER BY place, n) AS epoch
            FROM moves WHERE {condition}
        ) m
    ) m
    WINDOW figures AS (PARTITION BY account, figure ORDER BY place, n)
) m"""


def _after_each(kind: str, figures: Sequence[str]) -> str:
    """SQL of the moves of a kind of account, each with what the figures are after its record."""
    sums = ", ".join(
        f"coalesce(sum(change) FILTER (WHERE figure = '{f}') OVER records, 0) AS {f}"
        for f in figures
    )
    return f"""(
    SELECT place, seq, record, account, figure, amount, {sums}
    FROM {_standings(f"account LIKE '{kind}:%'")}
    WINDOW records AS (PARTITION BY account ORDER BY place)
) a"""


def _excess(kind: str) -> str:
    rules_of = [(parts, whole) for of, parts, whole in PROPORTIONS if of == kind]
    figures = sorted({f for parts, whole in rules_of for f in (*parts, whole)})
    tried = ", ".join(
        f"('{' + '.join(parts)} of ' || account || ' exceeds {whole}', {sum_} > {whole})"
        for parts, whole in rules_of
        for sum_ in (" + ".join(parts),)
    )
    return f"""
SELECT DISTINCT ON (account, fault) place, seq, record, fault
FROM {_after_each(kind, figures)}, LATERAL (VALUES {tried}) AS t(fault, is_one)
WHERE is_one ORDER BY account, fault, place
"""


# Of each account and rule the first fault alone: every later move would be one as well.
_WRONG_MOVES = f"""
SELECT place, seq, record, fault, count(*) OVER () AS number FROM (
    (SELECT DISTINCT ON (account, figure) place, seq, record,
        figure || ' of ' || account || ' falls below zero' AS fault
    FROM {_standings("true")} WHERE value < 0 ORDER BY account, figure, place, n)
    UNION ALL
    (SELECT DISTINCT ON (account) place, seq, record,
        'more is promised of ' || account || ' than its owner published' AS fault
    FROM {_after_each("lot", ("reserved", "quantity", _KEEP_BACK))}
    WHERE figure = 'reserved' AND amount > 0 AND reserved > quantity - {_KEEP_BACK}
    ORDER BY account, place)
    {"".join(f"UNION ALL ({_excess(kind)})" for kind in sorted({k for k, _, _ in PROPORTIONS}))}
) f ORDER BY place, fault LIMIT {MOST_FAULTS}
"""

_WRONG_BALANCES = f"""
WITH told AS (
    SELECT account, figure, value FROM {_standings(f"figure <> '{_KEEP_BACK}'")} WHERE is_last
), wrong AS (
    SELECT s.account, s.figure, coalesce(t.value, 0) AS told, s.value AS stored
    FROM stored s LEFT JOIN told t ON t.account = s.account AND t.figure = s.figure
    WHERE coalesce(t.value, 0) <> s.value
    UNION ALL
    SELECT t.account, t.figure, t.value, NULL FROM told t
    LEFT JOIN stored s ON s.account = t.account AND s.figure = t.figure
    WHERE t.value <> 0 AND s.account IS NULL
)
SELECT *, count(*) OVER () AS number FROM wrong ORDER BY account, figure LIMIT {MOST_FAULTS}
"""


@dataclass(slots=True)
class Report:
    """What was found: `faults` in order, those of records first; empty is proof.

    Of very many only the first are named; `further` tells how many more there are.
    """

    records: int = 0
    sealed: int = 0
    balances: int = 0
    head: tuple[int, str] = (0, "0" * 64)
    faults: list[str] = field(default_factory=list)
    further: int = 0


async def verify(url: str, kept: tuple[int, str] | None = None) -> Report:
    """Prove the ledger of a database; `kept` is a chain head (seq, hash) that a member kept.

    One snapshot is read, so that the service may go on writing meanwhile.
    """
    settings = {"application_name": "komek-verify", "timezone": "UTC", "statement_timeout": "0"}
    reader = await db.connect(url, settings)
    try:
        # Nothing is known of temporary tables: whole ones are joined here, and never row by row.
        books = await db.connect(url, settings | {"work_mem": "32MB", "enable_nestloop": "off"})
        try:
            return await _Proof(reader, books, kept).run()
        finally:
            await books.close()
    finally:
        await reader.close()


class _Proof:
    """A proof while the records go by."""

    def __init__(self, reader: Any, books: Any, kept: tuple[int, str] | None) -> None:
        self._reader = reader
        self._books = books
        self._kept = kept
        # Before the first seal there is the head of nothing.
        self._is_kept_seen = kept == Report().head
        self._report = Report()
        self._found: list[tuple[int, str]] = []
        self._moves: list[tuple[Any, ...]] = []
        # What the next seal may name as the hash before it; None where that cannot be known.
        self._before: frozenset[bytes] | None = frozenset({rules.FIRST_PREVIOUS})

    async def run(self) -> Report:
        """Read the snapshot, add up, compare."""
        report = self._report
        await self._books.execute(_MAKE)
        async with self._reader.transaction(isolation="repeatable_read", readonly=True):
            for statement in (_SEALED, _WAITING):
                async for row in self._rows(statement):
                    self._take(row)
                    if len(self._moves) >= _BATCH:
                        await self._write_moves()
            await self._write_moves()
            await self._write_stored()
        if self._kept is not None and not self._is_kept_seen:
            self._note(
                report.records + 1,
                f"seq {self._kept[0]}: the head that was kept is not there; "
                f"the ledger ends at {report.head[0]}",
            )
        wrong = await self._books.fetch(_WRONG_MOVES)
        self._found += [(f["place"], _named(f["seq"], f["record"], f["fault"])) for f in wrong]
        report.further += max(0, wrong[0]["number"] - len(wrong)) if wrong else 0
        wrong = await self._books.fetch(_WRONG_BALANCES)
        report.further += max(0, wrong[0]["number"] - len(wrong)) if wrong else 0
        self._found.sort(key=lambda found: found[0])
        faults = [said for _, said in self._found] + [_unbalanced(row) for row in wrong]
        report.faults = faults[:MOST_FAULTS]
        report.further += len(faults) - len(report.faults)
        return report

    async def _rows(self, statement: str) -> AsyncIterator[Any]:
        cursor = await self._reader.cursor(statement)
        while rows := await cursor.fetch(_STEP):
            for row in rows:
                yield row

    async def _write_moves(self) -> None:
        await self._books.copy_records_to_table("moves", records=self._moves, columns=_MOVE)
        self._moves.clear()

    async def _write_stored(self) -> None:
        cursor = await self._reader.cursor(BALANCES)
        while rows := await cursor.fetch(_BATCH):
            self._report.balances += len(rows)
            await self._books.copy_records_to_table("stored", records=[tuple(r) for r in rows])

    def _note(self, place: int, said: str) -> None:
        if len(self._found) < MOST_FAULTS:
            self._found.append((place, said))
        else:
            self._report.further += 1

    def _take(self, row: Any) -> None:
        """Check one record and note its moves."""
        self._report.records += 1
        place = self._report.records
        fault = self._seal_fault(row) if row["seq"] is not None else None
        if row["id"] is not None:
            try:
                told = json.loads(row["content"])
                fault = fault or _content_fault(row, told)
                self._moves += _moves(row, told, place)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                fault = fault or "the content cannot be read"
        if fault is not None:
            self._note(place, _named(row["seq"], row["id"], fault))

    def _seal_fault(self, row: Any) -> str | None:
        seq, expected = row["seq"], self._report.head[0] + 1
        before, stored = self._before, bytes(row["hash"])
        self._report.sealed += 1
        self._report.head = (seq, stored.hex())
        # So that one seal that is wrong is not told of the next one, too.
        self._before = frozenset({stored})
        if seq != expected:
            before = None
            gap = (
                f"seq {expected} is" if seq == expected + 1 else f"seq {expected} to {seq - 1} are"
            )
            self._note(self._report.records, f"seq {seq}: {gap} missing")
        if row["id"] is None:
            return "the record of this seal is missing"
        previous = bytes(row["previous_hash"])
        link = rules.chained(previous, seq, bytes(row["commitment"]))
        if before is not None and previous not in before:
            return "previous_hash is not the hash of the seal before"
        if stored != link:
            self._before = frozenset({stored, link})
            return "hash does not follow from the previous hash, seq and commitment"
        if self._kept is not None and self._kept[0] == seq:
            self._is_kept_seen = True
            if self._kept[1] != stored.hex():
                return "the chain is not the one whose head was kept"
        return None


def _content_fault(row: Any, told: Any) -> str | None:
    if rules.commitment(bytes(row["salt"]), row["content"].encode()) != bytes(row["commitment"]):
        return "the content is not the one that was committed to"
    if _columns(row) != _columns_told(told) or (
        (row["sealed_type"], row["sealed_emergency"]) != (row["type"], row["emergency"])
    ):
        return "the record's columns differ from its content"
    if _private_digest(row["private"]) != told["data"].get("private_commitment"):
        return "the private part is not the one that was committed to"
    if row["private"] is None and row["type"] in _COUNTED:
        return "the private part, which tells what the owner counted, is missing"
    return None


def _private_digest(private: str | None) -> str | None:
    """The commitment to a private part; where it is unreadable, one that fits nothing."""
    if private is None:
        return None
    try:
        sealed = json.loads(private)
        return sha256(
            bytes.fromhex(sealed["salt"]) + rules.canonical(sealed["content"])
        ).hexdigest()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


def _columns(row: Any) -> tuple[str | None, ...]:
    client = str(row["client"]) if row["client"] else None
    emergency = str(row["emergency"]) if row["emergency"] else None
    return str(row["id"]), row["type"], clock.text(row["at"]), row["society"], client, emergency


def _columns_told(told: Any) -> tuple[str | None, ...]:
    data = told["data"]
    client = None if data["actor"] in (rules.EXCHANGE, rules.OPERATOR) else data["actor"]
    return told["id"], told["type"], told["at"], told["society"], client, data.get("emergency")


def _moves(row: Any, told: Any, place: int) -> list[tuple[Any, ...]]:
    """What a record does to balances. Raises where that cannot be read."""
    made: list[tuple[str, str, int, bool]] = []
    if row["type"] in _COUNTED and row["private"] is not None:
        counted, lot = json.loads(row["private"])["content"], f"lot:{told['subject']['id']}"
        made += [(lot, figure, counted[figure], True) for figure in ("quantity", _KEEP_BACK)]
    made += [(m["account"], m["figure"], m["by"], False) for m in told["data"].get("moves", ())]
    # What is lost or damaged stands at the request line as one figure too: it reopens the need.
    made += [
        (account, "losses", by, False)
        for account, figure, by, _ in made
        if figure in ("damaged", "lost") and str(account).startswith("line:")
    ]
    for account, figure, amount, _ in made:
        if type(amount) is not int or not (account + figure).isascii() or "\0" in account + figure:
            raise ValueError("this is no move")
    return [
        (place, n, row["seq"], row["id"], account, figure, amount, resets)
        for n, (account, figure, amount, resets) in enumerate(made)
    ]


def _named(seq: int | None, record: UUID | None, fault: str) -> str:
    return f"seq {seq}: {fault}" if seq else f"record {record} (not sealed yet): {fault}"


def _unbalanced(row: Any) -> str:
    said = f"{row['figure']} of {row['account']}: the ledger adds up to {row['told']}, "
    return said + ("no such row" if row["stored"] is None else f"the table says {row['stored']}")
