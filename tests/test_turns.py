"""Turns: each party its share, whose turn it is goes round, and no place is lost or given twice."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.turns import Left, QueueFull, Turns


def taken(turns: Turns, *parties: str) -> list[bool]:
    return [turns.take(party) for party in parties]


def test_one_party_alone_leaves_half_and_two_leave_a_third() -> None:
    turns = Turns(12, 10)
    assert sum(taken(turns, *["AZE"] * 12)) == 6
    assert sum(taken(turns, *["TUR"] * 12)) == 3
    assert sum(taken(turns, *["KAZ"] * 12)) == 2
    assert taken(turns, "UZB") == [True], "who comes next finds a place"
    assert Turns(1, 1).take("AZE"), "also where there is only one"


def test_for_measurements_one_party_may_have_all() -> None:
    turns = Turns(4, 10, fair=False)
    assert taken(turns, *["AZE"] * 5) == [True] * 4 + [False]


async def test_whose_turn_it_is_goes_round() -> None:
    turns, order = Turns(1, 100), list[str]()

    async def call(party: str) -> None:
        await turns.wait(party, 10)
        order.append(party)
        await asyncio.sleep(0)
        turns.give_back(party)

    assert turns.take("AZE")
    calls = [asyncio.create_task(call(party)) for party in ["AZE"] * 50 + ["TUR"] * 2 + ["KAZ"]]
    await asyncio.sleep(0)
    turns.give_back("AZE")
    await asyncio.gather(*calls)
    assert sorted(order[:3]) == ["AZE", "KAZ", "TUR"]
    assert "TUR" in order[3:5]
    assert turns.free == 1


async def test_a_queue_that_is_full_refuses_and_the_others_are_not_touched() -> None:
    turns = Turns(1, 2)
    assert turns.take("AZE")
    waiting = [asyncio.create_task(turns.wait("AZE", 10)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await turns.wait("AZE", 10)
    with pytest.raises(TimeoutError):
        await turns.wait("TUR", 0.01)
    assert (turns.waiting("AZE"), turns.waiting("TUR")) == (2, 0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert turns.waiting() == 0


async def test_what_is_heavy_takes_more_of_the_queue() -> None:
    turns = Turns(1, 10)
    assert turns.take("AZE")
    waiting = [asyncio.create_task(turns.wait("AZE", 10, weight=w)) for w in (4, 4, 1)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await turns.wait("AZE", 10, weight=4)
    waiting.append(asyncio.create_task(turns.wait("AZE", 10)))
    await asyncio.sleep(0)
    assert turns.waiting("AZE") == 4
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_hangs_up_leaves_the_queue() -> None:
    turns, hung_up = Turns(1, 10), asyncio.Event()

    async def gone() -> None:
        await hung_up.wait()

    async def broken() -> None:
        raise ConnectionError

    assert turns.take("AZE")
    waiting = asyncio.create_task(turns.wait("AZE", 10, gone))
    await asyncio.sleep(0)
    hung_up.set()
    with pytest.raises(Left):
        await waiting
    with pytest.raises(Left):
        await turns.wait("AZE", 10, broken)
    turns.give_back("AZE")
    assert (turns.free, turns.waiting(), turns.held("AZE")) == (1, 0, 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), places=st.integers(1, 9), parties=st.integers(1, 6))
async def test_no_place_is_lost_or_given_twice_whoever_is_cancelled_when(
    seed: int, places: int, parties: int
) -> None:
    chance = random.Random(seed)
    turns, holding = Turns(places, 20), Counter[str]()
    names = [f"S{n}" for n in range(parties)]

    async def pause() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    async def call(party: str) -> None:
        await pause()
        if not turns.take(party):
            seconds = chance.choice((0.0, 0.0005, 10))
            await turns.wait(party, seconds, pause if chance.random() < 0.1 else None)
        holding[party] += 1
        try:
            assert holding.total() <= places
            assert holding.total() + turns.free <= places
            await pause()
        finally:
            holding[party] -= 1
            turns.give_back(party)

    calls = [asyncio.create_task(call(chance.choice(names))) for _ in range(60)]
    for _ in range(30):
        chance.choice(calls).cancel()
        await pause()
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    allowed = (asyncio.CancelledError, TimeoutError, QueueFull, Left)
    assert all(end is None or isinstance(end, allowed) for end in ended), ended
    assert turns.free == places, "each place came back"
    assert turns.waiting() == 0
    assert not any(turns.held(name) for name in names)
