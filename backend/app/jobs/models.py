"""The table of jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import EnumString, JsonDict, KeyString, SafeString
from app.jobs.errors import MAX_ERROR_LENGTH
from app.jobs.types import JobStatus

MAX_KIND_LENGTH = 64
MAX_UNIQUE_KEY_LENGTH = 128


class Job(IdMixin, Base):
    """Work to be done after the commit that asked for it.

    `due_at` is when a worker may take it: its time while it is queued, the end of its lease while it runs (its worker
    may have died), null once it is done or dead. `attempts` are those begun. `lease_owner` names the worker and this
    one taking, so that a worker that was overtaken cannot pass for its successor.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("unique_key"),
        Index(None, "status", "due_at", "kind"),
        Index(None, "created_at", "id"),
        Index(None, "status", "created_at", "id"),
        Index(None, "kind", "created_at", "id"),
        MYSQL_TABLE,
    )

    kind: Mapped[str] = mapped_column(KeyString(MAX_KIND_LENGTH))
    payload: Mapped[dict[str, Any]] = mapped_column(JsonDict)
    status: Mapped[JobStatus] = mapped_column(EnumString(JobStatus), default=JobStatus.QUEUED)
    due_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(KeyString(128))
    last_error: Mapped[str | None] = mapped_column(SafeString(MAX_ERROR_LENGTH))
    unique_key: Mapped[str | None] = mapped_column(KeyString(MAX_UNIQUE_KEY_LENGTH))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
