"""What links to conversations are."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.chat.types import MessageRole, MessageStatus

MAX_SHARES = 500
"""Of one account, those among them that have ended."""
SHOWN_ROLES = (MessageRole.USER, MessageRole.ASSISTANT)
"""Whose messages strangers see: neither instructions to the model nor what tools said."""
SHOWN_STATUSES = (MessageStatus.COMPLETE, MessageStatus.INCOMPLETE, MessageStatus.CANCELLED)


class ShareMode(StrEnum):
    """What a link shows: the way to one message and nothing that comes later, or whatever is active now."""

    SNAPSHOT = "snapshot"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class ShareView:
    """A link as its owner sees it."""

    id: UUID
    conversation_id: UUID
    mode: ShareMode
    leaf_message_id: UUID | None
    title: str | None
    has_password: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    view_count: int


@dataclass(frozen=True, slots=True)
class IssuedShare:
    """A new link, with the token that is shown once; None where the same request has made it before."""

    share: ShareView
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedMessage:
    """A message as strangers see it."""

    role: MessageRole
    content: str
    model: str | None
    status: MessageStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SharedPage:
    """What a link shows: some messages in reading order, and where those before them are."""

    title: str | None
    mode: ShareMode
    shared_at: datetime
    items: list[SharedMessage]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A link and what it shows now, as far as the database says."""

    id: UUID
    user_id: UUID
    conversation_id: UUID
    token_hash: bytes = field(repr=False)
    password_hash: str | None = field(repr=False)
    mode: ShareMode
    leaf_message_id: UUID | None
    title: str | None
    created_at: datetime
    expires_at: datetime | None
    active_leaf_id: UUID | None
    live_title: str | None
    is_reachable: bool
