"""What is put into the index, and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

MAX_DOMAIN_LENGTH = 32
MAX_TYPE_LENGTH = 32
MAX_TITLE_LENGTH = 500
MAX_BODY_LENGTH = 65_536
"""Characters of a body that are kept and can be found."""


class Owner(Protocol):
    """Whose documents they are: an account or a guest, exactly one of the two."""

    @property
    def user_id(self) -> UUID | None: ...

    @property
    def guest_id(self) -> UUID | None: ...


class EmbeddingState(StrEnum):
    """Whether a document's vector is that of its present text."""

    PENDING = "pending"
    DONE = "done"


class Language(StrEnum):
    """The languages whose words are brought to their stems; texts in others are indexed word for word as English."""

    DUTCH = "dutch"
    ENGLISH = "english"
    FRENCH = "french"
    GERMAN = "german"
    ITALIAN = "italian"
    PORTUGUESE = "portuguese"
    RUSSIAN = "russian"
    SPANISH = "spanish"


@dataclass(frozen=True, slots=True)
class Target:
    """What a document stands for, such as one message; `type` is a word of the domain's choice."""

    type: str
    id: UUID


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be found. Words of the title count double.

    `group_id` names what it goes with, such as a conversation.
    """

    target: Target
    body: str
    title: str = ""
    group_id: UUID | None = None
    language: Language = Language.ENGLISH


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text, and whether it is what was searched for. Plain text: whoever shows it as HTML escapes it."""

    text: str
    is_match: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found. Scores compare within one search only."""

    target: Target
    group_id: UUID | None
    score: float
    title: Sequence[Segment]
    snippet: Sequence[Segment]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of what was found, the best first.

    `is_any` tells that nothing has all of the words, so that these have some of them. `next_position` is where the next
    page begins, for `SearchIndex.query`; None on the last page.
    """

    items: Sequence[Hit]
    next_position: list[float] | None
    is_any: bool
