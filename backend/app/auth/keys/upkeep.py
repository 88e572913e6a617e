"""The periodic job that advances the signing keys."""

from typing import TYPE_CHECKING

from app.auth.keys.service import KeyService
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

if TYPE_CHECKING:  # the components register this
    from app.auth.components import AuthComponents

KIND = "auth.keys"


class KeyUpkeep:
    """Publishes, activates and removes keys when their time has come, once an interval over all workers."""

    def __init__(self, components: "AuthComponents") -> None:
        self._parts = components

    def register(self, jobs: Jobs) -> None:
        """Make the job known; it is carried out wherever jobs are."""
        jobs.register(KIND, self.advance)
        jobs.every(KIND, self._parts.key_schedule.advance_every)

    async def advance(self, run: JobRun) -> None:
        """Carry the job out."""
        async with run.finish() as session:
            await KeyService(session, self._parts).advance()
