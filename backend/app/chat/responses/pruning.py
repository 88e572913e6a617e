"""Deletes the events of replies that ended long ago: the message has their text."""

from datetime import timedelta

from app.chat.responses.repository import EventRepository, ResponseRepository
from app.core.clock import Clock
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

PRUNE = "chat.prune_events"
_INTERVAL = timedelta(hours=1)
_REPLIES_AT_ONCE = 200


class EventPruning:
    """The job that does it, once an hour over all workers."""

    def __init__(self, database: Database, clock: Clock, *, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    def register(self, jobs: Jobs) -> None:
        """Make the job known."""
        jobs.register(PRUNE, self.run)
        jobs.every(PRUNE, _INTERVAL)

    async def run(self, _run: JobRun) -> None:
        """Delete the events of all replies that have ended long enough ago, some at a time."""
        count = _REPLIES_AT_ONCE
        while count == _REPLIES_AT_ONCE:
            async with self._database.session() as session:
                before = self._clock.now() - self._keep
                ended = await ResponseRepository(session, self._clock).list_prunable(before, _REPLIES_AT_ONCE)
                count = len(ended)
                if ended:
                    await EventRepository(session).delete_of(ended)
                await session.commit()  # commit: outside any request
