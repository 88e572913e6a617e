"""The SQL of custom roles."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar
from uuid import UUID

from sqlalchemy import ScalarSelect, select

from app.auth.models import User
from app.auth.permissions import Permission, known_permissions, permissions_of
from app.auth.roles.models import CustomRole, RolePermission, UserRole
from app.auth.types import Role
from app.db.repository import BaseRepository


class RoleRepository(BaseRepository[CustomRole]):
    """Custom roles."""

    model = CustomRole
    sorts: ClassVar = {"name": CustomRole.name_normalized}

    async def lock(self, role_ids: Collection[UUID]) -> list[CustomRole]:
        """Those of the roles that exist, by name, locked until the transaction ends."""
        if not role_ids:
            return []
        await self.session.rows(
            select(CustomRole.id).where(CustomRole.id.in_(role_ids)).order_by(CustomRole.id).with_for_update()
        )
        return await self.list_by_ids(role_ids)

    async def list_by_ids(self, role_ids: Collection[UUID]) -> list[CustomRole]:
        """Those of the roles that exist, by name."""
        if not role_ids:
            return []
        return await self.list_(CustomRole.id.in_(role_ids), order_by=(CustomRole.name_normalized,))


class RolePermissionRepository(BaseRepository[RolePermission]):
    """What custom roles permit."""

    model = RolePermission

    async def by_role(self, role_ids: Collection[UUID]) -> dict[UUID, frozenset[Permission]]:
        """The permissions of each role; what the code no longer declares is left out."""
        found: dict[UUID, set[str]] = defaultdict(set)
        if role_ids:
            for row in await self.list_(RolePermission.role_id.in_(role_ids)):
                found[row.role_id].add(row.permission)
        return {role_id: known_permissions(found[role_id]) for role_id in role_ids}

    async def replace(self, role_id: UUID, permissions: Iterable[Permission]) -> None:
        """Make these the permissions of a role."""
        await self.delete_where(RolePermission.role_id == role_id)
        await self.add_all(RolePermission(role_id=role_id, permission=str(permission)) for permission in permissions)


class UserRoleRepository(BaseRepository[UserRole]):
    """Who holds which custom role."""

    model = UserRole

    async def permissions_of(self, user: User) -> frozenset[Permission]:
        """All that an account may do, by at most one statement.

        Read the account first: a change in between then raises its `auth_version` above what was read, and a token
        with these permissions is dead before it is used. The other way round, old permissions would live on.
        """
        if user.is_superuser or user.role is Role.ADMIN:
            return permissions_of(user.role, is_superuser=user.is_superuser)
        statement = (
            select(RolePermission.permission)
            .join(UserRole, UserRole.role_id == RolePermission.role_id)
            .where(UserRole.user_id == user.id)
        )
        custom = [row.permission for row in await self.session.rows(statement)]
        return permissions_of(user.role, is_superuser=False, custom=custom)

    async def roles_of(self, user_id: UUID) -> Sequence[UUID]:
        """The ids of the custom roles that an account holds."""
        return [row.role_id for row in await self.list_(UserRole.user_id == user_id)]

    async def replace(self, user_id: UUID, before: Iterable[UUID], after: Iterable[UUID]) -> None:
        """Let an account hold the roles `after` in place of those `before`."""
        old, new = set(before), set(after)
        if old - new:
            await self.delete_where(UserRole.user_id == user_id, UserRole.role_id.in_(old - new))
        await self.add_all(UserRole(user_id=user_id, role_id=role_id) for role_id in new - old)


def holders_of(role_id: UUID) -> ScalarSelect[UUID]:
    """The subquery of those who hold a role."""
    return select(UserRole.user_id).where(UserRole.role_id == role_id).scalar_subquery()
