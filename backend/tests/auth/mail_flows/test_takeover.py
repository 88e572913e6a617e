"""Whoever has a stolen password or session, against the owner who still reads the mails: the owner wins."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.main import Services
from tests.auth.mail_flows.flows import (
    ACCEPTED,
    NEW_PASSWORD,
    change_email,
    email_of,
    move_to,
    post,
    register,
    reset,
    token_of,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import actions_of, as_bytes, in_parallel, is_alive, log_in, refresh, session_of, stored_rows
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, links_in, text_of
from tests.support import API, PASSWORD, Account, ManualClock
from tests.support import register as new_account

THIEF = "thief@example.com"
SECURED = "Your account is locked for everyone else"
TAKEN = (409, "email_taken")
GONE = (400, "token_unknown")


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


@pytest.fixture
async def account(account: Account, mailbox: Mailbox) -> Account:
    """An account whose address is proven: only then it is told of logins and the like."""
    (confirmation,) = [mail for mail in await mailbox.to(account.email) if "/verify-email" in text_of(mail)]
    answer = await post(account.client, "/auth/verify-email", token=token_of(links_in(confirmation)[0]))
    assert answer.status_code == 204, answer.text
    return account


@pytest.fixture
async def thief(proven: Account, mailbox: Mailbox) -> Account:
    """A session of the account in the thief's browser, of which the owner was told."""
    stolen = Account(proven.client, proven.id, proven.email, proven.password, proven.username)
    body = {"email": proven.email, "password": proven.password}
    answer = await proven.client.post(f"{API}/auth/login", json=body, headers={"User-Agent": "thief"})
    stolen.access_token, stolen.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
    assert await mailbox.subjects(proven.email) != []
    return stolen


async def undo(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/email/undo", token=token)


async def secure(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/secure-account", token=token)


async def confirm(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/email/confirm", token=token)


async def change_pending(thief: Account, mailbox: Mailbox) -> str:
    """The token by which the thief would move the account to another mailbox."""
    assert (await change_email(thief, THIEF)).status_code == 202
    return await token_to(mailbox, THIEF)


async def test_an_address_that_was_left_is_nobody_elses(account: Account, thief: Account, mailbox: Mailbox) -> None:
    """The thief moves the account away and registers the old address, so that the way back would be barred."""
    owner = account.email
    way_back = await move_to(thief, mailbox, THIEF)
    assert code_of(await register(account.client, owner.upper())) == TAKEN
    other = await new_account(account.client)
    await change_email(other, owner)
    assert code_of(await confirm(account.client, await token_to(mailbox, owner))) == TAKEN
    assert (await undo(account.client, way_back)).status_code == 204
    assert not await is_alive(thief.client, thief.access_token)
    assert (await reset(account.client, await token_to(mailbox, owner))).status_code == 204
    assert (await log_in(account.client, owner, NEW_PASSWORD)).is_success


async def test_it_is_free_once_the_way_back_is_closed(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    """Seven days after the mail; and the account itself may return at any time."""
    old = account.email
    await move_to(account, mailbox, "ada.new@example.com")
    await move_to(account, mailbox, old)
    await move_to(account, mailbox, "ada.new@example.com")
    clock.advance(days=7, seconds=1)
    assert (await register(account.client, old)).status_code == 201


async def test_a_registration_that_waits_does_not_bar_the_way_back(
    make_app: AppFactory, account: Account, admin: Account, mailbox: Mailbox
) -> None:
    """With REGISTRATION=verified the answer is the one for every address; its reader is told at the end."""
    old = account.email
    way_back = await move_to(account, mailbox, THIEF)
    async with make_app(registration="verified", data_dir=mailbox.folder.parent) as app, client_of(app) as visitor:
        answer = await register(visitor, old)
        assert (answer.status_code, answer.json()["detail"]) == (202, ACCEPTED["detail"])
    invited = await admin.request("POST", "/admin/invitations", json={"email": old})
    assert code_of(invited) == TAKEN
    assert (await undo(account.client, way_back)).status_code == 204


async def test_an_earlier_notice_undoes_the_change(
    app: FastAPI, account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    """ "This wasn't me" in a mail of before: it gives the address back, and locks out whoever took it along."""
    owner = account.email
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await account.request("POST", "/users/me/password", json=body)
    not_me = await token_to(mailbox, owner)
    first = await move_to(account, mailbox, THIEF)
    second = await move_to(account, mailbox, "thief.too@example.com")
    assert (await secure(account.client, not_me)).status_code == 204
    assert not await is_alive(account.client, account.access_token)
    assert code_of(await undo(account.client, second)) == GONE
    assert (await mailbox.latest(owner))["Subject"] == SECURED
    assert (await reset(account.client, await token_to(mailbox, owner), "a third passphrase")).status_code == 204
    assert (await log_in(account.client, owner, "a third passphrase")).is_success
    assert "email_change_undone" in await actions_of(app, account.id)
    assert (await undo(account.client, first)).status_code == 204  # the same mailbox, the same right


async def test_a_notice_to_a_thiefs_mailbox_moves_nothing(account: Account, mailbox: Mailbox) -> None:
    """Once the owner is back, no link that went to the address in between does anything."""
    owner = account.email
    way_back = await move_to(account, mailbox, THIEF)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await account.request("POST", "/users/me/password", json=body)
    of_thief = await token_to(mailbox, THIEF)
    await move_to(account, mailbox, "thief.too@example.com")
    assert (await undo(account.client, way_back)).status_code == 204
    assert code_of(await secure(account.client, of_thief)) == GONE
    assert (await reset(account.client, await token_to(mailbox, owner))).status_code == 204
    account.email, account.password = owner, NEW_PASSWORD
    await account.login()
    assert await email_of(account) == owner


async def test_a_session_that_has_ended_moves_nothing(
    account: Account, thief: Account, services: Services, mailbox: Mailbox
) -> None:
    """The request is let in, then the owner is first: it finds its session ended, though its token was good."""
    not_me = token_of(links_in(await mailbox.latest(account.email))[0])
    answers = await in_parallel([secure(account.client, not_me), change_email(thief, THIEF)])
    assert answers[0].status_code == 204
    assert answers[1].status_code in {202, 401}
    assert not [
        row for row in await tokens_in(services)
        if row.purpose == "change_email" and row.revoked_at is None and row.used_at is None
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["others", "all", "one", "admin", "password", "disable", "replay"])
async def test_a_change_under_way_dies_with_the_session(
    account: Account, thief: Account, admin: Account, mailbox: Mailbox, clock: ManualClock, way: str
) -> None:
    """S4: whoever was thrown out does not come back by a link that they have ordered."""
    moving = await change_pending(thief, mailbox)
    match way:
        case "others" | "all":
            answer = await account.request("POST", "/auth/logout", json={"scope": way})
        case "one":
            sessions = (await thief.get("/users/me/sessions")).json()["items"]
            (session,) = [item for item in sessions if item["current"]]
            answer = await account.request("DELETE", f"/users/me/sessions/{session['id']}")
        case "admin":
            answer = await admin.request("DELETE", f"/admin/users/{account.id}/sessions")
        case "password":
            body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            answer = await account.request("POST", "/users/me/password", json=body)
        case "disable":
            answer = await admin.request("POST", f"/admin/users/{account.id}/disable")
            await admin.request("POST", f"/admin/users/{account.id}/enable")
        case _:
            used = thief.refresh_token
            successor = (await refresh(thief.client, used)).json()["refresh_token"]
            assert (await refresh(thief.client, successor)).is_success
            answer = await refresh(thief.client, used)
    assert answer.status_code in {200, 204, 400}, answer.text
    assert code_of(await confirm(account.client, moving)) == GONE


async def test_a_logout_of_ones_own_leaves_a_change_under_way(account: Account, mailbox: Mailbox) -> None:
    moving = await change_pending(account, mailbox)
    assert (await account.request("POST", "/auth/logout")).status_code == 204
    assert (await confirm(account.client, moving)).status_code == 204


@pytest.mark.parametrize("way", ["secure", "reset", "disable"])
async def test_invitations_die_with_whoever_made_them(
    account: Account, admin: Account, make_admin: Any, mailbox: Mailbox, way: str
) -> None:
    """A thief in an administrator's account lets friends in; they stay outside."""
    inviter = await make_admin(account)
    assert (await inviter.request("POST", "/admin/invitations", json={"email": "friend@example.com"})).is_success
    assert (await admin.request("POST", "/admin/invitations", json={"email": "other@example.com"})).is_success
    of_thief, of_admin = await token_to(mailbox, "friend@example.com"), await token_to(mailbox, "other@example.com")
    match way:
        case "secure":
            body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            await inviter.request("POST", "/users/me/password", json=body)
            answer = await secure(account.client, await token_to(mailbox, account.email))
        case "reset":
            await post(account.client, "/auth/password/forgot", email=account.email)
            answer = await reset(account.client, await token_to(mailbox, account.email))
        case _:
            answer = await admin.request("POST", f"/admin/users/{account.id}/disable")
    assert answer.is_success, answer.text
    assert code_of(await register(account.client, "friend@example.com", invitation=of_thief)) == GONE
    assert (await register(account.client, "other@example.com", invitation=of_admin)).status_code == 201
    listed = {item["email"]: item["status"] for item in (await admin.get("/admin/invitations")).json()["items"]}
    assert listed == {"friend@example.com": "revoked", "other@example.com": "accepted"}


@pytest.mark.parametrize("end", ["used", "taken back"])
async def test_a_spent_registration_keeps_no_password(
    make_app: AppFactory, services: Services, mailbox: Mailbox, end: str
) -> None:
    """A copy of the database holds a hash as long as it is the password of somebody, or may become it."""
    async with make_app(registration="verified", data_dir=mailbox.folder.parent) as app, client_of(app) as visitor:
        await register(visitor, "ada@example.com")
        used = await token_to(mailbox, "ada@example.com")
        if end == "taken back":
            await register(visitor, "ada@example.com", password=NEW_PASSWORD)
            used = await token_to(mailbox, "ada@example.com")
        (first, *_) = [row.payload["hashed_password"] for row in await tokens_in(services) if row.purpose == "register"]
        password = PASSWORD if end == "used" else NEW_PASSWORD
        answer = await post(visitor, "/auth/verify-email", token=used, password=password)
        assert answer.status_code == 204, answer.text
        assert all(row.payload == {} for row in await tokens_in(services) if row.purpose == "register")
        assert first.encode() not in as_bytes(await stored_rows(app, without=["users"]))


async def test_replays_and_a_lock_out_at_once_are_no_deadlock(
    account: Account, thief: Account, mailbox: Mailbox
) -> None:
    """Each ends sessions and orders mails of one account: the account's row first, so that each gets its turn."""
    not_me = token_of(links_in(await mailbox.latest(account.email))[0])
    used_up = []
    for _ in range(4):
        session = await session_of(account)
        successor = (await refresh(account.client, session.refresh_token)).json()["refresh_token"]
        assert (await refresh(account.client, successor)).is_success
        used_up.append(session.refresh_token)
    calls = [refresh(account.client, token) for token in used_up]
    *replays, secured = await in_parallel([*calls, secure(account.client, not_me)])
    assert {answer.status_code for answer in replays} == {400}
    assert secured.status_code == 204, secured.text


async def test_changes_of_address_and_a_lock_out_at_once_are_no_deadlock(
    account: Account, thief: Account, mailbox: Mailbox
) -> None:
    not_me = token_of(links_in(await mailbox.latest(account.email))[0])
    await change_pending(thief, mailbox)
    calls = [change_email(thief, f"thief{n}@example.com") for n in range(5)]
    secured, *changes = await in_parallel([secure(account.client, not_me), *calls])
    assert secured.status_code == 204, secured.text
    assert {answer.status_code for answer in changes} <= {202, 401}
