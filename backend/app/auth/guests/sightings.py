"""Remembering when guests were last seen, without making anyone wait for it."""

import asyncio
from datetime import datetime
from uuid import UUID

from app.auth.guests.repository import SEEN_NOTED_EVERY, GuestRepository
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database

_WRITE_EVERY_SECONDS = 5.0
_BATCH_SIZE = 200

logger = get_logger("auth.guests")


class GuestSightings:
    """Keeps sightings in memory and writes them by and by, each guest's at most once an hour.

    Reading requests stay free of writes that way. A process that is killed forgets the sightings of its last seconds.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending: dict[UUID, datetime] = {}
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._run(), name="guest-sightings")

    async def close(self) -> None:
        """Write what is left, and stop."""
        await end_task(self._writer)
        await self._write_or_log()

    def note(self, guest_id: UUID, last_seen_at: datetime) -> None:
        """A guest is here now, whose row says when the time before was."""
        now = self._clock.now()
        if now - last_seen_at >= SEEN_NOTED_EVERY:
            self._pending[guest_id] = now

    async def write(self) -> None:
        """Write what has come together. What cannot be written is noted again at the guest's next request."""
        pending, self._pending = sorted(self._pending.items()), {}  # in one order over all workers
        for start in range(0, len(pending), _BATCH_SIZE):
            async with self._database.session() as session:
                guests = GuestRepository(session, self._clock)
                for guest_id, at in pending[start : start + _BATCH_SIZE]:
                    await guests.note_seen(guest_id, at)
                await session.commit()  # commit: outside any request

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_SECONDS)
            await self._write_or_log()

    async def _write_or_log(self) -> None:
        try:
            await self.write()
        except Exception as error:  # the database may be away; the next time will do
            logger.warning("sightings of guests are not written", error=type(error).__name__)
