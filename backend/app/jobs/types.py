"""Enums and values of the job system."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class JobStatus(StrEnum):
    """The life of a job. A failed attempt leads back to `queued`, the last one to `dead`."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class JobHealth:
    """How the jobs are doing: how many could be taken now, for how long the first of them has waited, how many died."""

    due: int
    oldest_due_seconds: float
    dead: int


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that a worker holds a lease on. `lease` is the secret of this one taking; `attempt` counts from 1.

    `interval` is set on the one row of a periodic kind: instead of being done, it waits for its next time.
    """

    id: UUID
    kind: str
    payload: dict[str, Any]
    attempt: int
    max_attempts: int
    lease: str
    taken_at: datetime
    interval: timedelta | None = None

    @property
    def is_last_attempt(self) -> bool:
        """Whether a further failure ends it."""
        return self.attempt >= self.max_attempts
