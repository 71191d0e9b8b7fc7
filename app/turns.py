"""Turns: so many places, and a fair share of them for each society.

One society whose calls all wait for the same lock would otherwise hold every connection, and the
others' calls would wait behind it. Here each party has a queue of its own; whose turn it is goes
round between the parties, and nobody may take the last places alone.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

Gone = Callable[[], Awaitable[None]]
"""Returns when the one who waits has left."""


class QueueFull(Exception):
    """So many of this party wait already."""


class Left(Exception):
    """The one who waited has left."""


class Turns:
    """Places for whoever asks, at most `places` at once; the rest waits in a queue of its party.

    A party may take a place while it holds fewer than are free. Alone it comes to half of all; two
    come to a third each; and whoever comes next always finds one free, without anybody having to
    give one back. `fair=False` lets a single party take all, for measurements.
    """

    def __init__(self, places: int, longest_queue: int, *, fair: bool = True) -> None:
        self._free = places
        self._longest = longest_queue
        self._fair = fair
        self._held: dict[str, int] = {}
        # In the order of their turn. Nobody stands here who could have a place at this moment.
        self._queues: OrderedDict[str, dict[asyncio.Future[None], int]] = OrderedDict()

    @property
    def free(self) -> int:
        """How many places nobody holds."""
        return self._free

    def held(self, party: str) -> int:
        """How many places a party holds."""
        return self._held.get(party, 0)

    def waiting(self, party: str | None = None) -> int:
        """How many of a party wait, or of all."""
        if party is not None:
            return len(self._queues.get(party, ()))
        return sum(len(queue) for queue in self._queues.values())

    def others_wait(self, party: str) -> bool:
        """Whether anybody but this party waits."""
        return any(other != party for other in self._queues)

    def take(self, party: str) -> bool:
        """Take a place at once; False where there is none for this party, or others of it wait."""
        if party in self._queues or not self._may_have(party):
            return False
        self._give(party)
        return True

    async def wait(
        self, party: str, seconds: float, gone: Gone | None = None, weight: int = 1
    ) -> None:
        """Wait for a place; TimeoutError, QueueFull or Left where none is taken.

        `weight` is how many places in the queue it takes: what holds much memory meanwhile is long.
        """
        queue = self._queues.get(party)
        if queue is None:
            if self._may_have(party):
                self._give(party)
                return
            queue = self._queues[party] = {}
        elif sum(queue.values()) + weight > self._longest:
            raise QueueFull
        turn = asyncio.get_running_loop().create_future()
        queue[turn] = weight
        watch = asyncio.ensure_future(_leave_when(gone, turn)) if gone is not None else None
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # The place was given in the very moment in which its owner was cancelled.
                self.give_back(party)
            else:
                self._forget(party, turn)
            raise
        finally:
            if watch is not None:
                watch.cancel()

    def give_back(self, party: str) -> None:
        """Give a place back, to whose turn it is."""
        held = self._held[party] - 1
        if held:
            self._held[party] = held
        else:
            del self._held[party]
        self._free += 1
        self._hand_on()

    def _may_have(self, party: str) -> bool:
        return self._free > 0 and (not self._fair or self._held.get(party, 0) < self._free)

    def _give(self, party: str) -> None:
        self._held[party] = self._held.get(party, 0) + 1
        self._free -= 1

    def _hand_on(self) -> None:
        passed_over = 0
        while self._free and passed_over < len(self._queues):
            party, queue = next(iter(self._queues.items()))
            self._queues.move_to_end(party)
            if not self._may_have(party):
                passed_over += 1
                continue
            passed_over = 0
            turn = next(iter(queue))
            self._forget(party, turn)
            # One that is cancelled has not run since, and so still stood in its queue.
            if not turn.done():
                self._give(party)
                turn.set_result(None)

    def _forget(self, party: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(party)
        if queue is None or turn not in queue:
            return
        del queue[turn]
        if not queue:
            del self._queues[party]


async def _leave_when(gone: Gone, turn: asyncio.Future[None]) -> None:
    # What goes wrong with a connection means as much as its end.
    with contextlib.suppress(Exception):
        await gone()
    if not turn.done():
        turn.set_exception(Left())
