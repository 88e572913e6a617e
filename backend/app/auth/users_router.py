"""`/users/me`: a person's own account."""

from uuid import UUID

from fastapi import Response, status

from app.auth.dependencies import (
    AccountServiceDep,
    AuthServiceDep,
    ClientDep,
    FreshProfileWriter,
    InteractiveProfileWriter,
    ProfileReader,
    ProfileWriter,
)
from app.auth.errors import (
    BreachCheckError,
    HashQueueFullError,
    LoginThrottledError,
    SessionNotFoundError,
    SessionRequiredError,
    UsernameTakenError,
    WeakPasswordError,
    WrongPasswordError,
)
from app.auth.models import User
from app.auth.schemas import PasswordChangeRequest, ProfileUpdate, SessionRead, UserRead
from app.auth.types import SessionView
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.routing import api_router

router = api_router("/users/me", tags=["users"])


@router.get("", response_model=UserRead, summary="Get your account")
async def get_me(principal: ProfileReader, accounts: AccountServiceDep, response: Response) -> User:
    """Your account; its `ETag` goes into `If-Match` when you change it."""
    user = await accounts.get(principal)
    response.headers["ETag"] = etag(user.row_version)
    return user


@router.patch(
    "",
    response_model=UserRead,
    summary="Change your profile",
    responses=error_responses(UsernameTakenError, SessionRequiredError),
)
async def update_me(
    body: ProfileUpdate,
    principal: ProfileWriter,
    accounts: AccountServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> User:
    """Change the members that are given; null removes one. A `username` is changed by people only, not by tokens."""
    changes = body.model_dump(exclude_unset=True)
    user = await accounts.update(principal, changes, expected_version=expected_version, client=client)
    response.headers["ETag"] = etag(user.row_version)
    return user


@router.post(
    "/password",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Change your password",
    responses=error_responses(
        WrongPasswordError,
        WeakPasswordError,
        BreachCheckError,
        LoginThrottledError,
        HashQueueFullError,
    ),
)
async def change_password(
    body: PasswordChangeRequest, principal: FreshProfileWriter, auth: AuthServiceDep, client: ClientDep
) -> None:
    """Replace your password, confirmed by the current one and a fresh login. Ends all your other sessions."""
    current, new = body.current_password.get_secret_value(), body.new_password.get_secret_value()
    await auth.change_password(principal, current=current, new=new, client=client)


@router.get("/sessions", response_model=PageRead[SessionRead], summary="List your sessions")
async def list_my_sessions(
    principal: ProfileReader, accounts: AccountServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SessionView]:
    """Where you are logged in, the newest first."""
    return await accounts.list_sessions(principal, limit=limit, cursor=cursor)


@router.delete(
    "/sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="End one of your sessions",
    responses=error_responses(SessionNotFoundError),
)
async def end_my_session(
    session_id: UUID, principal: InteractiveProfileWriter, accounts: AccountServiceDep, client: ClientDep
) -> None:
    """End a session; its tokens are refused from the next request on."""
    await accounts.end_session(principal, session_id, client)
