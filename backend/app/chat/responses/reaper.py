"""Ends replies whose process has died, on whichever process finds them first."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from random import SystemRandom
from uuid import UUID

from app.chat.components import ChatComponents
from app.chat.responses.ending import Ending, Reply, ReplyEnder
from app.chat.responses.models import Response
from app.chat.responses.prompts import DEFAULT_MAX_TOKENS
from app.chat.responses.repository import AttemptRepository, EventRepository, ResponseRepository
from app.chat.responses.types import Attempt, AttemptStatus, ReplyErrorCode, UsageSource
from app.chat.types import MessageStatus
from app.chat.usage.types import TokenCounts
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Session
from app.llm.text import estimate_completion

_AT_ONCE = 50

logger = get_logger("chat.replies")
_random = SystemRandom()


class Reaper:
    """Looks every few seconds for replies whose leases have run out, and keeps what is there of them.

    A generator that is merely slow loses the reply at that moment: whatever it writes is fenced by its lease.
    """

    def __init__(self, parts: ChatComponents) -> None:
        self._database = parts.database
        self._parts = parts
        self._clock = parts.clock
        self._seconds = parts.settings.reply_sweep_seconds
        self._name = f"reaper:{secrets.token_hex(8)}"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at once, and then every few seconds; never where the interval is 0."""
        if self._seconds:
            self._task = asyncio.create_task(self._sweep_on(), name="reply-reaper")

    async def close(self) -> None:
        """Look no more."""
        await end_task(self._task)

    async def sweep(self) -> int:
        """End every reply whose lease has run out; the number of those that this call has ended."""
        count = 0
        async with self._database.read_session() as session:
            expired = await ResponseRepository(session, self._clock).list_expired(_AT_ONCE)
        for response_id in expired:
            async with self._database.session() as session:
                count += await self._end(session, response_id)
                await session.commit()  # commit: outside any request
        return count

    async def _end(self, session: Session, response_id: UUID) -> bool:
        response = await ResponseRepository(session, self._clock).seize(response_id, self._name)
        if response is None:
            return False
        await session.commit()  # commit: outside any request; its end holds other rows before this one
        text = await EventRepository(session).text(response_id)
        running = await AttemptRepository(session, self._clock).running(response_id)
        events = await ReplyEnder(session, self._parts).end(
            Reply.of(response),
            _ending(response, text, running, self._clock.now()),
            lease_owner=self._name,
            text=text,
            last_seq=response.last_event_seq,
        )
        logger.warning("reply of a dead process ended", response=str(response_id), length=len(text))
        return events is not None

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:  # the database may be away; the next time may find it
                logger.warning("replies not swept", error=f"{type(error).__name__}: {error}"[:500])
            await asyncio.sleep(self._seconds * _random.uniform(0.8, 1.0))


def _ending(response: Response, text: str, running: Sequence[Attempt], now: datetime) -> Ending:
    """A cancelled one is cancelled; of any other nobody knows how it would have ended.

    The provider was called, so the prompt and what came of the reply count as used.
    """
    is_cancelled = response.cancel_requested_at is not None
    completion = estimate_completion(len(text.encode()), response.params.get("max_tokens", DEFAULT_MAX_TOKENS))
    status = AttemptStatus.CANCELLED if is_cancelled else AttemptStatus.FAILED
    error = None if is_cancelled else ReplyErrorCode.INTERRUPTED
    return Ending(
        status=MessageStatus.CANCELLED if is_cancelled else MessageStatus.INCOMPLETE,
        error_code=error,
        model_used=response.model_used,
        provider=response.provider,
        tokens=TokenCounts(prompt=response.tokens_prompt or 0, completion=completion),
        usage_source=UsageSource.ESTIMATED,
        attempts=[replace(attempt, status=status, error=error, ended_at=now) for attempt in running],
    )
