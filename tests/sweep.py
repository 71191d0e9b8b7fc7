"""What the service's own sweep does, at the moment that a test wants."""

from sqlalchemy.ext.asyncio import AsyncConnection

from app.offers import actions as offers


async def expire_due(tx: AsyncConnection) -> int:
    """End one proposal that is due; 0 where there is none."""
    offer = await offers.find_due(tx, ())
    if offer is None:
        return 0
    await offers.expire(tx, offer)
    return 1
