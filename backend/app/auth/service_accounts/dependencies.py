"""What the endpoints of service accounts take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.permissions import SERVICES_READ, SERVICES_WRITE
from app.auth.service_accounts.service import ServiceAccountService
from app.auth.types import Principal
from app.db.session import SessionDep


async def get_service_account_service(request: Request, session: SessionDep) -> ServiceAccountService:
    """The service of this request."""
    return ServiceAccountService(session, request.app.state.merit.auth)


ServiceAccountServiceDep = Annotated[ServiceAccountService, Depends(get_service_account_service)]
ServicesReader = Annotated[Principal, require(SERVICES_READ)]
ServicesWriter = Annotated[Principal, require(SERVICES_WRITE, interactive=True)]
FreshServicesWriter = Annotated[Principal, require(SERVICES_WRITE, fresh=True)]
