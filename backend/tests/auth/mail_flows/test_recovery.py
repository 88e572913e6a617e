"""Forgotten passwords: who gets a link, what it does, and what an attacker gets instead."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.models import User
from app.auth.repository import UserRepository
from app.main import Services
from tests.auth.mail_flows.flows import (
    ACCEPTED,
    NEW_PASSWORD,
    change_email,
    forgot,
    move_to,
    post,
    reset,
    reset_token,
    token_of,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import actions_of, events_of, in_parallel, is_alive, log_in, refresh, session_of
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, html_of, links_in, text_of
from tests.statements import recorded_sql
from tests.support import PASSWORD, Account, ManualClock
from tests.support import register as new_account


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links and codes grow old only when the test says so."""
    clock.stop()


async def test_a_reset_ends_everything_and_opens_nothing(app: FastAPI, account: Account, mailbox: Mailbox) -> None:
    """P8, P9: no session comes of it, all others are dead before the answer, and the owner is told."""
    other = await session_of(account)
    token = await reset_token(account, mailbox)
    answer = await reset(account.client, token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    for session in (account, other):
        assert not await is_alive(session.client, session.access_token)
        assert (await refresh(session.client, session.refresh_token)).json()["code"] == "invalid_grant"
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 401
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
    actions = await actions_of(app, account.id)
    assert actions.count("password_reset") == actions.count("password_reset_requested") == 1
    assert actions.count("session_ended") == 2
    notice = await mailbox.latest(account.email)
    assert notice["Subject"] == "Your password was reset"
    assert "/account/secure?token=mot_" in text_of(notice)


async def test_the_reset_proves_the_address(account: Account, mailbox: Mailbox) -> None:
    assert (await account.get("/users/me")).json()["email_verified_at"] is None
    await reset(account.client, await reset_token(account, mailbox))
    account.password = NEW_PASSWORD
    await account.login()
    assert (await account.get("/users/me")).json()["email_verified_at"] is not None


async def test_a_link_works_once(account: Account, mailbox: Mailbox) -> None:
    token = await reset_token(account, mailbox)
    assert (await reset(account.client, token)).status_code == 204
    assert code_of(await reset(account.client, token, "a third passphrase")) == (400, "token_used")
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success


async def test_of_thirty_at_once_one_wins(account: Account, mailbox: Mailbox) -> None:
    """Replay in parallel: one new password, and no 5xx."""
    token = await reset_token(account, mailbox)
    words = [f"passphrase of caller {n}" for n in range(30)]
    answers = await in_parallel(reset(account.client, token, word) for word in words)
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [204] + [400] * 29
    assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"token_used"}
    assert (await log_in(account.client, account.email, words[statuses.index(204)])).is_success


async def test_a_link_lives_an_hour_from_the_mail(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    token = await reset_token(account, mailbox)
    clock.advance(minutes=59)
    late = await reset_token(account, mailbox)
    clock.advance(minutes=2)
    assert code_of(await reset(account.client, token)) == (400, "token_expired")
    assert (await reset(account.client, late)).status_code == 204


async def test_a_mail_that_was_held_up_is_as_good_as_new(
    account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    """The time runs from the sending: an outage of the mail server makes no dead links."""
    await forgot(account.client, account.email)
    clock.advance(hours=3)
    assert (await reset(account.client, await token_to(mailbox, account.email))).status_code == 204


async def test_a_weak_password_uses_nothing_up(account: Account, mailbox: Mailbox) -> None:
    token = await reset_token(account, mailbox)
    for weak in ("short", "password1", account.email):
        answer = await reset(account.client, token, weak)
        assert answer.json()["code"] == "weak_password"
        assert answer.json()["errors"][0]["loc"] == ["body", "new_password"]
        assert weak not in answer.text or weak == "short"
    assert (await reset(account.client, token)).status_code == 204


async def test_a_reset_kills_the_other_links(account: Account, mailbox: Mailbox) -> None:
    """P8: earlier resets, and a change of address that is under way."""
    first = await reset_token(account, mailbox)
    await change_email(account, "ada.new@example.com")
    moving = await token_to(mailbox, "ada.new@example.com")
    second = await reset_token(account, mailbox)
    assert (await reset(account.client, second)).status_code == 204
    assert code_of(await reset(account.client, first)) == (400, "token_unknown")
    assert code_of(await post(account.client, "/auth/email/confirm", token=moving)) == (400, "token_unknown")


@pytest.mark.usefixtures("proven")
async def test_a_changed_password_kills_a_stale_reset(account: Account, mailbox: Mailbox) -> None:
    """P8: whoever changes the password has shut the door to whoever asked for a reset before."""
    stale = await reset_token(account, mailbox)
    await change_email(account, "ada.new@example.com")
    moving = await token_to(mailbox, "ada.new@example.com")
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    assert code_of(await reset(account.client, stale, "a third passphrase")) == (400, "token_unknown")
    assert code_of(await post(account.client, "/auth/email/confirm", token=moving)) == (400, "token_unknown")
    notice = await mailbox.latest(account.email)
    assert notice["Subject"] == "Your password was changed"
    assert "/account/secure?token=mot_" in html_of(notice)


async def test_a_reset_that_waits_for_its_mail_dies_too(account: Account, mailbox: Mailbox) -> None:
    """P8: it was asked for before the password changed, and its job comes after."""
    await forgot(account.client, account.email)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    assert "Choose a new password" not in await mailbox.subjects(account.email)


@pytest.mark.parametrize("change", ["disabled", "deleted", "moved"])
async def test_a_link_dies_with_what_it_was_for(
    account: Account, admin: Account, services: Services, mailbox: Mailbox, change: str
) -> None:
    """A token after the account was disabled or deleted, or has another address."""
    token = await reset_token(account, mailbox)
    match change:
        case "disabled":
            await admin.request("POST", f"/admin/users/{account.id}/disable")
        case "deleted":
            async with services.database.session() as session:
                assert await UserRepository(session, services.clock).delete(UUID(account.id))
                await session.commit()
        case _:
            await move_to(account, mailbox, "ada.new@example.com")
    assert code_of(await reset(account.client, token)) == (400, "token_unknown")


async def test_another_accounts_link_changes_only_that_account(account: Account, mailbox: Mailbox) -> None:
    other = await new_account(account.client)
    token = await reset_token(other, mailbox)
    answer = await account.request("POST", "/auth/password/reset", json={"token": token, "new_password": NEW_PASSWORD})
    assert answer.status_code == 204
    assert (await log_in(account.client, account.email, PASSWORD)).is_success
    assert (await log_in(account.client, other.email, NEW_PASSWORD)).is_success
    body = {"token": token, "new_password": NEW_PASSWORD, "email": account.email}
    assert (await post(account.client, "/auth/password/reset", **body)).status_code == 422


async def test_nobody_gets_mail_without_an_active_account(
    account: Account, admin: Account, mailbox: Mailbox, services: Services
) -> None:
    """Unknown and disabled: the same answer, no mail, and a row that cannot be used."""
    await admin.request("POST", f"/admin/users/{account.id}/disable")
    for email in ("nobody@example.com", account.email):
        answer = await forgot(account.client, email)
        assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert [mail for mail in await mailbox.all() if "new password" in mail["Subject"]] == []
    settled = [row for row in await tokens_in(services) if row.purpose == "reset_password"]
    assert len(settled) == 2
    for row in settled:
        text = services.auth.one_time_tokens.token(row.purpose, row.id)
        assert code_of(await reset(account.client, text)) == (400, "token_unknown")


async def test_a_token_that_was_not_mailed_yet_is_none(account: Account, services: Services) -> None:
    await forgot(account.client, account.email)
    row = (await tokens_in(services))[-1]
    text = services.auth.one_time_tokens.token(row.purpose, row.id)
    assert code_of(await reset(account.client, text)) == (400, "token_unknown")


def shape(statements: Sequence[str]) -> list[str]:
    """The statements without what differs from driver to driver."""
    return [" ".join(statement.split()[:6]) for statement in statements]


async def test_the_request_looks_the_same_for_every_address(
    client: httpx.AsyncClient, account: Account, services: Services, mailbox: Mailbox
) -> None:
    """Enumeration: same status, body, headers and statements; so do the codes that are tried afterwards."""
    seen: list[tuple[Any, ...]] = []
    for email in (account.email, "nobody@example.com"):
        found: list[Any] = []
        for path, body in (
            ("/auth/password/forgot", {"email": email}),
            ("/auth/verify-email/resend", {"email": email}),
        ):
            with recorded_sql(services.database) as statements:
                answer = await post(client, path, **body)
            headers = sorted((k, v) for k, v in answer.headers.items() if k not in {"x-request-id", "date"})
            found.append((answer.status_code, answer.content, headers, shape(statements)))
        await mailbox.all()
        body = {"email": email, "code": "000000", "new_password": NEW_PASSWORD}
        with recorded_sql(services.database) as statements:
            answer = await post(client, "/auth/password/reset", **body)
        found.append((code_of(answer), shape(statements)))
        seen.append(tuple(found))
    assert seen[0] == seen[1]
    assert seen[0][2][0] == (400, "code_invalid")
    assert any("INSERT INTO jobs" in statement for statement in seen[0][0][3])
    assert not any("FROM users" in statement for statement in seen[0][0][3])


async def test_an_administrator_sends_a_link_and_sets_no_password(
    app: FastAPI, account: Account, admin: Account, mailbox: Mailbox
) -> None:
    """P13: the mail does not tell where the administrator sits; the event tells who it was."""
    path = f"/admin/users/{account.id}"
    assert (await admin.request("PATCH", path, json={"password": NEW_PASSWORD})).status_code == 422
    answer = await admin.request("POST", f"{path}/send-reset")
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert await is_alive(account.client, account.access_token)
    mail = await mailbox.latest(account.email)
    assert "127.0.0.1" not in text_of(mail).replace("http://127.0.0.1", "")
    assert (await reset(account.client, token_of(links_in(mail)[0]))).status_code == 204
    requested = [event for event in await events_of(app, account.id) if event.action == "password_reset_requested"]
    assert str(requested[0].actor_id) == admin.id
    await admin.request("POST", f"{path}/disable")
    assert code_of(await admin.request("POST", f"{path}/send-reset")) == (409, "account_disabled")
    unknown = await admin.request("POST", "/admin/users/0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01/send-reset")
    assert code_of(unknown) == (404, "user_not_found")


async def test_a_link_to_a_superuser_is_sent_by_superusers(
    account: Account, admin: Account, make_admin: Callable[..., Awaitable[Account]], mailbox: Mailbox
) -> None:
    """Nobody has mails sent to those whom they cannot change."""
    await make_admin(account, is_superuser=True)
    answer = await admin.request("POST", f"/admin/users/{account.id}/send-reset")
    assert code_of(answer) == (403, "superuser_protected")
    assert "Choose a new password" not in await mailbox.subjects(account.email)


async def test_hashing_holds_no_connection_and_a_full_queue_uses_nothing_up(
    make_app: AppFactory, account: Account, mailbox: Mailbox
) -> None:
    token = await reset_token(account, mailbox)
    async with make_app(hash_workers=1, hash_queue_size=1, bcrypt_rounds=12) as app, client_of(app) as client:
        logins = [log_in(client, f"nobody{n}@example.com", "x") for n in range(4)]
        answers = await in_parallel([*logins, reset(client, token)])
    if answers[-1].status_code == 503:
        assert answers[-1].json()["code"] == "hash_queue_full"
        assert (await reset(account.client, token)).status_code == 204


async def test_an_unusable_password_can_be_reset(account: Account, services: Services, mailbox: Mailbox) -> None:
    async with services.database.session() as session:
        await UserRepository(session, services.clock).update(UUID(account.id), {User.hashed_password: "!"})
        await session.commit()
    assert (await reset(account.client, await reset_token(account, mailbox))).status_code == 204
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
