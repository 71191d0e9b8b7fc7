"""Records by the hundred thousand: their canonical text and commitments made in PostgreSQL.

One by one, the canonical JSON and the two digests of a record cost more than everything else of a
publication. The database writes the same text: object keys are sorted here once, since all facts of
a call have the same; strings are escaped by `to_json` exactly as RFC 8785 demands, and the figures
are integers. A test holds the two ways of recording against each other.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.rules import Facts, Kind


async def number(tx: AsyncConnection, facts: Facts) -> int:
    """How many facts there are."""
    counted = await tx.execute(text(f"SELECT coalesce(max(n), 0) FROM {facts.source}"))
    return int(counted.scalar_one())


def _object(members: Mapping[str, str]) -> str:
    """SQL of a canonical JSON object; the keys are plain ASCII words, the values SQL of JSON."""
    parts = [f"""'"{key}"\\:' || {members[key]}""" for key in sorted(members)]
    return "'{' || " + " || ',' || ".join(parts) + " || '}'"


# `to_json` looks its type up at every call; where nothing needs to be escaped it is spared.
_JSON: dict[Kind, str] = {
    "text": "coalesce(to_json({})::text, 'null')",
    "word": """coalesce('"' || ({}) || '"', 'null')""",
    "number": "({})::text",
    "list": "to_json({})::text",
}


def _members(told: Sequence[tuple[str, Kind, str]]) -> dict[str, str]:
    return {key: _JSON[kind].format(sql) for key, kind, sql in told}


@cache
def _statement(facts: Facts) -> TextClause:
    data = _members(facts.data)
    data["actor"] = _JSON["word"].format("CAST(:actor AS text)")
    private = "NULL::text"
    if facts.private:
        private = _object(_members(facts.private))
        data["private_commitment"] = "'\"' || encode(p.commitment, 'hex') || '\"'"
    content = _object(
        {
            "at": _JSON["word"].format("CAST(:at_text AS text)"),
            "data": _object(data),
            "id": "'\"' || e.id || '\"'",
            "society": _JSON["word"].format("CAST(:society AS text)"),
            "subject": _object(
                {
                    "id": f"'\"' || ({facts.subject})::text || '\"'",
                    "type": f"""'"{facts.type.split(".", 1)[0]}"'""",
                }
            ),
            "type": f"""'"{facts.type}"'""",
        }
    )
    sealed = (
        """'{"content"\\:' || p.content || ',"salt"\\:"' || encode(e.private_salt, 'hex') || '"}'"""
        if facts.private
        else "NULL::text"
    )
    # The condition at the end is that of `store.append`: no number before the transaction's id.
    # Sorted before the texts are made, which are wide. OFFSET 0 keeps the planner from writing an
    # expression out again wherever it is used: each text and each digest is made once.
    return text(f"""
INSERT INTO records (id, type, at, society, client, emergency, content, salt, commitment, audience,
                     private)
SELECT e.id, '{facts.type}', :at, :society, CAST(:client AS uuid), NULL, c.content, e.salt,
       sha256(e.salt || convert_to(c.content, 'UTF8')), {facts.audience}, {sealed}
FROM (
    SELECT * FROM {facts.source} WHERE n > :start AND n <= :end ORDER BY n OFFSET 0
) f,
LATERAL (
    SELECT encode(substr(CAST(:ids AS bytea), (f.n - :start - 1)::int * 16 + 1, 16), 'hex')::uuid
               AS id,
           substr(CAST(:salts AS bytea), (f.n - :start - 1)::int * 32 + 1, 32) AS salt,
           substr(CAST(:private_salts AS bytea), (f.n - :start - 1)::int * 32 + 1, 32)
               AS private_salt
    OFFSET 0
) e,
LATERAL (SELECT {private} AS content OFFSET 0) s,
LATERAL (
    SELECT s.content, sha256(e.private_salt || convert_to(s.content, 'UTF8')) AS commitment
    OFFSET 0
) p,
LATERAL (SELECT {content} AS content OFFSET 0) c
WHERE pg_current_xact_id() IS NOT NULL
""")


async def append(tx: AsyncConnection, facts: Facts, values: Mapping[str, Any]) -> None:
    """Write the records of the facts after `start` up to `end`."""
    await tx.execute(_statement(facts), values)
