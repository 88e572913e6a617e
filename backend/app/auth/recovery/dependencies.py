"""What the endpoints of account recovery take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.recovery.service import RecoveryService
from app.db.session import SessionDep


async def get_recovery_service(request: Request, session: SessionDep) -> RecoveryService:
    """The service of this request."""
    return RecoveryService(session, request.app.state.merit.auth)


RecoveryServiceDep = Annotated[RecoveryService, Depends(get_recovery_service)]
