"""The bare floor: what the same three calls cost with nothing of the exchange around them.

One file: FastAPI, asyncpg's own pool, Pydantic models; the service's queries. No keys, no
visibility, no repeatable calls, no ledger but the one insert. Served by the same server with the
same options and the same number of workers as the service.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel

from app.config import Settings
from app.ids import new_id
from app.service import server


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings.from_env()
    assert settings.database_url is not None
    app.state.pool = await asyncpg.create_pool(
        settings.database_url.replace("+asyncpg", ""),
        min_size=settings.pool_size,
        max_size=settings.pool_size,
        statement_cache_size=500,
        server_settings={"timezone": "UTC", "jit": "off"},
    )
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


class Site(BaseModel):
    name: str
    country: str
    lat: float
    lon: float
    kind: str


class Lot(BaseModel):
    id: UUID
    society: str
    item: str
    unit: str
    site: Site
    available: int
    lot_number: str | None
    expires_on: date | None
    unit_value: Decimal | None
    currency: str | None
    as_of: datetime
    distance_km: float | None


class LotPage(BaseModel):
    items: list[Lot]
    next: str | None


STOCK = """
SELECT l.id, l.society, l.item, i.unit, s.name, s.country, s.lat, s.lon, s.kind,
       greatest(0, l.quantity - l.keep_back - l.reserved) AS available, l.lot_number,
       l.expires_on, l.unit_value, l.currency, l.as_of
FROM lots l JOIN items i ON i.code = l.item JOIN sites s ON s.id = l.site
WHERE NOT l.withdrawn AND l.item = $1 ORDER BY l.id LIMIT $2
"""


@app.get("/v1/stock", response_model=LotPage)
async def find_stock(
    request: Request, item: str, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> LotPage:
    rows = await request.app.state.pool.fetch(STOCK, item, limit + 1)
    lots = [
        Lot(
            id=row["id"],
            society=row["society"],
            item=row["item"],
            unit=row["unit"],
            site=Site(
                name=row["name"],
                country=row["country"],
                lat=row["lat"],
                lon=row["lon"],
                kind=row["kind"],
            ),
            available=row["available"],
            lot_number=row["lot_number"],
            expires_on=row["expires_on"],
            unit_value=row["unit_value"],
            currency=row["currency"],
            as_of=row["as_of"],
            distance_km=None,
        )
        for row in rows[:limit]
    ]
    return LotPage(items=lots, next=str(lots[-1].id) if len(rows) > limit else None)


class Subject(BaseModel):
    type: str
    id: str


class Event(BaseModel):
    seq: int
    id: UUID
    type: str
    at: str
    society: str
    subject: Subject
    data: dict[str, Any]
    salt: str
    commitment: str
    hash: str
    previous_hash: str


class EventPage(BaseModel):
    items: list[Event]
    next: str | None


EVENTS = """
SELECT s.seq, r.content, r.salt, r.commitment, s.hash, s.previous_hash
FROM seals s JOIN records r ON r.id = s.record
WHERE s.seq > $1 ORDER BY s.seq LIMIT $2
"""


@app.get("/v1/events", response_model=EventPage)
async def list_events(
    request: Request, after: int = 0, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> EventPage:
    rows = await request.app.state.pool.fetch(EVENTS, after, limit)
    events = [
        Event(
            seq=row["seq"],
            salt=row["salt"].hex(),
            commitment=row["commitment"].hex(),
            hash=row["hash"].hex(),
            previous_hash=row["previous_hash"].hex(),
            **json.loads(row["content"]),
        )
        for row in rows
    ]
    return EventPage(items=events, next=str(events[-1].seq) if len(events) == limit else None)


class NewLine(BaseModel):
    request_line: UUID
    stock: UUID
    quantity: int


class NewOffer(BaseModel):
    request: UUID
    lines: list[NewLine]


class OfferLine(BaseModel):
    id: UUID
    request_line: UUID
    stock: UUID
    item: str
    unit: str
    quantity: int
    accepted: int = 0
    planned: int = 0
    dispatched: int = 0
    received: int = 0
    damaged: int = 0
    lost: int = 0


class Offer(BaseModel):
    id: UUID
    emergency: UUID
    request: UUID
    society: str
    to: str
    status: str
    expires_at: datetime
    eta: datetime | None = None
    message: str | None = None
    reason: str | None = None
    created_at: datetime
    updated_at: datetime
    lines: list[OfferLine]


ASKED = """
SELECT r.society, r.emergency, r.status, l.item
FROM requests r JOIN request_lines l ON l.request = r.id WHERE r.id = $1 AND l.id = $2
"""
OFFERED = """
SELECT l.society, l.item, i.unit FROM lots l JOIN items i ON i.code = l.item WHERE l.id = $1
"""
ADD = """
WITH o AS (
    INSERT INTO offers (id, emergency, request, society, to_society, status, expires_at,
                        created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, 'proposed', $6, $7, $7)
)
INSERT INTO offer_lines (id, offer, position, request_line, lot, item, unit, ratio_quantity,
                         ratio_per, quantity)
VALUES ($8, $1, 0, $9, $10, $11, $12, 1, 1, $13)
"""
PLEDGE = """
INSERT INTO pledges (holder, line, society, offered, updated_at) VALUES ($1, $2, $3, $4, $5)
"""
RESERVE = """
WITH taken AS (
    UPDATE lots SET reserved = reserved + $2
    WHERE id = $1 AND NOT withdrawn AND reserved + $2 <= quantity - keep_back
    RETURNING id
)
INSERT INTO reservations (holder, lot, quantity, beneficiary)
SELECT $3, id, $2, $4 FROM taken RETURNING lot
"""
# Into a twin of the ledger's table: the sealer of the service, which runs all the time, would seal
# records that stand in the table itself, and so work against the floor.
RECORD = """
INSERT INTO floor_records (id, type, at, society, content, salt, commitment, audience)
VALUES ($1, 'offer.proposed', $2, $3, $4, $5, $6, $7)
"""


@app.post("/v1/offers", status_code=201, response_model=Offer)
async def propose(request: Request, body: NewOffer) -> Offer:
    now = datetime.now(UTC)
    [line] = body.lines
    offer, line_id = new_id(), new_id()
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        asked = await connection.fetchrow(ASKED, body.request, line.request_line)
        lot = await connection.fetchrow(OFFERED, line.stock)
        if asked is None or lot is None or asked["status"] != "open":
            raise HTTPException(409)
        expires_at = now + timedelta(days=7)
        made = Offer(
            id=offer,
            emergency=asked["emergency"],
            request=body.request,
            society=lot["society"],
            to=asked["society"],
            status="proposed",
            expires_at=expires_at,
            created_at=now,
            updated_at=now,
            lines=[
                OfferLine(
                    id=line_id,
                    request_line=line.request_line,
                    stock=line.stock,
                    item=lot["item"],
                    unit=lot["unit"],
                    quantity=line.quantity,
                )
            ],
        )
        await connection.execute(
            ADD, offer, asked["emergency"], body.request, lot["society"], asked["society"],
            expires_at, now, line_id, line.request_line, line.stock, lot["item"], lot["unit"],
            line.quantity,
        )  # fmt: skip
        await connection.execute(
            PLEDGE, line_id, line.request_line, lot["society"], line.quantity, now
        )
        taken = await connection.fetchval(
            RESERVE, line.stock, line.quantity, line_id, asked["society"]
        )
        if taken is None:
            raise HTTPException(409)
        content, salt = made.model_dump_json(), os.urandom(32)
        await connection.execute(
            RECORD, new_id(), now, lot["society"], content, salt,
            hashlib.sha256(salt + content.encode()).digest(), [lot["society"], asked["society"]],
        )  # fmt: skip
    return made


if __name__ == "__main__":
    uvicorn.run("bench.floor:app", workers=1, **server.options(Settings.from_env()))
