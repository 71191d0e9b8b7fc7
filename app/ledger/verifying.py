"""verify: recompute every balance and the whole chain from the ledger alone."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from app import clock, db
from app.ledger import rules

_STEP = 2000

# The records of a snapshot: the sealed ones in the order of their seals, then those that are
# committed and not sealed yet. Read by a cursor, so that memory does not grow with the ledger.
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
    LATERAL (VALUES ('requested', l.requested), ('accepted', l.accepted)) AS f(figure, value)
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
    ("line", ("received", "damaged", "lost"), "dispatched"),
)


@dataclass(slots=True)
class Report:
    """What was found: `faults` in order, the first wrong record first; empty is proof."""

    records: int = 0
    sealed: int = 0
    balances: int = 0
    head: tuple[int, str] = (0, "0" * 64)
    faults: list[str] = field(default_factory=list)


async def verify(url: str, kept: tuple[int, str] | None = None) -> Report:
    """Prove the ledger of a database; `kept` is a chain head (seq, hash) that a member kept.

    One snapshot is read, so that the service may go on writing meanwhile.
    """
    connection = await db.connect(
        url,
        {
            "application_name": "komek-verify",
            "timezone": "UTC",
            "statement_timeout": "0",
        },
    )
    report = Report()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            proof = _Proof(report, kept)
            async for row in _rows(connection):
                proof.take(row)
            if kept is not None and kept[0] > report.sealed and not report.faults:
                report.faults.append(
                    f"seq {kept[0]}: the head that was kept is not there; "
                    f"the ledger ends at {report.sealed}"
                )
            if not report.faults:
                await _compare(connection, proof.balances, report)
    finally:
        await connection.close()
    return report


async def _rows(connection: Any) -> AsyncIterator[Any]:
    for statement in (_SEALED, _WAITING):
        async for row in connection.cursor(statement, prefetch=_STEP):
            yield row


class _Proof:
    """The state of the proof while the records go by."""

    def __init__(self, report: Report, kept: tuple[int, str] | None) -> None:
        self._report = report
        self._kept = kept
        self._previous = rules.FIRST_PREVIOUS
        self.balances: dict[tuple[str, str], int] = defaultdict(int)
        self._floors: dict[str, int] = {}

    def take(self, row: Any) -> None:
        """Check one record and add its moves; after the first fault nothing more is checked."""
        if self._report.faults:
            return
        self._report.records += 1
        fault = self._seal_fault(row) or self._content_fault(row)
        if fault is None:
            fault = self._add(row, json.loads(row["content"])["data"])
        if fault is not None:
            place = f"seq {row['seq']}" if row["seq"] else f"record {row['id']} (not sealed yet)"
            self._report.faults.append(f"{place}: {fault}")

    def _seal_fault(self, row: Any) -> str | None:
        if row["seq"] is None:
            return None
        seq = self._report.sealed + 1
        if row["seq"] != seq:
            return f"seq {seq} is missing"
        if row["id"] is None:
            return "the record of this seal is missing"
        if bytes(row["previous_hash"]) != self._previous:
            return "previous_hash is not the hash of the seal before"
        link = rules.chained(self._previous, seq, bytes(row["commitment"]))
        if bytes(row["hash"]) != link:
            return "hash does not follow from the previous hash, seq and commitment"
        if self._kept is not None and self._kept[0] == seq and link.hex() != self._kept[1]:
            return "the chain is not the one whose head was kept"
        self._previous = link
        self._report.sealed = seq
        self._report.head = (seq, link.hex())
        return None

    def _content_fault(self, row: Any) -> str | None:
        content = row["content"].encode()
        if rules.commitment(bytes(row["salt"]), content) != bytes(row["commitment"]):
            return "the content is not the one that was committed to"
        told = json.loads(content)
        if _columns(row) != _columns_told(told) or (
            (row["sealed_type"], row["sealed_emergency"]) != (row["type"], row["emergency"])
        ):
            return "the record's columns differ from its content"
        digest = None
        if row["private"] is not None:
            sealed = json.loads(row["private"])
            salt = bytes.fromhex(sealed["salt"])
            digest = sha256(salt + rules.canonical(sealed["content"])).hexdigest()
        if digest != told["data"].get("private_commitment"):
            return "the private part is not the one that was committed to"
        return None

    def _add(self, row: Any, data: dict[str, Any]) -> str | None:
        if row["type"] in ("stock.published", "stock.withdrawn"):
            self._count(json.loads(row["private"])["content"], json.loads(row["content"]))
        promised = set()
        touched = set()
        for move in data.get("moves", ()):
            key = (move["account"], move["figure"])
            self.balances[key] += move["by"]
            touched.add(key[0])
            if self.balances[key] < 0:
                return f"{key[1]} of {key[0]} falls below zero"
            if key[1] == "reserved" and move["by"] > 0:
                promised.add(key[0])
        for account in promised:
            if self.balances[account, "reserved"] > (
                self.balances[account, "quantity"] - self._floors.get(account, 0)
            ):
                return f"more is promised of {account} than its owner published"
        return next((f for account in sorted(touched) if (f := self._excess(account))), None)

    def _excess(self, account: str) -> str | None:
        for kind, parts, whole in PROPORTIONS:
            if account.startswith(f"{kind}:"):
                part = sum(self.balances[account, figure] for figure in parts)
                if part > self.balances[account, whole]:
                    return f"{' + '.join(parts)} of {account} exceeds {whole}"
        return None

    def _count(self, private: dict[str, Any], content: dict[str, Any]) -> None:
        # The owner's count is the truth: it replaces the balance instead of adding to it.
        account = f"lot:{content['subject']['id']}"
        self.balances[account, "quantity"] = private["quantity"]
        self._floors[account] = private["keep_back"]


def _columns(row: Any) -> tuple[str, str, str, str, str, str | None]:
    emergency = str(row["emergency"]) if row["emergency"] else None
    client = str(row["client"]) if row["client"] else "exchange"
    return str(row["id"]), row["type"], clock.text(row["at"]), row["society"], client, emergency


def _columns_told(told: Any) -> tuple[str, str, str, str, str, str | None]:
    data = told["data"]
    at, actor = told["at"], data["actor"]
    return told["id"], told["type"], at, told["society"], actor, data.get("emergency")


async def _compare(connection: Any, expected: dict[tuple[str, str], int], report: Report) -> None:
    left = {key: value for key, value in expected.items() if value}
    async for row in connection.cursor(BALANCES, prefetch=_STEP):
        report.balances += 1
        key = (row["account"], row["figure"])
        left.pop(key, None)
        told = expected.get(key, 0)
        if told != row["value"]:
            report.faults.append(
                f"{key[1]} of {key[0]}: the ledger adds up to {told}, the table says {row['value']}"
            )
    for (account, figure), value in left.items():
        report.faults.append(f"{figure} of {account}: the ledger adds up to {value}, no such row")
