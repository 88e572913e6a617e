"""`POST /users/me/password`: two proofs, and nothing of the old password survives."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.auth.scenarios import (
    WRONG_PASSWORD,
    actions_of,
    events_of,
    in_parallel,
    is_alive,
    log_in,
    refresh,
    session_of,
)
from tests.support import API, PASSWORD, Account, ManualClock

NEW_PASSWORD = "another passphrase 43"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """A login grows old only when the test says so."""
    clock.stop()


async def change(account: Account, current: str = PASSWORD, new: str = NEW_PASSWORD, **members: Any) -> httpx.Response:
    body = {"current_password": current, "new_password": new, **members}
    return await account.request("POST", "/users/me/password", json=body)


async def test_ends_all_other_sessions_before_it_answers(app: FastAPI, account: Account) -> None:
    """P8: their access and refresh tokens are dead, the session that changed it lives, the event stands."""
    others = [await session_of(account) for _ in range(3)]
    others[0].refresh_token = (await refresh(account.client, others[0].refresh_token)).json()["refresh_token"]
    answer = await change(account)
    assert (answer.status_code, answer.content) == (204, b"")
    for other in others:
        assert not await is_alive(other.client, other.access_token)
        refused = await refresh(other.client, other.refresh_token)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_grant")
    assert await is_alive(account.client, account.access_token)
    assert (await refresh(account.client, account.refresh_token)).is_success
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 401
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
    actions = await actions_of(app, account.id)
    assert actions.count("password_changed") == 1
    assert actions.count("session_ended") == 3


async def test_the_current_password_is_required(app: FastAPI, account: Account) -> None:
    """P7: a stolen token alone changes nothing; the failure is recorded, and others' sessions live on."""
    other = await session_of(account)
    answer = await change(account, current=WRONG_PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
    assert PASSWORD not in answer.text
    assert await is_alive(other.client, other.access_token)
    failed = (await events_of(app, account.id))[-1]
    assert (failed.action, failed.outcome, failed.detail) == ("password_change_failed", "failure", {})
    for body in ({"new_password": NEW_PASSWORD}, {"current_password": PASSWORD}):
        answer = await account.request("POST", "/users/me/password", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["type"] == "missing"
    assert (await log_in(account.client, account.email, PASSWORD)).is_success


async def test_a_fresh_login_is_required(account: Account, clock: ManualClock) -> None:
    """P7, T4: five minutes after the login it is refused, and a refresh does not make it fresh (RFC 9470)."""
    clock.advance(seconds=299)
    assert (await change(account, current=WRONG_PASSWORD)).status_code == 403
    clock.advance(seconds=2)
    for _ in range(2):
        answer = await change(account)
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication")
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="merit", error="insufficient_user_authentication"')
        assert 'max_age="300"' in challenge
        account.access_token = (await refresh(account.client, account.refresh_token)).json()["access_token"]
    assert (await account.login()).is_success
    assert (await change(account)).status_code == 204


async def test_the_permission_is_required(account: Account) -> None:
    """T4: a token that may only read cannot change the password."""
    await account.login(scope="profile:read")
    answer = await change(account)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="profile:write"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("new", "kind"),
    [("tiny", "too_short"), ("password1", "common"), ("p" * 257, "too_long"), ("nul \0 passphrase", "value_error"),
     ("the ada-lovelace way", "contains_username")],
)  # fmt: skip
async def test_a_weak_new_password_is_refused_by_name(account: Account, new: str, kind: str) -> None:
    """P5, R6: the field, the rule, and not the password; the old one goes on working."""
    await account.request("PATCH", "/users/me", json={"username": "ada-lovelace"})
    answer = await change(account, new=new)
    assert answer.status_code == 422
    assert [(fault["loc"], fault["type"]) for fault in answer.json()["errors"]] == [(["body", "new_password"], kind)]
    assert new not in answer.text
    assert PASSWORD not in answer.text
    assert (await log_in(account.client, account.email, PASSWORD)).is_success


async def test_of_two_changes_at_once_one_wins(account: Account) -> None:
    """P8: two sessions change it together: one new password, one living session, no 5xx."""
    sessions = [account, *[await session_of(account) for _ in range(3)]]
    news = [f"passphrase of session {n}" for n in range(4)]
    answers = await in_parallel(change(session, new=new) for session, new in zip(sessions, news, strict=True))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 401, 403, 429}
    winner = statuses.index(204)
    assert [await is_alive(account.client, session.access_token) for session in sessions] == [
        n == winner for n in range(4)
    ]
    assert (await log_in(account.client, account.email, news[winner])).is_success


async def test_a_login_with_the_old_password_that_races_opens_nothing(account: Account) -> None:
    """P8: whichever is first, no session opened with the old password is alive afterwards."""
    current = PASSWORD
    for n in range(8):
        new = f"passphrase number {n} of many"
        calls = [change(account, current, new), log_in(account.client, account.email, current)]
        answers = await in_parallel(reversed(calls) if n % 2 else calls)
        changed, login = sorted(answers, key=lambda answer: str(answer.url.path), reverse=True)
        assert changed.status_code == 204, changed.text
        if login.is_success:
            assert not await is_alive(account.client, login.json()["access_token"])
            assert not (await refresh(account.client, login.json()["refresh_token"])).is_success
        current = new


async def test_a_refresh_that_races_gains_nothing(account: Account) -> None:
    """P8: the other session's rotation on the way while the password changes."""
    current = PASSWORD
    for n in range(8):
        other, new = Account(account.client, account.id, account.email, current, None), f"passphrase {n} of many more"
        assert (await other.login()).is_success
        calls = [change(account, current, new), refresh(account.client, other.refresh_token)]
        answers = await in_parallel(reversed(calls) if n % 2 else calls)
        for answer in answers:
            if answer.url.path == f"{API}/auth/refresh" and answer.is_success:
                assert not await is_alive(account.client, answer.json()["access_token"])
                assert not (await refresh(account.client, answer.json()["refresh_token"])).is_success
        assert await is_alive(account.client, account.access_token)
        current = new
