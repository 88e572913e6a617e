"""Forgotten passwords, and accounts that someone else has entered."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import UserNotFoundError
from app.auth.limits import LoginLimiter, account_key
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.sender import link_of
from app.auth.mail_flows.types import Notice
from app.auth.models import User
from app.auth.one_time_tokens.errors import UnknownTokenError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenProof, TokenPurpose
from app.auth.personal_tokens.service import PersonalTokenService
from app.auth.recovery.errors import AccountDisabledError
from app.auth.repository import UserRepository
from app.auth.roles.authority import Authority
from app.auth.sessions import SessionManager
from app.auth.types import Actor, AuditAction, Client, SessionEndReason
from app.db.engine import Session
from app.db.repository import Values

_NO_PASSWORD = "!"  # noqa: S105 - what no password has as its hash
_HANDED_OVER = "handed_over"  # in the payload of a token that no mail took to its owner


@dataclass(frozen=True, slots=True)
class ResetLink:
    """A link for a new password, for an operator to hand over."""

    link: str = field(repr=False)
    expires_at: datetime


class RecoveryService:
    """Gives an account back to whoever reads the mails to its address. None of it opens a session."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._users = UserRepository(session, components.clock)
        self._authority = Authority(session, components)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._sessions = SessionManager(session, components)
        self._personal_tokens = PersonalTokenService(session, components)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def request_reset(self, email: str, client: Client) -> None:
        """Have a reset link mailed, if the address has an account; here nobody looks."""
        await self._mails.order_for_anyone(TokenPurpose.RESET_PASSWORD, email=email, client=client)

    async def send_reset(self, actor: Actor, user_id: UUID, client: Client) -> None:
        """Have a reset link mailed to someone, for administrators, who can set no password themselves.

        Raises:
            UserNotFoundError: no such account.
            SuperuserProtectedError, AccountProtectedError: the account may do what the actor may not.
            AccountDisabledError: it could not log in afterwards.
        """
        await self._authority.changeable(await self._authority.standing(actor), user_id)
        user = await self._resettable(user_id)
        await self._audit.record(AuditAction.PASSWORD_RESET_REQUESTED, client, user_id=user_id, actor_id=actor.user_id)
        # Where the administrator sits is nothing that the mail should tell.
        nowhere = Client(request_id=client.request_id)
        await self._mails.order(TokenPurpose.RESET_PASSWORD, email=user.email, user_id=user_id, client=nowhere)

    async def make_reset_link(self, user_id: UUID, client: Client) -> ResetLink:
        """A reset link that is not mailed but handed over, for operators whose mail does not reach someone.

        Raises:
            UserNotFoundError, AccountDisabledError: see `send_reset`.
        """
        user = await self._resettable(user_id)
        payload: dict[str, Any] = {_HANDED_OVER: True}
        token = await self._tokens.create_issued(TokenPurpose.RESET_PASSWORD, user, payload)
        await self._audit.record(
            AuditAction.PASSWORD_RESET_REQUESTED, client, user_id=user_id, detail={_HANDED_OVER: True}
        )
        return ResetLink(link_of(self._parts, token.purpose, token.id), token.expires_at)

    async def reset(self, proof: TokenProof, new_password: str, client: Client) -> None:
        """Set a new password, and end everything that the old one opened before the answer leaves.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError, InvalidCodeError: the proof is none.
            CodeThrottledError: too many wrong codes before this one.
            WeakPasswordError: the password breaks the policy; the proof can be used again.
            BreachCheckError: the password cannot be checked.
        """
        token = await self._tokens.find(proof, TokenPurpose.RESET_PASSWORD, client=client)
        user = await self._holder(token)
        await self._session.commit()  # commit: nothing is held while the password is checked and hashed
        self._parts.policy.check(new_password, email=user.email, username=user.username, field="new_password")
        await self._parts.breached_passwords.refuse(new_password, field="new_password")
        hashed = await self._parts.hasher.hash(new_password)
        await self._begin(token)
        user = await self._holder(token)
        verified_at = user.email_verified_at
        if not token.payload.get(_HANDED_OVER):
            verified_at = verified_at or self._clock.now()  # the mail has reached its owner
        await self._renew(
            user, {User.hashed_password: hashed, User.email_verified_at: verified_at},
            SessionEndReason.PASSWORD_RESET, client,
        )  # fmt: skip
        await self._limiter.forgive(account_key(user.email, user.id), client.address)
        await self._audit.record(AuditAction.PASSWORD_RESET, client, user_id=user.id)
        await self._mails.notify(user, Notice.PASSWORD_RESET, client)

    async def secure(self, token_text: str, client: Client) -> None:
        """Lock everyone out of an account, on the word of its owner, and mail a reset link.

        A link that went to an earlier address works as long as that one can be taken back, and takes it back.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError: the token is none, or its address is lost.
            IntegrityError: see `undo_email_change`.
        """
        token = await self._tokens.find(TokenProof(token=token_text), TokenPurpose.SECURE_ACCOUNT)
        user = await self._begin(token)
        if user.email != token.email:  # whoever is in the account may have changed it
            way_back = await self._tokens.find_way_back(token)
            await self._restore(user, way_back, client)
        await self._lock_out(token, client)

    async def undo_email_change(self, token_text: str, client: Client) -> None:
        """Give an account an earlier address back, whatever it has now, and lock everyone out of it.

        Whoever changed the address has logged in a moment before, and perhaps changed it twice: so the link works
        until it expires, and takes back those that went to the later addresses. Nobody else can get the address before.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError: the token is none.
            IntegrityError: an operator has made another account of the address.
        """
        token = await self._tokens.find(TokenProof(token=token_text), TokenPurpose.UNDO_EMAIL_CHANGE)
        await self._restore(await self._begin(token), token, client)
        await self._lock_out(token, client)

    async def _restore(self, user: User, way_back: OneTimeToken, client: Client) -> None:
        """Give an account the address of a token back, and take back the tokens that went to later ones."""
        values = {
            User.email: way_back.email,
            User.email_normalized: way_back.email_normalized,
            User.email_verified_at: self._clock.now(),
        }
        await self._users.update(user.id, values)
        await self._tokens.revoke_younger(way_back)
        await self._audit.record(AuditAction.EMAIL_CHANGE_UNDONE, client, user_id=user.id)

    async def _lock_out(self, token: OneTimeToken, client: Client) -> None:
        """End all sessions and tokens of an account, make its password useless, and mail a reset link.

        `token` is used up by now, and its address the account's.
        """
        user = await self._holder(token)
        await self._renew(user, {User.hashed_password: _NO_PASSWORD}, SessionEndReason.SECURED, client)
        await self._audit.record(AuditAction.ACCOUNT_SECURED, client, user_id=user.id)
        await self._mails.notify(user, Notice.ACCOUNT_SECURED, client)

    async def _resettable(self, user_id: UUID) -> User:
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFoundError
        if not user.is_active:
            raise AccountDisabledError
        return user

    async def _holder(self, token: OneTimeToken) -> User:
        """The active account of a token, if the token's address is still its own.

        Raises:
            UnknownTokenError: there is none.
        """
        user = await self._owner(token)
        if user.email != token.email:
            raise UnknownTokenError
        return user

    async def _owner(self, token: OneTimeToken) -> User:
        user = None if token.user_id is None else await self._users.get(token.user_id)
        if user is None or not user.is_active:
            raise UnknownTokenError
        return user

    async def _begin(self, token: OneTimeToken) -> User:
        """Use a token up; its account, held until the commit, whatever address it has by now.

        Raises:
            UnknownTokenError: the account is disabled.
            TokenUsedError: someone else was first.
        """
        await self._users.lock(token.user_id)
        user = await self._owner(token)
        await self._tokens.use(token)
        return user

    async def _renew(self, user: User, values: Values, reason: SessionEndReason, client: Client) -> None:
        """Change an account's password, and end whatever came before it."""
        await self._users.update(user.id, {**values, User.auth_version: user.auth_version + 1})
        await self._parts.revocations.revoke_versions_below(self._session, user.id, user.auth_version + 1)
        await self._sessions.end_all(user.id, reason, client)
        await self._personal_tokens.revoke_all(user.id, client, reason)
        await self._tokens.revoke_credential_changes(user)
        await self._tokens.revoke_of_user(user.id, TokenPurpose.INVITATION)
