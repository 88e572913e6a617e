"""Ending background tasks."""

import asyncio

_PATIENCE_SECONDS = 0.1


async def end_task(task: asyncio.Task[None] | None) -> None:
    """Cancel a task until it is done: a driver may swallow a cancellation that arrives together with its data."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
