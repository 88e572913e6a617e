"""Tidying what replies have left behind: reservations that nobody ended, and counters of windows long gone."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from app.auth.guests.claims import ClaimRegistry
from app.chat.usage.repository import UsageCounterRepository, UsageRecordRepository
from app.chat.usage.service import UsageService
from app.chat.usage.types import UsageParts
from app.db.engine import Session
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

_LONGEST_REPLY = timedelta(hours=1)
_KEEP_ENDED_WINDOWS = timedelta(days=1)
_AT_ONCE = 500


class UsageUpkeep:
    """Tidies the tables of use, as a periodic job."""

    KIND: ClassVar[str] = "chat.usage"
    INTERVAL: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, parts: UsageParts) -> None:
        self._parts = parts

    def register(self, jobs: Jobs, claims: ClaimRegistry) -> None:
        """Have it done every ten minutes by one worker of all, and let accounts take over what guests used."""
        jobs.register(self.KIND, self.tidy)
        jobs.every(self.KIND, self.INTERVAL)
        claims.register(self.KIND, self.claim)

    async def tidy(self, run: JobRun) -> None:
        """Release what replies have reserved that ended long ago, or whose conversation is gone."""
        clock = self._parts.clock
        async with self._parts.database.read_session() as session:
            abandoned = await UsageCounterRepository(session, clock).abandoned(_LONGEST_REPLY, _AT_ONCE)
        for response_id in abandoned:  # each for itself: those who ask for replies lock counters in one order too
            async with self._parts.database.session() as session:
                await UsageService(session, self._parts).release(response_id)
                await UsageCounterRepository(session, clock).forget(response_id)
                await session.commit()  # commit: outside any request
        async with run.finish() as session:
            await UsageCounterRepository(session, clock).delete_ended(_KEEP_ENDED_WINDOWS)

    async def claim(self, session: Session, guest_id: UUID, user_id: UUID) -> None:
        """Let an account have what a guest used. What both may use stays counted where it was."""
        await UsageRecordRepository(session, self._parts.clock).claim(guest_id, user_id)
