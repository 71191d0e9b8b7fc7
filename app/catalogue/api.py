"""The catalogue: items with their packs and substitutes, and skills."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app import json_text
from app.access.guard import AnyClient, MasterData
from app.calls import Exchange, IfMatch
from app.catalogue import actions
from app.db import ReadTx, Tx
from app.fields import Code, Input, Name, Quantity, Shown, Text, Words
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers
from app.quantity import MOST_SHARE

router = APIRouter(prefix="/v1", tags=["Catalogue"], route_class=Exchange)

_NAMES = {
    "az": "Ədyal (adyal), sintetik, çox isti",
    "kk": "Көрпе (адиял), синтетикалық, өте жылы",
    "ky": "Жууркан (адыял), синтетикалык, өтө жылуу",
    "tr": "Battaniye, sentetik, yüksek ısı",
    "uz": "Adyol, sintetik, juda issiq",
    "en": "Blanket, synthetic, high thermal",
    "ru": "Одеяло синтетическое, повышенной теплоты",
}
Category = Literal[
    "administration", "telecom", "drugs", "engineering", "food", "housing", "kits",
    "medical_renewables", "transport", "emergency_response_units", "water", "medical_equipment",
    "other",
]  # fmt: skip
# A quantity is multiplied by it: the largest of both must still be a number that can be stored.
Share = Annotated[int, Field(ge=1, le=MOST_SHARE)]
Measure = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Names(Input):
    """A name in the network's languages; English is the one that must be there."""

    az: Name | None = Field(default=None, description="Azerbaijani.", examples=[_NAMES["az"]])
    kk: Name | None = Field(default=None, description="Kazakh.", examples=[_NAMES["kk"]])
    ky: Name | None = Field(default=None, description="Kyrgyz.", examples=[_NAMES["ky"]])
    tr: Name | None = Field(default=None, description="Turkish.", examples=[_NAMES["tr"]])
    uz: Name | None = Field(default=None, description="Uzbek.", examples=[_NAMES["uz"]])
    en: Name = Field(description="English.", examples=[_NAMES["en"]])
    ru: Name | None = Field(default=None, description="Russian.", examples=[_NAMES["ru"]])


class NamesShown(Shown):
    """A name in the network's languages; null where it is not translated yet."""

    az: str | None = Field(description="Azerbaijani.", examples=[_NAMES["az"]])
    kk: str | None = Field(description="Kazakh.", examples=[_NAMES["kk"]])
    ky: str | None = Field(description="Kyrgyz.", examples=[_NAMES["ky"]])
    tr: str | None = Field(description="Turkish.", examples=[_NAMES["tr"]])
    uz: str | None = Field(description="Uzbek.", examples=[_NAMES["uz"]])
    en: str = Field(description="English.", examples=[_NAMES["en"]])
    ru: str | None = Field(description="Russian.", examples=[_NAMES["ru"]])


class _Named(Input):
    name: Name | None = Field(
        default=None, description="Short for `names.en`.", examples=[_NAMES["en"]]
    )
    names: Names | None = Field(
        default=None, description="The name in each language.", examples=[_NAMES]
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "_Named":
        if (self.name is None) == (self.names is None):
            raise PydanticCustomError("one_of", "Give `names`, or `name` for English alone.")
        return self

    def by_language(self) -> dict[str, str]:
        """The names by language."""
        if self.names is None:
            return {"en": self.name or ""}
        return {k: v for k, v in self.names.model_dump().items() if v is not None}


class PackInput(Input):
    """A packaging."""

    code: Code = Field(description="The pack's code, once per item.", examples=["bale-20"])
    quantity: Quantity = Field(description="How many base units it holds.", examples=[20])
    name: Name | None = Field(
        default=None, description="What it is called.", examples=["Bale of 20"]
    )


class SubstituteInput(Input):
    """What may stand in: `quantity` of it for `per` of the item."""

    item: Code = Field(description="The substitute.", examples=["HSHEBLANWMT1"])
    quantity: Share = Field(default=1, description="How much of the substitute.", examples=[1])
    per: Share = Field(default=1, description="For how much of the item.", examples=[1])


class ItemInput(_Named):
    """An item as the secretariat writes it."""

    category: Category | None = Field(
        default=None,
        description="Its family; by the first letter of the code where left out.",
        examples=["housing"],
    )
    unit: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,19}$")] = Field(
        description="The base unit in which every quantity is counted.",
        examples=["piece"],
    )
    weight_kg: Measure | None = Field(
        default=None, description="Weight of one unit, kilograms.", examples=[2.0]
    )
    volume_l: Measure | None = Field(
        default=None, description="Volume of one unit, litres.", examples=[11.25]
    )
    perishable: bool = Field(default=False, description="Whether it expires.", examples=[False])
    packs: Annotated[list[PackInput], Field(max_length=50)] = Field(
        default=[],
        description="Its packagings.",
        examples=[[{"code": "bale-20", "quantity": 20, "name": "Bale of 20"}]],
    )
    substitutes: Annotated[list[SubstituteInput], Field(max_length=50)] = Field(
        default=[],
        description="What may stand in for it.",
        examples=[[{"item": "HSHEBLANWMT1", "quantity": 1, "per": 1}]],
    )

    @model_validator(mode="after")
    def _each_once(self) -> "ItemInput":
        if len({p.code for p in self.packs}) != len(self.packs):
            raise PydanticCustomError("duplicate", "A pack stands twice in `packs`.")
        if len({s.item for s in self.substitutes}) != len(self.substitutes):
            raise PydanticCustomError("duplicate", "An item stands twice in `substitutes`.")
        return self


class SkillInput(_Named):
    """A skill as the secretariat writes it."""

    description: Text | None = Field(
        default=None,
        description="What people with it can do.",
        examples=["Finds and frees people from collapsed buildings."],
    )


class Pack(Shown):
    """A packaging."""

    code: str = Field(description="The pack's code.", examples=["bale-20"])
    quantity: int = Field(description="How many base units it holds.", examples=[20])
    name: str = Field(description="What it is called.", examples=["Bale of 20"])


class Substitute(Shown):
    """What may stand in: `quantity` of it for `per` of the item."""

    item: str = Field(description="The substitute.", examples=["HSHEBLANWMT1"])
    quantity: int = Field(description="How much of the substitute.", examples=[1])
    per: int = Field(description="For how much of the item.", examples=[1])


class Item(Shown):
    """A catalogue entry: something that is sent."""

    code: str = Field(description="IFRC/ICRC code.", examples=["HSHEBLANPHT1"])
    name: str = Field(description="Its English name.", examples=[_NAMES["en"]])
    names: NamesShown = Field(description="Its name in each language.")
    category: Category = Field(description="Its family.", examples=["housing"])
    unit: str = Field(description="The base unit.", examples=["piece"])
    weight_kg: float | None = Field(description="Weight of one unit, kilograms.", examples=[2.0])
    volume_l: float | None = Field(description="Volume of one unit, litres.", examples=[11.25])
    perishable: bool = Field(description="Whether it expires.", examples=[False])
    packs: list[Pack] = Field(description="Its packagings, smallest first.")
    substitutes: list[Substitute] = Field(description="What may stand in for it.")


class Skill(Shown):
    """A catalogue entry: something that volunteers can do."""

    code: str = Field(description="The skill's code.", examples=["usar"])
    name: str = Field(description="Its English name.", examples=["Urban search and rescue"])
    names: NamesShown = Field(description="Its name in each language.")
    description: str | None = Field(
        description="What people with it can do.",
        examples=["Finds and frees people from collapsed buildings."],
    )


class Conversion(Shown):
    """A quantity in packs."""

    item: str = Field(description="The item.", examples=["HSHEBLANPHT1"])
    unit: str = Field(description="Its base unit.", examples=["piece"])
    quantity: int = Field(description="The quantity in base units.", examples=[100])
    pack: str = Field(description="The pack.", examples=["bale-20"])
    packs: int = Field(description="How many packs hold exactly that.", examples=[5])


class ItemQuery(PageQuery):
    """Which items."""

    q: Words | None = Field(
        default=None,
        description="Words that occur in the code or in a name of any language, in any case.",
        examples=["одеяло"],
    )
    category: Category | None = Field(
        default=None, description="Of which family.", examples=["housing"]
    )


class SkillQuery(PageQuery):
    """Which skills."""

    q: Words | None = Field(
        default=None,
        description="Words that occur in the code or in a name of any language, in any case.",
        examples=["rescue"],
    )


ItemCode = Annotated[Code, Path(description="The item's code.", examples=["HSHEBLANPHT1"])]
SkillCode = Annotated[Code, Path(description="The skill's code.", examples=["usar"])]


@router.get(
    "/items",
    summary="Search the catalogue",
    response_model=Page[Item],
    responses=answers(),
)
async def find_items(
    request: Request,
    caller: AnyClient,
    tx: ReadTx,
    query: Annotated[ItemQuery, Query()],
) -> Response:
    """Items by code or by name in Azerbaijani, Kazakh, Kyrgyz, Turkish, Uzbek, English, Russian."""
    after = read_cursor(query.cursor, str)
    rows = await actions.find_items(
        tx, query.q, query.category, after[0] if after else "", query.limit + 1
    )
    return page(request, rows, query.limit)


@router.get(
    "/items/{code}",
    summary="Read an item",
    response_model=Item,
    responses=answers("not_found"),
)
async def get_item(code: ItemCode, caller: AnyClient, tx: ReadTx) -> Response:
    """One item with its packs and substitutes."""
    return single(await actions.show_item(tx, code))


@router.put(
    "/items/{code}",
    summary="Catalogue an item",
    response_model=Item,
    responses=answers("role_forbidden", "unknown_reference", "conflict", "precondition_failed")
    | {201: {"model": Item, "description": "The item was created."}},
)
async def put_item(
    code: ItemCode, body: ItemInput, caller: MasterData, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace an item. The secretariat's alone. A base unit never changes."""
    item = actions.Item(
        code=code,
        category=body.category,
        unit=body.unit,
        names=body.by_language(),
        weight_kg=body.weight_kg,
        volume_l=body.volume_l,
        perishable=body.perishable,
        packs=[(p.code, p.quantity, p.name or p.code) for p in body.packs],
        substitutes=[(s.item, s.quantity, s.per) for s in body.substitutes],
    )
    created, doc = await actions.put_item(tx, caller, item, if_match)
    return _put(created, doc, f"/v1/items/{code}")


@router.get(
    "/items/{code}/conversion",
    summary="Express a quantity in packs",
    response_model=Conversion,
    responses=answers("not_found", "unknown_reference", "pack_mismatch"),
)
async def convert_quantity(
    code: ItemCode,
    caller: AnyClient,
    tx: ReadTx,
    quantity: Annotated[
        int,
        Query(ge=1, le=1_000_000_000_000, description="In base units.", examples=[100]),
    ],
    pack: Annotated[Code, Query(description="A pack of the item.", examples=["bale-20"])],
) -> Response:
    """How many packs hold exactly this; where none do, the nearest quantities that they can."""
    unit, packs = await actions.express(tx, code, quantity, pack)
    shown = {
        "item": code,
        "unit": unit,
        "quantity": quantity,
        "pack": pack,
        "packs": packs,
    }
    return single(json_text.dump(shown).decode())


@router.get(
    "/skills",
    summary="Search the skills",
    response_model=Page[Skill],
    responses=answers(),
)
async def find_skills(
    request: Request,
    caller: AnyClient,
    tx: ReadTx,
    query: Annotated[SkillQuery, Query()],
) -> Response:
    """Skills by code or by name in any of the seven languages."""
    after = read_cursor(query.cursor, str)
    rows = await actions.find_skills(tx, query.q, after[0] if after else "", query.limit + 1)
    return page(request, rows, query.limit)


@router.get(
    "/skills/{code}",
    summary="Read a skill",
    response_model=Skill,
    responses=answers("not_found"),
)
async def get_skill(code: SkillCode, caller: AnyClient, tx: ReadTx) -> Response:
    """One skill."""
    return single(await actions.show_skill(tx, code))


@router.put(
    "/skills/{code}",
    summary="Catalogue a skill",
    response_model=Skill,
    responses=answers("role_forbidden", "precondition_failed")
    | {201: {"model": Skill, "description": "The skill was created."}},
)
async def put_skill(
    code: SkillCode, body: SkillInput, caller: MasterData, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace a skill. The secretariat's alone."""
    skill = actions.Skill(code, body.by_language(), body.description)
    created, doc = await actions.put_skill(tx, caller, skill, if_match)
    return _put(created, doc, f"/v1/skills/{code}")


def _put(created: bool, doc: str, location: str) -> Response:
    if created:
        return single(doc, status=201, location=location)
    return single(doc)
