"""Everyone's accounts, as administrators see and change them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import InvalidTokenError, LastAdminError, SuperuserProtectedError, UserNotFoundError
from app.auth.models import User
from app.auth.repository import UserRepository, has_prefix, profile_values
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal, Role, SessionEndReason, UserSort
from app.core.pagination import Page
from app.db.engine import Session
from app.db.query import Column

_RANKS = frozenset({"role", "is_superuser"})


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts an administrator wants to see; None means any. Bounds are inclusive below, exclusive above."""

    search: str | None = None
    role: Role | None = None
    is_active: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    last_login_after: datetime | None = None
    last_login_before: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The SQL conditions of what is set."""
        conditions: dict[str, Callable[[Any], ColumnElement[bool]]] = {
            "search": has_prefix,
            "role": lambda value: User.role == value,
            "is_active": User.is_active.is_,
            "created_after": lambda value: User.created_at >= value,
            "created_before": lambda value: User.created_at < value,
            "last_login_after": lambda value: User.last_login_at >= value,
            "last_login_before": lambda value: User.last_login_at < value,
        }
        return [make(value) for name, make in conditions.items() if (value := getattr(self, name)) is not None]


class UserAdminService:
    """Everyone's accounts, for administrators.

    Whoever changes a role or a state first locks the administrators' rows until the commit: one at a time goes
    through, and reads what the one before has left.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._cursors = components.cursors
        self._revocations = components.revocations
        self._users = UserRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._audit = AuditTrail(session, components.clock)

    async def list_(self, filter_: UserFilter, *, sort: UserSort, limit: int, cursor: str | None) -> Page[User]:
        """One page of accounts.

        Raises:
            InvalidCursorError: the cursor belongs to another order.
        """
        after = None if cursor is None else self._cursors.decode(sort.value, cursor)
        items, position = await self._users.page(*filter_.conditions(), sort=sort.value, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(sort.value, position)
        return Page(items=items, next_cursor=next_cursor)

    async def get(self, user_id: UUID) -> User:
        """One account.

        Raises:
            UserNotFoundError: there is none.
        """
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFoundError
        return user

    async def update(
        self,
        actor: Principal,
        user_id: UUID,
        changes: Mapping[str, Any],
        *,
        expected_version: int | None,
        client: Client,
    ) -> User:
        """Change the named members of an account. A changed role kills its access tokens at once.

        Raises:
            UserNotFoundError: no such account.
            LastAdminError: nobody would be left to administer the service.
            SuperuserProtectedError: the actor is no superuser, but the account is or would become one.
            PreconditionFailedError: the account is no longer at `expected_version`.
        """
        admins = await self._lock_admins(actor) if changes.keys() & _RANKS else set()
        user = await self._protected(actor, user_id, makes_superuser=bool(changes.get("is_superuser")))
        values: dict[Column, Any] = profile_values(changes)
        role = changes.get("role", user.role)
        is_superuser = changes.get("is_superuser", user.is_superuser)
        is_rank_changed = (role, is_superuser) != (user.role, user.is_superuser)
        if is_rank_changed:
            if role is not Role.ADMIN and not is_superuser:
                _keep_an_admin(user, admins)
            values |= {User.role: role, User.is_superuser: is_superuser, User.auth_version: User.auth_version + 1}
        await self._users.update(user_id, values, expected_version=expected_version)
        updated = await self.get(user_id)
        if is_rank_changed:
            await self._revocations.revoke_versions_below(self._session, user_id, updated.auth_version)
        ranks = {name: str(value) for name, value in changes.items() if name in _RANKS}
        await self._audit.record(
            AuditAction.USER_UPDATED,
            client,
            user_id=user_id,
            actor_id=actor.user_id,
            detail={"members": sorted(changes), **ranks},
        )
        return updated

    async def set_active(self, actor: Principal, user_id: UUID, client: Client, *, is_active: bool) -> User:
        """Disable an account, which ends its sessions and tokens at once, or enable it again. Idempotent.

        Raises:
            UserNotFoundError, LastAdminError, SuperuserProtectedError: see `update`.
        """
        admins = await self._lock_admins(actor)
        user = await self._protected(actor, user_id, makes_superuser=False)
        if user.is_active is is_active:
            return user
        if not is_active:
            _keep_an_admin(user, admins)
        await self._users.update(user_id, {User.is_active: is_active, User.auth_version: User.auth_version + 1})
        updated = await self.get(user_id)
        action = AuditAction.USER_ENABLED if is_active else AuditAction.USER_DISABLED
        await self._audit.record(action, client, user_id=user_id, actor_id=actor.user_id)
        if not is_active:
            await self._revocations.revoke_versions_below(self._session, user_id, updated.auth_version)
            await self._sessions.end_all(user_id, SessionEndReason.DISABLED, client, actor_id=actor.user_id)
        return updated

    async def end_sessions(self, actor: Principal, user_id: UUID, client: Client) -> None:
        """End all of an account's sessions.

        Raises:
            UserNotFoundError, SuperuserProtectedError: see `update`.
        """
        await self._protected(actor, user_id, makes_superuser=False)
        await self._sessions.end_all(user_id, SessionEndReason.ENDED_BY_ADMIN, client, actor_id=actor.user_id)

    async def _lock_admins(self, actor: Principal) -> set[UUID]:
        """Those who administer the service; the actor may have been demoted while it waited for its turn."""
        admins = await self._users.lock_active_admins()
        if actor.user_id not in admins:
            raise InvalidTokenError
        return admins

    async def _protected(self, actor: Principal, user_id: UUID, *, makes_superuser: bool) -> User:
        """The account, if the actor may change it: superusers are changed and made by superusers only."""
        user = await self.get(user_id)
        if user.is_superuser or makes_superuser:
            acting = await self._users.get(actor.user_id)
            if acting is None or not acting.is_superuser:
                raise SuperuserProtectedError
        return user


def _keep_an_admin(user: User, admins: set[UUID]) -> None:
    """Refuse to lose the last administrator."""
    if user.id in admins and len(admins) == 1:
        raise LastAdminError
