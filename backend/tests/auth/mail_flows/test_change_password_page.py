"""`/account/password/change`: a new password by the current one, for whoever has a browser and no application."""

import httpx
import pytest
from fastapi import FastAPI

from app.auth.types import SessionEndReason
from app.main import Services
from tests.auth.mail_flows.flows import NEW_PASSWORD
from tests.auth.mail_flows.test_pages import message_of, submit
from tests.auth.scenarios import WRONG_PASSWORD, actions_of, is_alive, log_in
from tests.auth.test_audit import events_of
from tests.support import PASSWORD, Account, ManualClock

REFUSED = (401, "There is no such account, or the current password is wrong.")


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """No block ends by itself."""
    clock.stop()


async def change(
    client: httpx.AsyncClient, login: str, current: str = PASSWORD, new: str = NEW_PASSWORD
) -> httpx.Response:
    return await submit(client, "password/change", login=login, current_password=current, new_password=new)


async def test_it_needs_no_session_and_leaves_none(app: FastAPI, services: Services, account: Account) -> None:
    """P8: every session is dead before the page is there, and only the new password logs in."""
    shown = await account.client.get("/.well-known/change-password", follow_redirects=True)
    assert (shown.status_code, shown.url.path) == (200, "/account/password/change")
    assert 'href="/account/password/forgot"' in shown.text
    done = await change(account.client, account.email.upper())
    assert (done.status_code, message_of(done)[:25]) == (200, "Your new password is save")
    assert "set-cookie" not in done.headers
    assert not await is_alive(account.client, account.access_token)
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 401
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
    events = await events_of(services, account.id)
    ended = [event.detail["reason"] for event in events if event.action == "session_ended"]
    assert ended == [SessionEndReason.PASSWORD_CHANGED]
    assert (await actions_of(app, account.id)).count("password_changed") == 1


async def test_it_tells_strangers_nothing(account: Account, admin: Account) -> None:
    """L1: a wrong password, an unknown account and a disabled one are one page, without a secret."""
    wrong = await change(account.client, account.email, WRONG_PASSWORD)
    unknown = await change(account.client, "nobody@example.com")
    weak = await change(account.client, account.email, WRONG_PASSWORD, "short")
    await admin.request("POST", f"/admin/users/{account.id}/disable")
    disabled = await change(account.client, account.email)
    for answer in (wrong, unknown, weak, disabled):
        assert (answer.status_code, message_of(answer).replace("&#39;", "'")) == REFUSED
        assert not any(secret in answer.text for secret in (PASSWORD, WRONG_PASSWORD, NEW_PASSWORD))
    assert wrong.text == weak.text == disabled.text
    assert wrong.text.replace(account.email, "") == unknown.text.replace("nobody@example.com", "")


async def test_it_shares_the_limits_of_logins(app: FastAPI, account: Account) -> None:
    """L2: five wrong ones here, and a login must wait as well."""
    for _ in range(5):
        await change(account.client, account.email, WRONG_PASSWORD)
    refused = await change(account.client, account.email)
    assert (refused.status_code, message_of(refused)) == (429, "There were too many attempts. Please try again later.")
    assert "retry-after" in refused.headers
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 429
    assert (await actions_of(app, account.id)).count("login_failed") == 5


async def test_a_weak_new_one_is_no_wrong_guess_but_on_record(app: FastAPI, account: Account) -> None:
    """Whoever tries whether a password is right leaves a trace; its owner can try on."""
    for _ in range(6):
        refused = await change(account.client, account.email, new="short")
        assert (refused.status_code, "8 characters" in message_of(refused)) == (422, True)
    assert (await change(account.client, account.email)).status_code == 200
    assert (await actions_of(app, account.id)).count("password_change_failed") == 6


async def test_a_cookie_does_not_help_another_site(account: Account) -> None:
    """CSRF: the page looks at no cookie and no token, so that a foreign form must know the password."""
    headers = {
        **account.headers,
        "Origin": "https://evil.example",
        "Cookie": f"__Host-merit_refresh={account.refresh_token}",
    }
    fields = {"new_password": NEW_PASSWORD, "current_password": WRONG_PASSWORD, "login": account.email}
    answer = await account.client.post("/account/password/change", data=fields, headers=headers)
    assert answer.status_code == 401
    incomplete = await account.client.post(
        "/account/password/change", data={"new_password": NEW_PASSWORD}, headers=headers
    )
    assert incomplete.status_code == 422
    assert (await log_in(account.client, account.email, PASSWORD)).is_success
