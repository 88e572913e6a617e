"""What the endpoints of invitations take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.invitations.service import InvitationService
from app.auth.permissions import INVITATIONS_WRITE
from app.auth.types import Principal
from app.db.session import SessionDep


async def get_invitation_service(request: Request, session: SessionDep) -> InvitationService:
    """The service of this request."""
    return InvitationService(session, request.app.state.merit.auth)


InvitationServiceDep = Annotated[InvitationService, Depends(get_invitation_service)]
InvitationsWriter = Annotated[Principal, require(INVITATIONS_WRITE, interactive=True)]
