"""The SQL of the job system."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, select, union_all

from app.db.repository import BaseRepository, Values
from app.db.upsert import insert_if_new
from app.jobs.models import Job
from app.jobs.types import JobHealth, JobStatus, TakenJob

PERIODIC_PREFIX = "every:"
"""What the unique keys of the rows of periodic kinds begin with; nobody else's may."""

_TAKEABLE = (JobStatus.RUNNING, JobStatus.QUEUED)
_UNKNOWN_KIND = "no worker knows this kind of job"


class JobRepository(BaseRepository[Job]):
    """Jobs. What a worker changes, it changes only while it holds the lease."""

    model = Job
    sorts: ClassVar = {"created_at": Job.created_at}

    async def add_unless_known(self, job: Job) -> bool:
        """Insert a job. False where another one has its unique key."""
        if job.unique_key is None:
            await self.add(job)
            return True
        given = {column.key: getattr(job, column.key) for column in Job.__table__.c}
        values = {"created_at": self.clock.now()} | {key: value for key, value in given.items() if value is not None}
        return bool(await self.session.change(insert_if_new(self.session, Job), values))

    async def next_due(self, kinds: Collection[str]) -> datetime | None:
        """When the next job of these kinds may be taken: a moment that has passed if one waits."""
        [(due_at,)] = await self.session.rows(_next_due(tuple(kinds)))
        return due_at  # type: ignore[no-any-return] # the column's type says datetime

    async def health(self) -> JobHealth:
        """How the jobs of all kinds are doing, whether this process knows them or not."""
        now = self.clock.now()
        is_due = (Job.status.in_(_TAKEABLE), Job.due_at <= now)
        figures: tuple[Any, ...] = (func.count(), func.min(Job.due_at))
        [row] = await self.session.rows(select(*figures).where(*is_due))
        count, since = tuple(row)
        dead = await self.count(Job.status == JobStatus.DEAD)
        return JobHealth(count, 0.0 if since is None else (now - since).total_seconds(), dead)

    async def take(
        self, intervals: Mapping[str, timedelta | None], lease_owner: str, lease: timedelta, *, limit: int
    ) -> list[TakenJob]:
        """Take due jobs of the kinds that `intervals` names; passes over what others take at this moment.

        Those whose worker has died come first, then the longest due: a long queue must not make the former wait twice.
        """
        now = self.clock.now()
        columns = (Job.id, Job.kind, Job.payload, Job.attempts, Job.max_attempts, Job.unique_key)
        rows: list[Row[Any]] = []
        for status in _TAKEABLE:  # one after the other, because each is a walk along an index that locks little else
            statement = select(*columns).where(_has(status, intervals), Job.due_at <= now).order_by(Job.due_at)
            rows += await self.session.rows(statement.limit(limit - len(rows)).with_for_update(skip_locked=True))
            if len(rows) == limit:
                break
        if not rows:
            return []
        values: Values = {
            Job.status: JobStatus.RUNNING,
            Job.attempts: Job.attempts + 1,
            Job.lease_owner: lease_owner,
            Job.due_at: now + lease,
        }
        await self.update_where(Job.id.in_([row.id for row in rows]), values=values)
        return [
            TakenJob(
                id=row.id,
                kind=row.kind,
                payload=row.payload,
                attempt=row.attempts + 1,
                max_attempts=row.max_attempts,
                lease=lease_owner,
                taken_at=now,
                interval=intervals[row.kind] if row.unique_key == periodic_key(row.kind) else None,
            )
            for row in rows
        ]

    async def renew(self, job: TakenJob, lease: timedelta) -> bool:
        """Prolong a lease from now on. False where it is lost."""
        return await self._update_taken(job, {Job.due_at: self.clock.now() + lease})

    async def complete(self, job: TakenJob) -> bool:
        """Mark a job as done. False where its lease is lost."""
        if job.interval is not None:
            return await self._await_next_time(job, job.interval, last_error=None)
        return await self._finish(job, JobStatus.DONE, last_error=None)

    async def retry(self, job: TakenJob, due_at: datetime, last_error: str) -> bool:
        """Let a failed job be taken again at `due_at`. False where its lease is lost."""
        return await self._requeue_taken(job, {Job.due_at: due_at, Job.last_error: last_error})

    async def bury(self, job: TakenJob, last_error: str) -> bool:
        """Give a job up; a periodic one until its next time. False where its lease is lost."""
        if job.interval is not None:
            return await self._await_next_time(job, job.interval, last_error=last_error)
        return await self._finish(job, JobStatus.DEAD, last_error=last_error)

    async def give_back(self, job: TakenJob) -> bool:
        """Let another worker begin it anew, as if it had not been taken. False where its lease is lost."""
        return await self._requeue_taken(job, {Job.due_at: self.clock.now(), Job.attempts: job.attempt - 1})

    async def requeue(self, job_id: UUID) -> bool:
        """Let a dead job begin anew, or a queued one run now. False where it is neither, or not there."""
        values: Values = {
            Job.status: JobStatus.QUEUED,
            Job.due_at: self.clock.now(),
            Job.attempts: 0,
            Job.finished_at: None,
        }
        is_waiting = Job.status.in_((JobStatus.DEAD, JobStatus.QUEUED))
        return bool(await self.update_where(Job.id == job_id, is_waiting, values=values))

    async def delete_done(self, ago: timedelta, *, limit: int) -> int:
        """Delete at most `limit` jobs that were done some time ago; the number of those."""
        before = self.clock.now() - ago
        # `created_at` is what the index knows; it cannot be the later one.
        where = (Job.status == JobStatus.DONE, Job.created_at < before, Job.finished_at < before)
        rows = await self.session.rows(select(Job.id).where(*where).order_by(Job.created_at).limit(limit))
        return await self.delete_where(Job.id.in_([row.id for row in rows])) if rows else 0

    async def delete_forgotten(self, ago: timedelta) -> int:
        """Delete the rows of periodic kinds that have been due for so long that nobody knows them any more."""
        is_periodic = Job.unique_key.startswith(PERIODIC_PREFIX, autoescape=True)
        where = (Job.status == JobStatus.QUEUED, Job.due_at < self.clock.now() - ago, is_periodic)
        return await self.delete_where(*where)

    async def mark_unknown(self, kinds: Collection[str], ago: timedelta) -> int:
        """Say so on jobs that have waited for a while because their kinds are not among these; the number of those."""
        is_overdue = and_(Job.status == JobStatus.QUEUED, Job.due_at < self.clock.now() - ago)
        where = (is_overdue, Job.kind.not_in(kinds), Job.last_error.is_(None))
        return await self.update_where(*where, values={Job.last_error: _UNKNOWN_KIND})

    async def list_periodic(self, kinds: Collection[str]) -> list[Job]:
        """The rows of periodic kinds."""
        return await self.list_(Job.unique_key.in_([periodic_key(kind) for kind in kinds]))

    async def bring_forward(self, kind: str, latest: datetime) -> int:
        """Let a periodic kind be due at `latest`, where its time is even later."""
        where = (Job.unique_key == periodic_key(kind), Job.status == JobStatus.QUEUED, Job.due_at > latest)
        return await self.update_where(*where, values={Job.due_at: latest})

    async def has_leases_beyond(self, latest: datetime) -> bool:
        """Whether a lease ends later than any can that was given by today's clock."""
        return await self.exists(*_leases_beyond(latest))

    async def shorten_leases(self, latest: datetime) -> int:
        """Let such leases end at `latest`."""
        return await self.update_where(*_leases_beyond(latest), values={Job.due_at: latest})

    async def _await_next_time(self, job: TakenJob, interval: timedelta, *, last_error: str | None) -> bool:
        now = self.clock.now()
        values: Values = {
            Job.due_at: max(now, job.taken_at + interval),
            Job.attempts: 0,
            Job.last_error: last_error,
            Job.finished_at: now,
        }
        return await self._requeue_taken(job, values)

    async def _requeue_taken(self, job: TakenJob, values: Values) -> bool:
        return await self._update_taken(job, {Job.status: JobStatus.QUEUED, Job.lease_owner: None, **values})

    async def _finish(self, job: TakenJob, status: JobStatus, *, last_error: str | None) -> bool:
        values: Values = {
            Job.status: status,
            Job.due_at: None,
            Job.attempts: min(job.attempt, job.max_attempts),
            Job.lease_owner: None,
            Job.last_error: last_error,
            Job.finished_at: self.clock.now(),
        }
        return await self._update_taken(job, values)

    async def _update_taken(self, job: TakenJob, values: Mapping[Any, Any]) -> bool:
        """The fence: nothing is changed by a worker whose lease another one has."""
        holds_lease: Sequence[ColumnElement[bool]] = (
            Job.id == job.id,
            Job.status == JobStatus.RUNNING,
            Job.lease_owner == job.lease,
            Job.attempts == job.attempt,
        )
        return bool(await self.update_where(*holds_lease, values=values))


def periodic_key(kind: str) -> str:
    """The unique key of the one row of a periodic kind."""
    return f"{PERIODIC_PREFIX}{kind}"


@lru_cache(8)
def _next_due(kinds: tuple[str, ...]) -> Select[Any]:
    # Idle workers ask once a second: to put the statement together each time would be most of what they do.
    first = [
        select(Job.due_at).where(_has(status, kinds)).order_by(Job.due_at).limit(1).subquery() for status in _TAKEABLE
    ]
    both = union_all(*(select(one.c.due_at) for one in first)).subquery()
    return select(func.min(both.c.due_at))


def _has(status: JobStatus, kinds: Collection[str]) -> ColumnElement[bool]:
    return and_(Job.status == status, Job.kind.in_(kinds))


def _leases_beyond(latest: datetime) -> tuple[ColumnElement[bool], ...]:
    return Job.status == JobStatus.RUNNING, Job.due_at > latest
