"""Telling the owner of an account that somebody logged in where nobody did before."""

import re

from app.auth.components import AuthComponents
from app.auth.devices.types import Device
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.types import Notice
from app.auth.models import User
from app.auth.repository import AuthSessionRepository
from app.auth.types import Client
from app.core.addresses import network_of
from app.db.engine import Session

_REMEMBERED_SESSIONS = 50
_VERSIONS = re.compile(r"\d[\d._]*")


class DeviceService:
    """Decides what is a new device to an account, within the transaction of the login."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._sessions = AuthSessionRepository(session, components.clock)
        self._mails = AccountMails(session, components)

    async def announce(self, user: User, device: Device, client: Client) -> None:
        """Mail the owner, unless the login is one of a known device or the account's first.

        `user` is the account as it was before this login. Programs keep no cookies: for them a known device is the
        same `User-Agent`, but for its version, in the same network as in an earlier session.
        """
        if device.is_known or user.last_login_at is None:
            return
        earlier = await self._sessions.latest_origins(user.id, _REMEMBERED_SESSIONS)
        here = _origin(client.user_agent, client.address)
        if all(_origin(*origin) != here for origin in earlier):
            await self._mails.notify(user, Notice.NEW_DEVICE, client)


def _origin(user_agent: str | None, address: str | None) -> tuple[str | None, str]:
    return _family(user_agent), network_of(address)


def _family(user_agent: str | None) -> str | None:
    """The `User-Agent` without its version numbers, which change with every update."""
    return None if user_agent is None else _VERSIONS.sub("", user_agent)
