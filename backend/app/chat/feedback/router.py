"""`/messages/{message_id}/feedback`: what an account thinks of messages in its conversations; guests cannot say."""

from uuid import UUID

from fastapi import status

from app.chat.dependencies import AccountChatReader, AccountChatWriter
from app.chat.errors import FeedbackNotFoundError, MessageNotFoundError
from app.chat.feedback.dependencies import FeedbackServiceDep
from app.chat.feedback.schemas import FeedbackRead, FeedbackUpdate
from app.chat.models import MessageFeedback
from app.core.problems import error_responses
from app.routing import api_router

router = api_router("/messages/{message_id}/feedback", tags=["conversations"])


@router.get(
    "",
    response_model=FeedbackRead,
    summary="Get your feedback",
    responses=error_responses(MessageNotFoundError, FeedbackNotFoundError),
)
async def get_feedback(message_id: UUID, principal: AccountChatReader, feedback: FeedbackServiceDep) -> MessageFeedback:
    """What you said of a message."""
    return await feedback.get(principal.user_id, message_id)


@router.put("", response_model=FeedbackRead, summary="Rate a message", responses=error_responses(MessageNotFoundError))
async def set_feedback(
    message_id: UUID, body: FeedbackUpdate, principal: AccountChatWriter, feedback: FeedbackServiceDep
) -> MessageFeedback:
    """Say what you think of a message, whatever you said before."""
    return await feedback.put(principal.user_id, message_id, **body.model_dump())


@router.delete(
    "",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Take back your feedback",
    responses=error_responses(MessageNotFoundError),
)
async def delete_feedback(message_id: UUID, principal: AccountChatWriter, feedback: FeedbackServiceDep) -> None:
    """Forget what you said of a message, if you said anything."""
    await feedback.delete(principal.user_id, message_id)
