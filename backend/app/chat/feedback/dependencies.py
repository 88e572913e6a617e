"""What the endpoints of feedback take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.chat.feedback.service import FeedbackService
from app.db.session import SessionDep


async def get_feedback_service(request: Request, session: SessionDep) -> FeedbackService:
    """The service of this request."""
    return FeedbackService(session, request.app.state.merit.chat)


FeedbackServiceDep = Annotated[FeedbackService, Depends(get_feedback_service)]
