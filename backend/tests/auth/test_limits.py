"""Limits on failed logins: what a guesser meets, and what the owner does not notice."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.auth.limits import ACCOUNT_POLICY, NETWORK_POLICY, REGISTRATION_POLICY, LoginLimiter
from app.auth.models import LoginThrottle
from app.main import Services
from tests.auth.scenarios import WRONG_PASSWORD, actions_of, in_parallel, log_in, log_in_by_form
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, ManualClock, register


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """A delay of one second is over only when the test says so."""
    clock.stop()


@pytest.fixture
async def elsewhere(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in another network."""
    async with client_of(app, address="198.51.100.7") as client:
        yield client


async def fail(client: httpx.AsyncClient, login: str, times: int) -> list[int]:
    """The answers to wrong passwords, one after the other."""
    return [(await log_in(client, login, WRONG_PASSWORD)).status_code for _ in range(times)]


async def throttles(services: Services) -> dict[str, int]:
    async with services.database.read_session() as session:
        rows = await session.execute(select(LoginThrottle.key, LoginThrottle.failures))
        return {row.key: row.failures for row in rows}


async def test_the_delay_grows_from_a_second_to_a_quarter_of_an_hour(account: Account, clock: ManualClock) -> None:
    """L4: 1 s, 2 s, 4 s … 900 s; waiting it out allows exactly one more guess."""
    assert await fail(account.client, account.email, 5) == [401] * 5
    delays = []
    for _ in range(13):
        answer = await log_in(account.client, account.email, WRONG_PASSWORD)
        assert answer.status_code == 429
        delays.append(int(answer.headers["retry-after"]))
        clock.advance(seconds=delays[-1])
        assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


async def test_a_blocked_account_refuses_even_the_right_password(app: FastAPI, account: Account) -> None:
    """L6: before the password is looked at; 429 with all its headers, and refused attempts do not prolong the wait."""
    await fail(account.client, account.email, 5)
    before = await actions_of(app, account.id)
    for _ in range(3):
        answer = await log_in(account.client, account.email, PASSWORD)
        assert answer.status_code == 429
        assert answer.json()["code"] == "login_throttled"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit"] == '"login-account";r=0;t=1'
        assert answer.headers["ratelimit-policy"] == '"login-account";q=4;w=86400'
    assert await actions_of(app, account.id) == before


async def test_the_owner_elsewhere_is_not_locked_out(
    account: Account, elsewhere: httpx.AsyncClient, services: Services
) -> None:
    """L4: the delay belongs to account and network; a success clears only its own network's count."""
    await fail(account.client, account.email, 5)
    assert await fail(elsewhere, account.email, 3) == [401] * 3
    assert (await log_in(elsewhere, account.email, PASSWORD)).is_success
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 429
    counts = await throttles(services)
    assert counts[f"account:{account.id}|127.0.0.1"] == 5
    assert f"account:{account.id}|198.51.100.7" not in counts
    # Three failures stay counted against the network, the success does not.
    assert counts["network:198.51.100.7"] == 3


async def test_a_success_forgets_this_networks_failures(account: Account) -> None:
    for _ in range(2):
        assert await fail(account.client, account.email, 4) == [401] * 4
        assert (await log_in(account.client, account.email, PASSWORD)).is_success


async def test_failures_are_forgotten_after_a_day(account: Account, clock: ManualClock) -> None:
    await fail(account.client, account.email, 5)
    clock.advance(days=1, seconds=1)
    assert await fail(account.client, account.email, 5) == [401] * 5


async def test_one_account_has_one_count_under_all_its_names(account: Account) -> None:
    """No bypass: case, compatibility forms, user name and form login share the count."""
    local, domain = account.email.split("@")
    spellings = [account.email.upper(), f"{local}@{domain.title()}", "ADA", "ａda", f" {account.email}".strip()]  # noqa: RUF001
    for spelling in spellings[:4]:
        assert (await log_in(account.client, spelling, WRONG_PASSWORD)).status_code == 401
    answer = await log_in_by_form(account.client, username=spellings[4], password=WRONG_PASSWORD)
    assert answer.json()["error"] == "invalid_grant"
    for login in ("ada", account.email):
        assert (await log_in(account.client, login, PASSWORD)).status_code == 429
    answer = await log_in_by_form(account.client, username=account.email, password=PASSWORD)
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_account_is_throttled_like_a_known_one(client: httpx.AsyncClient, services: Services) -> None:
    """L1: neither the status nor the moment of the first 429 tells whether an account exists, in any spelling."""
    account = await register(client, email="Known.One@example.com")
    answers: dict[str, list[tuple[int, str, str | None]]] = {}
    for name in (account.email, "Known.Two@example.com"):
        for n in range(7):
            spelling = [name, name.lower(), name.upper(), name.replace("K", "Ｋ")][n % 4]  # noqa: RUF001
            answer = await log_in(client, spelling, WRONG_PASSWORD)
            seen = answer.status_code, answer.json()["code"], answer.headers.get("ratelimit")
            answers.setdefault(name, []).append(seen)
    known, unknown = answers.values()
    assert known == unknown
    assert [status for status, *_ in known] == [401] * 5 + [429] * 2
    # Neither does the stored key tell what was tried.
    assert not any("known" in key.lower() for key in await throttles(services))


async def test_parallel_guesses_do_not_slip_past_the_count(account: Account, clock: ManualClock) -> None:
    """Twenty guesses at once, the right one among the last: no more of them are checked than one by one."""
    guesses = [f"guess number {n}" for n in range(19)] + [PASSWORD]
    answers = await in_parallel(log_in(account.client, account.email, guess) for guess in guesses)
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(429) >= 20 - 5 - 1
    assert sum(status in {200, 401} for status in statuses) <= 6  # a success among them forgets those before it
    assert set(statuses) <= {200, 401, 429}
    clock.advance(seconds=3600)
    assert (await log_in(account.client, account.email, PASSWORD)).is_success


async def test_a_network_is_slowed_down_whatever_names_it_tries(
    client: httpx.AsyncClient, account: Account, elsewhere: httpx.AsyncClient
) -> None:
    """Password spraying: after a hundred failures the network waits, and no other one does."""
    count = NETWORK_POLICY.free + 1
    answers = await in_parallel(log_in(client, f"user{n}@example.com", WRONG_PASSWORD) for n in range(count))
    assert {answer.status_code for answer in answers} == {401}
    answer = await log_in(client, account.email, PASSWORD)
    assert answer.status_code == 429
    assert answer.headers["ratelimit"].startswith('"login-network";r=0;t=')
    assert (await log_in(elsewhere, account.email, PASSWORD)).is_success


async def test_a_wrong_current_password_counts_as_a_failed_login(account: Account) -> None:
    """P7: a stolen access token is no way round the limit, in either direction."""
    body = {"current_password": WRONG_PASSWORD, "new_password": "another passphrase 43"}
    for _ in range(3):
        assert (await account.request("POST", "/users/me/password", json=body)).status_code == 403
    assert await fail(account.client, account.email, 2) == [401] * 2
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 429
    answer = await account.request("POST", "/users/me/password", json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "login_throttled")
    assert answer.headers["retry-after"] == "1"


async def test_a_restart_and_another_worker_know_the_count(make_app: AppFactory, account: Account) -> None:
    """L6: the counters are in the database, not in the process."""
    await fail(account.client, account.email, 2)
    async with make_app() as second, client_of(second) as other:
        assert await fail(other, account.email, 3) == [401] * 3
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 429
    async with make_app() as third, client_of(third) as other:
        assert (await log_in(other, account.email, PASSWORD)).status_code == 429


async def test_limits_can_be_switched_off_for_measurements(make_app: AppFactory, account: Account) -> None:
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        assert await fail(client, account.email, 8) == [401] * 8
        assert (await log_in(client, account.email, PASSWORD)).is_success
        counted = await throttles(app.state.merit)
        before = {f"account:{account.id}": 0, "network:127.0.0.1": 0, "registration:127.0.0.1": 1}
        assert counted == before
        services: Services = app.state.merit
        async with services.database.session() as session:
            limiter = LoginLimiter(session, services.settings, services.clock)
            await limiter.release_for(before)
            await session.commit()
        assert await throttles(services) == before


async def from_address(client: httpx.AsyncClient, login: str, *forwarded: str, password: str = WRONG_PASSWORD) -> int:
    """A login that claims to come from elsewhere, in one or more header lines."""
    headers = [("X-Forwarded-For", line) for line in forwarded]
    body = {"email": login, "password": password}
    return (await client.post(f"{API}/auth/login", json=body, headers=headers)).status_code


async def test_nobody_invents_an_address_of_their_own(account: Account, services: Services) -> None:
    """L5: without a trusted proxy the header is ignored, in all its forms."""
    for n in range(5):
        assert await from_address(account.client, account.email, f"203.0.113.{n}") == 401
    assert await from_address(account.client, account.email, "203.0.113.99", password=PASSWORD) == 429
    for name in ("Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP"):
        answer = await account.client.post(
            f"{API}/auth/login",
            json={"email": account.email, "password": PASSWORD},
            headers={name: "for=203.0.113.99" if name == "Forwarded" else "203.0.113.99"},
        )
        assert answer.status_code == 429, name
    assert all("203.0.113" not in key for key in await throttles(services))


async def test_behind_a_proxy_only_its_own_entry_counts(make_app: AppFactory, account: Account) -> None:
    """L5: with one trusted hop the right-most entry, over all header lines, is the caller."""
    async with make_app(trusted_proxy_hops=1) as app, client_of(app, address="10.0.0.1") as client:
        for n in range(3):
            assert await from_address(client, account.email, f"198.51.100.{n}, 203.0.113.5") == 401
        assert await from_address(client, account.email, "198.51.100.77", "203.0.113.5") == 401
        assert await from_address(client, account.email, "203.0.113.6,  203.0.113.5:41234 ") == 401
        assert await from_address(client, account.email, "203.0.113.5", password=PASSWORD) == 429
        assert await from_address(client, account.email, "::ffff:203.0.113.5", password=PASSWORD) == 429
        assert await from_address(client, account.email, "203.0.113.5, 203.0.113.6", password=PASSWORD) == 200
        # Nonsense from the proxy falls back to its own address instead of failing.
        assert await from_address(client, account.email, "unknown") == 401
        keys = await throttles(app.state.merit)
        assert keys["network:10.0.0.1"] == 1
        assert keys["network:203.0.113.5"] == 5


async def test_an_ipv6_site_is_one_network(make_app: AppFactory, account: Account) -> None:
    """L5: a /64 is what one caller can choose from at will; the next one is another network."""
    async with make_app(trusted_proxy_hops=1) as app, client_of(app, address="10.0.0.1") as client:
        for n in range(5):
            assert await from_address(client, account.email, f"2001:db8:1:2:{n}::{n + 1:x}") == 401
        assert await from_address(client, account.email, "2001:DB8:1:2:ffff::1", password=PASSWORD) == 429
        assert await from_address(client, account.email, "[2001:db8:1:2::9]:443", password=PASSWORD) == 429
        assert await from_address(client, account.email, "2001:db8:1:3::1", password=PASSWORD) == 200
        assert "network:2001:db8:1:2::/64" in await throttles(app.state.merit)


async def test_a_caller_without_an_address_is_limited_too(make_app: AppFactory, account: Account) -> None:
    """A UNIX socket has no peer address; such callers share one count."""
    async with make_app() as app, client_of(app, address="") as client:
        assert await fail(client, account.email, 6) == [401] * 5 + [429]
        assert (await throttles(app.state.merit))["network:unknown"] == 5


def test_the_longest_delay_is_never_exceeded() -> None:
    for failures in (10**3, 10**9):
        assert ACCOUNT_POLICY.delay(failures) == ACCOUNT_POLICY.longest


async def test_an_attempt_that_found_the_hash_queue_full_does_not_count(make_app: AppFactory) -> None:
    """A busy service must not lock out those who could not even be checked."""
    async with make_app(bcrypt_rounds=10, hash_workers=1, hash_queue_size=1) as app, client_of(app) as client:
        attempts = [log_in(client, f"nobody{n}@example.com", WRONG_PASSWORD) for n in range(6)]
        statuses = [answer.status_code for answer in await in_parallel(attempts)]
        assert set(statuses) == {401, 503}
        counted = await throttles(app.state.merit)
        assert [count for key, count in counted.items() if key.startswith("network:")] == [statuses.count(401)]
        for of_network in (True, False):
            counts = [n for key, n in counted.items() if key.startswith("account:") and ("|" in key) is of_network]
            assert sum(counts) == statuses.count(401)


async def test_registrations_from_one_network_are_bounded(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient, services: Services
) -> None:
    """Each costs a hash: an anonymous flood would otherwise keep everyone from logging in."""
    email = "ada@example.com"
    async with services.database.session() as session:
        limiter = LoginLimiter(session, services.settings, services.clock)
        for _ in range(REGISTRATION_POLICY.free + 1):
            await limiter.reserve_registration("127.0.0.1")
        await session.commit()
    refused = await client.post(f"{API}/auth/register", json={"email": email, "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (429, "registration_throttled")
    assert refused.headers["Retry-After"] == "1"
    made = await elsewhere.post(f"{API}/auth/register", json={"email": email, "password": PASSWORD})
    assert made.status_code == 201


async def test_without_limits_a_full_hash_queue_is_all_there_is(make_app: AppFactory) -> None:
    quick = {"bcrypt_rounds": 10, "hash_workers": 1, "hash_queue_size": 1}
    async with make_app(rate_limits="off", **quick) as app, client_of(app) as client:
        attempts = [log_in(client, f"nobody{n}@example.com", WRONG_PASSWORD) for n in range(6)]
        assert {answer.status_code for answer in await in_parallel(attempts)} == {401, 503}
        assert await throttles(app.state.merit) == {}
