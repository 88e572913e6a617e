"""The loop that keeps a process's job slots filled."""

import asyncio
from datetime import timedelta

from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.jobs.errors import describe
from app.jobs.runner import JobRunner
from app.jobs.types import TakenJob
from app.jobs.upkeep import Upkeep

_POLL_SECONDS = 1.0
_CONTENDED_SECONDS = 0.1
_UPKEEP_SECONDS = 60.0
_GIVE_BACK_SECONDS = 3.0

logger = get_logger("jobs")


class Worker:
    """Runs due jobs in one process, several at once. It learns of them at once from `wake`, else within a second."""

    def __init__(self, runner: JobRunner, upkeep: Upkeep, clock: Clock) -> None:
        self._runner = runner
        self._upkeep = upkeep
        self._clock = clock
        self._bell = asyncio.Event()
        self._is_stopping = False
        self._slots = 0
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._kept_at = float("-inf")

    def start(self, slots: int) -> None:
        """Begin to run at most `slots` jobs at once."""
        self._slots = slots
        self._loop = asyncio.create_task(self._work(), name="jobs")

    async def wake(self) -> None:
        """Have it look for due jobs now."""
        self._bell.set()

    async def close(self, patience_seconds: float) -> None:
        """Take nothing more, wait for the running jobs a while, and have the rest given back."""
        self._is_stopping = True
        self._bell.set()
        if self._loop is not None:
            await asyncio.wait([self._loop], timeout=patience_seconds)
            await end_task(self._loop)
        if self._running:
            await asyncio.wait(self._running, timeout=patience_seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_GIVE_BACK_SECONDS)

    async def _work(self) -> None:
        while not self._is_stopping:
            self._bell.clear()
            try:
                pause = await self._look()
            except Exception as error:  # the database may be away; it is asked again
                logger.warning("jobs cannot be taken", error=describe(error))
                pause = _POLL_SECONDS
            await self._rest(pause)

    async def _look(self) -> float:
        """Fill the free slots; returns the seconds until it is worth looking again."""
        if self._clock.monotonic() - self._kept_at >= _UPKEEP_SECONDS:
            self._kept_at = self._clock.monotonic()  # first, so that a failure holds up no jobs
            await self._upkeep.keep_schedule()
        free = self._slots - len(self._running)
        due_at = await self._runner.next_due() if free else None
        if due_at is None:
            return _POLL_SECONDS
        wait = (due_at - self._clock.now()) / timedelta(seconds=1)
        if wait > 0:
            return min(wait, _POLL_SECONDS)
        jobs = await self._runner.take(free)
        for job in jobs:
            self._begin(job)
        return 0.0 if jobs else _CONTENDED_SECONDS

    def _begin(self, job: TakenJob) -> None:
        task = asyncio.create_task(self._runner.run(job), name=f"job-{job.id}")
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._bell.set()

    async def _rest(self, seconds: float) -> None:
        if self._is_stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
