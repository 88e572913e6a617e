"""What a model is shown of a conversation."""

from collections.abc import Iterable, Sequence

from app.chat.models import Message
from app.chat.responses.types import MAX_PROMPT_LENGTH, PromptMessage
from app.chat.types import MessageRole
from app.llm.schemas import ModelParams
from app.llm.types import ModelMessage, ModelRequest

DEFAULT_MAX_TOKENS = 4096
CONTINUE = "Continue your last answer exactly where it ends. Repeat nothing of it and add no introduction."

_SHOWN = frozenset({MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM, MessageRole.DEVELOPER})


def build_request(
    model: str,
    prompts: Iterable[str | None],
    path: Sequence[PromptMessage | Message],
    params: ModelParams,
    *,
    is_continued: bool = False,
) -> ModelRequest:
    """The request for the reply to a path's last message, or for the rest of that one.

    `prompts` become one system prompt, those that there are in their order. The oldest messages are left out where all
    would be too long; the system prompt and the last message never are.
    """
    said = [message for message in path if message.role in _SHOWN and message.content]
    shown = [ModelMessage(message.role.value, message.content) for message in said]
    if is_continued:
        shown.append(ModelMessage(MessageRole.USER.value, CONTINUE))
    system_prompt = "\n\n".join(filter(None, prompts))
    head = [ModelMessage(MessageRole.SYSTEM.value, system_prompt)] if system_prompt else []
    limited = params.model_copy(update={"max_tokens": params.max_tokens or DEFAULT_MAX_TOKENS})
    return ModelRequest(model, (*head, *_newest(shown)), limited)


def _newest(messages: Iterable[ModelMessage]) -> list[ModelMessage]:
    kept: list[ModelMessage] = []
    room = MAX_PROMPT_LENGTH
    for message in reversed(list(messages)):
        room -= len(message.content)
        if room < 0 and kept:
            break
        kept.append(message)
    return kept[::-1]
