"""The JSON of conversations."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from app.chat.types import (
    MAX_MODEL_LENGTH,
    MAX_SESSION_ID_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS_PER_CONVERSATION,
    MAX_TITLE_LENGTH,
    MAX_WORKSPACE_PATH_LENGTH,
    ConversationKind,
    ForkMode,
    MessageRole,
    MessageStatus,
    TitleSource,
)
from app.core.json_values import SafeJsonObject
from app.core.text import SafeLine, SafeStr

MAX_SYSTEM_PROMPT_LENGTH = 16_000
MIN_LIFE_SECONDS = 60
MAX_LIFE_SECONDS = 10 * 365 * 86_400

Title = Annotated[SafeLine, Field(max_length=MAX_TITLE_LENGTH, examples=["Recursion, slowly"])]
ModelName = Annotated[SafeLine, Field(max_length=MAX_MODEL_LENGTH, examples=["merit/echo"])]
TagName = Annotated[SafeLine, Field(max_length=MAX_TAG_LENGTH, examples=["school"])]
Tags = Annotated[list[TagName], Field(max_length=MAX_TAGS_PER_CONVERSATION)]
SystemPrompt = Annotated[SafeStr, Field(min_length=1, max_length=MAX_SYSTEM_PROMPT_LENGTH)]
LifeSeconds = Annotated[
    StrictInt,
    Field(
        ge=MIN_LIFE_SECONDS, le=MAX_LIFE_SECONDS, description="Seconds from now until it is deleted.", examples=[3600]
    ),
]
WorkspacePath = Annotated[SafeLine, Field(max_length=MAX_WORKSPACE_PATH_LENGTH, examples=["/path/to/project"])]
ClientSessionId = Annotated[SafeLine, Field(max_length=MAX_SESSION_ID_LENGTH, examples=["session456"])]
ConversationSettings = Annotated[
    SafeJsonObject, Field(description="Whatever the client keeps with it.", examples=[{"temperature": 0.2}])
]


class ChatInput(BaseModel):
    """What all inputs here share: members that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class ConversationCreate(ChatInput):
    """A new conversation. Without `default_model` the service's own default is taken."""

    title: Title | None = None
    default_model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    settings: ConversationSettings = Field(default_factory=dict)
    folder_id: UUID | None = None
    tags: Tags = Field(default_factory=list)
    is_temporary: Annotated[
        StrictBool, Field(description="Never searched, and deleted after a day if `expires_in` says nothing else.")
    ] = False
    expires_in: LifeSeconds | None = None
    workspace_path: WorkspacePath | None = None
    client_session_id: ClientSessionId | None = None


_NOT_NULL = ("default_model", "settings", "tags", "is_pinned", "is_archived", "active_leaf_id")


class ConversationUpdate(ChatInput):
    """The members to change. `tags` and `settings` replace all there were; null removes what may be missing."""

    title: Title | None = None
    default_model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    settings: ConversationSettings | None = None
    folder_id: UUID | None = None
    tags: Tags | None = None
    is_pinned: StrictBool | None = None
    is_archived: StrictBool | None = None
    active_leaf_id: Annotated[UUID | None, Field(description="A message of this conversation.")] = None
    expires_in: LifeSeconds | None = None
    workspace_path: WorkspacePath | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any(name in self.model_fields_set and getattr(self, name) is None for name in _NOT_NULL):
            raise ValueError(f"{', '.join(_NOT_NULL)} cannot be null")
        return self


class ForkCreate(ChatInput):
    """Where a fork begins, and what it takes along."""

    from_message: Annotated[UUID, Field(examples=["0199c2a4-7d3e-7000-8000-000000000001"])]
    mode: Annotated[
        ForkMode, Field(description="`path`: the way to the message; `tail`: it and what follows; `tree`: everything.")
    ] = ForkMode.PATH


class ConversationRead(BaseModel):
    """A conversation. `title_source` says who made the title; a person's is never replaced."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: ConversationKind
    title: Annotated[str | None, Field(examples=["Recursion, slowly"])]
    title_source: TitleSource
    default_model: Annotated[str, Field(examples=["merit/echo"])]
    folder_id: UUID | None
    tags: Annotated[list[str], Field(examples=[["school"]])]
    workspace_path: str | None
    client_session_id: str | None
    active_leaf_id: UUID | None
    is_pinned: bool
    is_archived: bool
    archived_at: datetime | None
    is_temporary: bool
    expires_at: datetime | None
    message_count: int
    last_message_at: Annotated[datetime, Field(description="When it was made, as long as it is empty.")]
    created_at: datetime
    updated_at: datetime


class ConversationDetailRead(ConversationRead):
    """A conversation with what lists leave out."""

    system_prompt: str | None
    settings: dict[str, Any]


class MessageRead(BaseModel):
    """A message. `seq` counts from 1 in the order in which a conversation's messages were stored."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    parent_id: UUID | None
    seq: int
    role: MessageRole
    content: Annotated[str, Field(examples=["What is recursion?"])]
    parts: list[dict[str, Any]] | None
    model: Annotated[str | None, Field(examples=["merit/echo"])]
    status: MessageStatus
    edited_from_id: UUID | None
    extra_data: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class TreeNodeRead(BaseModel):
    """A message's place in the tree, without its text."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    parent_id: UUID | None
    seq: int
    role: MessageRole
    status: MessageStatus
    model: str | None
    edited_from_id: UUID | None
    created_at: datetime
