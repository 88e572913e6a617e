"""Letting messages be found: each is a document of its own, which goes with its conversation."""

from collections.abc import Collection, Iterable
from typing import ClassVar
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.types import UNFINISHED, MessageRole
from app.core.clock import Clock
from app.db.engine import Database, Session
from app.jobs.queue import Jobs
from app.jobs.run import JobRun
from app.search.service import SearchIndex
from app.search.types import Document, Target

SEARCH_DOMAIN = "chat"
MESSAGE_TARGET = "message"
_FOUND_ROLES = frozenset({MessageRole.USER, MessageRole.ASSISTANT})
_INDEXED_AT_ONCE = 20  # long ones take two seconds to read, in which nobody else writes to SQLite


class MessageIndex:
    """The index of messages within one transaction. What is said in temporary conversations is not in it."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._index = SearchIndex(SEARCH_DOMAIN, clock)

    async def put(self, conversation: Conversation, messages: Iterable[Message]) -> None:
        """Let finished messages of a conversation be found by its owner."""
        if conversation.is_temporary:
            return
        owner = Owner(user_id=conversation.user_id, guest_id=conversation.guest_id)
        documents = [_document(message) for message in messages if _is_found(message)]
        if documents:
            await self._index.put_many(self._session, owner, documents)

    async def forget(self, conversation_id: UUID) -> None:
        """Let no message of a conversation be found any longer."""
        await self._index.delete_groups(self._session, [conversation_id])

    async def forget_messages(self, conversation: Conversation, message_ids: Collection[UUID]) -> None:
        """Let these messages be found no longer."""
        owner = Owner(user_id=conversation.user_id, guest_id=conversation.guest_id)
        targets = [Target(MESSAGE_TARGET, message_id) for message_id in message_ids]
        await self._index.delete(self._session, owner, targets)

    async def hand_over(self, guest: Owner, account: Owner) -> None:
        """Let an account find what a guest found."""
        await self._index.change_owner(self._session, guest, account)


def _is_found(message: Message) -> bool:
    return message.role in _FOUND_ROLES and message.status not in UNFINISHED and bool(message.content.strip())


def _document(message: Message) -> Document:
    return Document(Target(MESSAGE_TARGET, message.id), message.content, group_id=message.conversation_id)


class LateIndexing:
    """Indexes the messages of a conversation that came into being at once, as a job."""

    KIND: ClassVar[str] = "chat.index"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Make it known; its payload names the conversation."""
        jobs.register(self.KIND, self.index)

    @classmethod
    async def ask(cls, session: Session, jobs: Jobs, conversation_id: UUID) -> None:
        """Have it done once the caller's transaction is committed."""
        await jobs.enqueue(session, cls.KIND, {"conversation_id": str(conversation_id)})

    async def index(self, run: JobRun) -> None:
        """Index all messages, some a transaction; to repeat it changes nothing."""
        conversation_id = UUID(run.payload["conversation_id"])
        after: int | None = 0
        while after is not None:
            after = await self._index_some(conversation_id, after)
        async with run.finish():
            pass

    async def _index_some(self, conversation_id: UUID, after: int) -> int | None:
        """Index the messages that follow a `seq`; the last one's, or None where no more follow."""
        async with self._database.session() as session:
            conversation = await ConversationRepository(session, self._clock).hold_with_owner(conversation_id)
            messages = await MessageRepository(session, self._clock).following(conversation_id, after, _INDEXED_AT_ONCE)
            if conversation is not None:
                await MessageIndex(session, self._clock).put(conversation, messages)
            await session.commit()  # commit: outside any request
        return messages[-1].seq if len(messages) == _INDEXED_AT_ONCE else None
