"""Deleting guests who do not come back."""

from datetime import timedelta
from typing import ClassVar

from app.auth.guests.components import GuestComponents
from app.auth.guests.repository import GuestRepository
from app.core.clock import Clock
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

_BATCH_SIZE = 100
_BATCHES = 50


class GuestUpkeep:
    """Prunes idle guests, claimed ones among them, as a periodic job."""

    KIND: ClassVar[str] = "guests.prune"
    INTERVAL: ClassVar[timedelta] = timedelta(hours=1)

    def __init__(self, guests: GuestComponents, database: Database, clock: Clock) -> None:
        self._parts = guests
        self._database = database
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Have it done every hour, by one worker of all."""
        jobs.register(self.KIND, self.prune)
        jobs.every(self.KIND, self.INTERVAL)

    async def prune(self, run: JobRun) -> None:
        """Delete guests with all that they own, a hundred a transaction; what is left over waits for the next time."""
        for _ in range(_BATCHES):
            if not await self._prune_some():
                break
        async with run.finish():
            pass

    async def _prune_some(self) -> int:
        unseen_since = self._parts.unseen_since
        async with self._database.session() as session:
            guests = GuestRepository(session, self._clock)
            ids = await guests.idle_ids(unseen_since, _BATCH_SIZE)
            if ids:
                await guests.delete_idle(ids, unseen_since)
                await session.commit()  # commit: outside any request
            return len(ids)
