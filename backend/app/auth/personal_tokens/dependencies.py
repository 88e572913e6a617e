"""What the endpoints of personal access tokens take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.personal_tokens.service import PersonalTokenService
from app.db.session import SessionDep


async def get_personal_token_service(request: Request, session: SessionDep) -> PersonalTokenService:
    """The service of this request."""
    return PersonalTokenService(session, request.app.state.merit.auth)


PersonalTokenServiceDep = Annotated[PersonalTokenService, Depends(get_personal_token_service)]
