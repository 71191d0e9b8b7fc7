"""A task that loses its cancellation is ended all the same."""

import asyncio

import pytest

from app.service import stopping


async def test_a_task_that_takes_its_cancellation_for_another_error_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "_AGAIN", 0.01)
    lost = 0

    async def outlive() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(outlive())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await stopping.end([task])
    assert task.cancelled()
    assert lost == 3
