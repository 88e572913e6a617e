"""What the endpoints of addresses take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.email_addresses.service import EmailAddressService
from app.db.session import SessionDep


async def get_email_address_service(request: Request, session: SessionDep) -> EmailAddressService:
    """The service of this request."""
    return EmailAddressService(session, request.app.state.merit.auth)


EmailAddressServiceDep = Annotated[EmailAddressService, Depends(get_email_address_service)]
