"""Custom roles, and which roles an account has."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import UserNotFoundError
from app.auth.models import User
from app.auth.permissions import (
    ROLES_WRITE,
    USERS_WRITE,
    Permission,
    all_permissions,
    known_permissions,
    permissions_of,
)
from app.auth.repository import UserRepository
from app.auth.roles.authority import Authority
from app.auth.roles.errors import RoleNameTakenError, RoleNotFoundError, UnknownPermissionError, UnknownRoleError
from app.auth.roles.models import CustomRole
from app.auth.roles.repository import RolePermissionRepository, RoleRepository, UserRoleRepository, holders_of
from app.auth.roles.types import PermissionView, RoleView, UserRolesView
from app.auth.types import Actor, AuditAction, Client, Principal, Role
from app.core.errors import PreconditionFailedError
from app.core.pagination import Page
from app.core.text import normalize_username
from app.db.engine import Session
from app.db.query import Column

_SORT = "name"
_CURSOR = "roles by name"


class RoleService:
    """Roles, for those who administer them.

    A change of what someone may do raises their `auth_version` and kills their access tokens in the same transaction,
    by a number of statements that does not depend on how many they are.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._cursors = components.cursors
        self._revocations = components.revocations
        self._users = UserRepository(session, components.clock)
        self._roles = RoleRepository(session, components.clock)
        self._permissions = RolePermissionRepository(session, components.clock)
        self._user_roles = UserRoleRepository(session, components.clock)
        self._authority = Authority(session, components)
        self._audit = AuditTrail(session, components)

    def list_permissions(self) -> list[PermissionView]:
        """Every permission that the code declares."""
        return [
            PermissionView(name, permission.description, tuple(role for role in Role if role in permission.roles))
            for name, permission in all_permissions().items()
        ]

    async def list_(self, *, limit: int, cursor: str | None) -> Page[RoleView]:
        """One page of custom roles by name.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        after = None if cursor is None else self._cursors.decode(_CURSOR, cursor)
        roles, position = await self._roles.page(sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(_CURSOR, position)
        return Page(items=await self._views(roles), next_cursor=next_cursor)

    async def get(self, role_id: UUID) -> RoleView:
        """One custom role.

        Raises:
            RoleNotFoundError: there is none.
        """
        role = await self._roles.get(role_id)
        if role is None:
            raise RoleNotFoundError
        return (await self._views([role]))[0]

    async def find(self, name: str) -> RoleView:
        """The custom role of a name, however it is written.

        Raises:
            RoleNotFoundError: there is none.
        """
        role = await self._roles.get_by(CustomRole.name_normalized, normalize_username(name))
        if role is None:
            raise RoleNotFoundError
        return (await self._views([role]))[0]

    async def create(
        self, actor: Principal, *, name: str, description: str | None, permissions: Collection[str], client: Client
    ) -> RoleView:
        """Make a role.

        Raises:
            RoleNameTakenError: a built-in role has this name.
            IntegrityError: another role has it.
            UnknownPermissionError: the code declares no such permission.
            PermissionNotHeldError: the actor does not have one of them.
        """
        wanted = _declared(permissions)
        standing = await self._authority.lock_in_person(actor, ROLES_WRITE)
        standing.require_givable(wanted)
        role = CustomRole(name=name, name_normalized=_normalized(name), description=description)
        await self._roles.add(role)
        await self._permissions.replace(role.id, wanted)
        view = await self.get(role.id)
        await self._audit.record(
            AuditAction.ROLE_CREATED, client, user_id=None, actor_id=actor.user_id, detail=_detail(new=view)
        )
        return view

    async def update(
        self,
        actor: Principal,
        role_id: UUID,
        changes: Mapping[str, Any],
        *,
        expected_version: int | None,
        client: Client,
    ) -> RoleView:
        """Change the named members of a role. New permissions are in force from its holders' next request on.

        Raises:
            RoleNotFoundError, PreconditionFailedError: no such role, or no longer at `expected_version`.
            RoleNameTakenError, IntegrityError, UnknownPermissionError: see `create`.
            PermissionNotHeldError: the actor does not have a permission that is added, or one of the role whose name or
                description would change.
        """
        wanted = _declared(changes["permissions"]) if "permissions" in changes else None
        standing = await self._authority.lock_in_person(actor, ROLES_WRITE)
        before = await self._locked(role_id)
        if wanted is not None:
            standing.require_givable(wanted - set(before.permissions))
        if changes.keys() - {"permissions"}:
            standing.require_givable(known_permissions(before.permissions))
        await self._roles.update(role_id, _values(changes), expected_version=expected_version)
        if wanted is not None and wanted != set(before.permissions):
            await self._permissions.replace(role_id, wanted)
            await self._renew(User.id.in_(holders_of(role_id)))
        after = await self.get(role_id)
        await self._audit.record(
            AuditAction.ROLE_UPDATED,
            client,
            user_id=None,
            actor_id=actor.user_id,
            detail=_detail(old=before, new=after),
        )
        return after

    async def delete(self, actor: Principal, role_id: UUID, *, expected_version: int | None, client: Client) -> None:
        """Delete a role, which takes it from everyone who holds it.

        Raises:
            RoleNotFoundError, PreconditionFailedError: see `update`.
            PermissionNotHeldError: the actor does not have one of its permissions.
        """
        standing = await self._authority.lock_in_person(actor, ROLES_WRITE)
        role = await self._locked(role_id)
        standing.require_givable(known_permissions(role.permissions))
        if expected_version not in {None, role.row_version}:
            raise PreconditionFailedError("The role was changed since it was read.")
        await self._renew(User.id.in_(holders_of(role_id)))
        await self._roles.delete(role_id)
        await self._audit.record(
            AuditAction.ROLE_DELETED, client, user_id=None, actor_id=actor.user_id, detail=_detail(old=role)
        )

    async def roles_of(self, user_id: UUID) -> UserRolesView:
        """The roles of an account.

        Raises:
            UserNotFoundError: no such account.
        """
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFoundError
        ids = await self._user_roles.roles_of(user_id)
        roles = await self._views(await self._roles.list_by_ids(ids))
        return _user_roles(user, roles)

    async def assign(
        self,
        actor: Actor,
        user_id: UUID,
        *,
        role: Role,
        custom_roles: Collection[UUID],
        expected_version: int | None,
        client: Client,
    ) -> UserRolesView:
        """Let an account have these roles and no others. They are in force from its next request on.

        Raises:
            UserNotFoundError, PreconditionFailedError: no such account, or no longer at `expected_version`.
            UnknownRoleError: one of the custom roles does not exist.
            SuperuserProtectedError, AccountProtectedError, PermissionNotHeldError: the actor may not.
            LastAdminError: nobody would be left to administer the service.
        """
        standing = await self._authority.lock_in_person(actor, USERS_WRITE)
        user = await self._authority.changeable(standing, user_id)
        wanted = await self._views(await self._roles.lock(custom_roles))
        if len(wanted) != len(set(custom_roles)):
            raise UnknownRoleError("One of the custom roles does not exist.")
        standing.require_rank(user, role, is_superuser=user.is_superuser)
        before = await self.roles_of(user_id)
        permitted = permissions_of(role, is_superuser=user.is_superuser, custom=_permissions_in(wanted))
        standing.require_givable(permitted - set(before.permissions))
        await self._users.update(user_id, {User.role: role}, expected_version=expected_version)
        await self._user_roles.replace(user_id, [held.id for held in before.custom_roles], [one.id for one in wanted])
        if (role, tuple(wanted)) != (before.role, before.custom_roles):
            await self._renew(User.id == user_id)
        after = await self.roles_of(user_id)
        await self._audit.record(
            AuditAction.USER_ROLES_CHANGED,
            client,
            user_id=user_id,
            actor_id=actor.user_id,
            detail={"old": _names(before), "new": _names(after)},
        )
        return after

    async def _locked(self, role_id: UUID) -> RoleView:
        """The role, which nobody else gives or changes until the transaction ends."""
        roles = await self._roles.lock([role_id])
        if not roles:
            raise RoleNotFoundError
        return (await self._views(roles))[0]

    async def _renew(self, *where: ColumnElement[bool]) -> None:
        """Kill the access tokens of these accounts; refreshed ones carry what they may do now."""
        await self._users.update_where(*where, values={User.auth_version: User.auth_version + 1})
        await self._revocations.revoke_versions(self._session, await self._users.auth_versions(*where))

    async def _views(self, roles: Sequence[CustomRole]) -> list[RoleView]:
        permissions = await self._permissions.by_role([role.id for role in roles])
        return [
            RoleView(
                id=role.id,
                name=role.name,
                description=role.description,
                permissions=tuple(sorted(permissions[role.id])),
                created_at=role.created_at,
                updated_at=role.updated_at,
                row_version=role.row_version,
            )
            for role in roles
        ]


def _declared(names: Collection[str]) -> frozenset[Permission]:
    """The permissions of these names.

    Raises:
        UnknownPermissionError: one of them is none.
    """
    unknown = sorted(set(names) - all_permissions().keys())
    if unknown:
        raise UnknownPermissionError(
            errors=[{"loc": ["body", "permissions"], "type": "unknown_permission", "msg": "names no permission"}]
        )
    return known_permissions(names)


def _normalized(name: str) -> str:
    """The form in which names of roles are compared.

    Raises:
        RoleNameTakenError: a built-in role has it.
    """
    normalized = normalize_username(name)
    if normalized in set(Role):
        raise RoleNameTakenError
    return normalized


def _values(changes: Mapping[str, Any]) -> dict[Column, Any]:
    """The columns behind the members of a change, but for the permissions, which have a table of their own."""
    values: dict[Column, Any] = {}
    if "name" in changes:
        values |= {CustomRole.name: changes["name"], CustomRole.name_normalized: _normalized(changes["name"])}
    if "description" in changes:
        values[CustomRole.description] = changes["description"]
    return values


def _permissions_in(roles: Iterable[RoleView]) -> set[str]:
    return {permission for role in roles for permission in role.permissions}


def _user_roles(user: User, roles: Sequence[RoleView]) -> UserRolesView:
    permitted = permissions_of(user.role, is_superuser=user.is_superuser, custom=_permissions_in(roles))
    return UserRolesView(
        role=user.role,
        is_superuser=user.is_superuser,
        custom_roles=tuple(roles),
        permissions=tuple(sorted(permitted)),
        row_version=user.row_version,
    )


def _detail(*, old: RoleView | None = None, new: RoleView | None = None) -> dict[str, Any]:
    """What the audit trail keeps of a role before and after."""
    views = {name: view for name, view in (("old", old), ("new", new)) if view is not None}
    role_id = next(iter(views.values())).id
    return {
        "role_id": str(role_id),
        **{
            name: {"name": view.name, "description": view.description, "permissions": list(view.permissions)}
            for name, view in views.items()
        },
    }


def _names(view: UserRolesView) -> dict[str, Any]:
    return {"role": view.role.value, "custom_roles": {str(role.id): role.name for role in view.custom_roles}}
