"""Registration, login, refresh and logout."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import (
    HashQueueFullError,
    InsufficientScopeError,
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidScopeError,
    MissingTokenError,
    RegistrationClosedError,
    WrongPasswordError,
    challenge,
)
from app.auth.limits import LoginLimiter, account_key
from app.auth.models import AuthSession, User
from app.auth.passwords import PasswordCheck
from app.auth.repository import AuthSessionRepository, UserRepository, normalize_name
from app.auth.sessions import SessionManager, granted_scope, require_known
from app.auth.types import (
    AuditAction,
    AuditOutcome,
    Client,
    LogoutScope,
    PasswordLogin,
    Permission,
    Principal,
    Role,
    SessionEndReason,
    TokenPair,
)
from app.core.errors import TooManyRequestsError
from app.core.logging import get_logger
from app.core.settings import Registration, Toggle
from app.core.text import normalize_email, normalize_username
from app.db.engine import Session

logger = get_logger("auth")


class AuthService:
    """Who a caller is, and for how long. Built per request with its session.

    Passwords are hashed between two transactions, never inside one: a hash takes a quarter of a second, in which a
    connection could serve hundreds of requests and SQLite's write lock would block everyone.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._users = UserRepository(session, components.clock)
        self._auth_sessions = AuthSessionRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._audit = AuditTrail(session, components.clock)
        is_limited = components.settings.rate_limits is Toggle.ON
        self._limiter = LoginLimiter(session, components.clock, is_enabled=is_limited)

    async def register(
        self, *, email: str, password: str, username: str | None, full_name: str | None, client: Client
    ) -> User:
        """Make an account.

        Raises:
            RegistrationClosedError: accounts are made by administrators only.
            WeakPasswordError: the password breaks the policy.
            RegistrationThrottledError: too many registrations from this network.
            IntegrityError: the address or user name is taken (409 by the names of its constraints).
        """
        if self._parts.settings.registration is Registration.CLOSED:
            raise RegistrationClosedError
        self._parts.policy.check(password, email=email, username=username)
        await self._reserve(self._limiter.reserve_registration(client.address), client)
        user = await self.create_user(email=email, password=password, username=username, full_name=full_name)
        await self._audit.record(AuditAction.REGISTERED, client, user_id=user.id)
        return user

    async def create_user(
        self,
        *,
        email: str,
        password: str,
        username: str | None = None,
        full_name: str | None = None,
        role: Role = Role.USER,
        is_superuser: bool = False,
    ) -> User:
        """Insert an account whose password passes the policy; `register` tells the errors."""
        self._parts.policy.check(password, email=email, username=username)
        return await self._users.add(
            User(
                email=email,
                email_normalized=normalize_email(email),
                username=username,
                username_normalized=None if username is None else normalize_username(username),
                full_name=full_name,
                full_name_normalized=None if full_name is None else normalize_name(full_name),
                hashed_password=await self._parts.hasher.hash(password),
                role=role,
                is_superuser=is_superuser,
            )
        )

    async def login(self, request: PasswordLogin, client: Client) -> TokenPair:
        """Check a password and open a session.

        Raises:
            InvalidCredentialsError: unknown, disabled, or a wrong password; nobody can tell which.
            LoginThrottledError: too many failures before this one.
            InvalidScopeError: the requested scope cannot be granted.
        """
        require_known(request.scope)
        user = await self._users.get_by_login(request.login)
        account = account_key(request.login, None if user is None else user.id)
        await self._reserve(self._limiter.reserve(account, client.address), client)
        user = await self._verified(user, account, request.password, client)
        await self._require_grantable(user, request.scope, client)
        await self._limiter.clear(account, client.address)
        session, tokens = await self._sessions.open(user, request, client)
        await self._audit.record(AuditAction.LOGIN, client, user_id=user.id, session_id=session.id)
        return tokens

    async def refresh(
        self, refresh_token: str, *, client_id: str, scope: frozenset[str] | None, client: Client
    ) -> TokenPair:
        """Exchange a refresh token for new tokens; `SessionManager.refresh` tells the rules and errors."""
        return await self._sessions.refresh(refresh_token, client_id, scope, client)

    async def logout(
        self, principal: Principal | None, which: LogoutScope, client: Client, *, refresh_token: str | None
    ) -> None:
        """End the caller's session, all others, or all of them.

        A refresh token stands in for an access token that has expired; one that is used up is no error, so that
        logging out twice is the same as once.

        Raises:
            MissingTokenError: neither a valid access token nor a refresh token came.
            InsufficientScopeError: the access token may not end other sessions.
        """
        if refresh_token is not None:
            with suppress(InvalidGrantError):
                principal = _principal_of(await self._sessions.holder(refresh_token, client))
            if principal is None:
                return
        if principal is None:
            raise MissingTokenError
        if which is not LogoutScope.SESSION and Permission.PROFILE_WRITE not in principal.permissions:
            raise InsufficientScopeError(headers=challenge(error="insufficient_scope", scope=Permission.PROFILE_WRITE))
        if which is LogoutScope.SESSION:
            ids = [principal.session_id]
            await self._sessions.end(ids, principal.user_id, SessionEndReason.LOGOUT, client)
            return
        spare = principal.session_id if which is LogoutScope.OTHERS else None
        await self._sessions.end_all(principal.user_id, SessionEndReason.LOGOUT, client, spare=spare)

    async def change_password(self, principal: Principal, *, current: str, new: str, client: Client) -> None:
        """Replace the caller's password, and end all other sessions before the answer leaves.

        Raises:
            WrongPasswordError: the current one is wrong; it counts as a failed login.
            WeakPasswordError: the new one breaks the policy.
            LoginThrottledError: too many failures before this one.
        """
        user = await self._users.get(principal.user_id)
        if user is None:
            raise InvalidCredentialsError
        self._parts.policy.check(new, email=user.email, username=user.username, field="new_password")
        account = account_key(user.email, user.id)
        await self._reserve(self._limiter.reserve(account, client.address), client)
        check = await self._check_password(current, user.hashed_password, account, client)
        if not check.is_valid:
            await self._refuse(AuditAction.PASSWORD_CHANGE_FAILED, user.id, client)
            raise WrongPasswordError
        hashed = await self._parts.hasher.hash(new)
        is_changed = await self._users.update_where(
            User.id == user.id,
            User.is_active.is_(True),
            User.hashed_password == user.hashed_password,
            values={User.hashed_password: hashed},
        )
        if not is_changed:  # changed by someone else while this one was hashed
            raise WrongPasswordError
        await self._limiter.clear(account, client.address)
        await self._audit.record(AuditAction.PASSWORD_CHANGED, client, user_id=user.id, session_id=principal.session_id)
        await self._sessions.end_all(user.id, SessionEndReason.PASSWORD_CHANGED, client, spare=principal.session_id)

    async def _reserve(self, reservation: Awaitable[None], client: Client) -> None:
        """Count the attempt and let go of the connection, before a password is hashed."""
        try:
            await reservation
        except TooManyRequestsError:
            await self._session.rollback()  # commit: a refused attempt is not counted
            logger.warning("throttled", address=client.address)
            raise
        await self._session.commit()  # commit: the attempt counts whatever follows

    async def _require_grantable(self, user: User, scope: frozenset[str] | None, client: Client) -> None:
        """Refuse a scope that cannot be granted, and record that the password was tried."""
        try:
            granted_scope(user, scope)
        except InvalidScopeError:
            await self._session.rollback()  # commit: this is no login
            await self._refuse(AuditAction.LOGIN_FAILED, user.id, client)
            raise

    async def _check_password(self, password: str, hashed: str | None, account: str, client: Client) -> PasswordCheck:
        """Whether the password is right; where nobody could look at it, the attempt does not count."""
        try:
            return await self._parts.hasher.verify(password, hashed)
        except (HashQueueFullError, asyncio.CancelledError):  # refused, or cut off by the request's deadline
            await self._limiter.release(account, client.address)
            await self._session.commit()  # commit: the refusal would undo it
            raise

    async def _verified(self, user: User | None, account: str, password: str, client: Client) -> User:
        """The active account behind a right password, its login noted and its hash renewed where it is outdated."""
        while True:
            check = await self._check_password(password, user.hashed_password if user else None, account, client)
            if user is None or not check.is_valid or not user.is_active:
                await self._refuse(AuditAction.LOGIN_FAILED, None if user is None else user.id, client)
                raise InvalidCredentialsError
            new_hash = await self._parts.hasher.hash(password) if check.needs_rehash else None
            if await self._users.admit_login(user, self._clock.now(), new_hash=new_hash):
                return user
            # The account changed while its password was checked: a parallel login renewed the hash, or it was disabled.
            user = await self._users.get(user.id)
            await self._session.commit()  # commit: no connection is held while hashing

    async def _refuse(self, action: AuditAction, user_id: UUID | None, client: Client) -> None:
        await self._audit.record(action, client, user_id=user_id, outcome=AuditOutcome.FAILURE)
        await self._session.commit()  # commit: security write before a refusal


def _principal_of(session: AuthSession) -> Principal:
    return Principal(
        user_id=session.user_id,
        session_id=session.id,
        client_id=session.client_id,
        permissions=frozenset(Permission),
        auth_time=session.auth_time,
    )
