"""Deleting the rows that nothing can meet any more."""

import asyncio
from datetime import timedelta

from app.auth.limits import LONGEST_WINDOW
from app.auth.repository import AuthSessionRepository, LoginThrottleRepository, RevocationRepository
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database

_EVERY_SECONDS = 600.0
_KEEP_EXPIRED_SESSIONS = timedelta(days=30)

logger = get_logger("auth.housekeeping")


class Housekeeping:
    """Tidies the tables of the account package every ten minutes. Workers that do it at once do no harm."""

    def __init__(self, database: Database, clock: Clock, *, keep_revocations: timedelta) -> None:
        self._database = database
        self._keep_revocations = keep_revocations
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; the first time is ten minutes from now."""
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def close(self) -> None:
        """Stop."""
        await end_task(self._task)

    async def tidy(self) -> None:
        """Delete old revocations, counts of failed logins, and sessions that expired a month ago."""
        async with self._database.session() as session:
            await RevocationRepository(session, self._clock).delete_older(self._keep_revocations)
            await AuthSessionRepository(session, self._clock).delete_expired(_KEEP_EXPIRED_SESSIONS)
            await LoginThrottleRepository(session, self._clock).delete_older(LONGEST_WINDOW)
            await session.commit()  # commit: outside any request

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.tidy()
            except Exception as error:  # the database may be away; the next time will do
                logger.warning("housekeeping failed", error=type(error).__name__)
