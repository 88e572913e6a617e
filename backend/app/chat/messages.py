"""Writing messages: what every way of adding one goes through."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageNotFoundError,
    MessageTooLargeError,
)
from app.chat.indexing import MessageIndex
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.titles import title_from
from app.chat.types import MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_CONVERSATION, MessageRole, MessageStatus
from app.core.clock import Clock
from app.core.ids import new_id
from app.db.engine import Session


class MessageWriter:
    """Appends to conversations and finishes replies, within one transaction.

    Appending costs the same however long the conversation is. Those who append to one conversation at once do so one
    after the other, from here to the end of their transactions.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self._clock = clock
        self._conversations = ConversationRepository(session, clock)
        self._messages = MessageRepository(session, clock)
        self._index = MessageIndex(session, clock)

    async def append(
        self,
        owner: Owner,
        conversation_id: UUID,
        *,
        parent_id: UUID | None,
        role: MessageRole,
        content: str,
        model: str | None = None,
        status: MessageStatus = MessageStatus.COMPLETE,
        edited_from_id: UUID | None = None,
        parts: Sequence[Mapping[str, Any]] | None = None,
        workspace_path: str | None = None,
        extra_data: Mapping[str, Any] | None = None,
        id: UUID | None = None,  # noqa: A002 - of the message to be
    ) -> Message:
        """Add a message below `parent_id`, or as a root where that is None; it becomes the active leaf.

        The first text of a person becomes the title of a conversation that never had one.

        Raises:
            ConversationNotFoundError: no such conversation of this owner.
            MessageNotFoundError: the parent is no message of this conversation.
            ConversationFullError, MessageTooLargeError: more than there may be.
        """
        if len(content.encode(errors="surrogatepass")) > MAX_MESSAGE_BYTES:
            raise MessageTooLargeError(f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
        message_id = id or new_id()
        mine = self._conversations.owned_by(owner)
        title = title_from(content) if role is MessageRole.USER else None
        if not await mine.take_in(conversation_id, message_id, parent_id, title):
            raise await self._refusal(mine, conversation_id)
        conversation = await mine.get(conversation_id)
        if conversation is None:  # pragma: no cover # the row is ours until the transaction ends
            raise ConversationNotFoundError
        message = Message(
            id=message_id,
            conversation_id=conversation_id,
            parent_id=parent_id,
            seq=conversation.message_count,
            role=role,
            content=content,
            parts=None if parts is None else [dict(part) for part in parts],
            model=model,
            status=status,
            edited_from_id=edited_from_id,
            workspace_path=workspace_path,
            extra_data=dict(extra_data or {}),
            created_at=conversation.last_message_at,
        )
        await self._messages.add(message)
        await self._index.put(conversation, [message])
        return message

    async def finish(
        self, conversation: Conversation, message_id: UUID, *, status: MessageStatus, content: str
    ) -> bool:
        """Store the text of a reply and how it ended. False where it has ended before, or is gone.

        The caller holds the conversation (`ConversationRepository.hold_with_owner`).
        """
        if not await self._messages.finish(message_id, status=status, content=content):
            return False
        finished = await self._messages.list_by_ids(conversation.id, [message_id])
        await self._index.put(conversation, finished)
        return True

    @staticmethod
    async def _refusal(
        mine: ConversationRepository, conversation_id: UUID
    ) -> ConversationNotFoundError | ConversationFullError | MessageNotFoundError:
        conversation: Conversation | None = await mine.get(conversation_id)
        if conversation is None:
            return ConversationNotFoundError()
        if conversation.message_count >= MAX_MESSAGES_PER_CONVERSATION:
            return ConversationFullError(f"At most {MAX_MESSAGES_PER_CONVERSATION} messages.")
        return MessageNotFoundError()
