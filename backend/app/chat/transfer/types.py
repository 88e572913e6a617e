"""What goes in and out: conversations as files of this service and of others have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.chat.types import MessageRole, MessageStatus

MAX_ERRORS = 100
"""As many faults of an import are kept; further ones are counted."""
MAX_DEPTH = 64
MAX_NODES = 200_000
"""Of one conversation's tree in a file, those without a message among them."""


class ExportFormat(StrEnum):
    """The forms in which a conversation can be taken along."""

    NATIVE = "native"
    CHATGPT = "chatgpt"
    MARKDOWN = "markdown"


class ImportSource(StrEnum):
    """Where conversations come from."""

    NATIVE = "merit"
    CHATGPT = "chatgpt"
    OPEN_WEBUI = "openwebui"


class ImportStatus(StrEnum):
    """How far an import is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ItemError(ValueError):
    """One conversation of a file cannot be taken in; the message is shown to its owner."""


class FileError(ValueError):
    """A file cannot be read as any known export; the message is shown to its owner."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that was handed over."""

    content: bytes = field(repr=False)
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message of a file. `id` and `parent_id` are the file's; a parent comes before its children."""

    id: str
    parent_id: str | None
    role: MessageRole
    content: str
    model: str | None = None
    created_at: datetime | None = None
    status: MessageStatus = MessageStatus.COMPLETE
    edited_from_id: str | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    workspace_path: str | None = None
    extra_data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedConversation:
    """A conversation of a file."""

    source: ImportSource
    source_id: str
    title: str | None
    messages: Sequence[ParsedMessage]
    leaf_id: str | None = None
    default_model: str | None = None
    system_prompt: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    is_archived: bool = False
    is_pinned: bool = False
    workspace_path: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PreparedConversation:
    """A conversation of a file, ready to be stored. Its messages come in batches, each behind its parent."""

    parsed: ParsedConversation
    content_hash: bytes
    messages: Mapping[str, ParsedMessage]
    batches: Sequence[Sequence[ParsedMessage]]


class Fate(StrEnum):
    """What became of a conversation of a file."""

    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Progress:
    """What one transaction did for a conversation of a file: its fate is known when there is nothing more to do."""

    messages: int = 0
    fate: Fate | None = None
