"""Deleting conversations that have expired: temporary ones, those with a date, and those their owner has deleted."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.indexing import MessageIndex
from app.chat.models import Conversation
from app.chat.repository import ConversationRepository, MessageRepository, RetentionChoiceRepository
from app.core.clock import Clock
from app.db.engine import Database, Session
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

_CONVERSATIONS_AT_ONCE = 50
_MESSAGES_AT_ONCE = 1_000
_BATCHES = 100
_ACCOUNTS_AT_ONCE = 200


class Retention:
    """Prunes what nobody can see any more, as a periodic job; a transaction deletes a bounded number of rows."""

    PRUNE: ClassVar[str] = "chat.prune"
    RETAIN: ClassVar[str] = "chat.retain"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Have conversations expire every hour, and pruned every five minutes, by one worker of all."""
        jobs.register(self.PRUNE, self.prune)
        jobs.every(self.PRUNE, timedelta(minutes=5))
        jobs.register(self.RETAIN, self.retain)
        jobs.every(self.RETAIN, timedelta(hours=1))

    async def prune(self, run: JobRun) -> None:
        """Delete expired conversations batch by batch; what is left over waits for the next time."""
        for _ in range(_BATCHES):
            if not await self.prune_some():
                break
        async with run.finish():
            pass

    async def retain(self, run: JobRun) -> None:
        """Let conversations expire that rested for as long as their accounts prefer, one account a transaction."""
        after: UUID | None = None
        while True:
            async with self._database.session() as session:
                choices = await RetentionChoiceRepository(session, self._clock).after(after, _ACCOUNTS_AT_ONCE)
            for user_id, days in choices:
                if days is not None:
                    await self._expire(user_id, days)
            if len(choices) < _ACCOUNTS_AT_ONCE:
                break
            after = choices[-1][0]
        async with run.finish():
            pass

    async def _expire(self, user_id: UUID, days: int) -> None:
        async with self._database.session() as session:
            mine = ConversationRepository(session, self._clock).owned_by(Owner(user_id=user_id))
            await mine.expire_resting(self._clock.now() - timedelta(days=days))
            await session.commit()  # commit: outside any request

    async def prune_some(self) -> bool:
        """One batch, each conversation in a transaction of its own. False where nothing was left to do."""
        async with self._database.read_session() as session:
            expired = await ConversationRepository(session, self._clock).list_expired(_CONVERSATIONS_AT_ONCE)
        room = _MESSAGES_AT_ONCE
        for conversation in expired:
            async with self._database.session() as session:
                await self._prune(session, conversation, room)
                await session.commit()  # commit: outside any request
            room -= conversation.message_count
            if room <= 0:
                break
        return bool(expired)

    async def _prune(self, session: Session, conversation: Conversation, room: int) -> None:
        """Delete an expired conversation, or as many of its messages as there is room for, the last ones."""
        conversations = ConversationRepository(session, self._clock)
        messages = MessageRepository(session, self._clock)
        index = MessageIndex(session, self._clock)
        await conversations.hold(conversation.id)
        if await conversations.is_being_answered(conversation.id):
            return
        if conversation.message_count <= room:
            await index.forget(conversation.id)
            await conversations.delete(conversation.id)
        else:
            kept = conversation.message_count - room
            await index.forget_messages(conversation, await messages.ids_after(conversation.id, kept))
            await messages.delete_after(conversation.id, kept)
            await conversations.set_count(conversation.id, kept)
