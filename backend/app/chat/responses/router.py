"""Messages that models answer, and their replies."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from app.chat.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageNotFoundError,
    MessageTooLargeError,
    NotEditableError,
)
from app.chat.responses import sse
from app.chat.responses.dependencies import Position, ReadingDesk, WritingDesk
from app.chat.responses.errors import (
    EventsGoneError,
    NotAReplyError,
    NothingToAnswerError,
    NotIncompleteError,
    RepliesBusyError,
    ReplyInProgressError,
    ResponseNotFoundError,
    TooManyRepliesError,
)
from app.chat.responses.schemas import MessageEdit, MessageSend, ReplyOptions, ResponseRead
from app.chat.usage.errors import QuotaExceededError
from app.core.problems import error_responses
from app.idempotency.dependencies import OnceDep
from app.llm.errors import ModelNotFoundError
from app.routing import api_router

router = api_router(tags=["replies"])

_STREAM = {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"model": ResponseRead, "description": "The reply, or with `stream` its events.", "content": _STREAM},
    202: {"model": ResponseRead, "description": "The reply is on its way; `Location` says where to ask again."},
}
_ASKING = (
    ModelNotFoundError,
    ReplyInProgressError,
    ConversationFullError,
    QuotaExceededError,
    TooManyRepliesError,
    RepliesBusyError,
)


@router.post(
    "/conversations/{conversation_id}/messages",
    response_model=None,
    summary="Send a message to a model",
    responses={
        **_FORMS,
        **error_responses(ConversationNotFoundError, MessageNotFoundError, MessageTooLargeError, *_ASKING),
    },
)
async def send_message(conversation_id: UUID, body: MessageSend, desk: WritingDesk, once: OnceDep) -> Response:
    """Your message is stored before a model is asked; the reply goes on without you if the connection breaks.

    With `stream` the answer is the reply's events, with `background` 202 at once; otherwise the reply when it is
    there, or 202 when that takes longer than a request may.
    """
    ask = partial(desk.service.send, conversation_id, body.words, parent_id=body.parent)
    return await desk.ask(body, once, ask)


@router.post(
    "/messages/{message_id}/edit",
    response_model=None,
    summary="Say something else instead",
    responses={**_FORMS, **error_responses(MessageNotFoundError, MessageTooLargeError, NotEditableError, *_ASKING)},
)
async def edit_message(message_id: UUID, body: MessageEdit, desk: WritingDesk, once: OnceDep) -> Response:
    """Your new words stand beside the old ones, as a branch with a reply of its own."""
    return await desk.ask(body, once, partial(desk.service.edit, message_id, body.words))


@router.post(
    "/messages/{message_id}/regenerate",
    response_model=None,
    summary="Ask for another reply",
    responses={**_FORMS, **error_responses(MessageNotFoundError, NotAReplyError, NothingToAnswerError, *_ASKING)},
)
async def regenerate_reply(message_id: UUID, body: ReplyOptions, desk: WritingDesk, once: OnceDep) -> Response:
    """A reply beside this one, from the same model or another."""
    return await desk.ask(body, once, partial(desk.service.regenerate, message_id))


@router.post(
    "/messages/{message_id}/continue",
    response_model=None,
    summary="Ask for the rest of a reply",
    responses={
        **_FORMS,
        **error_responses(MessageNotFoundError, NotAReplyError, NotIncompleteError, NothingToAnswerError, *_ASKING),
    },
)
async def continue_reply(message_id: UUID, body: ReplyOptions, desk: WritingDesk, once: OnceDep) -> Response:
    """A reply beside one that was broken off or cancelled, which begins with its text and goes on from there."""
    return await desk.ask(body, once, partial(desk.service.continue_, message_id))


@router.get(
    "/responses/{response_id}",
    response_model=None,
    summary="Read or follow a reply",
    responses={200: _FORMS[200], **error_responses(ResponseNotFoundError, EventsGoneError)},
)
async def read_response(
    response_id: UUID,
    desk: ReadingDesk,
    position: Position,
    stream: Annotated[bool, Query(description="Answer with server-sent events.")] = False,
) -> Response:
    """A reply as it is now, or its events: those behind `starting_after` or `Last-Event-ID`, then those that come."""
    return await desk.stream(response_id, position) if stream else await desk.read(response_id)


@router.post(
    "/responses/{response_id}/cancel",
    response_model=None,
    summary="Stop a reply",
    responses={**_FORMS, **error_responses(ResponseNotFoundError)},
)
async def cancel_response(response_id: UUID, desk: WritingDesk) -> Response:
    """The model is stopped, and what it has said is kept. It may be repeated; a reply that is over stays as it is."""
    return await desk.cancel(response_id)
