"""Jobs as administrators see them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.types import JobStatus


class JobRead(BaseModel):
    """A job, without what it was asked to do."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    status: JobStatus
    due_at: datetime | None = Field(
        description="When a worker may take it: its time while it is queued, the end of its lease while it runs."
    )
    attempts: int = Field(description="Attempts begun.")
    max_attempts: int = Field(description="Attempts after which it is given up.")
    lease_owner: str | None = Field(description="The worker that runs it.")
    last_error: str | None = Field(description="Why the last attempt failed.")
    unique_key: str | None = Field(description="No two jobs have the same; `every:...` marks periodic ones.")
    created_at: datetime
    finished_at: datetime | None = Field(description="When it was done or given up; of periodic ones, the last time.")


class JobDetailRead(JobRead):
    """A job with what it was asked to do, which may be personal data."""

    payload: dict[str, Any]
