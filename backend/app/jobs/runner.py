"""Takes jobs and carries them out: leases and their renewal, retries, dead letters."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from random import SystemRandom

from sqlalchemy.exc import OperationalError

from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.observations import Observation, Observations
from app.db.engine import Database
from app.jobs.errors import LeaseLostError, PermanentJobError, describe
from app.jobs.repository import JobRepository
from app.jobs.run import Handler, JobKind, JobRun
from app.jobs.types import TakenJob

_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(hours=1)
_RENEWALS_PER_LEASE = 3
_AGAIN_SECONDS = 0.25
_PATIENCE_SECONDS = 2.0
_TAKES_BEFORE_LAST = 2

logger = get_logger("jobs")
_random = SystemRandom()

Change = Callable[[JobRepository], Awaitable[bool]]


class JobRunner:
    """Takes jobs of known kinds and carries them out. Nothing that a handler does stops it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        kinds: Mapping[str, JobKind],
        *,
        lease: timedelta,
        observations: Observations | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._lease = lease
        self._observations = observations or Observations()
        self._name = f"{socket.gethostname()[:64]}:{os.getpid()}"

    async def next_due(self) -> datetime | None:
        """When the next job may be taken; one cheap read without a transaction."""
        async with self._database.read_session() as session:
            return await JobRepository(session, self._clock).next_due(self._kinds.keys())

    async def take(self, limit: int) -> list[TakenJob]:
        """Take at most `limit` due jobs, in a transaction of its own.

        InnoDB now and then calls two takers of few rows a deadlock, though neither waits for a row it wants: one of
        them tries again.
        """
        for _ in range(_TAKES_BEFORE_LAST):
            try:
                return await self._take(limit)
            except OperationalError as error:
                logger.info("jobs are taken again", error=describe(error))
        return await self._take(limit)

    async def _take(self, limit: int) -> list[TakenJob]:
        intervals = {name: kind.interval for name, kind in self._kinds.items()}
        # The name is new each time: a worker that stalled cannot pass for its own later self.
        lease_owner = f"{self._name}:{secrets.token_hex(8)}"
        async with self._database.session() as session:
            jobs = await JobRepository(session, self._clock).take(intervals, lease_owner, self._lease, limit=limit)
            await session.commit()  # commit: outside any request
        return jobs

    async def run(self, job: TakenJob) -> None:
        """Carry a job out, and note how it ended. Cancelled, it stops the handler and gives the job back."""
        run = JobRun(job, self._database, self._clock)
        began = self._clock.monotonic()
        failure: str | None = None
        try:
            self._database.failpoints.hit("job_taken")
            if job.attempt > job.max_attempts:
                raise PermanentJobError("its workers died or lost their leases")
            await self._handle(run, job)
            self._database.failpoints.hit("job_handled")
        except asyncio.CancelledError:
            if not run.is_finished:
                await self._settle(job, lambda jobs: jobs.give_back(job))
            raise
        except LeaseLostError as error:
            failure = type(error).__name__
            logger.warning("job lease lost", job=str(job.id), kind=job.kind, attempt=job.attempt)
        except Exception as error:
            failure = type(error).__name__
            logger.warning("job failed", job=str(job.id), kind=job.kind, attempt=job.attempt, error=describe(error))
            if not run.is_finished:
                await self._fail(job, error)
        else:
            if not run.is_finished:
                await self._settle(job, lambda jobs: jobs.complete(job))
        duration_ms = (self._clock.monotonic() - began) * 1000
        self._observations.record(Observation(f"job.{job.kind}", duration_ms, failure is None, failure))

    async def _handle(self, run: JobRun, job: TakenJob) -> None:
        """Run the handler, and renew the lease while it runs.

        Raises:
            LeaseLostError: it was overtaken.
            TimeoutError: it took longer than its kind may.
        """
        kind = self._kinds[job.kind]
        handling = asyncio.create_task(_awaited(kind.handler, run), name=f"job-{job.kind}")
        handling.add_done_callback(_retrieve)
        pause = self._lease.total_seconds() / _RENEWALS_PER_LEASE
        deadline = self._clock.monotonic() + kind.timeout.total_seconds()
        try:
            while not (await asyncio.wait([handling], timeout=pause))[0]:
                if self._clock.monotonic() >= deadline:
                    raise TimeoutError(f"took longer than {kind.timeout.total_seconds():g} s")
                if not await self._renew(run, job) and not handling.done() and not run.is_finished:
                    raise LeaseLostError
        finally:
            await _end(handling)
        if handling.cancelled():
            raise RuntimeError("the handler cancelled itself")
        await handling

    async def _renew(self, run: JobRun, job: TakenJob) -> bool:
        """Prolong the lease; whether it is still ours, as far as can be told."""
        if run.is_finishing or run.is_finished:
            return True
        try:
            async with self._database.session() as session:
                is_ours = await JobRepository(session, self._clock).renew(job, self._lease)
                await session.commit()  # commit: outside any request
        except Exception as error:  # the database may be away; the fence decides in the end
            logger.warning("job lease not renewed", job=str(job.id), kind=job.kind, error=describe(error))
            return True
        return is_ours or run.is_finishing

    async def _fail(self, job: TakenJob, error: Exception) -> None:
        text = describe(error)
        if isinstance(error, PermanentJobError) or job.is_last_attempt:
            logger.error("job given up", job=str(job.id), kind=job.kind)
            await self._settle(job, lambda jobs: jobs.bury(job, text))
        else:
            due_at = self._clock.now() + pause_after(job)
            await self._settle(job, lambda jobs: jobs.retry(job, due_at, text))

    async def _settle(self, job: TakenJob, change: Change) -> None:
        """Note how a job ended. While the database is away it is tried again, until the lease has run out."""
        deadline = self._clock.monotonic() + self._lease.total_seconds()
        while True:
            try:
                async with self._database.session() as session:
                    is_ours = await change(JobRepository(session, self._clock))
                    await session.commit()  # commit: outside any request
            except Exception as error:
                if self._clock.monotonic() >= deadline:
                    logger.warning("job outcome not noted", job=str(job.id), kind=job.kind, error=describe(error))
                    return
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                if not is_ours:
                    logger.warning("job lease lost", job=str(job.id), kind=job.kind, attempt=job.attempt)
                return


def pause_after(job: TakenJob) -> timedelta:
    """How long a job rests after a failed attempt: doubled each time, up to an hour, less up to half by chance.

    Without the chance, jobs that failed together would come back together.
    """
    doubled = _FIRST_PAUSE * 2 ** min(job.attempt - 1, 20)
    longest = _LONGEST_PAUSE if job.interval is None else min(_LONGEST_PAUSE, job.interval)
    pause: timedelta = min(doubled, longest) * _random.uniform(0.5, 1.0)
    return pause


async def _awaited(handler: Handler, run: JobRun) -> None:
    await handler(run)


def _retrieve(handling: asyncio.Task[None]) -> None:
    """Take note of how a handler ended that nobody may wait for any more."""
    if not handling.cancelled():
        handling.exception()


async def _end(handling: asyncio.Task[None]) -> None:
    """Cancel a handler that is still running. One that does not obey is left behind: its lease is lost to it."""
    if not handling.done():
        handling.cancel()
        await asyncio.wait([handling], timeout=_PATIENCE_SECONDS)
