"""Ordering the mails of accounts, in the transaction of what they tell of."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.auth.components import AuthComponents
from app.auth.errors import MailThrottledError
from app.auth.limits import LoginLimiter
from app.auth.mail_flows.types import MAIL_JOB, PURPOSE_OF_NOTICE, MailOrder, Notice
from app.auth.models import User
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.types import Client
from app.core.text import normalize_email
from app.db.engine import Session

# The others are part of a flow that a mail to the address began, or hold its owner's way back.
_FOR_PROVEN_ADDRESSES = {Notice.PASSWORD_CHANGED, Notice.REFRESH_REUSED, Notice.NEW_DEVICE}


class AccountMails:
    """Orders mails. Each is a row that its link or code is derived from, and a job that sends it after the commit."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._jobs = components.jobs
        self._clock = components.clock
        self._tokens = OneTimeTokens(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def notify(self, user: User, notice: Notice, client: Client) -> None:
        """Tell the owner of an account what happened to it, at the address that `user` holds.

        `client` is where it was done from. The mail has a link for whoever did not do it. Not to be a tool of mail
        bombing, nothing goes to an address that may be someone else's, and only so much on logins from new devices.
        """
        if notice in _FOR_PROVEN_ADDRESSES and user.email_verified_at is None:
            return
        if notice is Notice.NEW_DEVICE and not await self._limiter.admit_device_notice(user.id):
            return
        await self.order(
            PURPOSE_OF_NOTICE[notice], email=user.email, user_id=user.id, client=client, template=notice.value
        )

    async def order_for_anyone(
        self,
        purpose: TokenPurpose,
        *,
        email: str,
        client: Client,
        user_id: UUID | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Order a mail to an address that someone named. Beyond the limits none is sent, and nobody is told."""
        if await self.reserve(purpose, email, client):
            await self.order(purpose, email=email, user_id=user_id, client=client, payload=payload)

    async def reserve(self, purpose: TokenPurpose, email: str, client: Client) -> bool:
        """Count a mail to an address that someone named: before anything else, as a refusal rolls the rest back.

        False where it is beyond the limits, and none may be ordered.
        """
        try:
            await self._limiter.reserve_mail(purpose, normalize_email(email), client.address)
        except MailThrottledError:
            return False
        return True

    async def order(
        self,
        purpose: TokenPurpose,
        *,
        email: str,
        user_id: UUID | None,
        client: Client,
        payload: Mapping[str, Any] | None = None,
        template: str | None = None,
    ) -> OneTimeToken:
        """Order a mail with a link, by default with the template of its purpose; the link's token.

        Nothing is known here of who has the address: what becomes of a mail to a stranger is settled when it is made,
        so that neither the answer to a request nor its time can tell.
        """
        token = await self._tokens.create(purpose, email=email, user_id=user_id, payload=payload)
        order = MailOrder(token.id, template or purpose.value, self._clock.now(), client)
        await self._jobs.enqueue(self._session, MAIL_JOB, order.to_payload())
        return token
