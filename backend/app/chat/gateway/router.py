"""Chat completions as OpenAI's clients ask for them."""

from fastapi import Response

from app.chat.dependencies import ChatReader
from app.chat.errors import ConversationFullError, ConversationNotFoundError, MessageTooLargeError
from app.chat.gateway.answers import render_gateway_error
from app.chat.gateway.dependencies import GatewayDep, GatewayDeskDep
from app.chat.gateway.errors import LastMessageError, ReplyFailedError, ReplyInterruptedError, UnknownModelError
from app.chat.gateway.schemas import ChatCompletionRequest, ModelsRead
from app.chat.gateway.service import list_models
from app.chat.responses import sse
from app.chat.responses.errors import RepliesBusyError, ReplyInProgressError, TooManyRepliesError
from app.chat.usage.errors import QuotaExceededError
from app.core.problems import error_responses
from app.llm.errors import AllProvidersFailedError, ModelRefusedError
from app.routing import root_router

router = root_router("/openai/v1", tags=["gateway"])


@router.post(
    "/chat/completions",
    response_model=None,
    summary="Complete a chat, as OpenAI does",
    responses={
        200: {
            "description": "A `chat.completion`, or with `stream` its chunks as server-sent events.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                sse.MEDIA_TYPE: {"schema": {"type": "string"}},
            },
        },
        **error_responses(
            UnknownModelError,
            LastMessageError,
            ModelRefusedError,
            ConversationNotFoundError,
            ReplyInProgressError,
            ConversationFullError,
            MessageTooLargeError,
            QuotaExceededError,
            TooManyRepliesError,
            RepliesBusyError,
            AllProvidersFailedError,
            ReplyFailedError,
            ReplyInterruptedError,
        ),
    },
)
async def create_chat_completion(body: ChatCompletionRequest, desk: GatewayDeskDep) -> Response:
    """For OpenAI's clients, with `base_url` …/openai/v1 and a token as `api_key`.

    With `store` the messages and the reply become a conversation, or go on with `metadata.conversation_id`; without
    it nothing is kept but what was used. Refusals have OpenAI's `error` member besides those of all others.
    """
    return await desk.complete(body)


@router.get("/models", summary="List models, as OpenAI does")
async def list_gateway_models(_owner: ChatReader, gateway: GatewayDep) -> ModelsRead:
    """The models that the service names; further ones may be asked for where it passes on any name."""
    return list_models(gateway)


create_chat_completion.error_renderer = render_gateway_error  # type: ignore[attr-defined]
list_gateway_models.error_renderer = render_gateway_error  # type: ignore[attr-defined]
