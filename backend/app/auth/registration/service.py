"""Making accounts, in each of the ways that REGISTRATION may permit."""

import asyncio
from typing import Any

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import (
    CodeThrottledError,
    HashQueueFullError,
    InvitationRequiredError,
    RegistrationClosedError,
    UsernameTakenError,
)
from app.auth.guests.service import GuestService
from app.auth.invitations.service import InvitationService
from app.auth.limits import LoginLimiter
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.models import User
from app.auth.one_time_tokens.errors import InvalidCodeError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.registration.errors import PasswordRequiredError
from app.auth.registration.types import Registrant
from app.auth.repository import UserRepository, normalize_name
from app.auth.types import AuditAction, Client, Role
from app.core.settings import Registration
from app.core.text import normalize_email, normalize_username
from app.db.engine import Session


class RegistrationService:
    """Makes accounts for those who ask for one."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._mode = components.settings.registration
        self._users = UserRepository(session, components.clock)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._invitations = InvitationService(session, components)
        self._guests = GuestService(session, components)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def register(self, registrant: Registrant, client: Client) -> User | None:
        """Make an account, or None where its address must be confirmed first: then nobody learns whether it has one.

        Raises:
            RegistrationClosedError, InvitationRequiredError: not without an invitation.
            UnknownTokenError, TokenUsedError, TokenExpiredError: the invitation is none.
            WeakPasswordError: the password breaks the policy.
            BreachCheckError: the password cannot be checked.
            RegistrationThrottledError: too many registrations from this network.
            UsernameTakenError: the user name is taken.
            IntegrityError: the address or user name is taken (409 by the names of its constraints).
            EmailTakenError: another account has left the address, and can take it back.
        """
        invitation = await self._admit(registrant)
        # The spelling that the mail has proven; the one that was typed in may be another mailbox.
        email = invitation.email if invitation is not None else registrant.email or ""
        self._parts.policy.check(registrant.password, email=email, username=registrant.username)
        await self._limiter.reserve_registration(client.address)
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        await self._parts.breached_passwords.refuse(registrant.password)
        values = {
            "username": registrant.username,
            "full_name": registrant.full_name,
            "hashed_password": await self._parts.hasher.hash(registrant.password),
        }
        if invitation is not None:
            role = await self._invitations.accept(invitation)
            detail = {"invitation_id": str(invitation.id), "role": role.value}
            user = await self._register(email, values, client, role=role, is_verified=True, detail=detail)
            await self._guests.claim_on_entry(user.id, registrant.guest_token, client)
            return user
        if self._mode is Registration.VERIFIED:
            await self._put_off(email, values, client)
            return None
        user = await self._register(email, values, client, is_verified=False)
        await self._mails.order(TokenPurpose.VERIFY_EMAIL, email=user.email, user_id=user.id, client=client)
        await self._guests.claim_on_entry(user.id, registrant.guest_token, client)
        return user

    async def complete(self, token: OneTimeToken, password: str | None, client: Client) -> None:
        """Make the account that a registration waited for, for whoever reads its mail *and* began it.

        Otherwise a registration of someone else's address would become an account with a password that its owner does
        not know. A user name that was given away meanwhile is left out: it can be chosen again.

        Raises:
            PasswordRequiredError: no password came along.
            InvalidCodeError: it is not the registration's, or too many were tried.
            HashQueueFullError: nobody could look at it.
            TokenUsedError: the account is made already.
            IntegrityError, EmailTakenError: the address is taken by now; see `register`.
        """
        if password is None:
            raise PasswordRequiredError
        await self._require_own(token, password, client)
        await self._tokens.hold(TokenPurpose.REGISTER, token.email_normalized)
        await self._tokens.use(token)
        values = dict(token.payload)
        if values["username"] is not None and await self._is_taken(values["username"]):
            values["username"] = None
        await self._register(token.email, values, client, is_verified=True)

    async def create_user(self, *, email: str, password: str, role: Role, is_superuser: bool) -> User:
        """Insert an account, for operators; `register` tells the errors. No transaction may be open yet."""
        self._parts.policy.check(password, email=email)
        await self._parts.breached_passwords.refuse(password)
        values = {"hashed_password": await self._parts.hasher.hash(password)}
        return await self._add(email, values, role=role, is_superuser=is_superuser)

    async def _admit(self, registrant: Registrant) -> OneTimeToken | None:
        """The invitation that came along, which opens every mode."""
        if registrant.invitation is not None:
            return await self._invitations.find(registrant.invitation, registrant.email)
        if self._mode is Registration.CLOSED:
            raise RegistrationClosedError
        if self._mode is Registration.INVITE:
            raise InvitationRequiredError
        return None

    async def _require_own(self, token: OneTimeToken, password: str, client: Client) -> None:
        """Count a try, and compare a password with the one that a registration waits with."""
        try:
            limits = await self._limiter.reserve_completion(token.id, client.address)
        except CodeThrottledError:
            raise InvalidCodeError from None
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        try:
            check = await self._parts.hasher.verify(password, token.payload["hashed_password"])
        except (HashQueueFullError, asyncio.CancelledError):  # refused, or cut off by the request's deadline
            await self._limiter.release_completion(token.id)
            await self._session.commit()  # commit: the refusal would undo it
            raise
        if not check.is_valid:
            await self._audit.record_failure(
                AuditAction.REGISTRATION_FAILED,
                client,
                user_id=None,
                detail={"registration_id": str(token.id)},
                limits=limits,
            )
            await self._session.commit()  # commit: security write before a refusal
            raise InvalidCodeError

    async def _put_off(self, email: str, values: dict[str, Any], client: Client) -> None:
        """Keep a registration until its address is confirmed.

        User names are public, as with the other modes; addresses are not, so that theirs is not looked up.
        """
        if values["username"] is not None and await self._is_taken(values["username"]):
            raise UsernameTakenError
        await self._mails.order_for_anyone(TokenPurpose.REGISTER, email=email, client=client, payload=values)

    async def _is_taken(self, username: str) -> bool:
        return await self._users.exists(User.username_normalized == normalize_username(username))

    async def _register(
        self,
        email: str,
        values: dict[str, Any],
        client: Client,
        *,
        role: Role = Role.USER,
        is_verified: bool,
        detail: dict[str, str] | None = None,
    ) -> User:
        await self._tokens.hold(TokenPurpose.REGISTER, normalize_email(email))
        user = await self._add(email, values, role=role, is_verified=is_verified)
        await self._tokens.require_free(user.email_normalized)
        await self._tokens.revoke_of_address(user.email_normalized, TokenPurpose.REGISTER)
        await self._audit.record(AuditAction.REGISTERED, client, user_id=user.id, detail=detail)
        return user

    async def _add(
        self,
        email: str,
        values: dict[str, Any],
        *,
        role: Role,
        is_verified: bool = False,
        is_superuser: bool = False,
    ) -> User:
        username, full_name = values.get("username"), values.get("full_name")
        return await self._users.add(
            User(
                email=email,
                email_normalized=normalize_email(email),
                username=username,
                username_normalized=None if username is None else normalize_username(username),
                full_name=full_name,
                full_name_normalized=None if full_name is None else normalize_name(full_name),
                hashed_password=values["hashed_password"],
                role=role,
                is_superuser=is_superuser,
                email_verified_at=self._clock.now() if is_verified else None,
            )
        )
