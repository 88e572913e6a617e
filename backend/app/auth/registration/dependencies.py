"""What registration takes in its signature."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.registration.service import RegistrationService
from app.db.session import SessionDep


async def get_registration_service(request: Request, session: SessionDep) -> RegistrationService:
    """The service of this request."""
    return RegistrationService(session, request.app.state.merit.auth)


RegistrationServiceDep = Annotated[RegistrationService, Depends(get_registration_service)]
