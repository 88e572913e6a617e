"""Remembering when personal tokens were last used, without making anyone wait for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.auth.personal_tokens.repository import USE_NOTED_EVERY, PersonalTokenRepository
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database

_WRITE_EVERY_SECONDS = 5.0
_BATCH_SIZE = 200

logger = get_logger("auth.personal_tokens")


@dataclass(frozen=True, slots=True)
class _Use:
    at: datetime
    address: str | None


class TokenUsage:
    """Keeps last uses in memory and writes them by and by, each token's at most once a minute over all workers.

    Reading requests stay free of writes that way. A process that is killed forgets the uses of its last seconds.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._noted: dict[UUID, datetime] = {}
        self._pending: dict[UUID, _Use] = {}
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._run(), name="token-usage")

    async def close(self) -> None:
        """Write what is left, and stop."""
        await end_task(self._writer)
        await self._write_or_log()

    def note(self, token_id: UUID, address: str | None) -> None:
        """The token was used now, from a network address."""
        now = self._clock.now()
        noted_at = self._noted.get(token_id)
        if noted_at is None or now - noted_at >= USE_NOTED_EVERY:
            self._noted[token_id] = now
            self._pending[token_id] = _Use(now, address)

    async def write(self) -> None:
        """Write what has come together. What cannot be written stays for the next time."""
        pending, self._pending = self._pending, {}
        left = sorted(pending.items())  # workers that write the same rows take them in the same order
        try:
            while left:
                await self._write(left[:_BATCH_SIZE])
                del left[:_BATCH_SIZE]
        finally:
            self._pending = dict(left) | self._pending
        oldest = self._clock.now() - USE_NOTED_EVERY
        self._noted = {token_id: at for token_id, at in self._noted.items() if at > oldest}

    async def _write(self, uses: Sequence[tuple[UUID, _Use]]) -> None:
        async with self._database.session() as session:
            tokens = PersonalTokenRepository(session, self._clock)
            for token_id, use in uses:
                await tokens.note_use(token_id, use.at, use.address)
            await session.commit()  # commit: outside any request

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_SECONDS)
            await self._write_or_log()

    async def _write_or_log(self) -> None:
        try:
            await self.write()
        except Exception as error:  # the database may be away; the next time will do
            logger.warning("last uses of tokens are not written", error=type(error).__name__)
