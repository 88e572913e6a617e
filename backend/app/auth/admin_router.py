"""`/admin/users`: every account, for administrators."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response, status

from app.auth.dependencies import (
    ClientDep,
    InteractiveUsersWriter,
    UserAdminServiceDep,
    UserFilter,
    UsersReader,
    UsersWriter,
)
from app.auth.errors import (
    LastAdminError,
    SessionRequiredError,
    SuperuserProtectedError,
    UsernameTakenError,
    UserNotFoundError,
)
from app.auth.models import User
from app.auth.roles.errors import AccountProtectedError, PermissionNotHeldError
from app.auth.schemas import UserRead, UserUpdate
from app.auth.types import Role, UserSort
from app.core.moments import UtcMoment
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.core.text import SafeLine
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.db.session import reads_replica
from app.routing import api_router

router = api_router("/admin/users", tags=["admin"])


async def get_filter(
    search: Annotated[
        SafeLine | None, Query(max_length=100, description="Start of address, user or full name.")
    ] = None,
    role: Role | None = None,
    is_active: bool | None = None,
    created_after: UtcMoment | None = None,
    created_before: UtcMoment | None = None,
    last_login_after: UtcMoment | None = None,
    last_login_before: UtcMoment | None = None,
) -> UserFilter:
    """The filter of a list request."""
    return UserFilter(
        search=search,
        role=role,
        is_active=is_active,
        created_after=created_after,
        created_before=created_before,
        last_login_after=last_login_after,
        last_login_before=last_login_before,
    )


UserFilterDep = Annotated[UserFilter, Depends(get_filter)]


@router.get("", response_model=PageRead[UserRead], summary="List accounts")
@reads_replica
async def list_users(
    _actor: UsersReader,
    users: UserAdminServiceDep,
    filter_: UserFilterDep,
    sort: UserSort = UserSort.CREATED_AT_DESC,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[User]:
    """Accounts that meet all the filters given. A cursor belongs to the sort order it came from."""
    return await users.list_(filter_, sort=sort, limit=limit, cursor=cursor)


@router.get(
    "/{user_id}", response_model=UserRead, summary="Get an account", responses=error_responses(UserNotFoundError)
)
async def get_user(user_id: UUID, _actor: UsersReader, users: UserAdminServiceDep, response: Response) -> User:
    """One account, with its `ETag`."""
    user = await users.get(user_id)
    response.headers["ETag"] = etag(user.row_version)
    return user


@router.patch(
    "/{user_id}",
    response_model=UserRead,
    summary="Change an account",
    responses=error_responses(
        UserNotFoundError,
        LastAdminError,
        SuperuserProtectedError,
        AccountProtectedError,
        PermissionNotHeldError,
        SessionRequiredError,
        UsernameTakenError,
    ),
)
async def update_user(
    user_id: UUID,
    body: UserUpdate,
    actor: UsersWriter,
    users: UserAdminServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> User:
    """Change the members that are given. A new role is in force from the account's next request on."""
    changes = body.model_dump(exclude_unset=True)
    user = await users.update(actor, user_id, changes, expected_version=expected_version, client=client)
    response.headers["ETag"] = etag(user.row_version)
    return user


@router.post(
    "/{user_id}/disable",
    response_model=UserRead,
    summary="Disable an account",
    responses=error_responses(UserNotFoundError, LastAdminError, SuperuserProtectedError, AccountProtectedError),
)
async def disable_user(user_id: UUID, actor: UsersWriter, users: UserAdminServiceDep, client: ClientDep) -> User:
    """Refuse all logins, and end all sessions and tokens of the account at once."""
    return await users.set_active(actor, user_id, client, is_active=False)


@router.post(
    "/{user_id}/enable",
    response_model=UserRead,
    summary="Enable an account",
    responses=error_responses(UserNotFoundError, SuperuserProtectedError, AccountProtectedError),
)
async def enable_user(user_id: UUID, actor: UsersWriter, users: UserAdminServiceDep, client: ClientDep) -> User:
    """Let the account log in again; its old sessions stay ended."""
    return await users.set_active(actor, user_id, client, is_active=True)


@router.delete(
    "/{user_id}/sessions",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="End an account's sessions",
    responses=error_responses(UserNotFoundError, SuperuserProtectedError, AccountProtectedError),
)
async def end_user_sessions(
    user_id: UUID, actor: InteractiveUsersWriter, users: UserAdminServiceDep, client: ClientDep
) -> None:
    """Log the account out everywhere."""
    await users.end_sessions(actor, user_id, client)
