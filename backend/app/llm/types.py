"""What is asked of models and what they answer, whoever provides them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from app.llm.schemas import ModelParams

MAX_PROVIDER_NAME_LENGTH = 32
INTERRUPTED = "interrupted"
"""The `Finish.reason` of a reply whose provider failed in the midst of it."""


class UsageSource(StrEnum):
    """Whether tokens were counted by the provider or estimated here."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"


class Fault(StrEnum):
    """Why a provider gave no reply, or not all of it."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"
    UNAUTHORIZED = "unauthorized"
    MODEL_UNKNOWN = "model_unknown"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    BUSY = "busy"
    COOLING_DOWN = "cooling_down"


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """One message of the prompt; `role` is one of the OpenAI API's."""

    role: str
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One reply that is asked for; the messages go from the oldest to the newest."""

    model: str
    messages: tuple[ModelMessage, ...]
    params: ModelParams = field(default_factory=ModelParams)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be asked for by its name."""

    id: str
    provider: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A provider is called; `number` counts from 1 along the fallback order, `model` is its name there."""

    number: int
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """That call failed. `detail` may be shown to the owner of the conversation; it holds no secret."""

    number: int
    provider: str
    model: str
    fault: Fault
    detail: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the reply: text that every database stores, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model says to itself before it replies. It is void when the attempt fails."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply. `prompt` includes `cached` and `cache_write`, `completion` includes `reasoning`."""

    prompt: int
    completion: int
    total: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    source: UsageSource = UsageSource.ESTIMATED


@dataclass(frozen=True, slots=True)
class Finish:
    """The reply has ended, and nothing comes after this.

    `reason` is the provider's, as a rule `stop`, `length` or `content_filter`; it is `interrupted` where `fault` says
    that the provider failed after text had come. `model` is the one that really answered.
    """

    reason: str
    provider: str
    model: str
    fault: Fault | None = None


ProviderEvent = TextDelta | ReasoningDelta | Usage | Finish
ModelEvent = AttemptStarted | AttemptFailed | ProviderEvent


class ChatProvider(Protocol):
    """Something that replies."""

    @property
    def name(self) -> str:
        """What it is called in the settings and in records."""

    def stream(self, model: str, request: ModelRequest) -> AsyncGenerator[ProviderEvent, None]:
        """The reply of one of its models, which ends with `Finish`.

        Raises:
            ProviderError: it failed; what came before is all that comes.
        """

    async def close(self) -> None:
        """Close its connections."""
