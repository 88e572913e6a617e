"""Saying what one thinks of a message."""

from collections.abc import Sequence
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import FeedbackNotFoundError, MessageNotFoundError
from app.chat.feedback.repository import FeedbackRepository
from app.chat.models import MessageFeedback
from app.chat.repository import ConversationRepository, MessageRepository
from app.db.engine import Session


class FeedbackService:
    """The opinions of an account of messages in its conversations, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._feedback = FeedbackRepository(session, parts.clock)

    async def get(self, user_id: UUID, message_id: UUID) -> MessageFeedback:
        """What the account thinks of a message.

        Raises:
            MessageNotFoundError: in none of its conversations.
            FeedbackNotFoundError: it has said nothing.
        """
        await self._require(user_id, message_id)
        found = await self._feedback.find(message_id, user_id)
        if found is None:
            raise FeedbackNotFoundError
        return found

    async def put(
        self, user_id: UUID, message_id: UUID, *, rating: int, tags: Sequence[str], comment: str | None
    ) -> MessageFeedback:
        """Say what the account thinks now, whatever it said before.

        Raises:
            MessageNotFoundError: in none of its conversations.
        """
        await self._conversations.hold_owner(Owner(user_id=user_id))
        await self._require(user_id, message_id)
        await self._feedback.put(message_id, user_id, rating=rating, tags=tags, comment=comment)
        return await self.get(user_id, message_id)

    async def delete(self, user_id: UUID, message_id: UUID) -> None:
        """Take back what the account said, if it said anything.

        Raises:
            MessageNotFoundError: in none of its conversations.
        """
        await self._require(user_id, message_id)
        await self._feedback.remove(message_id, user_id)

    async def _require(self, user_id: UUID, message_id: UUID) -> None:
        if await self._messages.get_of(Owner(user_id=user_id), message_id) is None:
            raise MessageNotFoundError
