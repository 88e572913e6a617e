"""`Jobs`: work that outlives the request, and the process, that asked for it."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import orjson

from app.core.clock import Clock
from app.core.ids import new_id
from app.core.observations import Observations
from app.core.settings import Settings
from app.db.engine import Database, Session
from app.jobs.models import MAX_KIND_LENGTH, MAX_UNIQUE_KEY_LENGTH, Job
from app.jobs.repository import PERIODIC_PREFIX, JobRepository
from app.jobs.run import Handler, JobKind
from app.jobs.runner import JobRunner
from app.jobs.types import JobHealth
from app.jobs.upkeep import TIDY, Upkeep
from app.jobs.worker import Worker

MAX_PAYLOAD_BYTES = 65_536
_ESCAPED_NUL = b"\\u0000"  # which no text column of PostgreSQL can hold
_MAX_ATTEMPTS = 10
_TIMEOUT = timedelta(minutes=10)
_PATIENCE_SECONDS = 5.0
_TIDY_INTERVAL = timedelta(minutes=10)


class Jobs:
    """The jobs of one process: where kinds are made known, jobs enqueued, and workers started."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, observations: Observations | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._workers = settings.job_workers
        self._kinds: dict[str, JobKind] = {}
        lease = timedelta(seconds=settings.job_lease_seconds)
        self._runner = JobRunner(database, clock, self._kinds, lease=lease, observations=observations)
        self._upkeep = Upkeep(database, clock, self._kinds, lease=lease)
        self._worker = Worker(self._runner, self._upkeep, clock)
        self.register(TIDY, self._upkeep.tidy)
        self.every(TIDY, _TIDY_INTERVAL)

    @classmethod
    def create(
        cls, settings: Settings, database: Database, clock: Clock, observations: Observations | None = None
    ) -> Self:
        """Build it; nothing touches the database before `start`. `observations` are told of every attempt."""
        return cls(settings, database, clock, observations)

    def register(
        self, kind: str, handler: Handler, *, max_attempts: int = _MAX_ATTEMPTS, timeout: timedelta = _TIMEOUT
    ) -> None:
        """Make a kind of job known. An attempt that takes longer than `timeout` is stopped and counts as failed.

        Raises:
            ValueError: the kind is known already, or is no name.
        """
        if not kind or len(kind) > MAX_KIND_LENGTH or kind in self._kinds:
            raise ValueError(f"{kind!r} is taken, empty or too long")
        self._kinds[kind] = JobKind(handler, max_attempts, timeout)

    def every(self, kind: str, interval: timedelta) -> None:
        """Let the handler of a registered kind run once per interval, over all workers; its payload is empty.

        One row stands for all times, so that two can never run at once. After an outage it runs once, and not for
        each time that was missed.
        """
        self._kinds[kind] = dataclasses.replace(self._kinds[kind], interval=interval)

    async def enqueue(
        self,
        session: Session,
        kind: str,
        payload: Mapping[str, Any],
        *,
        run_at: datetime | None = None,
        unique_key: str | None = None,
    ) -> UUID | None:
        """Ask for a job in the caller's transaction: it exists exactly when that is committed.

        `payload` is a JSON object of at most 64 KiB; administrators can read it, so it holds no secrets. Where a job
        with this `unique_key` exists, nothing happens and None is returned; a key is free again some days after its
        job was done.

        Raises:
            ValueError: no handler is registered for the kind, or the payload or the key cannot be stored.
        """
        if kind not in self._kinds:
            raise ValueError(f"no handler is registered for {kind!r}")
        if unique_key is not None and (
            len(unique_key) > MAX_UNIQUE_KEY_LENGTH or unique_key.startswith(PERIODIC_PREFIX)
        ):
            raise ValueError("the unique key is too long, or one of periodic jobs")
        job = Job(
            id=new_id(),
            kind=kind,
            payload=_storable(payload),
            due_at=run_at or self._clock.now(),
            max_attempts=self._kinds[kind].max_attempts,
            unique_key=unique_key,
        )
        if not await JobRepository(session, self._clock).add_unless_known(job):
            return None
        self.wake_after(session)
        return job.id

    def wake_after(self, session: Session) -> None:
        """Have this process's workers look for due jobs as soon as the session's transaction is committed."""
        session.after_commit(self._worker.wake)

    async def health(self) -> JobHealth:
        """How the jobs in the table are doing."""
        async with self._database.read_session() as session:
            return await JobRepository(session, self._clock).health()

    async def run_due(self, progress: Callable[[], None] | None = None) -> int:
        """Carry out what is due, one after the other, until nothing is; the number of attempts.

        `progress` is called after each.
        """
        await self._upkeep.keep_schedule()
        count = 0
        while jobs := await self._runner.take(1):
            await self._runner.run(jobs[0])
            count += 1
            if progress is not None:
                progress()
        return count

    async def start(self, workers: int | None = None) -> None:
        """Begin to carry out jobs, as many at once as `workers`, by default JOB_WORKERS, says; 0 is none."""
        count = self._workers if workers is None else workers
        if count:
            self._worker.start(count)

    async def close(self, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Take nothing more, let what runs end for a while, and give the rest back."""
        await self._worker.close(patience_seconds)


def _storable(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload, if every database can hold it.

    Raises:
        ValueError: it is too long, or holds what JSON or a database cannot.
    """
    try:
        encoded = orjson.dumps(dict(payload))
    except TypeError as error:
        raise ValueError(f"the payload is no JSON: {error}") from None
    if len(encoded) > MAX_PAYLOAD_BYTES or _ESCAPED_NUL in encoded:
        raise ValueError("the payload is too long or holds a NUL")
    decoded: dict[str, Any] = orjson.loads(encoded)
    return decoded
