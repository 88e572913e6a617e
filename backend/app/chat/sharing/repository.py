"""The SQL of links to conversations."""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import and_, select

from app.auth.models import User
from app.chat.models import Conversation
from app.chat.repository import lives
from app.chat.sharing.models import ConversationShare
from app.chat.sharing.types import OpenShare
from app.db.repository import OwnedRepository


class ShareRepository(OwnedRepository[ConversationShare]):
    """Links to conversations."""

    model = ConversationShare
    sorts: ClassVar = {"created_at": ConversationShare.created_at}

    async def open_(self, share_id: UUID) -> OpenShare | None:
        """A link, and what its conversation says now: one statement.

        It is reachable while neither it nor the conversation has ended and the account is active.
        """
        now = self.clock.now()
        share = ConversationShare
        not_ended = (share.expires_at.is_(None)) | (share.expires_at > now)
        reachable = and_(not_ended, lives(now), User.is_active.is_(True))
        statement: Any = (
            select(
                share.id,
                share.user_id,
                share.conversation_id,
                share.token_hash,
                share.password_hash,
                share.mode,
                share.leaf_message_id,
                share.title,
                share.created_at,
                share.expires_at,
                Conversation.active_leaf_id,
                Conversation.title.label("live_title"),
                reachable.label("is_reachable"),
            )
            .join(Conversation, Conversation.id == share.conversation_id)
            .join(User, User.id == share.user_id)
            .where(share.id == share_id)
        )
        rows = await self.session.rows(statement)
        return OpenShare(**{**rows[0]._mapping, "is_reachable": bool(rows[0].is_reachable)}) if rows else None

    async def end(self, share_id: UUID) -> bool:
        """Revoke a link. False where there is none that is alive."""
        now = self.clock.now()
        values = {ConversationShare.revoked_at: now, ConversationShare.expires_at: now}
        return bool(
            await self.update_where(
                ConversationShare.id == share_id, ConversationShare.revoked_at.is_(None), values=values
            )
        )

    async def add_views(self, share_id: UUID, count: int) -> None:
        """Count that a link was opened so often."""
        await self.update_where(
            ConversationShare.id == share_id,
            values={ConversationShare.view_count: ConversationShare.view_count + count},
        )

    async def delete_ended(self, ago: timedelta = timedelta(0)) -> int:
        """Delete links that ended so long ago."""
        return await self.delete_where(ConversationShare.expires_at <= self.clock.now() - ago)
