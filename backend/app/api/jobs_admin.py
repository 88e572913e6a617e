"""Changing jobs with a record of who did it: the jobs know no accounts, so the two meet here."""

from uuid import UUID

from app.auth.audit.trail import AuditTrail
from app.auth.components import AuthComponents
from app.auth.types import AuditAction, Client
from app.db.engine import Session
from app.jobs.models import Job
from app.jobs.service import JobAdminService


class AuditedJobs:
    """What administrators change about jobs; each change is recorded in its transaction."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._jobs = JobAdminService(session, components.clock, components.jobs, components.cursors)
        self._audit = AuditTrail(session, components)

    async def requeue(self, job_id: UUID, client: Client, *, actor_id: UUID | None) -> Job:
        """See `JobAdminService.requeue`. `actor_id` is None where an operator does it on the command line."""
        job = await self._jobs.requeue(job_id)
        detail = {"job": str(job.id), "kind": job.kind}
        await self._audit.record(AuditAction.JOB_REQUEUED, client, user_id=None, actor_id=actor_id, detail=detail)
        return job
