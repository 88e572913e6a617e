"""What the owner of an account is told, and "this wasn't me"."""

import email.policy
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from app.auth import limits
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.mail_flows.types import PURPOSE_OF_NOTICE, Notice
from app.auth.repository import UserRepository
from app.auth.types import Client
from app.main import Services
from tests.auth.mail_flows.flows import (
    NEW_PASSWORD,
    change_email,
    forgot,
    post,
    reset,
    reset_token,
    token_of,
    token_to,
)
from tests.auth.scenarios import actions_of, in_parallel, is_alive, log_in, refresh, session_of
from tests.auth.stage import code_of
from tests.mailbox import Mailbox, html_of, links_in, text_of
from tests.support import API, PASSWORD, Account, ManualClock, register

SECURED = "Your account is locked for everyone else"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


async def secure(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/secure-account", token=token)


async def notify(services: Services, account: Account, notice: Notice, client: Client) -> None:
    async with services.database.session() as session:
        user = await UserRepository(session, services.clock).get_by_login(account.email)
        assert user is not None
        await AccountMails(session, services.auth).notify(user, notice, client)
        await session.commit()


async def password_notice(account: Account, mailbox: Mailbox) -> str:
    """The token of the link in the notice that follows a change of the password."""
    body = {"current_password": account.password, "new_password": NEW_PASSWORD}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    account.password = NEW_PASSWORD
    return await token_to(mailbox, account.email)


@pytest.mark.usefixtures("proven")
async def test_a_reused_refresh_token_is_told(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    """F2: the session has ended, and the mail has a link for whoever was not it."""
    await refresh(account.client, account.refresh_token)
    clock.advance(seconds=31)
    assert (await refresh(account.client, account.refresh_token)).json()["code"] == "invalid_grant"
    notice = await mailbox.latest(account.email)
    assert notice["Subject"] == "A session was ended for your safety"
    assert (await secure(account.client, token_of(links_in(notice)[0]))).status_code == 204


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("notice", sorted(PURPOSE_OF_NOTICE))
async def test_a_notice_says_when_and_where(
    account: Account, services: Services, mailbox: Mailbox, clock: ManualClock, notice: Notice
) -> None:
    """P8, L7: time in UTC, address and device, in text and HTML, with a link and without personal data."""
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    await notify(services, account, notice, Client("2001:db8::7", firefox, "r-1"))
    mail = await mailbox.latest(account.email)
    now = clock.now()
    for part in (text_of(mail), html_of(mail)):
        assert "/account/" in part
        assert "Ada" not in part
        if notice is not Notice.ACCOUNT_SECURED:
            assert f"{now.day} {now:%B %Y, %H:%M} UTC" in part
            assert "2001:db8::7" in part
            assert "Firefox on Linux" in part
    assert len(mail["Subject"]) < 60


@pytest.mark.usefixtures("proven")
async def test_this_was_not_me_locks_everyone_out(app: FastAPI, account: Account, mailbox: Mailbox) -> None:
    """All sessions, the password and what is under way; the way back in is in the mailbox."""
    token = await password_notice(account, mailbox)
    thief = await session_of(account)
    await change_email(account, "thief@example.com")
    moving = await token_to(mailbox, "thief@example.com")
    assert (await secure(account.client, token)).status_code == 204
    for session in (account, thief):
        assert not await is_alive(session.client, session.access_token)
        assert (await refresh(session.client, session.refresh_token)).json()["code"] == "invalid_grant"
    for password in (PASSWORD, NEW_PASSWORD, "!"):
        assert (await log_in(account.client, account.email, password)).status_code == 401
    assert code_of(await post(account.client, "/auth/email/confirm", token=moving)) == (400, "token_unknown")
    mail = await mailbox.latest(account.email)
    assert mail["Subject"] == SECURED
    assert (await reset(account.client, token_of(links_in(mail)[0]), "a third passphrase")).status_code == 204
    assert (await log_in(account.client, account.email, "a third passphrase")).is_success
    assert "account_secured" in await actions_of(app, account.id)


@pytest.mark.usefixtures("proven")
async def test_it_works_once(account: Account, mailbox: Mailbox) -> None:
    """Replay in parallel: one mail, not thirty."""
    token = await password_notice(account, mailbox)
    answers = await in_parallel(secure(account.client, token) for _ in range(30))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 29
    assert code_of(await secure(account.client, token)) == (400, "token_used")
    assert (await mailbox.subjects(account.email)).count(SECURED) == 1


@pytest.mark.usefixtures("proven")
async def test_the_link_lives_a_week(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    token = await password_notice(account, mailbox)
    clock.advance(days=7, seconds=1)
    assert code_of(await secure(account.client, token)) == (400, "token_expired")


@pytest.mark.usefixtures("proven")
async def test_a_thief_cannot_take_the_link_away(account: Account, mailbox: Mailbox) -> None:
    """Another change of the password leaves the owner's link alone."""
    token = await password_notice(account, mailbox)
    body = {"current_password": NEW_PASSWORD, "new_password": "the thief's passphrase"}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    await reset(account.client, await reset_token(account, mailbox))
    assert (await secure(account.client, token)).status_code == 204


@pytest.mark.usefixtures("proven")
async def test_links_of_each_kind_open_no_other_door(account: Account, mailbox: Mailbox) -> None:
    """Purpose confusion over the endpoints: four genuine tokens, each at all the others."""
    verifying = await token_to(mailbox, account.email)
    securing = await password_notice(account, mailbox)
    resetting = await reset_token(account, mailbox)
    await account.login()
    await change_email(account, "ada.new@example.com")
    moving = await token_to(mailbox, "ada.new@example.com")
    paths = {
        "/auth/verify-email": verifying,
        "/auth/secure-account": securing,
        "/auth/password/reset": resetting,
        "/auth/email/confirm": moving,
    }
    tokens = set(paths.values())
    for path, right in [*paths.items(), ("/auth/email/undo", "")]:
        extra = {"new_password": "a third passphrase"} if "reset" in path else {}
        for token in tokens - {right}:
            assert code_of(await post(account.client, path, token=token, **extra)) == (400, "token_unknown"), path
        answer = await post(
            account.client, "/auth/register", email="x@example.com", password=PASSWORD, invitation=right
        )
        assert answer.status_code in {400, 422}
    headers = {"Authorization": f"Bearer {securing}"}
    assert (await account.client.get(f"{API}/users/me", headers=headers)).status_code == 401
    assert (await refresh(account.client, securing)).status_code == 400


async def test_links_lead_to_the_public_address_whatever_the_request_says(account: Account, mailbox: Mailbox) -> None:
    """Host-header poisoning: neither Host nor what proxies add reaches a link."""
    headers = {
        "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example", "X-Original-URL": "//evil.example", "Referer": "http://evil.example/",
        "Origin": "http://evil.example",
    }  # fmt: skip
    answer = await account.client.post(f"{API}/auth/password/forgot", json={"email": account.email}, headers=headers)
    assert answer.status_code == 202
    mail = await mailbox.latest(account.email)
    assert "evil" not in mail.as_string()
    assert all(link.startswith("http://127.0.0.1:8000/account/") for link in links_in(mail))


async def test_what_callers_choose_does_not_reach_a_mail(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """Header injection and phishing: names are left out, and a device is a name or unknown."""
    hostile = "Dear customer, visit http://evil.example/ now"
    agent = f"Mozilla/5.0 {hostile} evil.example/1.0 (compatible; evil.example-bot/2.1; +http://evil.example)"
    body = {"email": "ada@example.com", "password": PASSWORD, "full_name": hostile, "username": "evil.example"}
    headers = {"User-Agent": agent}
    assert (await client.post(f"{API}/auth/register", json=body, headers=headers)).status_code == 201
    await client.post(f"{API}/auth/password/forgot", json={"email": "ada@example.com"}, headers=headers)
    for mail in await mailbox.to("ada@example.com"):
        decoded = f"{mail['Subject']}{text_of(mail)}{html_of(mail)}"
        assert "evil" not in decoded
        assert "Dear customer" not in decoded
        for name in ("Subject", "To", "From"):
            assert "\n" not in mail[name]
        assert mail.policy.__class__ is email.policy.default.__class__


@pytest.mark.parametrize(
    "address",
    ["ada\r\nBcc: thief@example.com", "ada@example.com\nSubject: x", "ada@example.com, thief@example.com",
     "Ada <ada@example.com>", "ada@example.com\x00", "\"a\r\nb\"@example.com"],
)  # fmt: skip
async def test_no_address_smuggles_a_header(client: httpx.AsyncClient, mailbox: Mailbox, address: str) -> None:
    for path in ("/auth/password/forgot", "/auth/verify-email/resend", "/auth/register"):
        body = {"email": address} | ({"password": PASSWORD} if "register" in path else {})
        assert (await post(client, path, **body)).status_code == 422
    assert await mailbox.all() == []


async def test_mail_bombing_is_slowed_down_in_silence(
    client: httpx.AsyncClient, mailbox: Mailbox, clock: ManualClock
) -> None:
    """Sixty requests for one address are four mails of a kind, and the answer never changes; later there is another."""
    victim, other = await register(client), await register(client)
    before = len(await mailbox.to(victim.email))
    answers = [await forgot(client, victim.email) for _ in range(20)]
    answers += await in_parallel(forgot(client, victim.email.upper()) for _ in range(20))
    answers += [await post(client, "/auth/verify-email/resend", email=victim.email) for _ in range(20)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert len(await mailbox.to(victim.email)) - before == 4 + 4
    await forgot(client, other.email)
    assert (await mailbox.latest(other.email))["Subject"] == "Choose a new password"
    clock.advance(minutes=2)
    await forgot(client, victim.email)
    assert len(await mailbox.to(victim.email)) - before == 4 + 4 + 1


@pytest.mark.usefixtures("proven")
async def test_mails_that_nobody_wants_keep_no_reset_back(account: Account, mailbox: Mailbox) -> None:
    """Requests of every other kind for a proven address, day in day out: the owner's reset mail comes."""
    for _ in range(12):
        await post(account.client, "/auth/verify-email/resend", email=account.email)
        await change_email(account, account.email.upper())
    await forgot(account.client, account.email)
    assert (await mailbox.latest(account.email))["Subject"] == "Choose a new password"


async def test_one_network_cannot_mail_the_world(
    client: httpx.AsyncClient, mailbox: Mailbox, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network is slowed down too, whether or not the addresses have accounts."""
    policy = replace(limits.MAIL_NETWORK_POLICY, free=5)
    monkeypatch.setattr(limits, "MAIL_NETWORK_POLICY", policy)
    for n in range(6):
        assert (await forgot(client, f"stranger{n}@example.com")).status_code == 202
    before = len(await mailbox.to(account.email))
    assert (await forgot(client, account.email)).status_code == 202
    assert len(await mailbox.to(account.email)) == before
