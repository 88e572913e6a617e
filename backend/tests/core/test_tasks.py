"""Background tasks end, whatever they do with a cancellation."""

import asyncio

from app.core.tasks import end_task


async def test_a_task_that_swallows_cancellations_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_task(task)
    assert (task.cancelled(), swallowed) == (True, 2)
    await end_task(task)
    await end_task(None)
