"""The JSON of searches."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.chat.search.types import MAX_PATH, SearchMatch
from app.chat.types import MessageRole
from app.core.pagination import PageRead


class SegmentRead(BaseModel):
    """A stretch of plain text, no HTML, and whether it is what was searched for."""

    model_config = ConfigDict(from_attributes=True)

    text: str = Field(examples=["recursion"])
    is_match: bool


class SearchResultRead(BaseModel):
    """A message that was found. Scores compare within one search only."""

    model_config = ConfigDict(from_attributes=True)

    conversation_id: UUID
    conversation_title: str | None
    message_id: UUID
    path: Annotated[
        list[UUID],
        Field(
            description=f"Where it stands in the tree: the last {MAX_PATH} ids on the way from the root to the message."
        ),
    ]
    role: MessageRole
    snippet: list[SegmentRead]
    score: float = Field(examples=[7.25])
    created_at: datetime


class SearchPageRead(PageRead[SearchResultRead]):
    """One page of results. With `match` `any` nothing has all of the words, and these have some of them."""

    match: SearchMatch
