"""The vocabulary of searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.chat.types import MessageRole
from app.search.types import Segment

MAX_PATH = 32
"""As many messages of the way to one are told: a page of results costs a bounded number of look-ups."""


class SearchDomain(StrEnum):
    """What is searched."""

    CHAT = "chat"


class SearchMatch(StrEnum):
    """Whether what was found has all of the words, or nothing has and these have some."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message that was found, without its text."""

    conversation_id: UUID
    conversation_title: str | None
    role: MessageRole
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A message that was found, and the stretch of it that shows why."""

    conversation_id: UUID
    conversation_title: str | None
    message_id: UUID
    path: Sequence[UUID]
    role: MessageRole
    snippet: Sequence[Segment]
    score: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of results, the best first."""

    items: list[SearchResult]
    next_cursor: str | None
    match: SearchMatch
