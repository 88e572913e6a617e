"""`/admin/users/{id}/roles`: which roles an account has, and that a change works from its next request on."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.models import Revocation
from app.auth.repository import RevocationRepository
from app.auth.roles.models import RolePermission, UserRole
from app.auth.roles.schemas import MAX_ROLES_PER_USER
from app.main import Services
from tests.auth.roles.players import MakeAdmin, give, holder, make_role, permissions_of, renew
from tests.auth.scenarios import events_of, is_alive, log_in, log_in_by_form, refresh
from tests.auth.stage import at, code_of, login_at, running
from tests.statements import recorded_sql
from tests.support import OWN, Account, ManualClock, register

REFUSED = (401, "invalid_token")
NOBODY = "0199c2a4-7d3e-7000-8000-000000000000"


async def test_an_account_has_one_built_in_role_and_any_custom_ones(admin: Account, account: Account) -> None:
    role = await make_role(admin, "users:read", name="support")
    path = f"/admin/users/{account.id}/roles"
    before = await admin.get(path)
    assert before.json() == {"role": "user", "is_superuser": False, "custom_roles": [], "permissions": sorted(OWN)}
    given = await give(admin, account, role, role="reviewer")
    assert given.json()["role"] == "reviewer"
    assert [item["name"] for item in given.json()["custom_roles"]] == ["support"]
    assert given.json()["permissions"] == sorted(OWN | {"users:read"})
    read = await admin.get(path)
    assert (read.json(), read.headers["etag"]) == (given.json(), given.headers["etag"])
    assert read.headers["etag"] == (await admin.get(f"/admin/users/{account.id}")).headers["etag"]
    taken = await give(admin, account)
    assert taken.json() == before.json()


async def test_a_stale_version_changes_no_roles(admin: Account, account: Account) -> None:
    path, body = f"/admin/users/{account.id}/roles", {"role": "reviewer", "custom_roles": [await make_role(admin)]}
    stale = {"If-Match": (await admin.get(path)).headers["etag"]}
    assert (await admin.request("PUT", path, json=body, headers=stale)).status_code == 200
    undo = {"role": "user", "custom_roles": []}
    assert code_of(await admin.request("PUT", path, json=undo, headers=stale)) == (412, "precondition_failed")
    assert (await admin.get(path)).json()["role"] == "reviewer"
    assert len((await admin.get(path)).json()["custom_roles"]) == 1


async def test_malformed_roles_are_refused(admin: Account, account: Account) -> None:
    changes: list[dict[str, Any]] = [
        {"role": "root"}, {"role": None}, {"role": "support"}, {"custom_roles": None}, {"custom_roles": ["support"]},
        {"custom_roles": [NOBODY] * (MAX_ROLES_PER_USER + 1)}, {"is_superuser": True},
        {"permissions": ["users:write"]},
    ]  # fmt: skip
    for change in changes:
        body = {"role": "user", "custom_roles": [], **change}
        answer = await admin.request("PUT", f"/admin/users/{account.id}/roles", json=body)
        assert code_of(answer) == (422, "validation_failed")


async def test_what_is_not_there_is_not_given(admin: Account, account: Account) -> None:
    role = await make_role(admin, "users:read")
    assert code_of(await give(admin, account, role, NOBODY)) == (422, "unknown_role")
    assert await permissions_of(admin, account) == OWN
    nobody = f"/admin/users/{NOBODY}/roles"
    body = {"role": "user", "custom_roles": []}
    assert code_of(await admin.request("PUT", nobody, json=body)) == (404, "user_not_found")
    assert code_of(await admin.get(nobody)) == (404, "user_not_found")


async def test_a_role_given_twice_is_held_once(services: Services, admin: Account, account: Account) -> None:
    role = await make_role(admin, "users:read")
    assert len((await give(admin, account, role, role)).json()["custom_roles"]) == 1
    async with services.database.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(UserRole)) == 1


async def test_roles_that_stay_the_same_end_no_token(admin: Account, account: Account) -> None:
    role = await make_role(admin, "users:read")
    assert (await give(admin, account, role)).status_code == 200
    await renew(account)
    assert (await give(admin, account, role)).status_code == 200
    assert await is_alive(account.client, account.access_token)


async def test_a_given_role_is_in_force_on_the_next_request(admin: Account, account: Account) -> None:
    """The old token dies, the refreshed one carries the permission; the same when it is taken."""
    role = await make_role(admin, "users:read")
    assert code_of(await account.get("/admin/users")) == (403, "insufficient_scope")
    for roles, status in (([role], 200), ([], 403)):
        assert (await give(admin, account, *roles)).status_code == 200
        assert code_of(await account.get("/users/me")) == REFUSED
        await renew(account)
        assert (await account.get("/admin/users")).status_code == status


async def test_a_changed_role_is_in_force_for_every_holder_on_the_next_request(admin: Account) -> None:
    """The same for a role that grows, shrinks and disappears."""
    role = await make_role(admin, "users:read")
    holders = [await register(admin.client) for _ in range(3)]
    bystander = await register(admin.client)
    for account in holders:
        await give(admin, account, role)
        await renew(account)
    steps: list[tuple[str, dict[str, Any], set[str]]] = [
        ("PATCH", {"json": {"permissions": ["users:read", "roles:read"]}}, {"users:read", "roles:read"}),
        ("PATCH", {"json": {"permissions": ["roles:read"]}}, {"roles:read"}),
        ("DELETE", {}, set()),
    ]
    for method, body, permissions in steps:
        assert (await admin.request(method, f"/admin/roles/{role}", **body)).is_success
        for account in holders:
            assert code_of(await account.get("/users/me")) == REFUSED
            assert await renew(account) == OWN | permissions
            assert await permissions_of(admin, account) == OWN | permissions
    assert await is_alive(bystander.client, bystander.access_token)


async def test_a_new_name_or_description_ends_no_token(admin: Account) -> None:
    account = await holder(admin, "users:read")
    role = (await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]
    body = {"name": "other", "description": "Other", "permissions": role["permissions"]}
    assert (await admin.request("PATCH", f"/admin/roles/{role['id']}", json=body)).status_code == 200
    assert await is_alive(account.client, account.access_token)


async def test_a_change_is_in_force_on_every_worker(
    app: FastAPI, database_url: str, tmp_path: Path, clock: ManualClock, admin: Account
) -> None:
    """Two workers of one host: what one of them changes, the other's very next request obeys."""
    services: Services = app.state.merit
    async with running(database_url, services.settings.data_dir, clock) as other:
        account = await holder(admin, "users:read")
        role = (await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]["id"]
        there = at(other, account)
        remote_admin = await login_at(other, admin)
        for _ in range(5):
            assert (await there.get("/admin/users")).status_code == 200
            body = {"permissions": ["roles:read"]}
            assert (await admin.request("PATCH", f"/admin/roles/{role}", json=body)).status_code == 200
            assert code_of(await there.get("/admin/users")) == REFUSED
            await renew(there)
            assert code_of(await there.get("/admin/users")) == (403, "insufficient_scope")
            body = {"permissions": ["users:read"]}
            assert (await remote_admin.request("PATCH", f"/admin/roles/{role}", json=body)).status_code == 200
            here = at(app, there)
            assert code_of(await here.get("/users/me")) == REFUSED
            await renew(there)
        assert (await give(remote_admin, account)).status_code == 200
        assert code_of(await at(app, there).get("/users/me")) == REFUSED


async def test_scopes_narrow_what_custom_roles_permit(admin: Account) -> None:
    """A login asks for a part of it, by both endpoints; a refresh too; neither gets more."""
    account = await holder(admin, "users:read", "roles:read")
    client, email, password = account.client, account.email, account.password
    everything = OWN | {"users:read", "roles:read"}
    assert set((await log_in(client, email, password)).json()["scope"].split()) == everything
    part = await log_in(client, email, password, scope="users:read users:write")
    assert part.json()["scope"] == "users:read"
    assert code_of(await log_in(client, email, password, scope="users:write")) == (400, "invalid_scope")
    form = await log_in_by_form(client, username=email, password=password, scope="roles:read")
    assert form.json()["scope"] == "roles:read"
    token = part.json()["refresh_token"]
    assert code_of(await refresh(client, token, scope="users:read roles:read")) == (400, "invalid_scope")


async def test_a_session_narrowed_at_login_stays_narrow_when_its_role_grows(admin: Account) -> None:
    account = await holder(admin, "users:read")
    role = (await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]["id"]
    assert (await account.login(scope="users:read profile:read")).is_success
    for permissions in (["users:read", "users:write"], ["users:write"], ["users:read", "roles:write"]):
        body = {"permissions": permissions}
        assert (await admin.request("PATCH", f"/admin/roles/{role}", json=body)).status_code == 200
        assert await renew(account) == {"profile:read"} | ({"users:read"} & set(permissions))
    assert (await give(admin, account, role="admin")).status_code == 200
    assert await renew(account) == {"profile:read", "users:read"}


async def test_a_token_with_a_scope_that_was_taken_is_dead_or_powerless(admin: Account, clock: ManualClock) -> None:
    """Neither the access token nor whatever its session gets from now on carries a permission that was taken."""
    account = await holder(admin, "users:read")
    assert (await account.login(scope="users:read")).is_success
    assert (await give(admin, account)).status_code == 200
    assert code_of(await account.get("/admin/users")) == REFUSED
    assert await renew(account) == set()
    assert code_of(await account.get("/admin/users")) == (403, "insufficient_scope")
    assert code_of(await account.get("/users/me")) == (403, "insufficient_scope")
    assert code_of(await refresh(account.client, account.refresh_token, scope="users:read")) == (400, "invalid_scope")


async def test_permissions_cost_one_statement_at_login_and_refresh(
    services: Services, admin: Account, make_admin: MakeAdmin
) -> None:
    """And none on a request; administrators, who have everything anyway, cost none at all."""
    account = await holder(admin, "users:read", "roles:read")

    async def of(asked: Account) -> list[int]:
        counts = []
        for call in (asked.login, lambda: renew(asked), lambda: asked.get("/users/me")):
            with recorded_sql(services.database) as statements:
                await call()
                await asyncio.sleep(0)
            counts.append(sum(RolePermission.__tablename__ in statement for statement in statements))
        return counts

    assert await of(account) == [1, 1, 0]
    assert await of(await register(admin.client)) == [1, 1, 0]
    assert await of(await make_admin(await register(admin.client))) == [0, 0, 0]


async def test_a_change_costs_the_same_for_few_holders_and_many(services: Services, admin: Account) -> None:
    """Versions, revocations and roles are written in bulk: the number of statements does not grow."""
    role = await make_role(admin, "users:read")
    counts = []
    for permissions, more in ((["roles:read"], 1), (["users:read"], 6)):
        for _ in range(more):
            await give(admin, await register(admin.client), role)
        with recorded_sql(services.database) as statements:
            changed = await admin.request("PATCH", f"/admin/roles/{role}", json={"permissions": permissions})
            await asyncio.sleep(0)
        assert changed.status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1] < 25
    async with services.database.read_session() as session:
        revocations = await RevocationRepository(session, services.clock).list_(Revocation.user_id.is_not(None))
    highest = {row.user_id: row.minimum_auth_version for row in sorted(revocations, key=lambda row: row.created_at)}
    assert sorted(version or 0 for version in highest.values()) == [3, 3, 3, 3, 3, 3, 4]


async def test_roles_go_with_their_account_and_holders_survive_their_role(
    services: Services, client: httpx.AsyncClient, admin: Account
) -> None:
    account = await holder(admin, "users:read")
    role = (await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]["id"]
    assert (await admin.request("DELETE", f"/admin/roles/{role}")).status_code == 204
    assert (await admin.get(f"/admin/users/{account.id}")).json()["is_active"]
    async with services.database.read_session() as session:
        for model in (UserRole, RolePermission):
            assert await session.scalar(select(func.count()).select_from(model)) == 0


async def test_given_roles_are_on_record(app: FastAPI, admin: Account, account: Account) -> None:
    """In the account's own history, with the roles before and after."""
    role = await make_role(admin, "users:read", name="support")
    await give(admin, account, role, role="author")
    (event,) = [event for event in await events_of(app, account.id) if event.action.value == "user_roles_changed"]
    assert str(event.actor_id) == admin.id
    assert event.detail == {
        "old": {"role": "user", "custom_roles": {}},
        "new": {"role": "author", "custom_roles": {role: "support"}},
    }
