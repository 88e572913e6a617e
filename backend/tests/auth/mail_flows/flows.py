"""What the tests of the mail flows share: the tokens in mails, and the requests that take them."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from sqlalchemy import select

from app.auth.mail_flows.page_rendering import RESET_PASSWORD
from app.auth.one_time_tokens.models import OneTimeToken
from app.main import Services
from tests.mailbox import Mailbox, links_in
from tests.support import API, PASSWORD, Account

NEW_PASSWORD = "another passphrase 43"
ACCEPTED = {"detail": "If there is something to send, the mail is on its way."}


def token_of(link: str) -> str:
    """The token in a link."""
    (token,) = parse_qs(urlsplit(link).query)["token"]
    return token


async def token_to(mailbox: Mailbox, address: str) -> str:
    """The token in the newest mail to an address."""
    return token_of(await mailbox.link(address))


async def post(client: httpx.AsyncClient, path: str, **members: Any) -> httpx.Response:
    """A request without credentials."""
    return await client.post(f"{API}{path}", json=members)


async def register(client: httpx.AsyncClient, email: str, **members: Any) -> httpx.Response:
    """A registration."""
    return await post(client, "/auth/register", **{"email": email, "password": PASSWORD, **members})


async def forgot(client: httpx.AsyncClient, email: str) -> httpx.Response:
    """Ask for a reset link."""
    return await post(client, "/auth/password/forgot", email=email)


async def reset(client: httpx.AsyncClient, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    """Set a new password by the token of a link."""
    return await post(client, "/auth/password/reset", token=token, new_password=password)


async def reset_token(account: Account, mailbox: Mailbox) -> str:
    """The token of a reset link that was just asked for; a notice may have come with it."""
    assert (await forgot(account.client, account.email)).status_code == 202
    links = [link for mail in await mailbox.to(account.email) for link in links_in(mail)]
    return token_of([link for link in links if RESET_PASSWORD.path in link][-1])


async def change_email(account: Account, email: str) -> httpx.Response:
    """Ask for another address."""
    return await account.request("POST", "/users/me/email", json={"email": email})


async def move_to(account: Account, mailbox: Mailbox, email: str) -> str:
    """Change an account's address; gives the token of the link by which the old one can undo it."""
    old = account.email
    assert (await change_email(account, email)).status_code == 202
    token = await token_to(mailbox, email)
    assert (await post(account.client, "/auth/email/confirm", token=token)).status_code == 204
    account.email = email
    return await token_to(mailbox, old)


async def email_of(account: Account) -> str:
    """The address that an account has."""
    return str((await account.get("/users/me")).json()["email"])


async def tokens_in(services: Services) -> list[OneTimeToken]:
    """The rows of all one-time tokens, the oldest first."""
    async with services.database.read_session() as session:
        return list(await session.scalars(select(OneTimeToken).order_by(OneTimeToken.id)))
