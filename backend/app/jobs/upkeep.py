"""Keeps the table of jobs in order: the rows of periodic kinds, leases after a jump of the clock, and what is over."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError

from app.core.clock import Clock
from app.core.ids import new_id
from app.core.logging import get_logger
from app.db.engine import Database
from app.db.errors import is_deadlock
from app.jobs.errors import describe
from app.jobs.models import Job
from app.jobs.repository import JobRepository, periodic_key
from app.jobs.run import JobKind, JobRun
from app.jobs.types import JobStatus

TIDY = "jobs.tidy"
KEEP_DONE = timedelta(days=3)
_FORGOTTEN_AFTER = timedelta(days=30)
_UNKNOWN_AFTER = timedelta(minutes=1)
_DELETED_AT_ONCE = 1000

logger = get_logger("jobs")


class Upkeep:
    """What workers see to besides running jobs."""

    def __init__(self, database: Database, clock: Clock, kinds: Mapping[str, JobKind], *, lease: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._lease = lease

    async def keep_schedule(self) -> None:
        """See that each periodic kind has its row, and that no row or lease waits for a time that a wrong clock set.

        Only reads while all is well.
        """
        now = self._clock.now()
        intervals = {name: kind.interval for name, kind in self._kinds.items() if kind.interval is not None}
        async with self._database.read_session() as session:
            jobs = JobRepository(session, self._clock)
            known = {row.unique_key: row for row in await jobs.list_periodic(intervals)}
            has_long_leases = await jobs.has_leases_beyond(now + 2 * self._lease)
        missing = [name for name in intervals if periodic_key(name) not in known]
        late = [name for name, interval in intervals.items() if _is_late(known.get(periodic_key(name)), now, interval)]
        if not (missing or late or has_long_leases):
            return
        async with self._database.session() as session:
            jobs = JobRepository(session, self._clock)
            try:
                for name in missing:
                    await jobs.add_unless_known(self._periodic(name))
                for name in late:
                    await jobs.bring_forward(name, now + intervals[name])
                if has_long_leases:
                    await jobs.shorten_leases(now + self._lease)
            except DBAPIError as error:
                # InnoDB calls two workers that add the same rows a deadlock where such rows were deleted not long ago.
                if not is_deadlock(error):
                    raise
                logger.info("another worker keeps the schedule", error=describe(error))
                return
            await session.commit()  # commit: outside any request

    async def tidy(self, _run: JobRun) -> None:
        """Delete jobs done days ago and periodic kinds gone for weeks, and mark jobs of kinds that nobody knows."""
        deleted = _DELETED_AT_ONCE
        while deleted == _DELETED_AT_ONCE:
            async with self._database.session() as session:
                deleted = await JobRepository(session, self._clock).delete_done(KEEP_DONE, limit=_DELETED_AT_ONCE)
                await session.commit()  # commit: outside any request
        async with self._database.session() as session:
            jobs = JobRepository(session, self._clock)
            await jobs.delete_forgotten(_FORGOTTEN_AFTER)
            if unknown := await jobs.mark_unknown(self._kinds.keys(), _UNKNOWN_AFTER):
                logger.warning("jobs of unknown kinds wait", count=unknown)
            await session.commit()  # commit: outside any request

    def _periodic(self, name: str) -> Job:
        return Job(
            id=new_id(),
            kind=name,
            payload={},
            due_at=self._clock.now(),
            max_attempts=self._kinds[name].max_attempts,
            unique_key=periodic_key(name),
        )


def _is_late(row: Job | None, now: datetime, interval: timedelta) -> bool:
    """Whether a periodic kind waits longer than its interval: a clock was wrong, or the interval was longer once."""
    return row is not None and row.status is JobStatus.QUEUED and row.due_at is not None and row.due_at > now + interval
