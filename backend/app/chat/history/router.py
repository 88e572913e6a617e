"""`/conversation-history`: messages by the id of a client's session, as DuilioCode keeps them."""

from functools import partial
from typing import Annotated

from fastapi import Query, Response, status

from app.chat.dependencies import ChatReader, ChatWriter
from app.chat.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageTooLargeError,
    TooManyConversationsError,
)
from app.chat.history.dependencies import HistoryServiceDep
from app.chat.history.schemas import HistoryMessageCreate, HistoryMessageRead
from app.chat.history.types import HistoryMessage
from app.chat.schemas import ClientSessionId
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Limit
from app.idempotency.dependencies import OnceDep
from app.routing import api_router

router = api_router("/conversation-history", tags=["conversations"])


@router.post(
    "",
    response_model=HistoryMessageRead,
    status_code=status.HTTP_201_CREATED,
    summary="Save a message of a session",
    responses=error_responses(ConversationFullError, MessageTooLargeError, TooManyConversationsError),
)
async def save_message(
    body: HistoryMessageCreate, owner: ChatWriter, history: HistoryServiceDep, once: OnceDep
) -> HistoryMessage | Response:
    """Append a message to the conversation of your session, which begins with its first message. No model is asked."""
    return await once.run(owner.id, body, partial(history.save_message, owner, **body.model_dump()))


@router.get(
    "",
    response_model=list[HistoryMessageRead],
    summary="Get a session's recent history",
    responses=error_responses(ConversationNotFoundError),
)
async def get_conversation_history(
    session_id: Annotated[ClientSessionId, Query()],
    owner: ChatReader,
    history: HistoryServiceDep,
    limit: Limit = DEFAULT_LIMIT,
) -> list[HistoryMessage]:
    """The last messages of a session, the oldest of them first; `GET /conversations/{id}/messages` has them all."""
    return await history.recent(owner, session_id, limit)
