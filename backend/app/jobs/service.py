"""The table of jobs, as administrators see and change it."""

from uuid import UUID

from app.core.clock import Clock
from app.core.pagination import CursorCodec, Page
from app.db.engine import Session
from app.jobs.errors import JobNotFoundError, JobNotWaitingError
from app.jobs.models import Job
from app.jobs.queue import Jobs
from app.jobs.repository import JobRepository
from app.jobs.types import JobStatus

_NEWEST_FIRST = "-created_at"


class JobAdminService:
    """Every job, for administrators."""

    def __init__(self, session: Session, clock: Clock, jobs: Jobs, cursors: CursorCodec) -> None:
        self._session = session
        self._jobs = jobs
        self._cursors = cursors
        self._rows = JobRepository(session, clock)

    async def list_(self, *, status: JobStatus | None, kind: str | None, limit: int, cursor: str | None) -> Page[Job]:
        """One page of jobs, the newest first.

        Raises:
            InvalidCursorError: the cursor is not one of this list.
        """
        wanted = {Job.status: status, Job.kind: kind}
        where = [column == value for column, value in wanted.items() if value is not None]
        scope = f"jobs {_NEWEST_FIRST}"
        after = None if cursor is None else self._cursors.decode(scope, cursor)
        items, position = await self._rows.page(*where, sort=_NEWEST_FIRST, limit=limit, after=after)
        return Page(items=items, next_cursor=None if position is None else self._cursors.encode(scope, position))

    async def get(self, job_id: UUID) -> Job:
        """One job.

        Raises:
            JobNotFoundError: there is none, or it was done some time ago.
        """
        job = await self._rows.get(job_id)
        if job is None:
            raise JobNotFoundError
        return job

    async def requeue(self, job_id: UUID) -> Job:
        """Let a dead job begin anew, or one that waits for a later time run now.

        Raises:
            JobNotFoundError: see `get`.
            JobNotWaitingError: it is running or done.
        """
        if not await self._rows.requeue(job_id):
            await self.get(job_id)
            raise JobNotWaitingError
        self._jobs.wake_after(self._session)
        return await self.get(job_id)
