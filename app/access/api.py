"""Who calls: the caller itself, the member societies, and their clients with their keys."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from app import json_text, specimens
from app.access import actions
from app.access.guard import Admin, AnyClient, MasterData
from app.calls import Exchange, IfMatch
from app.db import ReadTx, Tx
from app.errors import AppError
from app.fields import Id, Input, Name, Shown, SocietyCode
from app.pages import Page, PageQuery, page, read_cursor, single
from app.problems import answers

router = APIRouter(prefix="/v1", tags=["Access"], route_class=Exchange)

Scope = Literal[
    "read",
    "stock:write",
    "volunteers:write",
    "requests:write",
    "offers:write",
    "admin",
    "all",
]
Role = Literal["member", "secretariat", "observer"]
_SCOPES = ["read", "stock:write", "offers:write"]


class Me(Shown):
    """Who the caller is."""

    society: str = Field(description="The society that the key belongs to.", examples=["TUR"])
    role: Role = Field(description="The society's role in the network.", examples=["member"])
    client: UUID = Field(
        description="The client that the key belongs to.", examples=[specimens.CLIENT]
    )
    name: str = Field(description="The client's name.", examples=["Warehouse ERP"])
    scopes: list[str] = Field(description="What the client may do.", examples=[_SCOPES])


class SocietyInput(Input):
    """A member as the secretariat writes it."""

    name: Name = Field(description="The society's name.", examples=["Kazakh Red Crescent"])
    role: Role = Field(
        description="`member` takes part, `secretariat` also runs the master data, "
        "`observer` reads.",
        examples=["member"],
    )


class Society(Shown):
    """A member of the network."""

    id: str = Field(description="ISO 3166-1 alpha-3 code.", examples=["KAZ"])
    name: str = Field(description="The society's name.", examples=["Kazakh Red Crescent"])
    role: Role = Field(description="Its role in the network.", examples=["member"])


class Key(Shown):
    """A valid key of a client; never the key itself."""

    prefix: str = Field(description="How the key begins.", examples=[specimens.KEY[:12]])
    created_at: str = Field(
        description="When it was made.", examples=["2026-02-06T01:17:00.000000+00:00"]
    )
    expires_at: str | None = Field(
        description="When it ends, after a rotation; null while it is the present key.",
        examples=["2026-02-07T01:17:00.000000+00:00"],
    )


class Client(Shown):
    """One IT system of a society."""

    id: UUID = Field(description="The client.", examples=[specimens.CLIENT])
    society: str = Field(description="Its society.", examples=["TUR"])
    name: str = Field(description="Its name.", examples=["Warehouse ERP"])
    scopes: list[str] = Field(description="What it may do.", examples=[_SCOPES])
    created_at: str = Field(
        description="When it was created.",
        examples=["2026-02-06T01:17:00.000000+00:00"],
    )
    revoked_at: str | None = Field(
        description="When it was revoked; null while it may call.", examples=[None]
    )
    keys: list[Key] = Field(description="Its valid keys: one, or two during a rotation.")


class ClientWithKey(Client):
    """A client and its new key, which is shown this once."""

    key: str | None = Field(
        description="The key. Store it now: it cannot be shown again, and a repeated call with "
        "the same Idempotency-Key shows null; rotate where the first answer was lost.",
        examples=[specimens.KEY],
    )


class ClientInput(Input):
    """A new client."""

    society: SocietyCode | None = Field(
        default=None,
        description="Whose client; your own society when left out. Only the secretariat may name "
        "another.",
        examples=["TUR"],
    )
    name: Name = Field(description="Which system this is.", examples=["Warehouse ERP"])
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=7)] = Field(
        description="What it may do; `all` stands for every scope.", examples=[_SCOPES]
    )


class RotationInput(Input):
    """How long the present key stays valid beside the new one."""

    overlap_hours: Annotated[int, Field(ge=0, le=720)] = Field(
        default=24,
        description="0 ends the present key at once; 720 at most.",
        examples=[24],
    )


ClientId = Annotated[Id, Path(description="The client's id.", examples=[specimens.CLIENT])]
SocietyId = Annotated[
    SocietyCode,
    Path(description="The society's ISO 3166-1 alpha-3 code.", examples=["KAZ"]),
]


@router.get("/me", summary="Who am I?", response_model=Me, responses=answers())
async def get_me(caller: AnyClient) -> Response:
    """Tell which society, client and scopes the key stands for. Begin here."""
    scopes = sorted(caller.scopes)
    return single(
        json_text.dump(
            {
                "society": caller.society,
                "role": caller.role,
                "client": str(caller.client),
                "name": caller.name,
                "scopes": scopes,
            }
        ).decode()
    )


@router.get(
    "/societies",
    summary="List the societies",
    response_model=Page[Society],
    responses=answers(),
)
async def list_societies(
    request: Request,
    caller: AnyClient,
    tx: ReadTx,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """The members of the network, in the order of their codes."""
    after = read_cursor(query.cursor, str)
    rows = await actions.list_societies(tx, after[0] if after else "", query.limit + 1)
    return page(request, rows, query.limit)


@router.put(
    "/societies/{id}",
    summary="Admit or change a society",
    response_model=Society,
    responses=answers("role_forbidden", "conflict", "precondition_failed")
    | {201: {"model": Society, "description": "The society was admitted."}},
)
async def put_society(
    id: SocietyId, body: SocietyInput, caller: MasterData, tx: Tx, if_match: IfMatch
) -> Response:
    """Create or replace a society. The secretariat's alone; the network always keeps one."""
    created, doc = await actions.put_society(tx, caller, id, body.name, body.role, if_match.check)
    if created:
        return single(doc, status=201, location=f"/v1/societies/{id}")
    return single(doc)


@router.get("/clients", summary="List clients", response_model=Page[Client], responses=answers())
async def list_clients(
    request: Request, caller: Admin, tx: ReadTx, query: Annotated[PageQuery, Query()]
) -> Response:
    """The clients of your society; of every society for the secretariat."""
    after = read_cursor(query.cursor, UUID)
    rows = await actions.list_clients(tx, caller, after[0] if after else None, query.limit + 1)
    return page(request, rows, query.limit)


@router.post(
    "/clients",
    status_code=201,
    summary="Create a client",
    response_model=ClientWithKey,
    responses=answers("role_forbidden", "unknown_reference", "limit_reached"),
)
async def create_client(body: ClientInput, caller: Admin, tx: Tx) -> Response:
    """Create a client. Its `key` is shown in this answer and never again."""
    society = body.society or caller.society
    if society != caller.society and not caller.is_secretariat:
        raise AppError(
            "role_forbidden",
            "Clients of another society are the secretariat's to create.",
        )
    client, key = await actions.create_client(
        tx, caller.actor, society, body.name, list(body.scopes), most=actions.MOST_CLIENTS
    )
    doc = await actions.show_client(tx, caller, client)
    return single(
        _with_key(doc, key),
        status=201,
        location=f"/v1/clients/{client}",
        kept=_with_key(doc, None),
        read=doc,
    )


@router.post(
    "/clients/{id}/rotate",
    summary="Rotate a client's key",
    response_model=ClientWithKey,
    responses=answers("not_found", "wrong_state"),
)
async def rotate_client(
    id: ClientId, caller: Admin, tx: Tx, body: RotationInput | None = None
) -> Response:
    """Give the client a new key. The present one stays valid for the overlap; an older one ends."""
    hours = (body or RotationInput()).overlap_hours
    key = await actions.rotate(tx, caller, id, timedelta(hours=hours))
    doc = await actions.show_client(tx, caller, id)
    return single(_with_key(doc, key), kept=_with_key(doc, None), read=doc)


@router.delete(
    "/clients/{id}",
    status_code=204,
    summary="Revoke a client",
    responses=answers("not_found"),
)
async def revoke_client(id: ClientId, caller: Admin, tx: Tx) -> Response:
    """Revoke the client and its keys; in force on every copy of the service within 5 seconds."""
    await actions.revoke(tx, caller, id)
    return Response(status_code=204)


def _with_key(doc: str, key: str | None) -> str:
    shown = f'"{key}"' if key else "null"
    return f'{doc[:-1]},"key":{shown}}}'
