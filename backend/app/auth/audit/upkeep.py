"""The periodic job that tells the log where the audit trail ends."""

from datetime import timedelta
from typing import ClassVar

from app.auth.audit.repository import AuditHeadRepository
from app.auth.audit.types import Link
from app.core.clock import Clock
from app.core.logging import get_logger
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

logger = get_logger("audit")


class AuditAnchor:
    """Writes the last link to the log, once an hour over all workers.

    Whoever knows `SECRET_KEY` can rewrite the trail; logs that are kept elsewhere show it, because the link must still
    be there: `audit verify --after LINK`.
    """

    KIND: ClassVar[str] = "auth.audit_anchor"
    INTERVAL: ClassVar[timedelta] = timedelta(hours=1)

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Make the job known."""
        jobs.register(self.KIND, self.tell)
        jobs.every(self.KIND, self.INTERVAL)

    async def tell(self, _run: JobRun) -> None:
        """Carry the job out."""
        async with self._database.read_session() as session:
            head = await AuditHeadRepository(session, self._clock).get_head()
        if head is not None:
            logger.info("audit head", link=str(Link(head.sequence, head.mac)))
