"""Security events: each stands exactly when its change does (A3)."""

from collections.abc import Awaitable, Callable
from datetime import UTC

import httpx
import pytest
from fastapi import FastAPI

from tests.auth.scenarios import (
    WRONG_PASSWORD,
    actions_of,
    events_of,
    in_parallel,
    log_in,
    refresh,
    session_of,
    stored_rows,
)
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, ManualClock

Action = Callable[[Account], Awaitable[httpx.Response]]


async def register_another(account: Account) -> httpx.Response:
    body = {"email": "another@example.com", "password": PASSWORD}
    return await account.client.post(f"{API}/auth/register", json=body)


async def log_in_again(account: Account) -> httpx.Response:
    return await log_in(account.client, account.email, PASSWORD)


async def fail_to_log_in(account: Account) -> httpx.Response:
    return await log_in(account.client, account.email, WRONG_PASSWORD)


async def rotate(account: Account) -> httpx.Response:
    return await refresh(account.client, account.refresh_token)


async def log_out(account: Account) -> httpx.Response:
    return await account.request("POST", "/auth/logout", json={"scope": "all"})


async def change_password(account: Account) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": "another passphrase 43"}
    return await account.request("POST", "/users/me/password", json=body)


async def fail_to_change_password(account: Account) -> httpx.Response:
    body = {"current_password": WRONG_PASSWORD, "new_password": "another passphrase 43"}
    return await account.request("POST", "/users/me/password", json=body)


async def change_profile(account: Account) -> httpx.Response:
    return await account.request("PATCH", "/users/me", json={"full_name": "Ada King"})


async def end_session(account: Account) -> httpx.Response:
    session_id = account.refresh_token.split(".")[1]
    return await account.request("DELETE", f"/users/me/sessions/{session_id}")


# The number is the commit in which the change is made: an attempt that costs a hash is counted in an earlier one.
ACTIONS: dict[str, tuple[Action, int, str | None]] = {
    "registered": (register_another, 2, "registered"),
    "login": (log_in_again, 2, "login"),
    "login_failed": (fail_to_log_in, 2, "login_failed"),
    "refresh": (rotate, 1, None),
    "logout": (log_out, 1, "logout"),
    "password_changed": (change_password, 2, "password_changed"),
    "password_change_failed": (fail_to_change_password, 2, "password_change_failed"),
    "profile_updated": (change_profile, 1, "profile_updated"),
    "session_ended": (end_session, 1, "session_ended"),
}


def through(client: httpx.AsyncClient, account: Account) -> Account:
    """The same account and tokens, by way of another application."""
    return Account(
        client, account.id, account.email, account.password, account.username, account.access_token,
        account.refresh_token,
    )  # fmt: skip


@pytest.mark.parametrize("name", ACTIONS)
async def test_a_commit_that_fails_leaves_neither_change_nor_event(
    make_app: AppFactory, app: FastAPI, account: Account, name: str
) -> None:
    """A3: the commit is made to fail; every table is as it was. Then it is let through, and the event is there."""
    action, nth_commit, event = ACTIONS[name]
    before = await stored_rows(app, without=["login_throttles"])
    async with make_app(failpoints=f"before_commit:error:{nth_commit}") as failing, client_of(failing) as client:
        answer = await action(through(client, account))
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
        assert await stored_rows(app, without=["login_throttles"]) == before
        # What did not happen is not believed in memory either.
        assert (await through(client, account).get("/users/me")).is_success
    await action(account)
    after = await stored_rows(app, without=["login_throttles"])
    assert after != before
    if event is not None:
        assert event in {row.action for row in await events_of(app)}
        assert len(after["audit_events"]) > len(before["audit_events"])


async def test_a_reuse_whose_record_fails_ends_nothing(
    make_app: AppFactory, app: FastAPI, account: Account, clock: ManualClock
) -> None:
    """A3, F2: event and end of the session come together, at the thief's next try."""
    current = (await rotate(account)).json()
    clock.advance(seconds=31)
    before = await stored_rows(app)
    async with make_app(failpoints="before_commit:error:1") as failing, client_of(failing) as client:
        assert (await refresh(client, account.refresh_token)).status_code == 503
        assert await stored_rows(app) == before
        assert (await refresh(client, account.refresh_token)).status_code == 400
    assert [event.action for event in await events_of(app, account.id)][-2:] == ["refresh_reused", "session_ended"]
    assert (await refresh(account.client, current["refresh_token"])).status_code == 400


async def test_each_event_says_who_what_when_where_and_how_it_ended(app: FastAPI, account: Account) -> None:
    """A3 [ASVS 16.3.1]: with the request id of the answer, in UTC, in the order of what happened."""
    await session_of(account)
    answers = [
        await fail_to_log_in(account),
        await fail_to_change_password(account),
        await change_profile(account),
        await change_password(account),
        await log_out(account),
    ]
    events = await events_of(app, account.id)
    assert [event.action for event in events] == [
        "registered", "login", "login", "login_failed", "password_change_failed", "profile_updated",
        "password_changed", "session_ended", "logout",
    ]  # fmt: skip
    request_ids = [answer.headers["x-request-id"] for answer in answers]
    assert [event.request_id for event in events[3:]] == [*request_ids[:4], request_ids[3], request_ids[4]]
    for event in events:
        assert str(event.actor_id) == account.id
        assert event.occurred_at.tzinfo is UTC
        assert event.address == "127.0.0.1"
        assert event.user_agent is not None
        assert event.user_agent.startswith("python-httpx/")
        assert event.outcome == ("failure" if "failed" in event.action else "success")


async def test_no_event_is_lost_or_doubled_under_load(app: FastAPI, account: Account) -> None:
    """A3: as many events as changes, however many come at once."""
    answers = await in_parallel(
        [*(log_in_again(account) for _ in range(4)), *(change_profile(account) for _ in range(8))]
    )
    assert {answer.status_code for answer in answers} == {200}
    actions = await actions_of(app, account.id)
    assert actions.count("login") == 5
    assert actions.count("profile_updated") == 8


@pytest.mark.parametrize("agent", ['Evil\r\n{"forged": 1}', "\x1b[2J\x1b]0;x\x07", "a" * 10_000, "\x00", "é\x9b31m"])
async def test_no_header_forges_an_event(app: FastAPI, account: Account, agent: str) -> None:
    """A5: control characters of a `User-Agent` are dropped, its length is bounded."""
    answer = await account.client.post(
        f"{API}/auth/login",
        json={"email": account.email, "password": PASSWORD},
        headers={b"User-Agent": agent.encode("latin-1")},
    )
    assert answer.is_success
    stored = (await events_of(app, account.id))[-1].user_agent
    assert stored is not None
    assert len(stored) <= 256
    assert stored.isprintable()
