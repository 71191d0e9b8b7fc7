"""Items, packs, substitutes and skills: tables and SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import metadata

items = Table(
    "items",
    metadata,
    Column("code", Text, primary_key=True),
    Column("category", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("weight_kg", Float),
    Column("volume_l", Float),
    Column("perishable", Boolean, nullable=False),
    # Code and every name, folded: what searches look at.
    Column("search", Text, nullable=False),
)

packs = Table(
    "packs",
    metadata,
    Column("item", Text, ForeignKey("items.code"), primary_key=True),
    Column("code", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    CheckConstraint("quantity >= 1", name="quantity"),
)

substitutes = Table(
    "substitutes",
    metadata,
    Column("item", Text, ForeignKey("items.code"), primary_key=True),
    Column("substitute", Text, ForeignKey("items.code"), primary_key=True),
    # `quantity` of the substitute stand in for `per` of the item.
    Column("quantity", BigInteger, nullable=False),
    Column("per", BigInteger, nullable=False),
    CheckConstraint("quantity >= 1 AND per >= 1", name="ratio"),
    CheckConstraint("item <> substitute", name="other"),
)

skills = Table(
    "skills",
    metadata,
    Column("code", Text, primary_key=True),
    Column("names", JSONB, nullable=False),
    Column("description", Text),
    Column("search", Text, nullable=False),
)

_ITEM = """
json_build_object(
    'code', i.code, 'name', i.names->>'en', 'names', i.names, 'category', i.category,
    'unit', i.unit, 'weight_kg', i.weight_kg, 'volume_l', i.volume_l, 'perishable', i.perishable,
    'packs', coalesce((
        SELECT json_agg(json_build_object('code', p.code, 'quantity', p.quantity, 'name', p.name)
                        ORDER BY p.quantity, p.code)
        FROM packs p WHERE p.item = i.code), '[]'::json),
    'substitutes', coalesce((
        SELECT json_agg(json_build_object('item', s.substitute, 'quantity', s.quantity,
                                          'per', s.per) ORDER BY s.substitute)
        FROM substitutes s WHERE s.item = i.code), '[]'::json))::text
"""

_SKILL = """
json_build_object('code', k.code, 'name', k.names->>'en', 'names', k.names,
                  'description', k.description)::text
"""


def _matching(words: Sequence[str], alias: str) -> tuple[list[str], dict[str, Any]]:
    """Every word must occur somewhere in the code or in a name; wildcards are letters here."""
    where, values = [], {}
    for n, word in enumerate(words):
        literal = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where.append(f"{alias}.search LIKE :word{n}")
        values[f"word{n}"] = f"%{literal}%"
    return where, values


async def find_items(
    tx: AsyncConnection,
    words: Sequence[str],
    category: str | None,
    after: str,
    limit: int,
) -> list[Any]:
    """(code, JSON) of items in the order of their codes."""
    where, values = _matching(words, "i")
    where.append("i.code > :after")
    if category is not None:
        where.append("i.category = :category")
        values["category"] = category
    statement = (
        f"SELECT i.code, {_ITEM} FROM items i WHERE {' AND '.join(where)} "
        "ORDER BY i.code LIMIT :limit"
    )
    values |= {"after": after, "limit": limit}
    return list((await tx.execute(text(statement), values)).all())


async def find_skills(
    tx: AsyncConnection, words: Sequence[str], after: str, limit: int
) -> list[Any]:
    """(code, JSON) of skills in the order of their codes."""
    where, values = _matching(words, "k")
    where.append("k.code > :after")
    statement = (
        f"SELECT k.code, {_SKILL} FROM skills k WHERE {' AND '.join(where)} "
        "ORDER BY k.code LIMIT :limit"
    )
    values |= {"after": after, "limit": limit}
    return list((await tx.execute(text(statement), values)).all())


_ITEM_DOC = text(f"SELECT {_ITEM} FROM items i WHERE i.code = :code")
_SKILL_DOC = text(f"SELECT {_SKILL} FROM skills k WHERE k.code = :code")
_LOCK_ITEM = text("SELECT code FROM items WHERE code = :code FOR NO KEY UPDATE")
_LOCK_SKILL = text("SELECT code FROM skills WHERE code = :code FOR NO KEY UPDATE")


async def item_doc(tx: AsyncConnection, code: str, *, lock: bool = False) -> str | None:
    """One item as JSON."""
    if lock:
        await tx.execute(_LOCK_ITEM, {"code": code})
    return (await tx.execute(_ITEM_DOC, {"code": code})).scalar_one_or_none()


async def skill_doc(tx: AsyncConnection, code: str, *, lock: bool = False) -> str | None:
    """One skill as JSON."""
    if lock:
        await tx.execute(_LOCK_SKILL, {"code": code})
    return (await tx.execute(_SKILL_DOC, {"code": code})).scalar_one_or_none()


_PUT_ITEM = text("""
INSERT INTO items (code, category, unit, names, weight_kg, volume_l, perishable, search)
VALUES (:code, :category, :unit, CAST(:names AS jsonb), :weight_kg, :volume_l, :perishable, :search)
ON CONFLICT (code) DO UPDATE SET category = excluded.category, unit = excluded.unit,
    names = excluded.names, weight_kg = excluded.weight_kg, volume_l = excluded.volume_l,
    perishable = excluded.perishable, search = excluded.search
RETURNING (xmax = 0)
""")
_DROP_PACKS = text("DELETE FROM packs WHERE item = :code")
_DROP_SUBSTITUTES = text("DELETE FROM substitutes WHERE item = :code")
_ADD_PACK = text("""
INSERT INTO packs (item, code, quantity, name) VALUES (:item, :code, :quantity, :name)
""")
_ADD_SUBSTITUTE = text("""
INSERT INTO substitutes (item, substitute, quantity, per)
VALUES (:item, :substitute, :quantity, :per)
""")


async def put_item(
    tx: AsyncConnection,
    values: dict[str, Any],
    pack_rows: Sequence[dict[str, Any]],
    substitute_rows: Sequence[dict[str, Any]],
) -> bool:
    """Create or replace an item with its packs and substitutes; True where it was created."""
    created = bool((await tx.execute(_PUT_ITEM, values)).scalar_one())
    await tx.execute(_DROP_PACKS, {"code": values["code"]})
    await tx.execute(_DROP_SUBSTITUTES, {"code": values["code"]})
    if pack_rows:
        await tx.execute(_ADD_PACK, list(pack_rows))
    if substitute_rows:
        await tx.execute(_ADD_SUBSTITUTE, list(substitute_rows))
    return created


_PUT_SKILL = text("""
INSERT INTO skills (code, names, description, search)
VALUES (:code, CAST(:names AS jsonb), :description, :search)
ON CONFLICT (code) DO UPDATE SET names = excluded.names, description = excluded.description,
    search = excluded.search
RETURNING (xmax = 0)
""")


async def put_skill(tx: AsyncConnection, values: dict[str, Any]) -> bool:
    """Create or replace a skill; True where it was created."""
    return bool((await tx.execute(_PUT_SKILL, values)).scalar_one())


_KNOWN = text("""
SELECT code FROM items WHERE code = ANY(CAST(:codes AS text[]))
UNION ALL SELECT code FROM skills WHERE code = ANY(CAST(:codes AS text[]))
""")


async def known(tx: AsyncConnection, codes: Sequence[str]) -> set[str]:
    """Which of these codes are in the catalogue."""
    return {row[0] for row in await tx.execute(_KNOWN, {"codes": list(codes)})}


_UNIT = text("SELECT unit FROM items WHERE code = :code")


async def unit(tx: AsyncConnection, code: str) -> str | None:
    """The base unit of an item."""
    return (await tx.execute(_UNIT, {"code": code})).scalar_one_or_none()


_PACKS = text("SELECT code, quantity FROM packs WHERE item = :item ORDER BY quantity, code")


async def packs_of(tx: AsyncConnection, item: str) -> dict[str, int]:
    """The packs of an item: how many base units each holds."""
    return {row[0]: int(row[1]) for row in await tx.execute(_PACKS, {"item": item})}


_SUBSTITUTES = text("SELECT substitute, quantity, per FROM substitutes WHERE item = :item")


async def substitutes_of(tx: AsyncConnection, item: str) -> list[Row[Any]]:
    """(substitute, quantity, per) of what may stand in for an item."""
    return list((await tx.execute(_SUBSTITUTES, {"item": item})).all())


_SKILL_EXISTS = text("SELECT EXISTS (SELECT FROM skills WHERE code = :code)")


async def skill_exists(tx: AsyncConnection, code: str) -> bool:
    """Whether a skill is in the catalogue."""
    return bool((await tx.execute(_SKILL_EXISTS, {"code": code})).scalar_one())
