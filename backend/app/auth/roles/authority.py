"""What a caller may do to other accounts and to roles: give no more than they have, and change none above them."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from app.auth.components import AuthComponents
from app.auth.errors import (
    InvalidTokenError,
    LastAdminError,
    SuperuserProtectedError,
    UserNotFoundError,
)
from app.auth.models import User
from app.auth.permissions import Permission, all_permissions, known_permissions
from app.auth.proof import require_person
from app.auth.repository import UserRepository
from app.auth.roles.errors import AccountProtectedError, PermissionNotHeldError
from app.auth.roles.repository import UserRoleRepository
from app.auth.types import Actor, Operator, PrincipalKind, Role
from app.db.engine import Session


@dataclass(frozen=True, slots=True)
class Standing:
    """A caller as the database knows it now, whatever its token says.

    `held` is what it may do, `givable` the part of that which its token carries too: a narrowed token gives no more
    than it has. `admins` are those who administer the service; it is empty where nobody was locked.
    """

    held: frozenset[Permission]
    givable: frozenset[Permission]
    is_admin: bool
    is_superuser: bool
    admins: frozenset[UUID] = frozenset()

    def covers(self, permitted: Iterable[Permission]) -> bool:
        """Whether the caller may do all that an account may, but for what that one does with its own things.

        Personal permissions raise nobody above others: every account has them, and no service can.
        """
        return {permission for permission in permitted if not permission.is_personal} <= self.held

    def require_givable(self, added: Iterable[Permission]) -> None:
        """Refuse to give what the caller does not have.

        Raises:
            PermissionNotHeldError: the caller or its token lacks one of these permissions.
        """
        missing = sorted(set(added) - self.givable)
        if missing:
            raise PermissionNotHeldError(f"You, or this token, do not have {', '.join(missing)}.")

    def require_rank(self, user: User, role: Role, *, is_superuser: bool) -> None:
        """Refuse a rank that the caller may not give to, or take from, this account.

        Raises:
            SuperuserProtectedError: only superusers make one.
            AccountProtectedError: only administrators make one.
            LastAdminError: nobody would be left to administer the service.
        """
        if is_superuser and not self.is_superuser:
            raise SuperuserProtectedError
        if role is Role.ADMIN and user.role is not Role.ADMIN and not self.is_admin:
            raise AccountProtectedError("Only an administrator makes administrators.")
        if role is not Role.ADMIN and not is_superuser:
            self.keep_an_admin(user)

    def keep_an_admin(self, user: User) -> None:
        """Refuse to lose the last administrator.

        Raises:
            LastAdminError: this is the one.
        """
        if self.admins == {user.id}:
            raise LastAdminError


class Authority:
    """Tells where callers stand.

    Whoever changes what someone may do first locks the administrators' rows until the commit: one at a time goes
    through, and reads what the one before has left.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._users = UserRepository(session, components.clock)
        self._user_roles = UserRoleRepository(session, components.clock)

    async def lock(self, actor: Actor, needed: Permission) -> Standing:
        """Where the caller stands, locked: nobody's rights change until the transaction ends.

        Raises:
            InvalidTokenError: while it waited for its turn, the caller lost the permission that it `needed`.
        """
        admins = await self._users.lock_active_admins()
        standing = await self._standing(actor, frozenset(admins))
        if needed not in standing.held:
            raise InvalidTokenError
        return standing

    async def lock_in_person(self, actor: Actor, needed: Permission) -> Standing:
        """The same for giving and taking roles, which is for operators and people who have logged in.

        Raises:
            SessionRequiredError: the caller uses a personal or service token.
            InvalidTokenError: see `lock`.
        """
        require_person(actor)
        return await self.lock(actor, needed)

    async def standing(self, actor: Actor) -> Standing:
        """Where the caller stands, for changes of what nobody's rights depend on.

        Raises:
            InvalidTokenError: the account is gone or disabled.
        """
        return await self._standing(actor, frozenset())

    async def changeable(self, standing: Standing, user_id: UUID) -> User:
        """The account, if a caller of this standing may change it.

        Raises:
            UserNotFoundError: no such account.
            SuperuserProtectedError: only superusers change one.
            AccountProtectedError: it may do what the caller may not.
        """
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFoundError
        if user.is_superuser and not standing.is_superuser:
            raise SuperuserProtectedError
        if not standing.is_admin:
            permitted = await self._user_roles.permissions_of(user)
            if user.role is Role.ADMIN or not standing.covers(permitted):
                raise AccountProtectedError
        return user

    async def _standing(self, actor: Actor, admins: frozenset[UUID]) -> Standing:
        if isinstance(actor, Operator):
            held = known_permissions(all_permissions())
            return Standing(held=held, givable=held, is_admin=True, is_superuser=True, admins=admins)
        if actor.kind is PrincipalKind.SERVICE:
            held = known_permissions(actor.permissions)
            return Standing(held=held, givable=held, is_admin=False, is_superuser=False, admins=admins)
        user = await self._users.get(actor.user_id)
        if user is None or not user.is_active:
            raise InvalidTokenError
        held = await self._user_roles.permissions_of(user)
        return Standing(
            held=held,
            givable=held & actor.permissions,
            is_admin=user.is_superuser or user.role is Role.ADMIN,
            is_superuser=user.is_superuser,
            admins=admins,
        )
