"""This service's own format: lines of JSON (NDJSON), the first of which says so.

    {"type": "export", "format": "merit.chat", "version": 1, "exported_at": …}
    {"type": "conversation", "id": …, "title": …, …}
    {"type": "message", "conversation_id": …, "id": …, "parent_id": …, …}  its messages, in their order

Everything that makes a conversation is there, so that it can be read back on another account.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.chat.models import Conversation, Message
from app.chat.schemas import MAX_SYSTEM_PROMPT_LENGTH, ConversationSettings, ModelName, Tags, Title, WorkspacePath
from app.chat.transfer.trees import in_order
from app.chat.transfer.types import MAX_NODES, FileError, ImportSource, ItemError, ParsedConversation, ParsedMessage
from app.chat.types import UNFINISHED, MessageRole, MessageStatus
from app.core.json_values import SafeJsonObject
from app.core.moments import UtcMoment
from app.core.text import SafeStr

FORMAT, VERSION = "merit.chat", 1
_Id = Annotated[SafeStr, Field(min_length=1, max_length=64)]


def _final(status: MessageStatus) -> MessageStatus:
    return MessageStatus.INCOMPLETE if status in UNFINISHED else status


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")  # of a later version


class _ConversationLine(_Line):
    id: _Id
    title: Title | None = None
    default_model: ModelName | None = None
    system_prompt: Annotated[SafeStr, Field(max_length=MAX_SYSTEM_PROMPT_LENGTH)] | None = None
    settings: ConversationSettings = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)
    is_archived: bool = False
    is_pinned: bool = False
    workspace_path: WorkspacePath | None = None
    active_leaf_id: _Id | None = None
    created_at: UtcMoment | None = None


class _MessageLine(_Line):
    id: _Id
    parent_id: _Id | None = None
    role: MessageRole
    content: SafeStr
    model: ModelName | None = None
    status: Annotated[MessageStatus, AfterValidator(_final)] = MessageStatus.COMPLETE
    edited_from_id: _Id | None = None
    parts: Annotated[list[SafeJsonObject], Field(max_length=100)] | None = None
    workspace_path: WorkspacePath | None = None
    extra_data: SafeJsonObject = Field(default_factory=dict)
    created_at: UtcMoment | None = None


def header_line(at: datetime) -> dict[str, Any]:
    """The first line of an export."""
    return {"type": "export", "format": FORMAT, "version": VERSION, "exported_at": at.isoformat()}


def conversation_line(row: Conversation, tags: Sequence[str]) -> dict[str, Any]:
    """The line of a conversation."""
    names = ("title", "default_model", "system_prompt", "settings", "is_archived", "is_pinned", "workspace_path")
    return {
        "type": "conversation",
        "id": str(row.id),
        **{name: getattr(row, name) for name in names},
        "tags": list(tags),
        "active_leaf_id": None if row.active_leaf_id is None else str(row.active_leaf_id),
        "created_at": row.created_at.isoformat(),
    }


def message_line(row: Message) -> dict[str, Any]:
    """The line of a message."""
    return {
        "type": "message",
        "conversation_id": str(row.conversation_id),
        "id": str(row.id),
        "parent_id": None if row.parent_id is None else str(row.parent_id),
        "role": row.role.value,
        "content": row.content,
        "model": row.model,
        "status": row.status.value,
        "edited_from_id": None if row.edited_from_id is None else str(row.edited_from_id),
        "parts": row.parts,
        "workspace_path": row.workspace_path,
        "extra_data": row.extra_data,
        "created_at": row.created_at.isoformat(),
    }


def is_native(document: Any) -> bool:
    """Whether a document is an export of this service."""
    header = document[0] if isinstance(document, list) and document else document
    return isinstance(header, dict) and header.get("type") == "export" and header.get("format") == FORMAT


def read_native(document: Any) -> list[Callable[[], ParsedConversation]]:
    """The conversations of an export.

    Raises:
        FileError: its version is unknown, or a line is none of an export.
    """
    lines = document if isinstance(document, list) else [document]
    if not is_native(document) or lines[0].get("version") != VERSION:
        raise FileError("The export is of another version.")
    found: list[tuple[dict[str, Any], list[Any]]] = []
    for line in lines[1:]:
        kind = line.get("type") if isinstance(line, dict) else None
        if kind == "conversation":
            found.append((line, []))
        elif kind == "message" and found:
            found[-1][1].append(line)
        else:
            raise FileError("A line is neither a conversation nor one of its messages.")
    return [partial(_conversation, line, messages) for line, messages in found]


def _conversation(line: dict[str, Any], message_lines: list[Any]) -> ParsedConversation:
    if len(message_lines) > MAX_NODES:
        raise ItemError(f"It has more than {MAX_NODES} messages.")
    try:
        conversation = _ConversationLine.model_validate(line)
        messages = [_MessageLine.model_validate(message) for message in message_lines]
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise ItemError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    return ParsedConversation(
        source=ImportSource.NATIVE,
        source_id=conversation.id,
        title=conversation.title,
        messages=in_order([ParsedMessage(**dict(message)) for message in messages]),
        leaf_id=conversation.active_leaf_id,
        default_model=conversation.default_model,
        system_prompt=conversation.system_prompt or None,
        settings=conversation.settings,
        tags=conversation.tags,
        is_archived=conversation.is_archived,
        is_pinned=conversation.is_pinned,
        workspace_path=conversation.workspace_path,
        created_at=conversation.created_at,
    )
