"""Opening, renewing and ending login sessions."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.devices.types import Device
from app.auth.errors import InvalidGrantError, InvalidScopeError, InvalidTokenError
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.types import Notice
from app.auth.models import AuthSession, User
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.permissions import Permission, all_permissions
from app.auth.refresh_tokens import RefreshToken
from app.auth.repository import AuthSessionRepository, UserRepository
from app.auth.roles.repository import UserRoleRepository
from app.auth.types import (
    AuditAction,
    AuditOutcome,
    Client,
    PasswordLogin,
    Principal,
    PrincipalKind,
    SessionEndReason,
    TokenPair,
)
from app.core.ids import new_id
from app.db.engine import Session

_PASSWORD_METHOD = "pwd"  # noqa: S105 - RFC 8176 section 2
_SINGLE_FACTOR = "aal1"  # NIST SP 800-63B section 2.1
# Whoever had the session need not be the owner: what it has asked for is not to happen any more.
_DISTRUSTED = frozenset({SessionEndReason.REFRESH_REUSED, SessionEndReason.ENDED_BY_OWNER})


class SessionManager:
    """The life of login sessions within one transaction. Every end of one is also a revocation and an event."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._sessions = AuthSessionRepository(session, components.clock)
        self._users = UserRepository(session, components.clock)
        self._user_roles = UserRoleRepository(session, components.clock)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._audit = AuditTrail(session, components)

    async def open(
        self, user: User, request: PasswordLogin, scope: frozenset[str], device: Device, client: Client
    ) -> tuple[AuthSession, TokenPair]:
        """Begin a session and hand out its first tokens, and the cookie by which its device is known again.

        The session that the same client had on a known device ends; so does the oldest where there would be too many.
        """
        now, settings = self._clock.now(), self._parts.settings
        first = self._parts.refresh_tokens.first(new_id())
        session = AuthSession(
            id=first.session_id,
            user_id=user.id,
            client_id=request.client_id,
            scope=None if request.scope is None else " ".join(sorted(scope)),
            rt_hash=self._parts.refresh_tokens.digest(first),
            device_id=device.id,
            device_name=request.device_name,
            user_agent=client.user_agent,
            address=client.address,
            method=_PASSWORD_METHOD,
            auth_time=now,
            created_at=now,
            refreshed_at=now,
            expires_at=now + timedelta(days=settings.refresh_idle_days),
            absolute_expires_at=now + timedelta(days=settings.refresh_absolute_days),
        )
        await self._make_room(session, device, client)
        await self._sessions.add(session)
        tokens = self._pair(user, session, first, scope)
        return session, dataclasses.replace(tokens, device_cookie=self._parts.device_cookies.admit(device, user))

    async def refresh(self, text: str, client_id: str, requested: frozenset[str] | None, client: Client) -> TokenPair:
        """Rotate a refresh token.

        Whoever comes with the previous token within the grace period gets the same successor, so that lost answers
        and parallel tabs log nobody out. An older genuine token has been stolen or copied: the session ends.

        Raises:
            InvalidGrantError: unknown, used up, expired, revoked, or of another client.
            InvalidScopeError: the requested scope is wider than the session's.
        """
        codec = self._parts.refresh_tokens
        token, session, user = await self._decode(text)
        if session.client_id != client_id:
            raise InvalidGrantError
        successor = codec.successor(token)
        idle_end = self._clock.now() + timedelta(days=self._parts.settings.refresh_idle_days)
        is_rotated = await self._sessions.rotate(
            session.id,
            codec.digest(token),
            codec.digest(successor),
            {
                AuthSession.rt_generation: successor.generation,
                AuthSession.expires_at: min(idle_end, session.absolute_expires_at),
                AuthSession.address: client.address,
                AuthSession.user_agent: client.user_agent,
            },
        )
        if not is_rotated:
            await self._accept_previous(token, client)
        # Only now, so that a stolen token cannot be tried without being noticed; a refusal undoes the rotation.
        scope = narrowed_scope(await self._user_roles.permissions_of(user), session, requested)
        return self._pair(user, session, successor, scope)

    async def hold(self, principal: Principal) -> None:
        """Hold the caller's account until the transaction ends, so that its session cannot end meanwhile.

        Raises:
            InvalidTokenError: it has ended since the request was let in.
        """
        await self._users.lock(principal.user_id)
        session = await self._sessions.get(principal.session_id)
        user = await self._users.get(principal.user_id)
        if session is None or user is None or not self._is_usable(session, user):
            raise InvalidTokenError

    async def end(
        self,
        session_ids: Sequence[UUID],
        user_id: UUID,
        reason: SessionEndReason,
        client: Client,
        *,
        actor_id: UUID | None = None,
    ) -> None:
        """End sessions, kill their access tokens, and record it. Sessions that have ended already stay as they are.

        The account's row is locked first, as by everyone who changes its sessions or tokens.
        """
        if not session_ids:
            return
        await self._users.lock(user_id)
        if not await self._sessions.end(session_ids, reason):
            return
        if reason in _DISTRUSTED:
            await self._tokens.revoke_of_user(user_id, TokenPurpose.CHANGE_EMAIL)
        await self._parts.revocations.revoke_sessions(self._session, session_ids)
        action = AuditAction.LOGOUT if reason is SessionEndReason.LOGOUT else AuditAction.SESSION_ENDED
        for session_id in session_ids:
            await self._audit.record(
                action,
                client,
                user_id=user_id,
                actor_id=actor_id,
                session_id=session_id,
                detail={"reason": reason.value},
            )

    async def end_all(
        self,
        user_id: UUID,
        reason: SessionEndReason,
        client: Client,
        *,
        spare: UUID | None = None,
        actor_id: UUID | None = None,
    ) -> int:
        """End all of a user's sessions but the spared one, and the change of address that one may have asked for.

        Returns how many sessions there were.
        """
        await self._users.lock(user_id)
        live = await self._sessions.list_live(user_id, spare=spare)
        await self.end([session.id for session in live], user_id, reason, client, actor_id=actor_id)
        await self._tokens.revoke_of_user(user_id, TokenPurpose.CHANGE_EMAIL)
        return len(live)

    async def holder(self, text: str, client: Client) -> Principal:
        """Who has a refresh token that still works, without rotating it.

        Raises:
            InvalidGrantError: it does not; one used up long ago has ended its session.
        """
        token, session, user = await self._decode(text)
        if session.rt_hash != self._parts.refresh_tokens.digest(token):
            await self._accept_previous(token, client)
        return await self._principal(session, user)

    async def viewer(self, text: str) -> Principal:
        """Who has a refresh token, for pages that only read: nothing is rotated, and nothing ends.

        Raises:
            InvalidGrantError: it does not work any more.
        """
        token, session, user = await self._decode(text)
        if session.rt_hash != self._parts.refresh_tokens.digest(token):
            raise InvalidGrantError
        return await self._principal(session, user)

    async def _decode(self, text: str) -> tuple[RefreshToken, AuthSession, User]:
        """A genuine refresh token with its session and account, which can be used; perhaps with a later token only.

        Raises:
            InvalidGrantError: it is none, or they cannot.
        """
        token = self._parts.refresh_tokens.decode(text)
        session = await self._sessions.get(token.session_id)
        user = None if session is None else await self._users.get(session.user_id)
        if session is None or user is None or not self._is_usable(session, user):
            raise InvalidGrantError
        return token, session, user

    async def _principal(self, session: AuthSession, user: User) -> Principal:
        """The caller who has proven a session: a refresh token permits no more than its access tokens do."""
        return Principal(
            kind=PrincipalKind.SESSION,
            user_id=user.id,
            session_id=session.id,
            client_id=session.client_id,
            permissions=narrowed_scope(await self._user_roles.permissions_of(user), session, None),
            auth_time=session.auth_time,
        )

    async def _accept_previous(self, token: RefreshToken, client: Client) -> None:
        """The token is not the current one: let it pass if it is the previous one and fresh, else end the session."""
        session = await self._sessions.get(token.session_id)
        if session is None or session.revoked_at is not None or token.generation > session.rt_generation:
            raise InvalidGrantError
        age = self._clock.now() - session.refreshed_at
        is_previous = session.previous_rt_hash == self._parts.refresh_tokens.digest(token)
        if is_previous and age <= timedelta(seconds=self._parts.settings.refresh_grace_seconds):
            return
        await self._audit.record(
            AuditAction.REFRESH_REUSED,
            client,
            user_id=session.user_id,
            session_id=session.id,
            outcome=AuditOutcome.FAILURE,
            detail={"generation": token.generation},
        )
        await self.end([session.id], session.user_id, SessionEndReason.REFRESH_REUSED, client)
        owner = await self._users.get(session.user_id)
        if owner is None:  # pragma: no cover # a session goes with its owner
            raise InvalidGrantError
        await self._mails.notify(owner, Notice.REFRESH_REUSED, client)
        await self._session.commit()  # commit: security write before a refusal
        raise InvalidGrantError

    async def _make_room(self, new: AuthSession, device: Device, client: Client) -> None:
        live = await self._sessions.list_live(new.user_id)
        place = (device.known_id, new.client_id)
        here = [old.id for old in live if device.is_known and (old.device_id, old.client_id) == place]
        await self.end(here, new.user_id, SessionEndReason.REPLACED, client)
        elsewhere = [old.id for old in live if old.id not in here]
        surplus = elsewhere[: max(0, len(elsewhere) + 1 - self._parts.settings.max_sessions_per_user)]
        await self.end(surplus, new.user_id, SessionEndReason.LIMIT, client)

    def _is_usable(self, session: AuthSession, user: User) -> bool:
        return session.is_live(self._clock.now()) and user.is_active

    def _pair(self, user: User, session: AuthSession, refresh: RefreshToken, scope: frozenset[str]) -> TokenPair:
        access = self._parts.access_tokens.issue(
            user_id=user.id,
            session_id=session.id,
            client_id=session.client_id,
            auth_version=user.auth_version,
            scope=scope,
            amr=(session.method,),
            acr=_SINGLE_FACTOR,
            auth_time=session.auth_time,
            not_after=session.absolute_expires_at,
        )
        return TokenPair(
            access_token=access.token,
            refresh_token=self._parts.refresh_tokens.encode(refresh),
            expires_in=access.expires_in,
            scope=" ".join(sorted(scope)),
        )


def require_known(scope: frozenset[str] | None) -> None:
    """Refuse a scope that names what is no permission.

    Raises:
        InvalidScopeError: it does.
    """
    if scope is not None and not scope <= all_permissions().keys():
        raise InvalidScopeError("The scope names an unknown permission.")


def granted_scope(permitted: frozenset[Permission], requested: frozenset[str] | None) -> frozenset[str]:
    """What a login may do: all that the account may, or the requested part of it (RFC 6749 section 3.3).

    Raises:
        InvalidScopeError: nothing of what is requested is permitted.
    """
    if requested is None:
        return permitted
    granted = requested & permitted
    if not granted:
        raise InvalidScopeError("None of the requested permissions can be granted.")
    return granted


def narrowed_scope(
    permitted: frozenset[Permission], session: AuthSession, requested: frozenset[str] | None
) -> frozenset[str]:
    """What a refreshed token may do: never more than the session's scope and the user's present permissions.

    Raises:
        InvalidScopeError: more is requested.
    """
    limit = permitted if session.scope is None else permitted & frozenset(session.scope.split())
    if requested is None:
        return limit
    if not requested <= limit:
        raise InvalidScopeError("A refresh can only narrow the scope.")
    return requested
