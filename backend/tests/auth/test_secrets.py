"""What a thief of the database or of the logs gets: nothing that can be presented."""

import base64
import binascii
import io
import logging
import re

import structlog
from fastapi import FastAPI

from tests.auth.mail_flows.flows import token_of
from tests.auth.scenarios import as_bytes, log_in, log_in_by_form, refresh, session_of, spellings, stored_rows
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, text_of
from tests.support import API, SECRET_KEY, Account, prove_address, register

OLD, WRONG, NEW = "Uncommon-Old-phrase-1", "Uncommon-Wrong-phrase-2", "Uncommon-New-phrase-3"


def secrets_of(*tokens: str) -> list[str]:
    """The parts of refresh tokens that must be known to present one, and whole tokens of every kind."""
    return [
        part for token in tokens for part in {token, *token.split(".")[3:], *token.split(".")[2:3]} if len(part) > 12
    ]


async def live_through_everything(client_account: Account) -> list[str]:
    """Do whatever leaves traces, and return every secret that was presented or handed out."""
    account, client = client_account, client_account.client
    first = await session_of(account)
    tokens = [account.refresh_token, account.access_token, first.refresh_token, first.access_token]
    for _ in range(2):
        pair = (await refresh(client, account.refresh_token)).json()
        account.refresh_token, account.access_token = pair["refresh_token"], pair["access_token"]
        tokens += [account.refresh_token, account.access_token]
    await log_in(client, account.email, WRONG)
    await log_in(client, WRONG, WRONG)
    await log_in_by_form(client, username=account.email, password=WRONG)
    await log_in_by_form(client, grant_type="refresh_token", refresh_token=first.refresh_token)
    await client.post(f"{API}/auth/register", json={"email": account.email, "password": WRONG})
    await client.post(f"{API}/auth/register", json={"email": "x", "password": [WRONG], WRONG: 1})
    await client.post(f"{API}/auth/login", content=f'{{"password": "{WRONG}'.encode())
    await client.get(f"{API}/users/me?access_token={account.access_token}&password={WRONG}")
    await client.get(f"{API}/users/me", headers={"Authorization": f"Bearer {account.access_token}x"})
    body = {"current_password": WRONG, "new_password": NEW}
    await account.request("POST", "/users/me/password", json=body)
    changed = await account.request("POST", "/users/me/password", json={**body, "current_password": OLD})
    assert changed.status_code == 204
    account.password = NEW
    assert (await refresh(client, tokens[0])).status_code == 400  # reused: its session ends
    assert (await account.login()).is_success
    await client.post(f"{API}/auth/logout", json={"refresh_token": account.refresh_token})
    await session_of(account)
    return [OLD, WRONG, NEW, *secrets_of(*tokens, account.refresh_token, account.access_token)]


def presentable_bytes(secret: str) -> list[bytes]:
    """A secret as text, and the bytes behind it where it is written in base64url."""
    try:
        return [secret.encode(), base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))]
    except binascii.Error:
        return [secret.encode()]


async def test_a_dump_of_the_database_holds_nothing_to_present(app: FastAPI) -> None:
    """F7: no token, no secret part of one, no password, in no usual spelling; nor the keys that make tokens."""
    async with client_of(app) as client:
        secrets = await live_through_everything(await register(client, password=OLD))
    dump = as_bytes(await stored_rows(app))
    assert b"$bcrypt-sha256$" in dump  # it is the right haystack
    assert b"refresh_reused" in dump
    for secret in [*secrets, SECRET_KEY, "PRIVATE KEY"]:
        for raw in presentable_bytes(secret):
            assert not any(spelling in dump for spelling in spellings(raw)), secret


async def test_mails_leave_nothing_to_present_in_the_database(app: FastAPI, mailbox: Mailbox) -> None:
    """F7: no link's token and no code, before and after the mails are sent and used; nor in the jobs that send them."""
    async with client_of(app) as client:
        account = await register(client, password=OLD)
        await mailbox.all()
        await prove_address(app.state.merit, account)
        await client.post(f"{API}/auth/password/forgot", json={"email": account.email})
        await account.request("POST", "/users/me/email", json={"email": "new@example.com"})
        body = {"current_password": OLD, "new_password": NEW}
        assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
        await client.post(f"{API}/auth/password/forgot", json={"email": account.email})
        waiting = await stored_rows(app)
        sent = [text_of(mail) for mail in await mailbox.all()]
        token = token_of(next(link for mail in sent for link in re.findall(r"http\S+reset\S+", mail)))
        await client.post(f"{API}/auth/password/reset", json={"token": token, "new_password": OLD})
        await client.post(f"{API}/auth/verify-email", json={"email": account.email, "code": "000000"})
    tokens = [token for mail in sent for token in re.findall(r"mot_\w+", mail)]
    codes = [code for mail in sent for code in re.findall(r"^\s*(\d{6})\s*$", mail, re.MULTILINE)]
    assert len(set(tokens)) >= 3
    assert len(codes) >= 2
    for rows in (waiting, await stored_rows(app)):
        dump = as_bytes(rows)
        assert b"reset_password" in dump  # it is the right haystack
        for token in tokens:
            parts = token.split("_")
            for raw in (token, parts[2], parts[2][:-6]):
                assert not any(spelling in dump for spelling in spellings(raw.encode()))
        mails = as_bytes({name: rows[name] for name in ("jobs", "one_time_tokens")})
        for code in codes:  # by chance six digits may stand in a time or an id
            assert not re.search(rb"(?<![0-9a-f.])%b(?![0-9a-f])" % code.encode(), mails)


async def test_the_logs_hold_nothing_to_present(make_app: AppFactory) -> None:
    """R6, T1: neither passwords nor tokens in any line, on any way through the service, at level DEBUG."""
    root, config, output = logging.getLogger(), structlog.get_config(), io.BytesIO()
    handlers, level = root.handlers, root.level
    try:
        async with make_app(log_level="DEBUG", rate_limits="off") as app, client_of(app) as client:
            structlog.configure(logger_factory=structlog.BytesLoggerFactory(output))
            root.handlers = [logging.StreamHandler(io.TextIOWrapper(output, write_through=True))]
            secrets = await live_through_everything(await register(client, password=OLD))
            mailed = "".join(text_of(mail) for mail in await Mailbox(app.state.merit).all())
            secrets += re.findall(r"mot_\w+", mailed)
            lines = output.getvalue()
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.configure(**config)
    assert lines.count(b'"request"') >= 20  # it is the right haystack
    assert b"login_failed" in lines
    # The client of this test logs the addresses that it calls; that is not the service's doing.
    service_lines = b"\n".join(line for line in lines.splitlines() if not line.startswith(b"HTTP Request:")).lower()
    for secret in secrets:
        assert secret.lower().encode() not in service_lines
