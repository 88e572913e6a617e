"""`POST /auth/logout`: what ends, for whom, and when."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.main import Services
from tests.auth.scenarios import actions_of, claims_of, events_of, in_parallel, is_alive, refresh, session_of
from tests.support import API, Account, ManualClock, register

URL = f"{API}/auth/logout"


async def works(account: Account) -> bool:
    """Whether both tokens of a session work; never one without the other."""
    is_access_alive = await is_alive(account.client, account.access_token)
    answer = await refresh(account.client, account.refresh_token)
    assert answer.is_success is is_access_alive
    return is_access_alive


async def log_out(account: Account, **members: Any) -> httpx.Response:
    return await account.client.post(URL, json=members or None, headers=account.headers)


@pytest.mark.parametrize(
    ("scope", "alive"),
    [(None, (False, True, True)), ("session", (False, True, True)), ("others", (True, False, False)),
     ("all", (False, False, False))],
)  # fmt: skip
async def test_ends_what_the_flag_says(
    app: FastAPI, account: Account, scope: str | None, alive: tuple[bool, bool, bool]
) -> None:
    """S4: this session, the others, or all; at once, and never those of another person."""
    sessions = [account, await session_of(account), await session_of(account)]
    stranger = await register(account.client)
    answer = await log_out(account, **({} if scope is None else {"scope": scope}))
    assert (answer.status_code, answer.content) == (204, b"")
    assert tuple([await works(session) for session in sessions]) == alive
    assert await works(stranger)
    events = [event for event in await events_of(app, account.id) if event.action == "logout"]
    assert len(events) == alive.count(False)
    assert all(event.detail == {"reason": "logout"} for event in events)


async def test_logging_out_twice_is_the_same_as_once(app: FastAPI, account: Account) -> None:
    """Idempotent with the refresh token; a dead access token alone proves nothing."""
    body = {"refresh_token": account.refresh_token}
    answers = await in_parallel(account.client.post(URL, json=body) for _ in range(5))
    assert [answer.status_code for answer in answers] == [204] * 5
    assert (await account.client.post(URL, json=body)).status_code == 204
    assert (await actions_of(app, account.id)).count("logout") == 1
    again = await log_out(account)
    assert (again.status_code, again.json()["code"]) == (401, "not_authenticated")
    # With both, the dead access token does not spoil what the refresh token says.
    assert (await log_out(account, **body)).status_code == 204


async def test_a_refresh_token_stands_in_for_an_expired_access_token(account: Account, clock: ManualClock) -> None:
    other = await session_of(account)
    clock.advance(hours=1)
    assert not await is_alive(account.client, account.access_token)
    body = {"refresh_token": account.refresh_token}
    assert (await log_out(account, scope="session", **body)).status_code == 204
    assert not (await refresh(account.client, account.refresh_token)).is_success
    assert (await refresh(other.client, other.refresh_token)).is_success


@pytest.mark.parametrize("scope", ["others", "all"])
async def test_a_refresh_token_permits_no_more_than_its_session(account: Account, scope: str) -> None:
    """A session narrowed at its login ends itself, and no other, by whichever of its tokens."""
    narrow = Account(account.client, account.id, account.email, account.password, account.username)
    await narrow.login(scope="profile:read")
    by_access = await log_out(narrow, scope=scope)
    by_refresh = await account.client.post(URL, json={"scope": scope, "refresh_token": narrow.refresh_token})
    for answer in (by_access, by_refresh):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert await is_alive(account.client, account.access_token)
    assert (await account.client.post(URL, json={"refresh_token": narrow.refresh_token})).status_code == 204
    assert not await works(narrow)


async def test_a_used_up_refresh_token_does_not_keep_the_session_alive(account: Account) -> None:
    """Whoever proves a session by the access token ends it, whatever else the body holds."""
    for stale in ("rt1.garbage", (await session_of(account)).refresh_token[:-1] + "!"):
        fresh = await session_of(account)
        assert (await log_out(fresh, refresh_token=stale)).status_code == 204
        assert not await works(fresh)
    fresh, ended = await session_of(account), await session_of(account)
    await log_out(ended)
    assert (await log_out(fresh, refresh_token=ended.refresh_token)).status_code == 204
    assert not await works(fresh)


async def test_an_expired_refresh_token_ends_nothing(account: Account, clock: ManualClock) -> None:
    """A token found in an old backup is no way to log its owner out."""
    old = account.refresh_token
    clock.advance(days=31)
    assert (await account.login()).is_success
    answer = await account.client.post(URL, json={"refresh_token": old, "scope": "all"})
    assert answer.status_code == 204
    assert await works(account)


async def test_without_proof_nothing_ends(account: Account, services: Services) -> None:
    """T3: no credentials, a foreign session's id, and malformed headers."""
    sid = str(claims_of(services, account.access_token).sid)
    answer = await account.client.post(URL)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "error" not in answer.headers["www-authenticate"]
    for body in ({"scope": "everyone"}, {"session_id": sid}, {"refresh_token": None, "user_id": account.id}):
        assert (await account.client.post(URL, json=body, headers=account.headers)).status_code == 422
    for header in ("Bearer ", "Bearer a b", "Bearer  x"):
        answer = await account.client.post(URL, headers={"Authorization": header})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert await works(account)


async def test_parallel_logouts_of_all_end_every_session(account: Account) -> None:
    """S4: crossing logouts neither deadlock nor spare a session."""
    sessions = [account] + [await session_of(account) for _ in range(4)]
    answers = await in_parallel(log_out(session, scope="all") for session in sessions)
    assert {answer.status_code for answer in answers} <= {204, 401}
    assert [await works(session) for session in sessions] == [False] * 5


async def test_a_narrowed_token_ends_no_other_session(account: Account) -> None:
    """Ending other sessions is a change of the account; ending one's own is not."""
    assert (await account.login(scope="profile:read")).is_success
    for which in ("all", "others"):
        refused = await account.request("POST", "/auth/logout", json={"scope": which})
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert 'scope="profile:write"' in refused.headers["WWW-Authenticate"]
    assert (await account.request("POST", "/auth/logout")).status_code == 204


async def test_a_token_used_up_long_ago_ends_its_own_session_only(
    app: FastAPI, account: Account, clock: ManualClock
) -> None:
    """It was copied: whoever brings it must not decide about the owner's other sessions."""
    stolen = await session_of(account)
    used_up = stolen.refresh_token
    assert (await refresh(account.client, used_up)).is_success
    clock.advance(seconds=31)
    answer = await account.client.post(URL, json={"refresh_token": used_up, "scope": "all"})
    assert answer.status_code == 204
    assert await works(account)
    assert not await works(stolen)
    assert "refresh_reused" in await actions_of(app, account.id)
