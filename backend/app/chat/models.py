"""The tables of conversations.

`parent_id`, `active_leaf_id` and `edited_from_id` point at messages of the same conversation without a foreign key: a
conversation and its messages go together by `conversation_id`, MariaDB cascades at most 15 levels deep, and a cycle of
keys could not be deleted in one statement. Whoever writes them looks the message up in the conversation first.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, PrimaryKeyConstraint, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.guests.ownership import EXACTLY_ONE_OWNER, OwnerMixin
from app.chat.errors import AlreadyImportedError, SessionTakenError
from app.chat.types import (
    MAX_MODEL_LENGTH,
    MAX_SESSION_ID_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TITLE_LENGTH,
    MAX_WORKSPACE_PATH_LENGTH,
    ConversationKind,
    MessageRole,
    MessageStatus,
    TitleSource,
)
from app.db.base import MYSQL_TABLE, Base, IdMixin, TimestampMixin, VersionMixin
from app.db.types import EnumString, FixedBytes, JsonDict, KeyString, SafeString, SafeText

MAX_SOURCE_LENGTH = 32
MAX_SOURCE_ID_LENGTH = 128


class Folder(IdMixin, TimestampMixin, VersionMixin, Base):
    """A folder of an account's conversations; folders nest."""

    __tablename__ = "folders"
    __table_args__ = (
        Index(None, "user_id", "parent_id", "position", "id"),
        Index(None, "user_id", "position", "id"),
        MYSQL_TABLE,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    # Not SET NULL: MariaDB would update a row whose account it deletes in the same cascade, and refuse. What is in a
    # deleted folder is moved out of it before.
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("folders.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(SafeString(MAX_TITLE_LENGTH))
    position: Mapped[int] = mapped_column(default=0)


class Conversation(IdMixin, OwnerMixin, TimestampMixin, VersionMixin, Base):
    """A conversation of an account or a guest: a tree of messages with one active leaf.

    `message_count` is also the `seq` of its newest message: raising it is what puts writers in a row.
    `last_message_at` is when it was made as long as it is empty.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint(EXACTLY_ONE_OWNER, name="owner"),
        UniqueConstraint("user_id", "source", "source_id", info={"error": AlreadyImportedError}),
        UniqueConstraint("user_id", "client_session_id", info={"error": SessionTakenError}),
        UniqueConstraint("guest_id", "client_session_id", info={"error": SessionTakenError}),
        Index(None, "user_id", "is_archived", "last_message_at", "id"),
        Index(None, "user_id", "last_message_at", "id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "user_id", "folder_id", "last_message_at", "id"),
        Index(None, "guest_id", "is_archived", "last_message_at", "id"),
        Index(None, "guest_id", "last_message_at", "id"),
        Index(None, "guest_id", "created_at", "id"),
        Index(None, "expires_at"),
        MYSQL_TABLE,
    )

    kind: Mapped[ConversationKind] = mapped_column(EnumString(ConversationKind), default=ConversationKind.CHAT)
    title: Mapped[str | None] = mapped_column(SafeString(MAX_TITLE_LENGTH))
    title_source: Mapped[TitleSource] = mapped_column(EnumString(TitleSource), default=TitleSource.NONE)
    default_model: Mapped[str] = mapped_column(SafeString(MAX_MODEL_LENGTH))
    system_prompt: Mapped[str | None] = mapped_column(SafeText())
    settings: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    folder_id: Mapped[UUID | None] = mapped_column(ForeignKey("folders.id", ondelete="SET NULL"), index=True)
    workspace_path: Mapped[str | None] = mapped_column(SafeString(MAX_WORKSPACE_PATH_LENGTH))
    client_session_id: Mapped[str | None] = mapped_column(KeyString(MAX_SESSION_ID_LENGTH))
    active_leaf_id: Mapped[UUID | None]
    is_pinned: Mapped[bool] = mapped_column(default=False)
    is_archived: Mapped[bool] = mapped_column(default=False)
    archived_at: Mapped[datetime | None]
    is_temporary: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime | None]
    message_count: Mapped[int] = mapped_column(default=0)
    last_message_at: Mapped[datetime]
    source: Mapped[str | None] = mapped_column(KeyString(MAX_SOURCE_LENGTH))
    source_id: Mapped[str | None] = mapped_column(KeyString(MAX_SOURCE_ID_LENGTH))
    content_hash: Mapped[bytes | None] = mapped_column(FixedBytes(32))


class Message(IdMixin, TimestampMixin, Base):
    """One message. `seq` counts from 1 in the order in which the messages of a conversation were stored.

    `workspace_path` is where a client's session worked when it saved the message; the conversation has the latest.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        Index(None, "conversation_id", "parent_id", "seq"),
        MYSQL_TABLE,
    )

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    parent_id: Mapped[UUID | None]
    seq: Mapped[int]
    role: Mapped[MessageRole] = mapped_column(EnumString(MessageRole))
    content: Mapped[str] = mapped_column(SafeText())
    parts: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonDict)
    model: Mapped[str | None] = mapped_column(SafeString(MAX_MODEL_LENGTH))
    status: Mapped[MessageStatus] = mapped_column(EnumString(MessageStatus), default=MessageStatus.COMPLETE)
    edited_from_id: Mapped[UUID | None]
    workspace_path: Mapped[str | None] = mapped_column(SafeString(MAX_WORKSPACE_PATH_LENGTH))
    extra_data: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)


class ConversationTag(Base):
    """A word that a conversation is filed under."""

    __tablename__ = "conversation_tags"
    __table_args__ = (
        PrimaryKeyConstraint("conversation_id", "tag"),
        Index(None, "tag", "conversation_id"),
        MYSQL_TABLE,
    )

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    tag: Mapped[str] = mapped_column(KeyString(MAX_TAG_LENGTH))


class MessageFeedback(TimestampMixin, Base):
    """What an account thinks of a message: -1 or 1, with words and a comment."""

    __tablename__ = "message_feedback"
    __table_args__ = (
        PrimaryKeyConstraint("message_id", "user_id"),
        CheckConstraint("rating IN (-1, 1)", name="rating"),
        Index(None, "user_id"),
        MYSQL_TABLE,
    )

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    rating: Mapped[int] = mapped_column(SmallInteger)
    tags: Mapped[list[str]] = mapped_column(JsonDict, default=list)
    comment: Mapped[str | None] = mapped_column(SafeString(2000))
