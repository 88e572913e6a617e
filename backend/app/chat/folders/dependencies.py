"""What the endpoints of folders take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.chat.folders.service import FolderService
from app.db.session import SessionDep


async def get_folder_service(request: Request, session: SessionDep) -> FolderService:
    """The service of this request."""
    return FolderService(session, request.app.state.merit.chat)


FolderServiceDep = Annotated[FolderService, Depends(get_folder_service)]
