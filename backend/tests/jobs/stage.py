"""What the tests of jobs share: processes that use one table, and effects that can be counted."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.core.settings import Settings
from app.db.engine import Database
from app.jobs.models import Job
from app.jobs.queue import Jobs
from app.jobs.repository import JobRepository
from app.jobs.run import Handler, JobKind, JobRun
from app.jobs.runner import JobRunner
from app.jobs.types import JobStatus, TakenJob
from tests.support import ManualClock

KIND = "test.work"
EFFECT = "test.effect"
LEASE = timedelta(seconds=30)


class Stage:
    """One table of jobs, and as many processes on it as a test wants."""

    def __init__(self, settings: Settings, database: Database, clock: ManualClock) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock

    def process(self, handler: Handler | None = None, **options: Any) -> Jobs:
        """The jobs of another process, which knows `KIND`; without a handler it does nothing."""
        jobs = Jobs.create(self.settings, self.database, self.clock)
        jobs.register(KIND, handler or do_nothing, **options)
        jobs.register(EFFECT, do_nothing)
        return jobs

    def runner(
        self, handler: Handler | None = None, *, lease: timedelta = LEASE, timeout: timedelta = timedelta(minutes=1)
    ) -> JobRunner:
        """A runner alone, which knows `KIND` only."""
        kinds = {KIND: JobKind(handler or do_nothing, 3, timeout)}
        return JobRunner(self.database, self.clock, kinds, lease=lease)

    async def enqueue(self, jobs: Jobs, payload: dict[str, Any] | None = None, **options: Any) -> Job:
        """Ask for a job of `KIND`, and return its row."""
        async with self.database.session() as session:
            job_id = await jobs.enqueue(session, KIND, payload or {}, **options)
            await session.commit()
        assert job_id is not None
        return await self.row(job_id)

    async def row(self, job_id: Any) -> Job:
        """A job as it stands now."""
        (row,) = await self.rows(Job.id == job_id)
        return row

    async def rows(self, *where: Any) -> list[Job]:
        """The jobs as they stand now, the oldest first."""
        async with self.database.read_session() as session:
            return await JobRepository(session, self.clock).list_(*where, order_by=(Job.created_at, Job.id))

    async def states(self, kind: str = KIND) -> list[JobStatus]:
        """What became of the jobs of one kind."""
        return [row.status for row in await self.rows(Job.kind == kind)]

    async def effects(self) -> list[Any]:
        """What handlers have brought about, by `leave_effect`."""
        return [row.payload["of"] for row in await self.rows(Job.kind == EFFECT)]

    async def change(self, job_id: Any, **values: Any) -> None:
        """Change a job behind everybody's back."""
        async with self.database.session() as session:
            jobs = JobRepository(session, self.clock)
            await jobs.update(job_id, {getattr(Job, name): value for name, value in values.items()})
            await session.commit()

    async def take(self, runner: JobRunner) -> TakenJob:
        """Take the one job that is due."""
        (job,) = await runner.take(5)
        return job

    async def delete(self, job_id: Any) -> None:
        """Delete a job behind everybody's back."""
        async with self.database.session() as session:
            await JobRepository(session, self.clock).delete(job_id)
            await session.commit()

    async def leave_effect(self, run: JobRun) -> None:
        """A handler's work in the database: one row more, and the end of the job, or neither."""
        async with run.finish() as session:
            await self.add_effect(session, str(run.id))

    async def add_effect(self, session: Any, of: str) -> None:
        """Leave one row in a transaction."""
        far = self.clock.now() + timedelta(days=365)
        await JobRepository(session, self.clock).add(Job(kind=EFFECT, payload={"of": of}, due_at=far, max_attempts=1))

    @contextmanager
    def outage(self, *, failures: float = math.inf) -> Iterator[None]:
        """Let the next writes, or every one, fail as if the database were away."""

        def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            nonlocal failures
            if failures > 0 and statement.startswith(("UPDATE", "INSERT", "DELETE")):
                failures -= 1
                raise OperationalError(statement, None, Exception("the database is away"))

        engine = self.database.writer.sync_engine
        event.listen(engine, "before_cursor_execute", refuse)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", refuse)


async def do_nothing(_run: JobRun) -> None:
    """A handler with nothing to do."""


class Gate:
    """A handler that waits until it is let through, and counts."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.entered = asyncio.Event()
        self.begun = 0
        self.ended = 0
        self.cancelled = 0
        self.most = 0

    async def __call__(self, run: JobRun) -> None:
        """Wait at the gate."""
        self.begun += 1
        self.most = max(self.most, self.begun - self.ended - self.cancelled)
        self.entered.set()
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
