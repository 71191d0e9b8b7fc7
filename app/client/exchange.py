"""The exchange, as one IT system of a society sees it."""

from app.client.following import Following
from app.client.helping import Helping
from app.client.journeys import Journeys
from app.client.network import Network
from app.client.planning import Planning
from app.client.publishing import Publishing
from app.client.roads import Roads
from app.client.webhooks import Webhooks


class Exchange(Network, Publishing, Helping, Journeys, Roads, Planning, Following, Webhooks):
    """Every call of the contract, by its verb. Each is repeated by the documented rules.

    ```python
    async with Exchange("https://exchange.example", key) as exchange:
        lot = await exchange.publish_lot("BLK-7", {"item": …, "site": …, "quantity": 500})
    ```
    """
