"""The JSON of feedback."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from app.chat.schemas import ChatInput, TagName
from app.core.text import SafeStr

MAX_FEEDBACK_TAGS = 10
MAX_COMMENT_LENGTH = 2000


def _require_rating(value: int) -> int:
    if value not in {-1, 1}:
        raise ValueError("must be -1 or 1")
    return value


# Not a Literal, which takes `true` for 1.
Rating = Annotated[
    StrictInt,
    AfterValidator(_require_rating),
    Field(description="-1 for bad, 1 for good.", json_schema_extra={"enum": [-1, 1]}, examples=[1]),
]


class FeedbackUpdate(ChatInput):
    """What you think of a message, instead of all you said of it before."""

    rating: Rating
    tags: Annotated[list[TagName], Field(max_length=MAX_FEEDBACK_TAGS, examples=[["helpful"]])] = Field(
        default_factory=list
    )
    comment: Annotated[SafeStr, Field(min_length=1, max_length=MAX_COMMENT_LENGTH)] | None = None


class FeedbackRead(BaseModel):
    """What you think of a message."""

    model_config = ConfigDict(from_attributes=True)

    message_id: UUID
    rating: Rating
    tags: list[str]
    comment: str | None
    created_at: datetime
    updated_at: datetime
