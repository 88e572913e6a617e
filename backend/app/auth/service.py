"""Login, refresh, logout and the change of passwords."""

import asyncio
from contextlib import suppress
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.devices.service import DeviceService
from app.auth.errors import (
    HashQueueFullError,
    InsufficientScopeError,
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidScopeError,
    MissingTokenError,
    WrongPasswordError,
    challenge,
)
from app.auth.guests.service import GuestService
from app.auth.limits import Attempt, LoginLimiter, account_key
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.types import Notice
from app.auth.models import User
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.passwords import PasswordCheck
from app.auth.permissions import PROFILE_WRITE
from app.auth.proof import require_person
from app.auth.repository import AuthSessionRepository, UserRepository, rehashed
from app.auth.roles.repository import UserRoleRepository
from app.auth.service_accounts.grant import ClientCredentialsGrant
from app.auth.sessions import SessionManager, granted_scope, require_known
from app.auth.types import (
    AuditAction,
    Client,
    LogoutScope,
    PasswordLogin,
    Principal,
    SessionEndReason,
    TokenPair,
)
from app.core.errors import AppError
from app.db.engine import Session


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
        self._user_roles = UserRoleRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._devices = DeviceService(session, components)
        self._guests = GuestService(session, components)
        self._clients = ClientCredentialsGrant(session, components)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def login(self, request: PasswordLogin, client: Client) -> TokenPair:
        """Check a password and open a session.

        Raises:
            InvalidCredentialsError: unknown, disabled, or a wrong password; nobody can tell which.
            LoginThrottledError: too many failures before this one.
            InvalidScopeError: the requested scope cannot be granted.
            InvalidClientError: `client_id` is a service account's.
        """
        require_known(request.scope)
        await self._clients.require_public(request.client_id)
        user = await self._users.get_by_login(request.login)
        device = self._parts.device_cookies.recognise(request.device_cookie, user)
        account = account_key(request.login, None if user is None else user.id)
        attempt = Attempt(account, client.address, known_device=device.known_id, is_stranger=True)
        limits = await self._limiter.reserve(attempt)
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        user = await self._verified(user, attempt, request.password, client, limits)
        scope = await self._grantable(user, request.scope, client)
        await self._limiter.clear(attempt)
        await self._devices.announce(user, device, client)
        session, tokens = await self._sessions.open(user, request, scope, device, client)
        await self._audit.record(AuditAction.LOGIN, client, user_id=user.id, session_id=session.id)
        await self._guests.claim_on_entry(user.id, request.guest_token, client)
        return tokens

    async def refresh(
        self, refresh_token: str, *, client_id: str, scope: frozenset[str] | None, client: Client
    ) -> TokenPair:
        """Exchange a refresh token for new tokens; `SessionManager.refresh` tells the rules and further errors.

        Raises:
            InvalidClientError: `client_id` is a service account's.
        """
        await self._clients.require_public(client_id)
        return await self._sessions.refresh(refresh_token, client_id, scope, client)

    async def viewer(self, refresh_token: str) -> Principal:
        """Who has a refresh token, for pages that only read; `SessionManager.viewer` tells the rules and errors."""
        return await self._sessions.viewer(refresh_token)

    async def logout(
        self, principal: Principal | None, which: LogoutScope, client: Client, *, refresh_token: str | None
    ) -> None:
        """End the caller's session, all others, or all of them.

        A refresh token stands in for an access token that has expired; one that is used up is no error, so that
        logging out twice is the same as once.

        Raises:
            MissingTokenError: neither a valid access token nor a refresh token came.
            SessionRequiredError: a personal or service token came, which has no session to end.
            InsufficientScopeError: the token may not end other sessions.
        """
        if refresh_token is not None:
            with suppress(InvalidGrantError):
                principal = await self._sessions.holder(refresh_token, client)
            if principal is None:
                return
        if principal is None:
            raise MissingTokenError
        require_person(principal)
        if which is not LogoutScope.SESSION and PROFILE_WRITE not in principal.permissions:
            raise InsufficientScopeError(headers=challenge(error="insufficient_scope", scope=PROFILE_WRITE))
        if which is LogoutScope.SESSION:
            ids = [principal.session_id]
            await self._sessions.end(ids, principal.user_id, SessionEndReason.LOGOUT, client)
            return
        spare = principal.session_id if which is LogoutScope.OTHERS else None
        await self._sessions.end_all(principal.user_id, SessionEndReason.LOGOUT, client, spare=spare)

    async def change_password(self, principal: Principal, *, current: str, new: str, client: Client) -> None:
        """Replace the caller's password, and end all other sessions and open resets before the answer leaves.

        Raises:
            WrongPasswordError: the current one is wrong; it counts as a failed login.
            WeakPasswordError: the new one breaks the policy.
            BreachCheckError: the new one cannot be checked.
            LoginThrottledError: too many failures before this one.
        """
        user = await self._users.get(principal.user_id)
        if user is None:
            raise InvalidCredentialsError
        self._parts.policy.check(new, email=user.email, username=user.username, field="new_password")
        await self._session.commit()  # commit: nothing is held while the source of breached passwords is asked
        await self._parts.breached_passwords.refuse(new, field="new_password")
        attempt = Attempt(account_key(user.email, user.id), client.address)
        limits = await self._limiter.reserve(attempt)
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        check = await self._check_password(current, user.hashed_password, attempt)
        if not check.is_valid:
            await self._refuse(AuditAction.PASSWORD_CHANGE_FAILED, user.id, client, limits)
            raise WrongPasswordError
        await self._set_password(user, new, attempt, client, session_id=principal.session_id)

    async def replace_password(self, login: str, *, current: str, new: str, client: Client) -> None:
        """The same for whoever is not logged in, and ends all sessions. The current password opens none.

        It is looked at before the new one, which is measured by the account's names: nobody else learns of those.

        Raises:
            InvalidCredentialsError: unknown, disabled, or a wrong password; nobody can tell which.
            WeakPasswordError, BreachCheckError, LoginThrottledError: see `change_password`.
        """
        user = await self._users.get_by_login(login)
        account = account_key(login, None if user is None else user.id)
        attempt = Attempt(account, client.address, is_stranger=True)
        limits = await self._limiter.reserve(attempt)
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        check = await self._check_password(current, user.hashed_password if user else None, attempt)
        if user is None or not check.is_valid or not user.is_active:
            user_id = None if user is None else user.id
            await self._refuse(AuditAction.LOGIN_FAILED, user_id, client, limits)
            raise InvalidCredentialsError
        try:
            self._parts.policy.check(new, email=user.email, username=user.username, field="new_password")
            await self._parts.breached_passwords.refuse(new, field="new_password")
        except AppError:
            await self._limiter.release(attempt)
            await self._refuse(AuditAction.PASSWORD_CHANGE_FAILED, user.id, client)
            raise
        await self._set_password(user, new, attempt, client, session_id=None)

    async def _set_password(
        self, user: User, new: str, attempt: Attempt, client: Client, *, session_id: UUID | None
    ) -> None:
        """Replace a password that was just proven, and end whatever it opened but this session.

        Raises:
            WrongPasswordError: it was changed by someone else meanwhile.
        """
        hashed = await self._parts.hasher.hash(new)
        is_changed = await self._users.update_where(
            User.id == user.id,
            User.is_active.is_(True),
            User.hashed_password == user.hashed_password,
            values={User.hashed_password: hashed},
        )
        if not is_changed:
            raise WrongPasswordError
        await self._limiter.clear(attempt)
        await self._audit.record(AuditAction.PASSWORD_CHANGED, client, user_id=user.id, session_id=session_id)
        await self._sessions.end_all(user.id, SessionEndReason.PASSWORD_CHANGED, client, spare=session_id)
        await self._tokens.revoke_credential_changes(user)
        await self._mails.notify(user, Notice.PASSWORD_CHANGED, client)

    async def _grantable(self, user: User, scope: frozenset[str] | None, client: Client) -> frozenset[str]:
        """What the login may do; a scope that cannot be granted is refused, and the trial of the password recorded."""
        try:
            return granted_scope(await self._user_roles.permissions_of(user), scope)
        except InvalidScopeError:
            await self._session.rollback()  # commit: this is no login
            await self._refuse(AuditAction.LOGIN_FAILED, user.id, client)
            raise

    async def _check_password(self, password: str, hashed: str | None, attempt: Attempt) -> PasswordCheck:
        """Whether the password is right; where nobody could look at it, the attempt does not count."""
        try:
            return await self._parts.hasher.verify(password, hashed)
        except (HashQueueFullError, asyncio.CancelledError):  # refused, or cut off by the request's deadline
            await self._limiter.release(attempt)
            await self._session.commit()  # commit: the refusal would undo it
            raise

    async def _verified(
        self, user: User | None, attempt: Attempt, password: str, client: Client, limits: tuple[str, ...]
    ) -> User:
        """The active account behind a right password, its login noted and its hash renewed where it is outdated."""
        while True:
            check = await self._check_password(password, user.hashed_password if user else None, attempt)
            if user is None or not check.is_valid or not user.is_active:
                await self._refuse(AuditAction.LOGIN_FAILED, None if user is None else user.id, client, limits)
                raise InvalidCredentialsError
            new_hash = await self._parts.hasher.hash(password) if check.needs_rehash else None
            if await self._users.admit_login(user, self._clock.now(), new_hash=new_hash):
                return user if new_hash is None else rehashed(user, new_hash)
            # The account changed while its password was checked: its hash, its rights, or whether it is let in at all.
            user = await self._users.get(user.id)
            await self._session.commit()  # commit: no connection is held while hashing

    async def _refuse(
        self, action: AuditAction, user_id: UUID | None, client: Client, limits: tuple[str, ...] = ()
    ) -> None:
        await self._audit.record_failure(action, client, user_id=user_id, limits=limits)
        await self._session.commit()  # commit: security write before a refusal
