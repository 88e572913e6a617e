"""The vocabulary of replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.chat.types import MessageRole, MessageStatus

MAX_PROVIDER_LENGTH = 64
MAX_PROMPT_MESSAGES = 500
MAX_PROMPT_LENGTH = 400_000
"""Characters of a conversation that a model is shown."""


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """What a model is shown of a message, and where it stands."""

    id: UUID
    parent_id: UUID | None
    role: MessageRole
    status: MessageStatus
    content: str


class UsageSource(StrEnum):
    """Whether the tokens were counted by the provider or estimated here."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"


class AttemptStatus(StrEnum):
    """How one call of one provider ended, or that it is under way."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one provider, as it is recorded; `number` counts from 1 along the fallback order."""

    number: int
    provider: str
    model: str
    status: AttemptStatus
    error: str | None
    started_at: datetime
    ended_at: datetime | None


class EventKind(StrEnum):
    """What a stored event tells, in the names of the OpenAI Responses API."""

    CREATED = "response.created"
    DELTA = "response.output_text.delta"
    USAGE = "response.usage"
    COMPLETED = "response.completed"
    FAILED = "response.failed"
    CANCELLED = "response.cancelled"
    INCOMPLETE = "response.incomplete"


FINAL_KINDS: Mapping[MessageStatus, EventKind] = {
    MessageStatus.COMPLETE: EventKind.COMPLETED,
    MessageStatus.FAILED: EventKind.FAILED,
    MessageStatus.CANCELLED: EventKind.CANCELLED,
    MessageStatus.INCOMPLETE: EventKind.INCOMPLETE,
}
"""The event that ends the stream of a reply with each final status."""

_FINAL = frozenset(FINAL_KINDS.values())


class ReplyErrorCode(StrEnum):
    """Why a reply ended otherwise than by its model's word, besides the codes of providers' errors."""

    INTERRUPTED = "interrupted"
    SHUTDOWN = "server_stopped"
    TOO_LONG = "reply_too_long"
    TOO_SLOW = "reply_timeout"
    INTERNAL = "internal_error"


@dataclass(frozen=True, slots=True)
class Words:
    """What a person wrote: the text, and the parts that it was given in."""

    text: str = field(repr=False)
    parts: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a reply's stream. `seq` counts from 1 without gaps."""

    seq: int
    kind: EventKind
    payload: Mapping[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether nothing follows it."""
        return self.kind in _FINAL

    @property
    def delta(self) -> str:
        """The text that it adds to the reply."""
        return str(self.payload["delta"]) if self.kind is EventKind.DELTA else ""
