"""The vocabulary of conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

MAX_MESSAGE_BYTES = 262_144
"""Of a message's text in UTF-8; what a request may hold is bounded by MAX_BODY_BYTES besides."""
MAX_MESSAGES_PER_CONVERSATION = 100_000
MAX_TAGS_PER_CONVERSATION = 20
MAX_FORKED_MESSAGES = 2_000
MAX_RETENTION_DAYS = 3_650
MAX_TITLE_LENGTH = 200
MAX_MODEL_LENGTH = 128
MAX_WORKSPACE_PATH_LENGTH = 1024
MAX_SESSION_ID_LENGTH = 128
MAX_TAG_LENGTH = 64


class ConversationKind(StrEnum):
    """What a conversation is for."""

    CHAT = "chat"


class TitleSource(StrEnum):
    """Where a title comes from: nobody yet, the first message, or a person, whose is never replaced."""

    NONE = "none"
    HEURISTIC = "heuristic"
    USER = "user"


class MessageRole(StrEnum):
    """Who speaks, in the words of the OpenAI API."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"
    DEVELOPER = "developer"


class MessageStatus(StrEnum):
    """How far a message is. What people write is complete at once."""

    QUEUED = "queued"
    STREAMING = "streaming"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = frozenset({MessageStatus.QUEUED, MessageStatus.STREAMING})
"""The states that a reply leaves sooner or later; the others are final."""


class ConversationSort(StrEnum):
    """The orders of the list of conversations; a leading minus means descending."""

    LAST_MESSAGE_AT = "last_message_at"
    LAST_MESSAGE_AT_DESC = "-last_message_at"
    CREATED_AT = "created_at"
    CREATED_AT_DESC = "-created_at"


class ForkMode(StrEnum):
    """What a fork takes along: the way from the root to the message, what follows it, or everything."""

    PATH = "path"
    TAIL = "tail"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A message's place in the tree, without its text."""

    id: UUID
    parent_id: UUID | None
    seq: int
    role: MessageRole
    status: MessageStatus
    model: str | None
    edited_from_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation as its owner sees it, with its tags in alphabetical order."""

    id: UUID
    kind: ConversationKind
    title: str | None
    title_source: TitleSource
    default_model: str
    system_prompt: str | None
    settings: Mapping[str, Any]
    folder_id: UUID | None
    workspace_path: str | None
    client_session_id: str | None
    active_leaf_id: UUID | None
    is_pinned: bool
    is_archived: bool
    archived_at: datetime | None
    is_temporary: bool
    expires_at: datetime | None
    message_count: int
    last_message_at: datetime
    row_version: int
    created_at: datetime
    updated_at: datetime
    tags: Sequence[str]


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations an owner wants to see; None means any."""

    folder_id: UUID | None = None
    tag: str | None = None
    is_archived: bool | None = None
    is_pinned: bool | None = None
    kind: ConversationKind | None = None
