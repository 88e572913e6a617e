"""Proving an address, and changing it; `RecoveryService` undoes the change."""

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.types import Notice
from app.auth.models import User
from app.auth.one_time_tokens.errors import UnknownTokenError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenProof, TokenPurpose
from app.auth.registration.service import RegistrationService
from app.auth.repository import UserRepository
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal
from app.db.engine import Session


class EmailAddressService:
    """The addresses of accounts. An account has one at a time, and it is changed only once the new one is proven."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._users = UserRepository(session, components.clock)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._registration = RegistrationService(session, components)
        self._sessions = SessionManager(session, components)
        self._audit = AuditTrail(session, components)

    async def verify(self, proof: TokenProof, client: Client, *, password: str | None = None) -> None:
        """Mark an address as proven, or make the account whose registration waited for this and has this password.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError, InvalidCodeError: the proof is none.
            CodeThrottledError: too many wrong codes before this one.
            PasswordRequiredError: it is of a registration, and no password came along.
            IntegrityError, EmailTakenError: the address of a registration is taken by now; see `confirm_change`.
        """
        token = await self._tokens.find(proof, TokenPurpose.VERIFY_EMAIL, TokenPurpose.REGISTER, client=client)
        if token.purpose is TokenPurpose.REGISTER:
            await self._registration.complete(token, password, client)
            return
        user = await self._begin(token)
        if user.email != token.email:
            raise UnknownTokenError
        await self._users.update(user.id, {User.email_verified_at: self._clock.now()})
        await self._audit.record(AuditAction.EMAIL_VERIFIED, client, user_id=user.id)

    async def resend(self, email: str, client: Client) -> None:
        """Have the mail that proves an address sent again, if one is waited for; here nobody looks."""
        await self._mails.order_for_anyone(TokenPurpose.VERIFY_EMAIL, email=email, client=client)

    async def request_change(self, principal: Principal, email: str, client: Client) -> None:
        """Have a link mailed to a new address; nothing changes before it is used. Beyond the limits none is mailed.

        Raises:
            InvalidTokenError: the caller's session has ended meanwhile.
        """
        is_mailed = await self._mails.reserve(TokenPurpose.CHANGE_EMAIL, email, client)
        await self._session.commit()  # commit: it counts whatever follows, and the account's row is locked first
        await self._sessions.hold(principal)
        await self._tokens.revoke_of_user(principal.user_id, TokenPurpose.CHANGE_EMAIL)
        await self._audit.record(
            AuditAction.EMAIL_CHANGE_REQUESTED, client, user_id=principal.user_id, session_id=principal.session_id
        )
        if is_mailed:
            await self._mails.order(TokenPurpose.CHANGE_EMAIL, email=email, user_id=principal.user_id, client=client)

    async def confirm_change(self, proof: TokenProof, client: Client) -> None:
        """Give an account its new address, and tell the old one, with a way back.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError, InvalidCodeError: the proof is none.
            CodeThrottledError: too many wrong codes before this one.
            IntegrityError: another account has the address.
            EmailTakenError: another account has left the address, and can take it back.
        """
        token = await self._tokens.find(proof, TokenPurpose.CHANGE_EMAIL, client=client)
        user = await self._begin(token)
        await self._move(user, token)
        await self._tokens.require_free(token.email_normalized, but_for=user.id)
        await self._audit.record(AuditAction.EMAIL_CHANGED, client, user_id=user.id)
        await self._mails.notify(user, Notice.EMAIL_CHANGED, client)

    async def _begin(self, token: OneTimeToken) -> User:
        """Use a token up; its account is held until the commit.

        Raises:
            UnknownTokenError: the account is disabled.
            TokenUsedError: someone else was first.
        """
        await self._users.lock(token.user_id)
        user = None if token.user_id is None else await self._users.get(token.user_id)
        if user is None or not user.is_active:
            raise UnknownTokenError
        await self._tokens.use(token)
        return user

    async def _move(self, user: User, token: OneTimeToken) -> None:
        """Give an account the address of a token, which its reader has proven."""
        values = {
            User.email: token.email,
            User.email_normalized: token.email_normalized,
            User.email_verified_at: self._clock.now(),
        }
        await self._users.update(user.id, values)
        await self._tokens.revoke_of_user(user.id, TokenPurpose.CHANGE_EMAIL)
