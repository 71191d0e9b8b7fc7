"""A page of the stream ends where its last event does."""

from app.ledger.listening import Listening
from app.ledger.rules import Filters
from app.ledger.streaming import Reader, Stream
from tests.conftest import Service
from tests.world import System, done


async def test_what_is_sealed_while_a_page_is_read_comes_once(
    service: Service, aze: System
) -> None:
    for quantity in range(1, 12):
        await aze.lot(quantity)
    head = done(await aze.get("/v1/events/head"))["seq"]
    assert service.settings.database_url is not None
    listening = Listening(service.settings.database_url)
    stream = Stream(service.database, service.app.state.callers, listening)
    reader = Reader("AZE", ("AZE",))
    # Somebody who is up to date fills the window; a reader further behind reads past it, from the
    # database, which has more by then than this process has heard of.
    listening.seq = head
    await stream.page(reader, Filters(), head - 2)
    listening.seq = head - 5
    events, end = await stream.page(reader, Filters(), head - 10)
    assert events[-1].seq >= head
    assert end == events[-1].seq
