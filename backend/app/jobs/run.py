"""One attempt at one job, as its handler sees it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.clock import Clock
from app.db.engine import Database, Session
from app.jobs.errors import LeaseLostError
from app.jobs.repository import JobRepository
from app.jobs.types import TakenJob


class JobRun:
    """What a handler gets. A job may be begun several times: only what it does within `finish` happens exactly once."""

    def __init__(self, job: TakenJob, database: Database, clock: Clock) -> None:
        self._job = job
        self._database = database
        self._clock = clock
        self._is_finishing = False
        self._is_finished = False

    @property
    def id(self) -> UUID:
        """The job's id, the same at every attempt."""
        return self._job.id

    @property
    def kind(self) -> str:
        """The job's kind."""
        return self._job.kind

    @property
    def payload(self) -> Mapping[str, Any]:
        """What was enqueued."""
        return self._job.payload

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""
        return self._job.attempt

    @property
    def is_finishing(self) -> bool:
        """Whether a transaction that ends the job is open: it holds the job's row, so the lease needs no renewal."""
        return self._is_finishing

    @property
    def is_finished(self) -> bool:
        """Whether such a transaction was committed."""
        return self._is_finished

    @asynccontextmanager
    async def finish(self) -> AsyncIterator[Session]:
        """A transaction whose commit also marks the job as done; what raises within it undoes both.

        Nothing external belongs in it.

        Raises:
            LeaseLostError: the worker was overtaken, or has finished the job before.
        """
        self._is_finishing = True
        try:
            async with self._database.session() as session:
                # First, because it locks the row: nobody can take the job until this ends one way or the other.
                if not await JobRepository(session, self._clock).complete(self._job):
                    raise LeaseLostError
                yield session
                await session.commit()  # commit: outside any request
                self._is_finished = True
        finally:
            self._is_finishing = False


Handler = Callable[[JobRun], Awaitable[None]]
"""Does the work of one kind: it returns when the job is done and raises when it is to be tried again."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """What is known of the jobs of one kind; `interval` is set on periodic ones."""

    handler: Handler
    max_attempts: int
    timeout: timedelta
    interval: timedelta | None = None
