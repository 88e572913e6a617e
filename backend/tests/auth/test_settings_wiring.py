"""Each setting of accounts and tokens reaches what it names: another value, another behaviour."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from tests.auth.scenarios import claims_of, is_alive, log_in, refresh
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, ManualClock, register

INVALID_GRANT = (400, "invalid_grant")
SETTINGS = {
    "password_min_length": 12,
    "jwt_issuer": "https://issuer.example.net",
    "jwt_audience": "another-api",
    "access_token_seconds": 120,
    "refresh_idle_days": 2,
    "refresh_absolute_days": 3,
    "refresh_grace_seconds": 100,
    "fresh_login_seconds": 60,
    "max_sessions_per_user": 3,
}


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Time passes only when the test says so."""
    clock.stop()


@pytest.fixture
async def changed(make_app: AppFactory) -> AsyncIterator[FastAPI]:
    """An application whose settings all differ from the defaults."""
    async with make_app(**SETTINGS) as application:
        yield application


@pytest.fixture
async def here(changed: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the changed application."""
    async with client_of(changed) as client:
        yield client


async def test_password_min_length(here: httpx.AsyncClient) -> None:
    """PASSWORD_MIN_LENGTH: 11 characters are too few, 12 are enough."""
    for password, status in (("kz7#vq9!mw2", 422), ("kz7#vq9!mw2x", 201)):
        answer = await here.post(f"{API}/auth/register", json={"email": "a@example.com", "password": password})
        assert answer.status_code == status, password


async def test_issuer_audience_and_life_of_access_tokens(
    changed: FastAPI, here: httpx.AsyncClient, account: Account, clock: ManualClock
) -> None:
    """JWT_ISSUER, JWT_AUDIENCE, ACCESS_TOKEN_SECONDS: in the token, and asked of every token."""
    login = (await log_in(here, account.email, PASSWORD)).json()
    claims = claims_of(changed.state.merit, login["access_token"])
    assert (claims.iss, claims.aud) == (SETTINGS["jwt_issuer"], SETTINGS["jwt_audience"])
    assert 114 <= login["expires_in"] == claims.exp - claims.iat <= 126
    assert await is_alive(here, login["access_token"])
    assert not await is_alive(account.client, login["access_token"])
    assert not await is_alive(here, account.access_token)
    clock.advance(seconds=126 + 31)
    assert not await is_alive(here, login["access_token"])


@pytest.mark.parametrize("wrong", ["jwt_issuer", "jwt_audience"])
async def test_issuer_and_audience_are_each_asked_for(make_app: AppFactory, account: Account, wrong: str) -> None:
    """JWT_ISSUER and JWT_AUDIENCE: either one alone makes another service's token a stranger's."""
    async with make_app(**{wrong: SETTINGS[wrong]}) as application, client_of(application) as client:
        assert not await is_alive(client, account.access_token)


async def test_grace_of_refresh_tokens(here: httpx.AsyncClient, account: Account, clock: ManualClock) -> None:
    """REFRESH_GRACE_SECONDS: 100 seconds after its exchange a token is good for the same successor, 101 after not."""
    first = account.refresh_token
    successor = (await refresh(here, first)).json()["refresh_token"]
    clock.advance(seconds=100)
    assert (await refresh(here, first)).json()["refresh_token"] == successor
    clock.advance(seconds=1)
    assert code_of(await refresh(here, first)) == INVALID_GRANT


async def test_life_of_sessions(here: httpx.AsyncClient, account: Account, clock: ManualClock) -> None:
    """REFRESH_IDLE_DAYS and REFRESH_ABSOLUTE_DAYS: two days unused, or three in all."""
    idle, renewed, used = [(await log_in(here, account.email, PASSWORD)).json()["refresh_token"] for _ in range(3)]
    renewed = (await refresh(here, renewed)).json()["refresh_token"]
    clock.advance(days=1, hours=23)
    used = (await refresh(here, used)).json()["refresh_token"]
    clock.advance(hours=2)
    for unused in (idle, renewed):
        assert code_of(await refresh(here, unused)) == INVALID_GRANT
    clock.advance(hours=22)
    used = (await refresh(here, used)).json()["refresh_token"]
    clock.advance(hours=2)
    assert code_of(await refresh(here, used)) == INVALID_GRANT


async def test_freshness_of_logins(here: httpx.AsyncClient, account: Account, clock: ManualClock) -> None:
    """FRESH_LOGIN_SECONDS: a sensitive change is allowed that long after the login, and no longer."""
    caller = Account(here, account.id, account.email, PASSWORD, None)
    await caller.login()
    for seconds, status in ((58, 403), (3, 401)):  # whole seconds count: one more or less is let pass
        clock.advance(seconds=seconds)
        body = {"current_password": "not the password", "new_password": "another passphrase 43"}
        assert (await caller.request("POST", "/users/me/password", json=body)).status_code == status


async def test_number_of_sessions(here: httpx.AsyncClient) -> None:
    """MAX_SESSIONS_PER_USER: the fourth login ends the first."""
    account = await register(here)
    later = [(await log_in(here, account.email, PASSWORD)).json()["refresh_token"] for _ in range(3)]
    answers = [await refresh(here, token) for token in (account.refresh_token, *later)]
    assert [answer.status_code for answer in answers] == [400, 200, 200, 200]
