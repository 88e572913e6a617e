"""Counting how often links are opened, without making anyone wait for it."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from app.chat.sharing.repository import ShareRepository
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

_WRITE_EVERY_SECONDS = 5.0
_BATCH_SIZE = 200

logger = get_logger("chat.sharing")


class ShareViews:
    """Keeps counts in memory and adds them to the rows by and by, each by one atomic statement.

    A process that is killed forgets the views of its last seconds.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending: Counter[UUID] = Counter()
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._run(), name="share-views")

    async def close(self) -> None:
        """Write what is left, and stop."""
        await end_task(self._writer)
        await self._write_or_log()

    def note(self, share_id: UUID) -> None:
        """A link was opened."""
        self._pending[share_id] += 1

    async def write(self) -> None:
        """Write what has come together. What cannot be written stays for the next time."""
        pending, self._pending = self._pending, Counter()
        left = sorted(pending.items())  # workers that write the same rows take them in the same order
        try:
            while left:
                await self._write(left[:_BATCH_SIZE])
                del left[:_BATCH_SIZE]
        finally:
            self._pending.update(dict(left))

    async def _write(self, counts: list[tuple[UUID, int]]) -> None:
        async with self._database.session() as session:
            shares = ShareRepository(session, self._clock)
            for share_id, count in counts:
                await shares.add_views(share_id, count)
            await session.commit()  # commit: outside any request

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_SECONDS)
            await self._write_or_log()

    async def _write_or_log(self) -> None:
        try:
            await self.write()
        except Exception as error:  # the database may be away; the next time will do
            logger.warning("views of links are not written", error=type(error).__name__)


class ShareUpkeep:
    """Forgets links that have ended, as a periodic job."""

    KIND: ClassVar[str] = "chat.shares"
    INTERVAL: ClassVar[timedelta] = timedelta(hours=1)
    KEEP: ClassVar[timedelta] = timedelta(days=30)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Have it done every hour, by one worker of all."""
        jobs.register(self.KIND, self.tidy)
        jobs.every(self.KIND, self.INTERVAL)

    async def tidy(self, run: JobRun) -> None:
        """Delete links that ended a month ago; until then their owners are told that they have."""
        async with run.finish() as session:
            await ShareRepository(session, self._clock).delete_ended(self.KEEP)
