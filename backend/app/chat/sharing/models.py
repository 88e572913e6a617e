"""The table of links to conversations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.chat.sharing.types import ShareMode
from app.chat.types import MAX_TITLE_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import EnumString, FixedBytes, SafeString

MAX_PASSWORD_HASH_LENGTH = 255


class ConversationShare(IdMixin, Base):
    """A link to a conversation, of whose token only the digest is kept. A revoked one has expired in that moment.

    Messages do not change once they are final: what a snapshot shows is said by its last message and its title.
    """

    __tablename__ = "conversation_shares"
    __table_args__ = (
        Index(None, "user_id", "created_at", "id"),
        Index(None, "conversation_id", "created_at", "id"),
        Index(None, "expires_at"),
        MYSQL_TABLE,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(FixedBytes(32))
    mode: Mapped[ShareMode] = mapped_column(EnumString(ShareMode))
    leaf_message_id: Mapped[UUID | None]
    title: Mapped[str | None] = mapped_column(SafeString(MAX_TITLE_LENGTH))
    password_hash: Mapped[str | None] = mapped_column(String(MAX_PASSWORD_HASH_LENGTH))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    view_count: Mapped[int] = mapped_column(default=0)
