"""The vocabulary of the conversation history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.chat.types import MessageRole


@dataclass(frozen=True, slots=True)
class HistoryMessage:
    """A message with the session that it belongs to."""

    id: UUID
    conversation_id: UUID
    session_id: str
    role: MessageRole
    content: str
    model: str | None
    workspace_path: str | None
    extra_data: Mapping[str, Any]
    created_at: datetime
