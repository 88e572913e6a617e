"""The JSON of replies."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StrictBool, model_validator

from app.chat.responses.types import UsageSource, Words
from app.chat.types import MAX_MESSAGE_BYTES, MAX_MODEL_LENGTH, MessageStatus
from app.core.text import SafeLine, SafeStr
from app.llm.schemas import ModelParams

MAX_PARTS = 64

Amount = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str)]
ModelName = Annotated[SafeLine, Field(max_length=MAX_MODEL_LENGTH, examples=["merit/echo"])]


class TextPart(BaseModel):
    """A part of a message; so far all parts are text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Annotated[SafeStr, Field(min_length=1, max_length=MAX_MESSAGE_BYTES)]


class ReplyOptions(BaseModel):
    """How a reply is asked for, and in which form it is answered."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[ModelName | None, Field(description="Instead of the conversation's.")] = None
    params: ModelParams = ModelParams()
    stream: Annotated[StrictBool, Field(description="Answer with server-sent events.")] = False
    background: Annotated[StrictBool, Field(description="Answer at once with 202, and do not wait.")] = False

    @model_validator(mode="after")
    def _one_form(self) -> "ReplyOptions":
        if self.stream and self.background:
            raise ValueError("stream and background exclude each other; follow a background reply by its id")
        return self


class _Written(ReplyOptions):
    """Words of a person, as text or in parts."""

    content: Annotated[SafeStr | None, Field(min_length=1, max_length=MAX_MESSAGE_BYTES, examples=["Hello"])] = None
    parts: Annotated[list[TextPart] | None, Field(min_length=1, max_length=MAX_PARTS)] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "_Written":
        if (self.content is None) == (self.parts is None):
            raise ValueError("give either content or parts")
        return self

    @property
    def words(self) -> Words:
        """What was written."""
        if self.content is not None:
            return Words(self.content)
        parts = [part.model_dump() for part in self.parts or ()]
        return Words("\n\n".join(part["text"] for part in parts), parts)


class MessageSend(_Written):
    """A person's message that a model is to answer. `parent` is the message it follows, by default the last one."""

    parent: UUID | None = None


class MessageEdit(_Written):
    """The words that stand beside those of an earlier message, and get an answer of their own."""


class TokenUsageRead(BaseModel):
    """The tokens of a reply. `usage_source` says whether its provider counted them."""

    model_config = ConfigDict(from_attributes=True)

    tokens_prompt: int | None
    tokens_completion: int | None
    tokens_total: int | None
    tokens_cached: int | None
    tokens_cache_write: int | None
    tokens_reasoning: int | None
    usage_source: UsageSource | None
    cost_usd: Annotated[Amount | None, Field(examples=["0.000012345"])]
    price_sheet: Annotated[
        dict[str, Any] | None, Field(description="The prices that the cost comes from; null where there was none.")
    ]


class AttemptRead(BaseModel):
    """One call of one provider."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    provider: str
    model: str
    status: str
    error: str | None
    started_at: datetime
    ended_at: datetime | None


class ResponseRead(BaseModel):
    """A reply: what was asked for, how far it is, and what came of it. `text` is what is there so far.

    `last_event_seq` is the number of its events so far, of which a stream goes on with `starting_after`.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    message_id: UUID
    parent_id: UUID | None
    status: MessageStatus
    text: str
    model_requested: str
    model_used: str | None
    provider: str | None
    finish_reason: str | None
    error_code: str | None
    error_detail: str | None
    usage: TokenUsageRead
    params: dict[str, Any]
    attempts: list[AttemptRead]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    ttft_ms: Annotated[int | None, Field(description="Milliseconds until the first text.")]
    completion_time_ms: int | None
    last_event_seq: int
