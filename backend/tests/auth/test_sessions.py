"""`/users/me/sessions`: where someone is logged in, and ending one of these."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from app.core.ids import new_id
from app.main import Services
from tests.auth.scenarios import (
    actions_of,
    claims_of,
    events_of,
    in_parallel,
    is_alive,
    log_in,
    refresh,
    session_of,
)
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, ManualClock, register

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def list_sessions(account: Account, **query: Any) -> list[dict[str, Any]]:
    answer = await account.get("/users/me/sessions", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_lists_where_someone_is_logged_in(
    app: FastAPI, account: Account, services: Services, clock: ManualClock
) -> None:
    """S1: id, times to the minute, address, device and method, the current one marked; nothing of a token."""
    await register(account.client)
    clock.advance(minutes=2)
    async with client_of(app, address="2001:db8::7") as elsewhere:
        body = {"email": account.email, "password": PASSWORD, "device_name": "Ada's laptop"}
        login = await elsewhere.post(f"{API}/auth/login", json=body, headers={"User-Agent": FIREFOX})
    newer, older = await list_sessions(account)
    assert set(newer) == {
        "id", "created_at", "refreshed_at", "address", "device", "device_name", "method", "current",
    }  # fmt: skip
    assert newer["id"] == str(claims_of(services, login.json()["access_token"]).sid)
    assert (newer["address"], newer["device"], newer["device_name"], newer["method"], newer["current"]) == (
        "2001:db8::7", "Firefox on Linux", "Ada's laptop", "pwd", False,
    )  # fmt: skip
    assert older["id"] == str(claims_of(services, account.access_token).sid)
    assert (older["current"], older["device_name"], older["address"]) == (True, None, "127.0.0.1")
    refreshed_at = datetime.fromisoformat(newer["refreshed_at"])
    assert (refreshed_at.second, refreshed_at.microsecond) == (0, 0)
    assert timedelta() <= datetime.fromisoformat(newer["created_at"]) - refreshed_at < timedelta(minutes=1)
    text = (await account.get("/users/me/sessions")).text
    secrets = [login.json()["refresh_token"], account.refresh_token, account.access_token]
    assert not any(part in text for token in secrets for part in token.split(".")[3:] or [token])


async def test_follows_a_session_to_its_latest_place(app: FastAPI, account: Account, clock: ManualClock) -> None:
    """S1: address and device are those of the last refresh."""
    clock.advance(minutes=5)
    async with client_of(app, address="203.0.113.9") as elsewhere:
        body = {"refresh_token": account.refresh_token}
        assert (await elsewhere.post(f"{API}/auth/refresh", json=body, headers={"User-Agent": FIREFOX})).is_success
    (session,) = await list_sessions(account)
    assert (session["address"], session["device"]) == ("203.0.113.9", "Firefox on Linux")
    assert session["refreshed_at"] > session["created_at"]


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [("", "Unknown device"), ("who knows", "Unknown device"), ("curl/8.5.0", "curl"), (FIREFOX, "Firefox on Linux"),
     ("Mozilla/5.0 (Windows NT 10.0)", "Windows")],
)  # fmt: skip
async def test_names_what_is_known_of_a_device(account: Account, user_agent: str, device: str) -> None:
    """S1: in words, whatever a client says of itself."""
    body = {"email": account.email, "password": PASSWORD}
    answer = await account.client.post(f"{API}/auth/login", json=body, headers={"User-Agent": user_agent})
    assert answer.is_success
    assert [session["device"] for session in await list_sessions(account) if not session["current"]] == [device]


async def test_pages_through_many_sessions(account: Account) -> None:
    for _ in range(4):
        await session_of(account)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await account.get("/users/me/sessions", params=query)).json()
        seen += [session["id"] for session in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5
    for cursor in ("x", query["cursor"][:-2], "", "\0"):
        answer = await account.get("/users/me/sessions", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), cursor


async def test_ended_and_expired_sessions_are_not_there(
    account: Account, services: Services, clock: ManualClock
) -> None:
    """Neither listed nor ended."""
    ended = await session_of(account)
    expired = claims_of(services, account.access_token).sid
    assert (await ended.request("POST", "/auth/logout")).status_code == 204
    clock.advance(days=29)
    assert (await account.login()).is_success
    assert len(await list_sessions(account)) == 2
    clock.advance(days=2)
    assert (await account.login()).is_success
    assert len(await list_sessions(account)) == 2
    assert (await account.request("DELETE", f"/users/me/sessions/{expired}")).status_code == 404


async def test_ends_one_session_at_once(app: FastAPI, account: Account, services: Services) -> None:
    """S2 on one process: the next request with its token is refused; doing it again finds nothing."""
    other = await session_of(account)
    path = f"/users/me/sessions/{claims_of(services, other.access_token).sid}"
    answers = await in_parallel(account.request("DELETE", path) for _ in range(5))
    assert sorted(answer.status_code for answer in answers)[0] == 204
    assert {answer.status_code for answer in answers} <= {204, 404}
    assert not await is_alive(other.client, other.access_token)
    assert not (await refresh(other.client, other.refresh_token)).is_success
    assert await is_alive(account.client, account.access_token)
    assert (await account.request("DELETE", path)).status_code == 404
    ended = [event for event in await events_of(app, account.id) if event.action == "session_ended"]
    assert [event.detail for event in ended] == [{"reason": "ended_by_owner"}]


async def test_the_current_session_can_be_ended_too(account: Account) -> None:
    (session,) = await list_sessions(account)
    assert (await account.request("DELETE", f"/users/me/sessions/{session['id']}")).status_code == 204
    assert not await is_alive(account.client, account.access_token)


async def test_a_foreign_session_is_as_absent_as_an_unknown_one(
    app: FastAPI, account: Account, services: Services
) -> None:
    """S3: same status and body, nothing ends, not even for an administrator at this address."""
    stranger = await register(account.client)
    foreign = claims_of(services, stranger.access_token).sid
    before = await actions_of(app)
    answers = [await account.request("DELETE", f"/users/me/sessions/{id_}") for id_ in (foreign, new_id(), foreign.hex)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "session_not_found")}
    assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1
    assert await is_alive(stranger.client, stranger.access_token)
    assert (await refresh(stranger.client, stranger.refresh_token)).is_success
    assert await actions_of(app) == before
    assert (await account.request("DELETE", "/users/me/sessions/none")).status_code == 422


@pytest.mark.parametrize("is_parallel", [False, True], ids=["one by one", "at once"])
async def test_the_oldest_session_makes_room(
    make_app: AppFactory, account: Account, clock: ManualClock, *, is_parallel: bool
) -> None:
    """S6: a login beyond the limit ends the oldest session, also when many log in at once."""
    async with make_app(max_sessions_per_user=3, rate_limits="off") as app, client_of(app) as client:
        if is_parallel:
            answers = await in_parallel(log_in(client, account.email, PASSWORD) for _ in range(6))
        else:
            answers = []
            for _ in range(6):
                clock.advance(seconds=1)
                answers.append(await log_in(client, account.email, PASSWORD))
        tokens = [answer.json()["access_token"] for answer in answers]
        alive = [await is_alive(client, token) for token in tokens]
        assert alive.count(True) == 3
        if not is_parallel:
            assert alive == [False] * 3 + [True] * 3
        assert not await is_alive(client, account.access_token)
        assert len(await list_sessions(Account(client, "", "", "", None, access_token=tokens[alive.index(True)]))) == 3
        ended = [event for event in await events_of(app, account.id) if event.action == "session_ended"]
        assert [event.detail for event in ended] == [{"reason": "limit"}] * 4
