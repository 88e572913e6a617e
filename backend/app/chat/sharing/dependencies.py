"""What the endpoints of links take in their signatures."""

from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import Request

from app.chat.sharing.service import ShareService
from app.db.session import SessionDep

ShareToken = Annotated[str, Path(max_length=200, description="The link's token.")]


async def get_share_service(request: Request, session: SessionDep) -> ShareService:
    """The service of this request."""
    return ShareService(session, request.app.state.merit.chat)


ShareServiceDep = Annotated[ShareService, Depends(get_share_service)]
