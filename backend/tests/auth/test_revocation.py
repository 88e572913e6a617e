"""Access tokens die at once: on this worker, on the other hosts, and when the database cannot be asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, select, text
from structlog.testing import capture_logs

from app.auth import notices as notices_module
from app.auth import revocation
from app.auth.models import Revocation, User
from app.main import Services
from tests.auth.stage import SteerableClock, at, code_of, eventually, running, severable
from tests.statements import recorded_sql
from tests.support import API, PASSWORD, Account, ManualClock, register

REFUSED = (401, "invalid_token")
MakeAdmin = Callable[..., Awaitable[Account]]


async def refusal_of(account: Account) -> tuple[int, str]:
    """How a request of the account is refused."""
    return code_of(await account.get("/users/me"))


async def test_a_request_executes_no_sql_to_know_its_caller(
    services: Services, account: Account, admin: Account
) -> None:
    """T8: nothing is executed for authentication, in whichever way a statement may reach the database."""
    await account.get("/users/me")
    with recorded_sql(services.database) as refused:
        for _ in range(20):
            assert (await account.get("/admin/users")).status_code == 403
    assert refused == []
    with recorded_sql(services.database) as read:
        assert (await account.get("/users/me")).status_code == 200
        await asyncio.sleep(0)
    assert len(read) == 1, read
    with recorded_sql(services.database) as listed:
        assert (await admin.get("/admin/users")).status_code == 200
        await asyncio.sleep(0)
    assert len(listed) == 1, listed


async def test_a_changed_role_is_in_force_on_the_next_request(account: Account, admin: Account) -> None:
    """T8: the old token dies with the change, and a refreshed one carries the new permissions; so does the way back."""
    for role, status in (("admin", 200), ("user", 403)):
        assert (await account.get("/users/me")).status_code == 200
        changed = await admin.request("PATCH", f"/admin/users/{account.id}", json={"role": role})
        assert changed.status_code == 200
        assert await refusal_of(account) == REFUSED
        renewed = await account.client.post(f"{API}/auth/refresh", json={"refresh_token": account.refresh_token})
        account.access_token, account.refresh_token = renewed.json()["access_token"], renewed.json()["refresh_token"]
        assert (await account.get("/admin/users")).status_code == status


async def log_out(account: Account, _admin: Account) -> httpx.Response:
    return await account.request("POST", "/auth/logout")


async def end_own_session(account: Account, _admin: Account) -> httpx.Response:
    sessions = (await account.get("/users/me/sessions")).json()["items"]
    return await account.request("DELETE", f"/users/me/sessions/{sessions[0]['id']}")


async def log_out_elsewhere(account: Account, _admin: Account) -> httpx.Response:
    other = Account(account.client, account.id, account.email, account.password, None)
    await other.login()
    return await other.request("POST", "/auth/logout", json={"scope": "others"})


async def change_password_elsewhere(account: Account, _admin: Account) -> httpx.Response:
    other = Account(account.client, account.id, account.email, account.password, None)
    await other.login()
    body = {"current_password": PASSWORD, "new_password": "another passphrase 43"}
    return await other.request("POST", "/users/me/password", json=body)


async def be_disabled(account: Account, admin: Account) -> httpx.Response:
    return await admin.request("POST", f"/admin/users/{account.id}/disable")


async def be_logged_out(account: Account, admin: Account) -> httpx.Response:
    return await admin.request("DELETE", f"/admin/users/{account.id}/sessions")


async def be_promoted(account: Account, admin: Account) -> httpx.Response:
    return await admin.request("PATCH", f"/admin/users/{account.id}", json={"role": "reviewer"})


@pytest.mark.parametrize(
    "end",
    [
        log_out,
        end_own_session,
        log_out_elsewhere,
        change_password_elsewhere,
        be_disabled,
        be_logged_out,
        be_promoted,
    ],
)
async def test_whatever_ends_a_token_is_felt_by_the_next_request(
    account: Account, admin: Account, end: Callable[[Account, Account], Awaitable[httpx.Response]]
) -> None:
    """T8, S2, S5, P8: on one process, without waiting."""
    assert (await account.get("/users/me")).status_code == 200
    assert (await end(account, admin)).is_success
    assert await refusal_of(account) == REFUSED


async def test_a_disabled_account_has_no_token_left(account: Account, admin: Account) -> None:
    """S5: all sessions at once, their refresh tokens with them; enabling the account revives none of them."""
    sessions = [account]
    for scope in (None, "profile:read"):
        other = Account(account.client, account.id, account.email, account.password, None)
        await other.login(**({"scope": scope} if scope else {}))
        sessions.append(other)
    assert (await admin.request("POST", f"/admin/users/{account.id}/disable")).json()["is_active"] is False
    for state in ("disabled", "enabled"):
        for session in sessions:
            assert await refusal_of(session) == REFUSED
            renewed = await account.client.post(f"{API}/auth/refresh", json={"refresh_token": session.refresh_token})
            assert code_of(renewed) == (400, "invalid_grant")
        login = await Account(account.client, account.id, account.email, account.password, None).login()
        assert login.status_code == (401 if state == "disabled" else 200)
        await admin.request("POST", f"/admin/users/{account.id}/enable")


@pytest.fixture
async def hosts(database_url: str, tmp_path: Path, app: FastAPI) -> AsyncIterator[tuple[FastAPI, FastAPI]]:
    """Two applications that share the database and nothing else."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(running(database_url, tmp_path / "a", ManualClock())),
            await stack.enter_async_context(running(database_url, tmp_path / "b", ManualClock())),
        )


def needs_notices(database_url: str) -> None:
    """Leave the test out where the database cannot tell other hosts."""
    if not database_url.startswith("postgresql"):
        pytest.skip("only PostgreSQL tells other hosts at once; elsewhere the poll does")


async def test_another_host_refuses_the_very_next_request(
    database_url: str, hosts: tuple[FastAPI, FastAPI], account: Account
) -> None:
    """S2 over several hosts: 100 logouts at one, 0 misses at the other."""
    needs_notices(database_url)
    here, there = (at(host, account) for host in hosts)
    for _ in range(100):
        await here.login()
        there.access_token = here.access_token
        assert (await there.get("/users/me")).status_code == 200
        assert (await here.request("POST", "/auth/logout")).status_code == 204
        assert await refusal_of(there) == REFUSED


async def test_the_poll_tells_a_host_that_gets_no_notices(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    """Instant revocation on several hosts where nothing notifies: within one poll, which is at most a second."""
    assert revocation._POLL_SECONDS <= 1
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.02)
    async with running(database_url, tmp_path, ManualClock(), db_pooler="pgbouncer") as deaf:
        there = at(deaf, account)
        assert (await there.get("/users/me")).status_code == 200
        await account.request("POST", "/auth/logout")

        async def is_refused() -> bool:
            return (await there.get("/users/me")).status_code == 401

        await eventually(is_refused)


async def test_lost_notices_are_made_good(
    database_url: str,
    services: Services,
    hosts: tuple[FastAPI, FastAPI],
    monkeypatch: pytest.MonkeyPatch,
    account: Account,
) -> None:
    """Several hosts: with its listener killed a host learns by the poll, listens again, and misses nothing."""
    needs_notices(database_url)
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.05)
    await asyncio.sleep(1.1)  # the pollers are still in the pause they began before
    listeners = "FROM pg_stat_activity WHERE application_name = 'merit listener' AND datname = current_database()"
    here, there = (at(host, account) for host in hosts)
    await here.login()
    there.access_token = here.access_token

    async def count() -> int:
        async with services.database.reader.connect() as connection:
            return int(await connection.scalar(text(f"SELECT count(*) {listeners}")) or 0)

    everyone = await count()
    async with services.database.reader.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) {listeners}"))
    await here.request("POST", "/auth/logout")

    async def is_refused() -> bool:
        return (await there.get("/users/me")).status_code == 401

    async def is_whole() -> bool:
        return await count() == everyone

    await eventually(is_refused)
    await eventually(is_whole)
    await here.login()
    there.access_token = here.access_token
    assert (await there.get("/users/me")).status_code == 200
    await here.request("POST", "/auth/logout")
    assert await refusal_of(there) == REFUSED


async def test_a_listener_gone_deaf_is_replaced(
    database_url: str, hosts: tuple[FastAPI, FastAPI], monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    """Revocation over several hosts: a notice that does not come back ends the listener, and the poll makes another."""
    needs_notices(database_url)
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.05)
    here = at(hosts[0], account)
    notices = hosts[0].state.merit.auth.revocations._notices
    deaf = notices._listener
    await deaf.execute("UNLISTEN *")
    await here.login()
    assert (await here.request("POST", "/auth/logout")).status_code == 204
    assert await refusal_of(here) == REFUSED

    async def is_replaced() -> bool:
        return notices._listener not in {deaf, None}

    async def is_heard() -> bool:
        await here.login()
        started = time.monotonic()
        await here.request("POST", "/auth/logout")
        return time.monotonic() - started < notices_module._PATIENCE_SECONDS

    await eventually(is_replaced)
    await eventually(is_heard)  # the server may count the old line among the listeners for another moment


async def test_a_deaf_host_holds_nobody_up_for_long(
    database_url: str, hosts: tuple[FastAPI, FastAPI], monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    """Several hosts: one that does not answer delays a logout by a moment, and learns of it by its poll."""
    needs_notices(database_url)
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.05)
    here, there = (at(host, account) for host in hosts)
    ours, theirs = (host.state.merit.auth.revocations._notices for host in hosts)
    listener = ours._listener
    await theirs._listener.execute("UNLISTEN *")
    await theirs._listener.execute("SELECT pg_notify($1, 'no such notice')", ours._answers)
    started = time.monotonic()
    assert (await here.request("POST", "/auth/logout")).status_code == 204
    assert notices_module._PATIENCE_SECONDS <= time.monotonic() - started < 5
    assert ours._listener is listener

    async def is_refused() -> bool:
        return (await there.get("/users/me")).status_code == 401

    await eventually(is_refused)


async def test_an_account_that_is_gone_is_nobody(services: Services, account: Account) -> None:
    """S5: a token whose account was deleted behind the service's back opens nothing."""
    async with services.database.session() as session:
        await session.execute(delete(User))
        await session.commit()
    assert await refusal_of(account) == REFUSED
    change = await account.request("PATCH", "/users/me", json={"full_name": "Nobody"})
    assert code_of(change) == REFUSED


async def test_without_the_database_nothing_is_accepted_on_faith(
    database_url: str, tmp_path: Path, account: Account, client: httpx.AsyncClient
) -> None:
    """S7: once the feed is stale, 503 and never an acceptance, until the database is back; then right at once."""
    clock = SteerableClock()
    ended, lasting = account, await register(client)
    async with (
        severable(database_url) as line,
        running(line.url, tmp_path, clock, request_timeout_seconds=1, db_connect_timeout=0.5) as cut_off,
    ):
        ended_there, lasting_there = at(cut_off, ended), at(cut_off, lasting)
        for caller in (ended_there, lasting_there):
            assert code_of(await caller.get("/admin/users")) == (403, "insufficient_scope")
        await line.cut(cut_off.state.merit)
        # The feed is fresh: a caller is known without the database, whether or not it can answer.
        assert code_of(await lasting_there.get("/admin/users")) == (403, "insufficient_scope")
        await ended.request("POST", "/auth/logout")
        clock.advance(seconds=4)
        for caller in (ended_there, lasting_there):
            refused = await caller.get("/admin/users")
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
        await line.mend()
        assert code_of(await ended_there.get("/admin/users")) == REFUSED
        assert code_of(await lasting_there.get("/admin/users")) == (403, "insufficient_scope")
        assert (await lasting_there.get("/users/me")).status_code == 200


async def test_what_was_revoked_during_a_long_outage_is_known_after_it(
    database_url: str, tmp_path: Path, account: Account, client: httpx.AsyncClient
) -> None:
    """S7: a host cut off for five minutes, half a token's life, refuses at once what was revoked in its first."""
    clock = SteerableClock()
    ended, lasting = account, await register(client)
    async with (
        severable(database_url) as line,
        running(line.url, tmp_path, clock, request_timeout_seconds=1, db_connect_timeout=0.5) as cut_off,
    ):
        ended_there, lasting_there = at(cut_off, ended), at(cut_off, lasting)
        assert code_of(await ended_there.get("/admin/users")) == (403, "insufficient_scope")
        await line.cut(cut_off.state.merit)
        assert (await ended.request("POST", "/auth/logout")).is_success
        clock.advance(minutes=5)
        assert (await ended_there.get("/admin/users")).status_code == 503
        await line.mend()
        assert code_of(await ended_there.get("/admin/users")) == REFUSED
        assert code_of(await lasting_there.get("/admin/users")) == (403, "insufficient_scope")


async def test_what_no_token_can_meet_any_more_is_forgotten(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: Services, account: Account
) -> None:
    """Rows and memory go once every token of the session has expired, and not before."""
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(revocation, "_FORGET_EVERY_POLLS", 1)
    clock = SteerableClock()

    async def count() -> int:
        async with services.database.read_session() as session:
            return int(await session.scalar(select(func.count()).select_from(Revocation)) or 0)

    async with running(database_url, tmp_path, clock) as pruning:
        auth = pruning.state.merit.auth
        claims = auth.access_tokens.verify(account.access_token)
        await at(pruning, account).request("POST", "/auth/logout")
        assert await auth.revocations.is_revoked(claims)
        clock.advance(seconds=auth.access_tokens.longest_life_seconds)
        await asyncio.sleep(0.1)
        await pruning.state.merit.jobs.run_due()
        assert await count() == 1
        assert await auth.revocations.is_revoked(claims)
        clock.advance(minutes=10)
        await pruning.state.merit.jobs.run_due()
        assert await count() == 0

        async def is_forgotten() -> bool:
            return not await auth.revocations.is_revoked(claims)

        await eventually(is_forgotten)


async def test_the_poll_outlives_a_failure(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: FastAPI
) -> None:
    """It is said that the feed is behind, and the next poll asks again."""
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.02)
    outcomes: list[str] = []
    async with running(database_url, tmp_path, SteerableClock()) as cut_off:
        feed = cut_off.state.merit.auth.revocations
        read = feed._read

        async def read_but_not_at_first() -> None:
            if not outcomes:
                outcomes.append("failed")
                raise OSError("the database is away")
            await read()
            outcomes.append("read")

        async def has_read_twice() -> bool:
            return len(outcomes) > 2

        with capture_logs() as logs:
            monkeypatch.setattr(feed, "_read", read_but_not_at_first)
            await eventually(has_read_twice)
    assert outcomes[:3] == ["failed", "read", "read"]
    assert [log["error"] for log in logs if log["event"] == "revocation feed is behind"] == ["OSError"]
