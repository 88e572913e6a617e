"""What the account endpoints take in their signatures."""

from typing import Annotated

from fastapi import Depends, Response
from starlette.requests import Request

from app.auth.accounts import AccountService
from app.auth.bearer import (
    FreshProfileWriter,
    InteractiveProfileReader,
    InteractiveProfileWriter,
    InteractiveUsersWriter,
    OptionalPrincipal,
    ProfileReader,
    ProfileWriter,
    UsersReader,
    UsersWriter,
)
from app.auth.components import AuthComponents
from app.auth.models import MAX_USER_AGENT_LENGTH
from app.auth.service import AuthService
from app.auth.types import Client
from app.auth.user_admin import UserAdminService, UserFilter
from app.core.text import clean_header
from app.db.session import SessionDep

__all__ = [
    "AccountServiceDep",
    "AuthServiceDep",
    "ClientDep",
    "FreshProfileWriter",
    "InteractiveProfileReader",
    "InteractiveProfileWriter",
    "InteractiveUsersWriter",
    "OptionalPrincipal",
    "ProfileReader",
    "ProfileWriter",
    "UserAdminServiceDep",
    "UserFilter",
    "UsersReader",
    "UsersWriter",
]


async def get_client(request: Request) -> Client:
    """Where the request comes from, as the middleware found out."""
    user_agent = request.headers.get("user-agent")
    return Client(
        address=request.scope.get("merit.client_address"),
        user_agent=None if user_agent is None else clean_header(user_agent, MAX_USER_AGENT_LENGTH),
        request_id=request.scope.get("merit.request_id"),
    )


async def get_auth_service(request: Request, session: SessionDep) -> AuthService:
    """The service of this request, with the keys as they are now: a compromised one signs nothing more."""
    parts: AuthComponents = request.app.state.merit.auth
    await parts.revocations.catch_up()
    return AuthService(session, parts)


async def get_account_service(request: Request, session: SessionDep) -> AccountService:
    """The service of this request."""
    return AccountService(session, request.app.state.merit.auth)


async def get_user_admin_service(request: Request, session: SessionDep) -> UserAdminService:
    """The service of this request."""
    return UserAdminService(session, request.app.state.merit.auth)


async def forbid_storing(response: Response) -> None:
    """Keep tokens out of every cache (RFC 6749 section 5.1)."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"


ClientDep = Annotated[Client, Depends(get_client)]
AuthServiceDep = Annotated[AuthService, Depends(get_auth_service)]
AccountServiceDep = Annotated[AccountService, Depends(get_account_service)]
UserAdminServiceDep = Annotated[UserAdminService, Depends(get_user_admin_service)]
