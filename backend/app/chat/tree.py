"""Reading the tree of a conversation's messages."""

from typing import TypeVar
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import ConversationNotFoundError, MessageNotFoundError
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.types import TreeNode
from app.core.pagination import Page
from app.db.engine import Session

StoredT = TypeVar("StoredT", Message, TreeNode)


class MessageTree:
    """The messages of whoever calls."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._cursors = parts.cursors
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)

    async def get(self, owner: Owner, message_id: UUID) -> Message:
        """One message.

        Raises:
            MessageNotFoundError: in none of the owner's conversations.
        """
        message = await self._messages.get_of(owner, message_id)
        if message is None:
            raise MessageNotFoundError
        return message

    async def path(
        self, owner: Owner, conversation_id: UUID, *, leaf_id: UUID | None, limit: int, cursor: str | None
    ) -> Page[Message]:
        """The last messages on the way to a leaf, by default the active one, in reading order.

        The next page holds the messages before these. A page costs the same wherever it lies.

        Raises:
            ConversationNotFoundError: none of the owner's.
            MessageNotFoundError: the leaf is no message of it.
            InvalidCursorError: the cursor belongs to another conversation.
        """
        conversation = await self._require(owner, conversation_id)
        scope = f"messages {conversation_id}"
        wanted = leaf_id if cursor is None else _id_in(self._cursors.decode(scope, cursor))
        messages = await self._messages.path(conversation_id, wanted or conversation.active_leaf_id, limit)
        if wanted is not None and not messages:
            raise MessageNotFoundError
        above = messages[0].parent_id if messages else None
        return Page(items=messages, next_cursor=None if above is None else self._cursors.encode(scope, [above.hex]))

    async def tree(self, owner: Owner, conversation_id: UUID, *, limit: int, cursor: str | None) -> Page[TreeNode]:
        """All messages without their texts, in the order in which they were stored.

        Raises:
            ConversationNotFoundError: none of the owner's.
            InvalidCursorError: the cursor belongs to another conversation.
        """
        await self._require(owner, conversation_id)
        scope = f"tree {conversation_id}"
        after = 0 if cursor is None else _seq_in(self._cursors.decode(scope, cursor))
        nodes = await self._messages.tree(conversation_id, after_seq=after, limit=limit + 1)
        return self._page(scope, nodes, limit)

    async def siblings(self, owner: Owner, message_id: UUID, *, limit: int, cursor: str | None) -> Page[Message]:
        """The messages below the same parent, this one among them, in the order in which they were stored.

        Raises:
            MessageNotFoundError: in none of the owner's conversations.
            InvalidCursorError: the cursor belongs to another list.
        """
        message = await self.get(owner, message_id)
        scope = f"siblings {message.conversation_id} {message.parent_id}"
        after = 0 if cursor is None else _seq_in(self._cursors.decode(scope, cursor))
        found = await self._messages.siblings(message, after_seq=after, limit=limit + 1)
        return self._page(scope, found, limit)

    async def _require(self, owner: Owner, conversation_id: UUID) -> Conversation:
        conversation = await self._conversations.owned_by(owner).get(conversation_id)
        if conversation is None:
            raise ConversationNotFoundError
        return conversation

    def _page(self, scope: str, items: list[StoredT], limit: int) -> Page[StoredT]:
        """At most `limit` of the items, of which there is one more than that where another page follows."""
        if len(items) <= limit:
            return Page(items=items, next_cursor=None)
        return Page(items=items[:limit], next_cursor=self._cursors.encode(scope, [items[limit - 1].seq]))


def _id_in(position: list[str]) -> UUID:
    """The id in a cursor's position; the signature and the scope say that it is one."""
    (text,) = position
    return UUID(text)


def _seq_in(position: list[int]) -> int:
    (seq,) = position
    return seq
