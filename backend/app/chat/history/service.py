"""DuilioCode's `save_message` and `get_conversation_history`."""

from collections.abc import Mapping
from typing import Any

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import ConversationNotFoundError
from app.chat.history.types import HistoryMessage
from app.chat.messages import MessageWriter
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.service import ConversationService, NewConversation
from app.chat.types import MessageRole
from app.db.engine import Session


class HistoryService:
    """Messages by the id of a client's session, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._service = ConversationService(session, parts)
        self._writer = MessageWriter(session, parts.clock)

    async def save_message(
        self,
        owner: Owner,
        session_id: str,
        *,
        role: MessageRole,
        content: str,
        model: str | None,
        workspace_path: str | None,
        extra_data: Mapping[str, Any],
    ) -> HistoryMessage:
        """Append a message to the conversation of a session, which is made if there is none.

        Without a `workspace_path` it is where the session worked last.

        Raises:
            TooManyConversationsError, ConversationFullError, MessageTooLargeError: more than there may be.
        """
        conversation = await self._held(owner, session_id, model, workspace_path)
        message = await self._writer.append(
            owner,
            conversation.id,
            parent_id=conversation.active_leaf_id,
            role=role,
            content=content,
            model=model,
            workspace_path=conversation.workspace_path,
            extra_data=extra_data,
        )
        return _view(conversation, message)

    async def recent(self, owner: Owner, session_id: str, limit: int) -> list[HistoryMessage]:
        """The last messages of a session, the oldest of them first.

        Raises:
            ConversationNotFoundError: the session has no conversation of this owner.
        """
        conversation = await self._conversations.owned_by(owner).of_session(session_id)
        if conversation is None:
            raise ConversationNotFoundError
        messages = await self._messages.path(conversation.id, conversation.active_leaf_id, limit)
        return [_view(conversation, message) for message in messages]

    async def _held(self, owner: Owner, session_id: str, model: str | None, workspace_path: str | None) -> Conversation:
        """The conversation of a session, to which nobody else appends before the transaction ends."""
        mine = self._conversations.owned_by(owner)
        changes = {} if workspace_path is None else {Conversation.workspace_path: workspace_path}
        await self._conversations.hold_owner(owner)  # whoever makes it at this moment is waited for
        if not await mine.hold_session(session_id, changes):
            new = NewConversation(default_model=model, workspace_path=workspace_path, client_session_id=session_id)
            await self._service.create(owner, new)
        conversation = await mine.of_session(session_id)
        if conversation is None:  # pragma: no cover # it is held
            raise ConversationNotFoundError
        return conversation


def _view(conversation: Conversation, message: Message) -> HistoryMessage:
    return HistoryMessage(
        id=message.id,
        conversation_id=message.conversation_id,
        session_id=conversation.client_session_id or "",
        role=message.role,
        content=message.content,
        model=message.model,
        workspace_path=message.workspace_path or conversation.workspace_path,
        extra_data=message.extra_data,
        created_at=message.created_at,
    )
