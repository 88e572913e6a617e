"""`/admin/roles`, `/admin/permissions` and `/admin/users/{user_id}/roles`: who may do what."""

from uuid import UUID

from fastapi import Response, status

from app.auth.dependencies import ClientDep, InteractiveUsersWriter, UsersReader
from app.auth.errors import LastAdminError, SuperuserProtectedError, UserNotFoundError
from app.auth.roles.dependencies import InteractiveRolesWriter, RoleServiceDep, RolesReader
from app.auth.roles.errors import (
    AccountProtectedError,
    PermissionNotHeldError,
    RoleNameTakenError,
    RoleNotFoundError,
    UnknownPermissionError,
    UnknownRoleError,
)
from app.auth.roles.schemas import PermissionRead, RoleCreate, RoleRead, RoleUpdate, UserRolesRead, UserRolesUpdate
from app.auth.roles.types import PermissionView, RoleView, UserRolesView
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.db.session import reads_replica
from app.idempotency.dependencies import OnceDep, version_of
from app.routing import api_router

router = api_router("/admin", tags=["admin"])


@router.get("/permissions", response_model=list[PermissionRead], summary="List permissions")
async def list_permissions(_actor: RolesReader, roles: RoleServiceDep) -> list[PermissionView]:
    """Every permission there is, and the built-in roles that have it."""
    return roles.list_permissions()


@router.get("/roles", response_model=PageRead[RoleRead], summary="List custom roles")
@reads_replica
async def list_roles(
    _actor: RolesReader, roles: RoleServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RoleView]:
    """Custom roles by name. The built-in ones are in code: `GET /admin/permissions` shows what they permit."""
    return await roles.list_(limit=limit, cursor=cursor)


@router.post(
    "/roles",
    response_model=RoleRead,
    status_code=status.HTTP_201_CREATED,
    summary="Make a role",
    responses=error_responses(RoleNameTakenError, UnknownPermissionError, PermissionNotHeldError),
)
async def create_role(
    body: RoleCreate, actor: InteractiveRolesWriter, roles: RoleServiceDep, client: ClientDep, once: OnceDep
) -> RoleView | Response:
    """Make a role with permissions that you have."""
    return await once.run(
        actor.user_id,
        body,
        lambda: roles.create(actor, **body.model_dump(), client=client),
        headers=version_of,
    )


@router.get(
    "/roles/{role_id}", response_model=RoleRead, summary="Get a role", responses=error_responses(RoleNotFoundError)
)
async def get_role(role_id: UUID, _actor: RolesReader, roles: RoleServiceDep, response: Response) -> RoleView:
    """One custom role, with its `ETag`."""
    role = await roles.get(role_id)
    response.headers["ETag"] = etag(role.row_version)
    return role


@router.patch(
    "/roles/{role_id}",
    response_model=RoleRead,
    summary="Change a role",
    responses=error_responses(RoleNotFoundError, RoleNameTakenError, UnknownPermissionError, PermissionNotHeldError),
)
async def update_role(
    role_id: UUID,
    body: RoleUpdate,
    actor: InteractiveRolesWriter,
    roles: RoleServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> RoleView:
    """Change the members that are given. New permissions are in force from the next request of those who hold it on."""
    changes = body.model_dump(exclude_unset=True)
    role = await roles.update(actor, role_id, changes, expected_version=expected_version, client=client)
    response.headers["ETag"] = etag(role.row_version)
    return role


@router.delete(
    "/roles/{role_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a role",
    responses=error_responses(RoleNotFoundError, PermissionNotHeldError),
)
async def delete_role(
    role_id: UUID,
    actor: InteractiveRolesWriter,
    roles: RoleServiceDep,
    client: ClientDep,
    expected_version: IfMatch,
) -> None:
    """Delete a role, which takes it from everyone who holds it at once."""
    await roles.delete(actor, role_id, expected_version=expected_version, client=client)


@router.get(
    "/users/{user_id}/roles",
    response_model=UserRolesRead,
    summary="Get an account's roles",
    responses=error_responses(UserNotFoundError),
)
async def get_user_roles(
    user_id: UUID, _actor: UsersReader, roles: RoleServiceDep, response: Response
) -> UserRolesView:
    """The built-in role and the custom ones of an account, with the account's `ETag`."""
    held = await roles.roles_of(user_id)
    response.headers["ETag"] = etag(held.row_version)
    return held


@router.put(
    "/users/{user_id}/roles",
    response_model=UserRolesRead,
    summary="Set an account's roles",
    responses=error_responses(
        UserNotFoundError,
        UnknownRoleError,
        LastAdminError,
        SuperuserProtectedError,
        AccountProtectedError,
        PermissionNotHeldError,
    ),
)
async def set_user_roles(
    user_id: UUID,
    body: UserRolesUpdate,
    actor: InteractiveUsersWriter,
    roles: RoleServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> UserRolesView:
    """Let the account have these roles and no others, from its next request on."""
    held = await roles.assign(actor, user_id, **body.model_dump(), expected_version=expected_version, client=client)
    response.headers["ETag"] = etag(held.row_version)
    return held
