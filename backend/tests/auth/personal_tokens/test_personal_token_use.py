"""What a personal access token may do, for how long, and what it costs."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.bearer import BearerScheme
from app.auth.models import User
from app.auth.permissions import all_permissions
from app.auth.personal_tokens import verifier
from app.auth.personal_tokens.models import PersonalToken
from app.auth.personal_tokens.repository import PersonalTokenRepository
from app.auth.repository import UserRepository
from app.main import Services
from tests.auth.credentials import Bearer, token_of
from tests.auth.stage import SteerableClock, code_of, login_at, running
from tests.conftest import client_of
from tests.statements import recorded_sql
from tests.support import API, Account, ManualClock, register

MakeAdmin = Callable[[Account], Awaitable[Account]]
DEAD = (401, "invalid_token")

# K3: what no token may do, whoever it belongs to, by the id of the operation; every other one is open to its scopes.
NEEDS_A_LOGIN = {
    "change_email",
    "change_password",
    "claim_conversations",
    "claim_guest",
    "create_invitation",
    "create_my_token",
    "create_role",
    "create_service_account",
    "create_service_secret",
    "delete_role",
    "delete_service_account",
    "end_my_session",
    "end_user_sessions",
    "list_my_tokens",
    "logout",
    "revoke_invitation",
    "revoke_my_token",
    "revoke_service_secret",
    "revoke_user_tokens",
    "rotate_keys",
    "set_user_roles",
    "update_role",
    "update_service_account",
}


async def stored(services: Services, token: Bearer) -> PersonalToken:
    async with services.database.read_session() as session:
        (found,) = await PersonalTokenRepository(session, services.clock).list_()
    assert str(found.id) == token.id
    return found


def operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path of every operation that needs a token, by its id."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if any(BearerScheme.NAME in scheme for scheme in operation.get("security", ()))
    }


async def test_no_token_changes_credentials(app: FastAPI, admin: Account, account: Account) -> None:
    """K3: every operation, with a token of an administrator that has all scopes."""
    token = await token_of(admin, *all_permissions())
    refused = set()
    for name, (method, path) in operations(app).items():
        answer = await token.request(method, re.sub(r"{\w+}", account.id, path.removeprefix(API)), json={})
        assert answer.status_code != 401, (name, answer.text)
        if answer.status_code == 403:
            code = answer.json().get("code", answer.json().get("error"))
            assert code in {"session_required", "insufficient_scope", "account_protected"}, (name, answer.text)
            if code == "session_required":
                refused.add(name)
    assert refused == NEEDS_A_LOGIN


async def test_it_cannot_log_anyone_out(admin: Account) -> None:
    """K3: neither its owner's sessions nor itself, in any of the three ways."""
    token = await token_of(admin, *all_permissions())
    for which in ("session", "others", "all"):
        answer = await token.request("POST", "/auth/logout", json={"scope": which})
        assert code_of(answer) == (403, "session_required")
    assert (await admin.get("/users/me")).is_success
    assert (await token.get("/users/me")).is_success


async def test_its_scopes_bound_it(admin: Account) -> None:
    """A token of an administrator does what it was given, and says what is missing."""
    token = await token_of(admin, "profile:read")
    assert (await token.get("/users/me")).is_success
    refused = await token.get("/admin/users")
    assert code_of(refused) == (403, "insufficient_scope")
    assert 'scope="users:read"' in refused.headers["WWW-Authenticate"]
    assert code_of(await token.request("PATCH", "/users/me", json={"full_name": "x"})) == (403, "insufficient_scope")


async def test_it_changes_no_name_to_log_in_by(admin: Account, account: Account) -> None:
    """K3: neither its owner's nor another's, whatever else it may change."""
    token = await token_of(admin, "profile:read", "profile:write", "users:read", "users:write")
    for path in ("/users/me", f"/admin/users/{account.id}"):
        before = (await admin.get(path)).json()["username"]
        for username in ("taken.over", None):
            changes = {"username": username, "full_name": "x"}
            assert code_of(await token.request("PATCH", path, json=changes)) == (403, "session_required")
        assert (await token.request("PATCH", path, json={"full_name": "Ada L."})).json()["username"] == before
        assert (await admin.request("PATCH", path, json={"username": "by.hand"})).is_success
        await admin.request("PATCH", path, json={"username": before})


async def test_it_never_does_more_than_its_owner_may_now(
    client: httpx.AsyncClient, admin: Account, make_admin: MakeAdmin
) -> None:
    """K2: a demotion takes effect at the next request, and a promotion gives back what was granted, no more."""
    owner = await make_admin(await register(client))
    token = await token_of(owner, "profile:read", "users:read")
    narrow = await token_of(owner, "profile:read")
    assert (await token.get("/admin/users")).is_success
    path = f"/admin/users/{owner.id}"
    for _ in range(2):
        assert (await admin.request("PATCH", path, json={"role": "user"})).is_success
        assert code_of(await token.get("/admin/users")) == (403, "insufficient_scope")
        assert (await token.get("/users/me")).is_success
        assert (await admin.request("PATCH", path, json={"role": "admin"})).is_success
        assert (await token.get("/admin/users")).is_success
        assert code_of(await narrow.get("/admin/users")) == (403, "insufficient_scope")


async def test_a_disabled_account_s_token_is_dead_at_once(account: Account, admin: Account) -> None:
    """S5: whether it was in use or not; and like the account's sessions it stays dead when that is enabled again."""
    used, fresh = await token_of(account), await token_of(account)
    assert (await used.get("/users/me")).is_success
    assert (await admin.request("POST", f"/admin/users/{account.id}/disable")).is_success
    for token in (used, fresh):
        assert code_of(await token.get("/users/me")) == DEAD
    assert (await admin.request("POST", f"/admin/users/{account.id}/enable")).is_success
    for token in (used, fresh):
        assert code_of(await token.get("/users/me")) == DEAD


async def test_an_account_disabled_past_the_service_counts_too(
    services: Services, account: Account, clock: ManualClock
) -> None:
    """S5: a row changed by hand is seen when the token is read again, after ten minutes at the latest."""
    token = await token_of(account)
    async with services.database.session() as session:
        users = UserRepository(session, services.clock)
        assert await users.update_where(User.email == account.email, values={User.is_active: False})
        await session.commit()
    assert code_of(await token.get("/users/me")) == DEAD


async def statements_of(services: Services, call: Awaitable[httpx.Response], status: int) -> Sequence[str]:
    """The SQL that a request costs."""
    with recorded_sql(services.database) as statements:
        assert (await call).status_code == status
        await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next turn
    return statements


async def test_a_request_costs_no_sql_after_the_first(services: Services, account: Account) -> None:
    """T8: neither for reading the token nor for remembering its use."""
    token = await token_of(account)
    first = await statements_of(services, token.get("/users/me"), 200)
    second = await statements_of(services, token.get("/users/me"), 200)
    assert len(second) == 1  # that of the endpoint itself
    assert len(first) > len(second)
    assert await statements_of(services, token.get("/admin/users"), 403) == []
    claims = await services.auth.personal_tokens.verify(token.text)
    assert claims.scope == {"profile:read"}


async def test_it_is_read_again_after_ten_minutes(tmp_path: Path, database_url: str, app: FastAPI) -> None:
    """Revocations are forgotten when no access token can meet them any more: what is kept longer must be read anew."""
    clock = SteerableClock()
    async with running(database_url, tmp_path, clock) as other, client_of(other) as client:
        services: Services = other.state.merit
        token = await token_of(await register(client))
        assert (await token.get("/users/me")).is_success
        for seconds, is_read in ((595, False), (10, True), (0, False)):
            clock.advance(seconds=seconds)
            found = " ".join(await statements_of(services, token.get("/users/me"), 200))
            assert ("FROM personal_access_tokens" in found) is is_read, seconds


async def test_what_is_not_a_token_costs_no_sql(services: Services, account: Account) -> None:
    """Neither nonsense, nor a token with a right checksum that somebody made up."""
    token = await token_of(account)
    texts = [f"pat_{'A' * 22}_{'A' * 60}", "pat_", "pat_" + "A" * 100_000, token.text[:-1], token.text + "0"]
    with recorded_sql(services.database) as statements:
        for text in texts:
            answer = await Bearer(account.client, "", text).get("/users/me")
            assert code_of(answer) == DEAD
            assert "detail" not in answer.json()
    assert statements == []
    assert (await token.get("/users/me")).is_success


async def test_a_dead_token_costs_little(services: Services, account: Account) -> None:
    """Whoever goes on with a revoked token does not make the database work for each request."""
    token = await token_of(account)
    await account.request("DELETE", f"/users/me/tokens/{token.id}")
    assert code_of(await token.get("/users/me")) == DEAD
    with recorded_sql(services.database) as statements:
        for _ in range(20):
            assert code_of(await token.get("/users/me")) == DEAD
    assert len(statements) <= 3


async def test_memory_is_bounded(services: Services, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens that have been known the longest are forgotten, and read again when they come."""
    services.auth.personal_tokens._known.clear()
    monkeypatch.setattr(verifier, "_MAX_KNOWN_TOKENS", 2)
    tokens = [await token_of(account) for _ in range(4)]
    for token in (*tokens, *tokens):
        assert (await token.get("/users/me")).is_success
    assert len(services.auth.personal_tokens._known) == 2


@pytest.fixture
async def hosts(database_url: str, tmp_path: Path, app: FastAPI) -> AsyncIterator[list[FastAPI]]:
    """Three workers of one host: applications of their own that share the data folder."""
    async with AsyncExitStack() as stack:
        clock = SteerableClock()
        yield [await stack.enter_async_context(running(database_url, tmp_path, clock)) for _ in range(3)]


async def test_every_worker_sees_the_end_at_the_next_request(
    hosts: list[FastAPI], account: Account, admin: Account
) -> None:
    """S5, K2: revoked, narrowed and disabled at one worker, refused at the others without delay."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(host)) for host in hosts]
        for _ in range(5):
            here, there = await login_at(hosts[0], account), await login_at(hosts[1], admin)
            token = await token_of(here)
            for client in clients:
                assert (await token.at(client).get("/users/me")).is_success
            assert (await here.request("DELETE", f"/users/me/tokens/{token.id}")).status_code == 204
            for client in clients[::-1]:
                assert code_of(await token.at(client).get("/users/me")) == DEAD
            own = await token_of(there, "users:read")
            for client in clients:
                assert (await own.at(client).get("/admin/users")).is_success
            assert (await there.request("DELETE", f"/admin/users/{admin.id}/tokens")).status_code == 204
            for client in clients:
                assert code_of(await own.at(client).get("/admin/users")) == DEAD


async def test_the_last_use_is_kept(services: Services, account: Account, clock: ManualClock) -> None:
    """K1: written behind the request, with the address, at most once a minute."""
    clock.stop()
    token, usage = await token_of(account), services.auth.personal_tokens.usage
    await usage.write()
    assert (await stored(services, token)).last_used_at is None
    first = clock.now()
    assert (await token.get("/users/me")).is_success
    await usage.write()
    found = await stored(services, token)
    assert (found.last_used_at, found.last_used_address) == (first, "127.0.0.1")
    clock.advance(seconds=59)
    assert (await token.get("/users/me")).is_success
    with recorded_sql(services.database) as statements:
        await usage.write()
    assert statements == []
    clock.advance(seconds=1)
    assert (await token.get("/users/me")).is_success
    await usage.write()
    assert ((await stored(services, token)).last_used_at or first) > first
    listed = (await account.get("/users/me/tokens")).json()["items"][0]
    assert listed["last_used_address"] == "127.0.0.1"


async def test_a_refused_token_leaves_no_use(services: Services, account: Account, admin: Account) -> None:
    """Only who is let in has used it."""
    token = await token_of(account)
    await admin.request("POST", f"/admin/users/{account.id}/disable")
    assert code_of(await token.get("/users/me")) == DEAD
    with recorded_sql(services.database) as statements:
        await services.auth.personal_tokens.usage.write()
    assert statements == []


async def test_several_workers_write_one_use_a_minute(
    services: Services, hosts: list[FastAPI], account: Account
) -> None:
    """The condition is in the statement: the others' uses of the same minute change nothing."""
    token = await token_of(account)
    for host in hosts:
        other: Services = host.state.merit
        other.auth.personal_tokens.usage.note(UUID(token.id), "127.0.0.1")
    moments = set()
    for host in hosts:
        other = host.state.merit
        await other.auth.personal_tokens.usage.write()
        moments.add((await stored(services, token)).last_used_at)
    assert len(moments) == 1


async def test_a_use_that_cannot_be_written_is_not_lost(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away it is kept; a later use takes its place."""
    token, usage = await token_of(account), services.auth.personal_tokens.usage
    assert (await token.get("/users/me")).is_success

    async def fail(*_: object) -> bool:
        raise OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr(PersonalTokenRepository, "note_use", fail)
        with pytest.raises(OSError, match="away"):
            await usage.write()
        await usage._write_or_log()  # what the background task does: it goes on
    assert (await stored(services, token)).last_used_at is None
    await usage.write()
    assert (await stored(services, token)).last_used_at is not None


async def test_what_is_left_is_written_at_the_end(
    services: Services, database_url: str, tmp_path: Path, account: Account
) -> None:
    """A worker that stops loses nothing."""
    token = await token_of(account)
    async with running(database_url, tmp_path, SteerableClock()) as other, client_of(other) as client:
        assert (await token.at(client).get("/users/me")).is_success
    assert (await stored(services, token)).last_used_at is not None
