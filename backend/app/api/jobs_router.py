"""`/admin/jobs`: background jobs, for administrators."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request

from app.api.jobs_admin import AuditedJobs
from app.auth.bearer import require
from app.auth.dependencies import ClientDep
from app.auth.permissions import JOBS_READ, JOBS_WRITE
from app.auth.types import Principal
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.core.text import SafeLine
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.db.session import SessionDep
from app.jobs.errors import JobNotFoundError, JobNotWaitingError
from app.jobs.models import MAX_KIND_LENGTH, Job
from app.jobs.schemas import JobDetailRead, JobRead
from app.jobs.service import JobAdminService
from app.jobs.types import JobStatus
from app.routing import api_router

router = api_router("/admin/jobs", tags=["admin"])

JobsReader = Annotated[Principal, require(JOBS_READ)]
JobsWriter = Annotated[Principal, require(JOBS_WRITE)]


async def get_jobs(request: Request, session: SessionDep) -> JobAdminService:
    """The service of this request."""
    parts = request.app.state.merit
    return JobAdminService(session, parts.clock, parts.jobs, parts.auth.cursors)


async def get_audited_jobs(request: Request, session: SessionDep) -> AuditedJobs:
    """The service of this request, for changes."""
    return AuditedJobs(session, request.app.state.merit.auth)


JobAdminServiceDep = Annotated[JobAdminService, Depends(get_jobs)]
AuditedJobsDep = Annotated[AuditedJobs, Depends(get_audited_jobs)]


@router.get("", response_model=PageRead[JobRead], summary="List jobs")
async def list_jobs(
    _actor: JobsReader,
    jobs: JobAdminServiceDep,
    status: JobStatus | None = None,
    kind: Annotated[SafeLine | None, Query(max_length=MAX_KIND_LENGTH, description="Such as `auth.mail`.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Job]:
    """The newest first, those that meet all the filters given; without their payloads."""
    return await jobs.list_(status=status, kind=kind, limit=limit, cursor=cursor)


@router.get("/{job_id}", response_model=JobDetailRead, summary="Get a job", responses=error_responses(JobNotFoundError))
async def get_job(job_id: UUID, _actor: JobsReader, jobs: JobAdminServiceDep) -> Job:
    """One job with its payload. Jobs that are done are deleted after some days; those given up stay."""
    return await jobs.get(job_id)


@router.post(
    "/{job_id}/requeue",
    response_model=JobRead,
    summary="Run a job again",
    responses=error_responses(JobNotFoundError, JobNotWaitingError),
)
async def requeue_job(job_id: UUID, actor: JobsWriter, jobs: AuditedJobsDep, client: ClientDep) -> Job:
    """Let a job that was given up begin anew with all its attempts, or one that waits for a later time run now."""
    return await jobs.requeue(job_id, client, actor_id=actor.user_id)
