"""The requests of OpenAI's chat completions, as far as the gateway answers them."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from app.chat.types import MAX_MESSAGE_BYTES
from app.core.providers import MAX_MODEL_NAME_LENGTH
from app.core.text import SafeLine, SafeStr
from app.llm.schemas import ModelParams, StopText
from app.llm.types import ModelMessage

MAX_MESSAGES = 500
MAX_PARTS = 64
_PARAMS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")


def _require_off(value: bool) -> bool:
    if value:
        raise ValueError("is not offered here")
    return value


MessageText = Annotated[SafeStr, Field(max_length=MAX_MESSAGE_BYTES)]


class GatewayInput(BaseModel):
    """What all inputs here share: what is not supported is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CompletionTextPart(GatewayInput):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: MessageText


class CompletionMessage(GatewayInput):
    """One message. `name` and `refusal` are taken and left out; tools are not supported."""

    role: Literal["system", "developer", "user", "assistant"]
    content: MessageText | Annotated[list[CompletionTextPart], Field(min_length=1, max_length=MAX_PARTS)]
    name: Annotated[SafeLine, Field(max_length=64)] | None = None
    refusal: None = None

    @property
    def text(self) -> str:
        """What it says."""
        return self.content if isinstance(self.content, str) else "\n\n".join(part.text for part in self.content)


class StreamOptions(GatewayInput):
    """What a stream tells besides the text."""

    include_usage: StrictBool = False
    include_obfuscation: StrictBool = False


class TextFormat(GatewayInput):
    """The only form of replies."""

    type: Literal["text"]


class CompletionMetadata(GatewayInput):
    """With `store`: the conversation to go on with, of whose messages only the last one here is new."""

    conversation_id: UUID | None = None


class ChatCompletionRequest(GatewayInput):
    """A reply that is asked for. `store` keeps it, and what it answers, in your conversations.

    `user`, `service_tier` and `parallel_tool_calls` are taken and have no effect.
    """

    model: Annotated[SafeLine, Field(max_length=MAX_MODEL_NAME_LENGTH, examples=["merit/echo"])]
    messages: Annotated[
        list[CompletionMessage],
        Field(min_length=1, max_length=MAX_MESSAGES, examples=[[{"role": "user", "content": "Hello"}]]),
    ]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    store: StrictBool | None = None
    metadata: CompletionMetadata | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: StrictInt | None = Field(default=None, ge=-(2**31), lt=2**31)
    max_tokens: StrictInt | None = Field(default=None, ge=1, le=1_000_000)
    max_completion_tokens: StrictInt | None = Field(default=None, ge=1, le=1_000_000)
    stop: StopText | Annotated[list[StopText], Field(min_length=1, max_length=4)] | None = None
    n: StrictInt | None = Field(default=None, ge=1, le=1)
    logprobs: Annotated[StrictBool, AfterValidator(_require_off)] | None = None
    response_format: TextFormat | None = None
    user: Annotated[SafeStr, Field(max_length=128)] | None = None
    service_tier: Annotated[SafeStr, Field(max_length=32)] | None = None
    parallel_tool_calls: StrictBool | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream")
        if self.metadata is not None and not self.store:
            raise ValueError("metadata needs store")
        return self

    @property
    def prompt(self) -> tuple[ModelMessage, ...]:
        """The messages, as models get them."""
        return tuple(ModelMessage(message.role, message.text) for message in self.messages)

    @property
    def params(self) -> ModelParams:
        """The wishes about the reply."""
        wishes: dict[str, Any] = {name: getattr(self, name) for name in _PARAMS}
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        return ModelParams(
            **wishes,
            stop=None if stop is None else tuple(stop),
            max_tokens=self.max_completion_tokens or self.max_tokens,
        )

    @property
    def wants_usage(self) -> bool:
        """Whether the stream is to tell what was used."""
        return self.stream_options is not None and self.stream_options.include_usage


class ModelRead(BaseModel):
    """A model that can be asked for; `created` is always 0, since nobody knows."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsRead(BaseModel):
    """The models that the settings name, in one list."""

    object: Literal["list"]
    data: list[ModelRead]
