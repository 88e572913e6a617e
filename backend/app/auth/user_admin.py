"""Everyone's accounts, as administrators see and change them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from app.auth.accounts import views_of
from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import UserNotFoundError
from app.auth.models import User
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.permissions import USERS_WRITE, permissions_of
from app.auth.personal_tokens.service import PersonalTokenService
from app.auth.proof import require_person
from app.auth.repository import AuthSessionRepository, UserRepository, has_prefix, profile_values
from app.auth.roles.authority import Authority
from app.auth.roles.repository import UserRoleRepository
from app.auth.sessions import SessionManager
from app.auth.types import Actor, AuditAction, Client, Role, SessionEndReason, SessionView, UserSort
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
    """Everyone's accounts, for administrators."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._cursors = components.cursors
        self._revocations = components.revocations
        self._users = UserRepository(session, components.clock)
        self._user_roles = UserRoleRepository(session, components.clock)
        self._auth_sessions = AuthSessionRepository(session, components.clock)
        self._authority = Authority(session, components)
        self._sessions = SessionManager(session, components)
        self._tokens = PersonalTokenService(session, components)
        self._one_time_tokens = OneTimeTokens(session, components)
        self._audit = AuditTrail(session, components)

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

    async def find(self, name: str) -> User:
        """The account that someone names by its e-mail address, user name or id.

        Raises:
            UserNotFoundError: there is none.
        """
        user_id = _parse_id(name)
        user = await (self._users.get_by_login(name) if user_id is None else self._users.get(user_id))
        if user is None:
            raise UserNotFoundError
        return user

    async def list_sessions(self, user_id: UUID) -> list[SessionView]:
        """An account's live sessions, the oldest first."""
        return views_of(await self._auth_sessions.list_live(user_id))

    async def update(
        self,
        actor: Actor,
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
            AccountProtectedError: the account may do what the actor may not, or would become an administrator.
            PermissionNotHeldError: the account would get a permission that the actor does not have.
            SessionRequiredError: ranks are given, and names to log in by changed, by people who have logged in.
            PreconditionFailedError: the account is no longer at `expected_version`.
        """
        if "username" in changes:
            require_person(actor)
        if changes.keys() & _RANKS:
            standing = await self._authority.lock_in_person(actor, USERS_WRITE)
        else:
            standing = await self._authority.standing(actor)
        user = await self._authority.changeable(standing, user_id)
        values: dict[Column, Any] = profile_values(changes)
        role = changes.get("role", user.role)
        is_superuser = changes.get("is_superuser", user.is_superuser)
        standing.require_rank(user, role, is_superuser=is_superuser)
        is_rank_changed = (role, is_superuser) != (user.role, user.is_superuser)
        if is_rank_changed:
            permitted = permissions_of(role, is_superuser=is_superuser)
            standing.require_givable(permitted - await self._user_roles.permissions_of(user))
            values |= {User.role: role, User.is_superuser: is_superuser, User.auth_version: User.auth_version + 1}
        await self._users.update(user_id, values, expected_version=expected_version)
        updated = await self.get(user_id)
        if is_rank_changed:
            await self._revocations.revoke_versions_below(self._session, user_id, updated.auth_version)
        ranks = {name: str(value) for name, value in changes.items() if name in _RANKS}
        old = {f"old_{name}": str(getattr(user, name)) for name in ranks}
        await self._audit.record(
            AuditAction.USER_UPDATED,
            client,
            user_id=user_id,
            actor_id=actor.user_id,
            detail={"members": sorted(changes), **ranks, **old},
        )
        return updated

    async def set_active(self, actor: Actor, user_id: UUID, client: Client, *, is_active: bool) -> User:
        """Disable an account, which ends its sessions, tokens and invitations at once, or enable it again. Idempotent.

        Raises:
            UserNotFoundError, LastAdminError, SuperuserProtectedError, AccountProtectedError: see `update`.
        """
        standing = await self._authority.lock(actor, USERS_WRITE)
        user = await self._authority.changeable(standing, user_id)
        if user.is_active is is_active:
            return user
        if not is_active:
            standing.keep_an_admin(user)
        await self._users.update(user_id, {User.is_active: is_active, User.auth_version: User.auth_version + 1})
        updated = await self.get(user_id)
        action = AuditAction.USER_ENABLED if is_active else AuditAction.USER_DISABLED
        await self._audit.record(action, client, user_id=user_id, actor_id=actor.user_id)
        if not is_active:
            await self._revocations.revoke_versions_below(self._session, user_id, updated.auth_version)
            await self._sessions.end_all(user_id, SessionEndReason.DISABLED, client, actor_id=actor.user_id)
            await self._tokens.revoke_all(user_id, client, SessionEndReason.DISABLED, actor_id=actor.user_id)
            await self._one_time_tokens.revoke_of_user(user_id, TokenPurpose.INVITATION)
        return updated

    async def end_sessions(self, actor: Actor, user_id: UUID, client: Client) -> None:
        """End all of an account's sessions, and a change of its address that is under way. Recorded without any too.

        Raises:
            UserNotFoundError, SuperuserProtectedError, AccountProtectedError: see `update`.
        """
        await self._authority.changeable(await self._authority.standing(actor), user_id)
        count = await self._sessions.end_all(user_id, SessionEndReason.ENDED_BY_ADMIN, client, actor_id=actor.user_id)
        await self._audit.record(
            AuditAction.USER_SESSIONS_ENDED, client, user_id=user_id, actor_id=actor.user_id, detail={"count": count}
        )


def _parse_id(name: str) -> UUID | None:
    """The id that a name is, as ids are written; without its dashes it could be someone's user name."""
    with suppress(ValueError):
        if str(found := UUID(name)) == name.lower():
            return found
    return None
