"""`POST /auth/login`: what a right password gives, and what a wrong one must not tell."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import bcrypt
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from app.auth.models import User
from app.auth.passwords import PasswordCheck
from app.auth.permissions import all_permissions
from app.auth.repository import UserRepository
from app.main import Services
from tests.auth.scenarios import (
    WRONG_PASSWORD,
    actions_of,
    claims_of,
    events_of,
    in_parallel,
    is_alive,
    log_in,
    refresh,
)
from tests.conftest import AppFactory, client_of
from tests.support import API, OWN, PASSWORD, Account, ManualClock, register


async def set_columns(services: Services, user_id: str, **values: Any) -> None:
    """Change an account behind the service's back."""
    async with services.database.session() as session:
        columns = {getattr(User, name): value for name, value in values.items()}
        assert await UserRepository(session, services.clock).update(UUID(user_id), columns)
        await session.commit()


async def hash_of(services: Services, user_id: str) -> str:
    async with services.database.read_session() as session:
        user = await UserRepository(session, services.clock).get(UUID(user_id))
        assert user is not None
        return user.hashed_password


async def test_gives_tokens_and_records_the_login(app: FastAPI, account: Account, services: Services) -> None:
    """L8: no cache keeps the answer; the event names session, address and device."""
    answer = await account.client.post(
        f"{API}/auth/login",
        json={"email": account.email, "password": PASSWORD, "device_name": "Ada's laptop"},
        headers={"User-Agent": "Mozilla/5.0\x1f test", "X-Request-ID": "r-1"},
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["scope"]) == ("bearer", " ".join(sorted(OWN)))
    claims = claims_of(services, body["access_token"])
    assert (str(claims.sub), claims.client_id, claims.amr, claims.acr) == (account.id, "merit", ("pwd",), "aal1")
    last = (await events_of(app, account.id))[-1]
    assert (last.action, last.outcome, last.session_id) == ("login", "success", claims.sid)
    assert (last.address, last.user_agent, last.request_id) == ("127.0.0.1", "Mozilla/5.0 test", "r-1")
    assert last.detail == {}
    assert (await account.get("/users/me")).json()["last_login_at"] is not None


async def test_tokens_stay_out_of_urls(account: Account) -> None:
    """L8: neither is a password read from a query nor a token."""
    query = {"grant_type": "password", "username": account.email, "password": PASSWORD, "email": account.email}
    for path in ("login", "token"):
        assert (await account.client.post(f"{API}/auth/{path}", params=query)).status_code in {400, 422}
        assert (await account.client.get(f"{API}/auth/{path}", params=query)).status_code == 405
    for name in ("access_token", "token", "authorization"):
        answer = await account.client.get(f"{API}/users/me", params={name: account.access_token})
        assert answer.status_code == 401


async def test_a_login_names_exactly_one_account(client: httpx.AsyncClient, account: Account) -> None:
    for members in ({}, {"email": account.email, "username": "ada"}):
        answer = await client.post(f"{API}/auth/login", json={"password": PASSWORD, **members})
        assert answer.status_code == 422
        assert PASSWORD not in answer.text


async def test_the_scope_narrows_and_never_widens(account: Account, admin: Account, services: Services) -> None:
    """Scopes: a part of what the role permits; unknown names and nothing at all are refused."""

    async def granted(who: Account, scope: str | None) -> str:
        answer = await log_in(who.client, who.email, who.password, scope=scope)
        if not answer.is_success:
            assert "access_token" not in answer.text
            return str(answer.json()["code"])
        assert set(answer.json()["scope"].split()) == claims_of(services, answer.json()["access_token"]).scope
        return str(answer.json()["scope"])

    own = " ".join(sorted(OWN))
    assert await granted(account, None) == own
    assert await granted(account, "") == own
    assert await granted(account, "profile:read") == "profile:read"
    assert await granted(account, "profile:read profile:read  users:write") == "profile:read"
    assert await granted(account, "users:write") == "invalid_scope"
    assert await granted(account, "everything") == "invalid_scope"
    assert await granted(account, "profile:read PROFILE:WRITE") == "invalid_scope"
    assert await granted(admin, None) == " ".join(sorted(all_permissions()))
    assert await granted(admin, "users:read") == "users:read"


async def test_a_scope_tells_neither_accounts_nor_passwords(app: FastAPI, account: Account) -> None:
    """An unknown scope is refused before any password is looked at; a forbidden one is a failed login, on record."""
    for login, password in ((account.email, WRONG_PASSWORD), (account.email, PASSWORD), ("nobody@example.com", "x")):
        answer = await log_in(account.client, login, password, scope="everything")
        assert answer.json()["code"] == "invalid_scope"
    before = await actions_of(app, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD, scope="users:write")).status_code == 401
    assert (await log_in(account.client, account.email, PASSWORD, scope="users:write")).status_code == 400
    assert (await actions_of(app, account.id))[len(before) :] == ["login_failed", "login_failed"]


async def test_each_login_is_a_session_of_its_own(account: Account, services: Services) -> None:
    """Session fixation: a caller cannot bring the session, the old one lives on, and no cookie holds it."""
    planted = {"sid": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01", "session_id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"}
    answer = await account.client.post(
        f"{API}/auth/login",
        json={"email": account.email, "password": PASSWORD},
        headers={**account.headers, "Cookie": "; ".join(f"{k}={v}" for k, v in planted.items())},
    )
    assert [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")] == ["__Host-merit_device"]
    assert str(claims_of(services, answer.json()["access_token"]).sid) not in answer.headers["set-cookie"]
    old, new = claims_of(services, account.access_token), claims_of(services, answer.json()["access_token"])
    assert old.sid != new.sid
    assert str(new.sid) not in planted.values()
    assert await is_alive(account.client, account.access_token)
    for name, value in planted.items():
        refused = await account.client.post(
            f"{API}/auth/login", json={"email": account.email, "password": PASSWORD, name: value}
        )
        assert refused.status_code == 422


def ks_p_value(left: list[float], right: list[float]) -> float:
    """The p-value of the two-sample Kolmogorov-Smirnov test, by its asymptotic series."""
    left, right, distance, i, j = sorted(left), sorted(right), 0.0, 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            i += 1
        else:
            j += 1
        distance = max(distance, abs(i / len(left) - j / len(right)))
    root = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    x = (root + 0.12 + 0.11 / root) * distance
    total = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, total)) if x > 0.2 else 1.0


def test_the_statistic_tells_distributions_apart() -> None:
    even = [n / 100 for n in range(100)]
    assert ks_p_value(even, [value + 0.001 for value in even]) > 0.9
    assert ks_p_value(even, [value + 0.5 for value in even]) < 0.001


def fingerprint(answer: httpx.Response) -> tuple[Any, ...]:
    """Everything of an answer but its own id and time."""
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in {"x-request-id", "date"})
    body = answer.json()
    body.pop("request_id", None)
    return answer.status_code, body, headers


async def test_a_refusal_does_not_tell_who_has_an_account(make_app: AppFactory, account: Account) -> None:
    """L1: unknown, wrong password, disabled and unusable hash: same status, body, headers and times (300 of them)."""
    disabled, unusable = await register(account.client), await register(account.client)
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        await set_columns(app.state.merit, disabled.id, is_active=False)
        await set_columns(app.state.merit, unusable.id, hashed_password="!")
        kinds: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
            "unknown": lambda: log_in(client, "nobody@example.com", PASSWORD),
            "wrong": lambda: log_in(client, account.email, WRONG_PASSWORD),
            "disabled": lambda: log_in(client, disabled.email, PASSWORD),
            "disabled, wrong": lambda: log_in(client, disabled.email, WRONG_PASSWORD),
            "unusable": lambda: log_in(client, unusable.email, PASSWORD),
            "unknown name": lambda: log_in(client, "nobody", PASSWORD),
        }
        answers = {kind: fingerprint(await call()) for kind, call in kinds.items()}
        assert answers["unknown"][0] == 401
        assert answers["unknown"][1]["code"] == "invalid_credentials"
        assert all(answer == answers["unknown"] for answer in answers.values())
        timed = ["unknown", "wrong", "disabled"]

        async def lowest_p_value() -> float:
            times: dict[str, list[float]] = {kind: [] for kind in timed}
            for n in range(300):
                started = time.perf_counter()
                await kinds[timed[n % 3]]()
                times[timed[n % 3]].append(time.perf_counter() - started)
            return min(ks_p_value(times["wrong"], times[kind]) for kind in ("unknown", "disabled"))

        # Equal times fail twice in a hundred runs, and three times in a row never.
        assert await lowest_p_value() > 0.01 or await lowest_p_value() > 0.01 or await lowest_p_value() > 0.01


async def test_refusals_cost_one_hash_whoever_is_meant(make_app: AppFactory, account: Account) -> None:
    """L1, where a hash outweighs all the rest: an unknown account takes as long as a known one."""
    async with make_app(bcrypt_rounds=9, rate_limits="off") as app, client_of(app) as client:
        known: list[float] = []
        unknown: list[float] = []
        await set_columns(app.state.merit, account.id, hashed_password=await app.state.merit.auth.hasher.hash(PASSWORD))
        for _ in range(5):
            for login, times in ((account.email, known), ("nobody@example.com", unknown)):
                started = time.perf_counter()
                assert (await log_in(client, login, WRONG_PASSWORD)).status_code == 401
                times.append(time.perf_counter() - started)
        assert 1 / 3 < min(unknown) / min(known) < 3


async def test_failed_logins_are_recorded_though_the_request_is_refused(app: FastAPI, account: Account) -> None:
    """A3: with the account where there is one, and never with the name or password that was tried."""
    before = len(await events_of(app))
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await log_in(account.client, "nobody@example.com", WRONG_PASSWORD)).status_code == 401
    known, unknown = (await events_of(app))[before:]
    assert (known.action, known.outcome, str(known.user_id)) == ("login_failed", "failure", account.id)
    assert (unknown.action, unknown.outcome, unknown.user_id) == ("login_failed", "failure", None)
    assert unknown.detail == {}


@pytest.mark.parametrize("scheme", ["old cost", "plain bcrypt"])
async def test_an_outdated_hash_is_renewed_once(make_app: AppFactory, client: httpx.AsyncClient, scheme: str) -> None:
    """P10: in the same request, exactly once though ten log in at once, and everyone gets in."""
    account = await register(client)
    async with make_app(bcrypt_rounds=5, rate_limits="off") as app, client_of(app) as other:
        services: Services = app.state.merit
        if scheme == "plain bcrypt":
            plain = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
            await set_columns(services, account.id, hashed_password=plain)
        renewals = []

        @event.listens_for(services.database.writer.sync_engine, "after_cursor_execute")
        def count_renewals(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("UPDATE users SET") and "hashed_password" in statement.partition("WHERE")[0]:
                renewals.append(cursor.rowcount)

        old = await hash_of(services, account.id)
        answers = await in_parallel(log_in(other, account.email, PASSWORD) for _ in range(10))
        assert [answer.status_code for answer in answers] == [200] * 10
        new = await hash_of(services, account.id)
        assert new.startswith("$bcrypt-sha256$v=2,t=2b,r=5$")
        assert new != old
        assert sum(renewals) == 1
        assert (await log_in(other, account.email, PASSWORD)).is_success
        assert await hash_of(services, account.id) == new
        assert (await log_in(other, account.email, WRONG_PASSWORD)).status_code == 401
        assert (await actions_of(app, account.id)).count("login") == 12


async def test_a_wrong_password_renews_nothing(make_app: AppFactory, account: Account) -> None:
    """P10: nor does a disabled account's right one."""
    async with make_app(bcrypt_rounds=5) as app, client_of(app) as client:
        old = await hash_of(app.state.merit, account.id)
        assert (await log_in(client, account.email, WRONG_PASSWORD)).status_code == 401
        await set_columns(app.state.merit, account.id, is_active=False)
        assert (await log_in(client, account.email, PASSWORD)).status_code == 401
        assert await hash_of(app.state.merit, account.id) == old


async def test_hashing_neither_stalls_other_requests_nor_queues_without_end(make_app: AppFactory) -> None:
    """P12: a full queue answers 503 with `Retry-After` at once, and meanwhile a health request is quick."""
    async with make_app(bcrypt_rounds=12, hash_workers=1, hash_queue_size=2) as app, client_of(app) as client:
        started = time.perf_counter()
        health: list[float] = []
        refused_after: list[float] = []
        verified_after: list[float] = []

        async def attempt(n: int) -> httpx.Response:
            answer = await log_in(client, f"nobody{n}@example.com", WRONG_PASSWORD)
            done_after = refused_after if answer.status_code == 503 else verified_after
            done_after.append(time.perf_counter() - started)
            return answer

        logins = [in_parallel([attempt(n)]) for n in range(8)]

        async def watch() -> list[httpx.Response]:
            for _ in range(50):  # a fraction of the time that three hashes take
                asked = time.perf_counter()
                assert (await client.get("/health/live")).is_success
                await asyncio.sleep(0)  # the other requests' turn
                health.append(time.perf_counter() - asked)
            return []

        answers = [answer for group in await in_parallel([*logins, watch()]) for answer in group]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {401, 503}
        assert 3 <= statuses.count(401) < 8  # more than fit where one was done before the last of them came
        for answer in answers:
            if answer.status_code == 503:
                assert answer.json()["code"] == "hash_queue_full"
                assert int(answer.headers["retry-after"]) >= 1
        assert sorted(health)[45] < 0.05
        assert max(refused_after) < max(verified_after)


async def test_access_tokens_live_ten_minutes_give_or_take(
    client: httpx.AsyncClient, account: Account, services: Services, clock: ManualClock
) -> None:
    """T7: ±5 % jitter, `expires_in` tells the truth, 30 s of leeway."""
    answers = [(await log_in(client, account.email, PASSWORD)).json() for _ in range(12)]
    for answer in answers:
        claims = claims_of(services, answer["access_token"])
        assert claims.exp - claims.iat == answer["expires_in"]
        assert 570 <= answer["expires_in"] <= 630
    assert len({answer["expires_in"] for answer in answers}) > 1
    last = answers[-1]
    clock.advance(seconds=last["expires_in"] + 25)
    assert await is_alive(client, last["access_token"])
    clock.advance(seconds=6)
    assert not await is_alive(client, last["access_token"])


async def test_a_login_that_races_with_a_disabling_opens_nothing(account: Account, admin: Account) -> None:
    """S5: whichever is first, none of the tokens handed out works once the disabling has returned."""
    client = account.client
    for n in range(4):  # as many failures as are free
        calls = [log_in(client, account.email, PASSWORD), admin.request("POST", f"/admin/users/{account.id}/disable")]
        answers = await in_parallel(reversed(calls) if n % 2 else calls)
        login = next(answer for answer in answers if "disable" not in answer.url.path)
        assert login.status_code in {200, 401}
        if login.is_success:
            assert not await is_alive(client, login.json()["access_token"])
            answer = await refresh(client, login.json()["refresh_token"])
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_grant")
        assert (await admin.request("POST", f"/admin/users/{account.id}/enable")).is_success


async def test_a_login_that_races_with_a_change_of_rights_works_at_once(
    account: Account, admin: Account, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5: rights change while the password is checked; the token is not one of those that the change has killed."""
    verify, roles = services.auth.hasher.verify, iter(["reviewer"])

    async def verify_meanwhile(password: str, hashed: str | None) -> PasswordCheck:
        check = await verify(password, hashed)
        for role in roles:
            body = {"role": role, "custom_roles": []}
            assert (await admin.request("PUT", f"/admin/users/{account.id}/roles", json=body)).is_success
        return check

    monkeypatch.setattr(services.auth.hasher, "verify", verify_meanwhile)
    login = await log_in(account.client, account.email, PASSWORD)
    assert login.status_code == 200
    assert await is_alive(account.client, login.json()["access_token"])
