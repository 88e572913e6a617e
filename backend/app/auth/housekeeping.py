"""Deleting the rows that nothing can meet any more."""

from datetime import timedelta
from typing import ClassVar

from app.auth.limits import LONGEST_WINDOW
from app.auth.one_time_tokens.repository import OneTimeTokenRepository
from app.auth.personal_tokens.repository import PersonalTokenRepository
from app.auth.repository import AuthSessionRepository, LoginThrottleRepository, RevocationRepository
from app.auth.service_accounts.repository import ServiceAccountSecretRepository
from app.core.clock import Clock
from app.db.engine import Database
from app.idempotency.service import prune as prune_idempotency_keys
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

_KEEP_EXPIRED_SESSIONS = timedelta(days=30)
_KEEP_EXPIRED_CREDENTIALS = timedelta(days=30)
_KEEP_EXPIRED_TOKENS = timedelta(days=7)


class Housekeeping:
    """Tidies the tables of the account package, as a periodic job."""

    KIND: ClassVar[str] = "auth.housekeeping"
    INTERVAL: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, database: Database, clock: Clock, *, keep_revocations: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep_revocations = keep_revocations

    def register(self, jobs: Jobs) -> None:
        """Have it done every ten minutes, by one worker of all."""
        jobs.register(self.KIND, self.tidy)
        jobs.every(self.KIND, self.INTERVAL)

    async def tidy(self, run: JobRun) -> None:
        """Delete old revocations, counts of failed logins, one-time tokens, and what expired a month ago.

        Before that, in transactions of their own because they may be many, idempotency keys.
        """
        await prune_idempotency_keys(self._database, self._clock)
        async with run.finish() as session:
            await RevocationRepository(session, self._clock).delete_older(self._keep_revocations)
            await AuthSessionRepository(session, self._clock).delete_expired(_KEEP_EXPIRED_SESSIONS)
            await LoginThrottleRepository(session, self._clock).delete_older(LONGEST_WINDOW)
            await OneTimeTokenRepository(session, self._clock).delete_expired(_KEEP_EXPIRED_TOKENS)
            await PersonalTokenRepository(session, self._clock).delete_expired(_KEEP_EXPIRED_CREDENTIALS)
            await ServiceAccountSecretRepository(session, self._clock).delete_expired(_KEEP_EXPIRED_CREDENTIALS)
