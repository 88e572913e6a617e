"""The SQL of feedback."""

from collections.abc import Sequence
from uuid import UUID

from app.chat.models import MessageFeedback
from app.db.repository import BaseRepository
from app.db.upsert import insert_or_replace

_KEY = ("message_id", "user_id")
_REPLACED = ("rating", "tags", "comment", "updated_at")


class FeedbackRepository(BaseRepository[MessageFeedback]):
    """What accounts think of messages; one opinion a person and message."""

    model = MessageFeedback

    async def find(self, message_id: UUID, user_id: UUID) -> MessageFeedback | None:
        """An account's opinion of a message."""
        found = await self.list_(MessageFeedback.message_id == message_id, MessageFeedback.user_id == user_id, limit=1)
        return found[0] if found else None

    async def put(
        self, message_id: UUID, user_id: UUID, *, rating: int, tags: Sequence[str], comment: str | None
    ) -> None:
        """Write an opinion, in place of the one that is there."""
        row = {
            "message_id": message_id,
            "user_id": user_id,
            "rating": rating,
            "tags": list(tags),
            "comment": comment,
            "created_at": self.clock.now(),
            "updated_at": self.clock.now(),
        }
        await self.session.change(insert_or_replace(self.session, MessageFeedback, _KEY, _REPLACED), row)

    async def remove(self, message_id: UUID, user_id: UUID) -> bool:
        """Delete an opinion. False where there is none."""
        return bool(
            await self.delete_where(MessageFeedback.message_id == message_id, MessageFeedback.user_id == user_id)
        )
