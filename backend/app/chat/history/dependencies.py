"""What the endpoints of the conversation history take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.chat.history.service import HistoryService
from app.db.session import SessionDep


async def get_history_service(request: Request, session: SessionDep) -> HistoryService:
    """The service of this request."""
    return HistoryService(session, request.app.state.merit.chat)


HistoryServiceDep = Annotated[HistoryService, Depends(get_history_service)]
