"""An account as its owner sees and changes it."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import InvalidTokenError, SessionNotFoundError
from app.auth.models import AuthSession, User
from app.auth.proof import require_person
from app.auth.repository import AuthSessionRepository, UserRepository, is_live, profile_values
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal, SessionEndReason, SessionView
from app.auth.user_agents import DeviceNames
from app.core.pagination import Page
from app.db.engine import Session

_SESSIONS_SORT = "-created_at"


class AccountService:
    """A person's own account."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._cursors = components.cursors
        self._clock = components.clock
        self._users = UserRepository(session, components.clock)
        self._auth_sessions = AuthSessionRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._audit = AuditTrail(session, components)

    async def get(self, principal: Principal) -> User:
        """The caller's account.

        Raises:
            InvalidTokenError: it is gone.
        """
        user = await self._users.get(principal.user_id)
        if user is None:
            raise InvalidTokenError
        return user

    async def update(
        self, principal: Principal, changes: Mapping[str, Any], *, expected_version: int | None, client: Client
    ) -> User:
        """Change the named members of the caller's profile.

        Raises:
            SessionRequiredError: a program changes the user name, which is a name to log in by.
            PreconditionFailedError: the profile is no longer at `expected_version`.
            IntegrityError: the user name is taken.
        """
        if "username" in changes:
            require_person(principal)
        if not await self._users.update(principal.user_id, profile_values(changes), expected_version=expected_version):
            raise InvalidTokenError
        await self._audit.record(
            AuditAction.PROFILE_UPDATED, client, user_id=principal.user_id, detail={"members": sorted(changes)}
        )
        return await self.get(principal)

    async def list_sessions(self, principal: Principal, *, limit: int, cursor: str | None) -> Page[SessionView]:
        """The caller's live sessions, the newest first."""
        after = None if cursor is None else self._cursors.decode(_SESSIONS_SORT, cursor)
        mine = self._auth_sessions.owned_by(principal.user_id)
        items, position = await mine.page(*is_live(self._clock.now()), sort=_SESSIONS_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(_SESSIONS_SORT, position)
        views = views_of(items, current=principal.session_id)
        return Page(items=views, next_cursor=next_cursor)

    async def end_session(self, principal: Principal, session_id: UUID, client: Client) -> None:
        """End one of the caller's sessions.

        Raises:
            SessionNotFoundError: no such live session of theirs.
        """
        session = await self._auth_sessions.owned_by(principal.user_id).get(session_id)
        if session is None or not session.is_live(self._clock.now()):
            raise SessionNotFoundError
        await self._sessions.end([session_id], principal.user_id, SessionEndReason.ENDED_BY_OWNER, client)


def views_of(sessions: Iterable[AuthSession], *, current: UUID | None = None) -> list[SessionView]:
    """Sessions as they are shown; `current` is the id of the one that asks."""
    devices = DeviceNames()
    return [_view(session, devices, current=session.id == current) for session in sessions]


def _view(session: AuthSession, devices: DeviceNames, *, current: bool) -> SessionView:
    return SessionView(
        id=session.id,
        created_at=session.created_at,
        refreshed_at=session.refreshed_at.replace(second=0, microsecond=0),
        address=session.address,
        device=devices.describe(session.user_agent),
        device_name=session.device_name,
        method=session.method,
        current=current,
    )
