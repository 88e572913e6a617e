"""The JSON of the conversation history, in DuilioCode's names."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.chat.schemas import ChatInput, ClientSessionId, ModelName, WorkspacePath
from app.chat.types import MAX_MESSAGE_BYTES, MessageRole
from app.core.json_values import SafeJsonObject
from app.core.text import SafeStr


class HistoryMessageCreate(ChatInput):
    """A message of a client's session. The session's first message begins its conversation."""

    session_id: ClientSessionId
    role: MessageRole
    content: Annotated[SafeStr, Field(max_length=MAX_MESSAGE_BYTES, examples=["create a file teste.txt"])]
    model: Annotated[ModelName | None, Field(examples=["qwen2.5-coder:14b"])] = None
    workspace_path: WorkspacePath | None = None
    extra_data: Annotated[SafeJsonObject, Field(examples=[{"tokens": 150}])] = Field(default_factory=dict)


class HistoryMessageRead(BaseModel):
    """A message of a client's session."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    session_id: str
    role: MessageRole
    content: str
    model: str | None
    workspace_path: Annotated[str | None, Field(description="Where the session worked then.")]
    extra_data: dict[str, Any]
    created_at: datetime
