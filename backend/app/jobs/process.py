"""A process that does nothing but jobs: `python -m app.cli worker`."""

import asyncio
import signal

from app.core.logging import get_logger
from app.jobs.queue import Jobs

CUT_SHORT = 1

logger = get_logger("jobs")


async def work_until_told(jobs: Jobs, workers: int) -> int:
    """Carry out jobs until SIGTERM or SIGINT, then end gracefully; a second signal stops at once.

    Returns the exit code: 0, or 1 where jobs were cut short. Whatever ran is taken again after its lease.
    """
    told, hurried = asyncio.Event(), asyncio.Event()

    def hear() -> None:
        (hurried if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hear)
    try:
        await jobs.start(workers)
        logger.info("working", workers=workers)
        await told.wait()
        logger.info("stopping")
        closing = asyncio.create_task(jobs.close())
        hurrying = asyncio.create_task(hurried.wait())
        await asyncio.wait([closing, hurrying], return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if closing.done():
            await closing
            return 0
        closing.cancel()
        await jobs.close(patience_seconds=0)
        return CUT_SHORT
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
