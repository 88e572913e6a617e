"""Making and sending the mails of accounts, by jobs.

A mail is decided on when it is made: whether the address has an account, whether its link is still wanted. The request
that ordered it did not look, so that neither its answer nor its time can tell who has an account.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.mail_flows.types import MailOrder, Notice
from app.auth.models import User
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.repository import OneTimeTokenRepository
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.repository import UserRepository
from app.auth.types import AuditAction, Client
from app.auth.user_agents import UNKNOWN_DEVICE, describe_user_agent
from app.db.engine import Session
from app.jobs.errors import PermanentJobError
from app.jobs.run import JobRun
from app.mail.errors import MailPermanentError
from app.mail.rendering import MailTemplates
from app.mail.types import Mail

if TYPE_CHECKING:  # the components register this
    from app.auth.components import AuthComponents

_TEMPLATES = Path(__file__).parent / "templates"

PAGES = {
    TokenPurpose.VERIFY_EMAIL: "/account/verify-email",
    TokenPurpose.REGISTER: "/account/register",
    TokenPurpose.INVITATION: "/account/invitation",
    TokenPurpose.RESET_PASSWORD: "/account/password/reset",
    TokenPurpose.CHANGE_EMAIL: "/account/email/confirm",
    TokenPurpose.UNDO_EMAIL_CHANGE: "/account/email/undo",
    TokenPurpose.SECURE_ACCOUNT: "/account/secure",
}
"""The page that a link leads to, by its purpose."""

FORGOT_PAGE = "/account/password/forgot"


def link_of(components: "AuthComponents", purpose: TokenPurpose, token_id: UUID) -> str:
    """The link that a token of this purpose is presented by; whoever has it can use it."""
    token = components.one_time_tokens.token(purpose, token_id)
    return f"{components.settings.base_url}{PAGES[purpose]}?token={token}"


# What is typed in to get these need not be the account's own address: only its equal (`normalize_email`), and perhaps
# somebody else's mailbox. The others have an address of their own.
_TO_OWNERS = {TokenPurpose.VERIFY_EMAIL, TokenPurpose.RESET_PASSWORD}

# What a program calls itself is up to it; no more than a name may reach a mail.
_DEVICE = re.compile(r"[A-Za-z0-9 /+()-]{1,60}")


@dataclass(frozen=True, slots=True)
class _Letter:
    """A decided mail: to whom, by which template, with the link of which token, if any."""

    to: str
    template: str
    token: OneTimeToken | None


class MailSender:
    """The handler of mail jobs."""

    def __init__(self, components: "AuthComponents") -> None:
        self._parts = components
        self._clock = components.clock
        self._codec = components.one_time_tokens
        self._mailer = components.mailer
        self._base_url = components.settings.base_url
        self._templates = MailTemplates(_TEMPLATES)

    async def __call__(self, run: JobRun) -> None:
        """Decide, make and send one mail.

        Raises:
            MailTemporaryError: try again later.
            PermanentJobError: it can never be sent.
        """
        order = MailOrder.from_payload(run.payload)
        async with self._parts.database.session() as session:
            letter = await self._decide(session, order)
            await session.commit()  # commit: outside any request
        if letter is None:
            return
        subject, text, html = self._templates.render(letter.template, self._context(letter.token, order))
        try:
            await self._mailer.send(Mail(str(run.id), letter.to, subject, text, html))
        except MailPermanentError as error:
            raise PermanentJobError(str(error)) from None

    async def _decide(self, session: Session, order: MailOrder) -> _Letter | None:
        """What is to be sent, its token put in force; or None, the token made useless."""
        tokens = OneTimeTokenRepository(session, self._clock)
        token = await tokens.get(order.token_id)
        if token is None:  # its account was deleted
            return None
        users = UserRepository(session, self._clock)
        owner = await users.get_by_login(token.email)
        user = owner if token.user_id is None else await users.get(token.user_id)
        if user is not None:  # before the token, as everyone who changes both does
            await users.lock(user.id)
        issued = None
        if is_wanted(token, user, owner):
            email = user.email if user is not None and token.purpose in _TO_OWNERS else token.email
            issued = await tokens.issue(token, email=email, user_id=None if user is None else user.id)
        if issued is not None:
            await self._record(session, token, user, order.client)
            return _Letter(issued.email, order.template, issued)
        await tokens.withhold(token)
        return await self._instead(tokens, token, owner)

    async def _instead(self, tokens: OneTimeTokenRepository, token: OneTimeToken, owner: User | None) -> _Letter | None:
        """What the owner of an address gets where what was asked for is not to be sent."""
        if token.used_at is not None:
            return None
        match token.purpose:
            case TokenPurpose.VERIFY_EMAIL if owner is None:
                pending = await tokens.newest_live(TokenPurpose.REGISTER, token.email_normalized)
                issued = None
                if pending is not None:
                    issued = await tokens.issue(pending, email=pending.email, user_id=None, is_renewed=False)
                if issued is not None:
                    return _Letter(issued.email, TokenPurpose.REGISTER.value, issued)
            case TokenPurpose.REGISTER | TokenPurpose.CHANGE_EMAIL if owner is not None and owner.id != token.user_id:
                return _Letter(owner.email, Notice.ALREADY_REGISTERED.value, None)
        return None

    async def _record(self, session: Session, token: OneTimeToken, user: User | None, client: Client) -> None:
        is_first = token.issued_at is None
        if is_first and user is not None and token.purpose is TokenPurpose.RESET_PASSWORD:
            audit = AuditTrail(session, self._parts)
            await audit.record(AuditAction.PASSWORD_RESET_REQUESTED, client, user_id=user.id)

    def _context(self, token: OneTimeToken | None, order: MailOrder) -> dict[str, Any]:
        context: dict[str, Any] = {
            "facts": _facts(order),
            "forgot_link": f"{self._base_url}{FORGOT_PAGE}",
        }
        if token is None:
            return context
        return context | {
            "link": link_of(self._parts, token.purpose, token.id),
            "code": self._codec.code(token.purpose, token.id),
            "valid_until": describe_moment(token.expires_at),
        }


def is_wanted(token: OneTimeToken, user: User | None, owner: User | None) -> bool:
    """Whether what a token is for is still to be done.

    `user` is the account that it belongs to, or the one that has its address; `owner` is the one that has its address.
    """
    match token.purpose:
        case TokenPurpose.REGISTER | TokenPurpose.INVITATION:
            return owner is None
        case TokenPurpose.UNDO_EMAIL_CHANGE | TokenPurpose.SECURE_ACCOUNT:
            return user is not None  # the news are for the reader of that mailbox, whatever happened since
    if user is None or not user.is_active:
        return False
    if token.purpose is TokenPurpose.CHANGE_EMAIL:
        return owner is None or owner.id == user.id
    is_theirs = user.email_normalized == token.email_normalized
    return is_theirs and (token.purpose is not TokenPurpose.VERIFY_EMAIL or user.email_verified_at is None)


def describe_moment(moment: datetime) -> str:
    """A moment as people read it, such as `22 November 2026, 03:54 UTC`."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _facts(order: MailOrder) -> list[tuple[str, str]]:
    """When and where it was done, as far as it is known."""
    facts = [("When", describe_moment(order.at))]
    if order.client.address is not None:
        facts.append(("Network address", order.client.address))
    if order.client.user_agent is not None:
        device = describe_user_agent(order.client.user_agent)
        facts.append(("Device", device if _DEVICE.fullmatch(device) else UNKNOWN_DEVICE))
    return facts
