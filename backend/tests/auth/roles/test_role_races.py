"""Roles and ranks under contention: whoever comes second reads what the first has left."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, update

from app.auth.errors import InvalidTokenError
from app.auth.models import User
from app.auth.permissions import USERS_WRITE
from app.auth.repository import UserRepository
from app.auth.roles.authority import Authority
from app.auth.roles.models import UserRole
from app.auth.types import Role
from app.main import Services
from tests.auth.roles.players import MakeAdmin, give, holder, make_role, permissions_of, principal, renew
from tests.auth.scenarios import events_of, in_parallel, is_alive, log_in, refresh
from tests.auth.stage import code_of
from tests.support import OWN, Account, register

TURNS = 8


async def change(actor: Account, role: str, *permissions: str, **options: Any) -> httpx.Response:
    return await actor.request("PATCH", f"/admin/roles/{role}", json={"permissions": list(permissions)}, **options)


async def still_waits(*tasks: asyncio.Task[Any]) -> None:
    """Give the tasks time to run into a lock, and see that none got past it."""
    done, _ = await asyncio.wait(tasks, timeout=0.2)
    assert not done


async def test_a_demoted_administrator_who_waited_for_the_lock_is_refused(
    services: Services, admin: Account, client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    """The lock itself: its second holder reads the database after the first has committed, not before."""
    other = await make_admin(await register(client))
    actor = principal(other.id, "users:write")

    async def lock() -> set[UUID]:
        async with services.database.session() as session:
            return set((await Authority(session, services.auth).lock(actor, USERS_WRITE)).admins)

    assert await lock() == {UUID(admin.id), UUID(other.id)}
    async with services.database.session() as session:
        await UserRepository(session, services.clock).lock_active_admins()
        second = asyncio.create_task(lock())
        await still_waits(second)
        await session.execute(update(User).where(User.id == UUID(other.id)).values(role=Role.USER))
        await session.commit()
    with pytest.raises(InvalidTokenError):
        await second


@pytest.mark.parametrize("rank", ["administrator", "holder of a custom role"])
async def test_who_lost_a_permission_while_waiting_is_refused_by_every_path(
    app: FastAPI, services: Services, client: httpx.AsyncClient, admin: Account, make_admin: MakeAdmin, rank: str
) -> None:
    """The token was good when the request came, and no revocation tells otherwise: the database decides under lock."""
    is_admin = rank == "administrator"
    made = await make_admin(await register(client)) if is_admin else await holder(admin, "users:write", "roles:write")
    victim, role = await register(client), await make_role(admin, "users:write")
    async with services.database.session() as session:
        await UserRepository(session, services.clock).lock_active_admins()
        attempts: list[Awaitable[httpx.Response]] = [
            give(made, victim, role),
            made.request("PATCH", f"/admin/users/{victim.id}", json={"role": "reviewer"}),
            made.request("POST", f"/admin/users/{victim.id}/disable"),
            made.request("POST", "/admin/roles", json={"name": "mine", "permissions": []}),
            change(made, role, "roles:write"),
            made.request("DELETE", f"/admin/roles/{role}"),
        ]
        waiting = [asyncio.ensure_future(attempt) for attempt in attempts]
        await still_waits(*waiting)
        if is_admin:
            await session.execute(update(User).where(User.id == UUID(made.id)).values(role=Role.USER))
        else:
            await session.execute(delete(UserRole).where(UserRole.user_id == UUID(made.id)))
        before = len(await events_of(app))
        await session.commit()
    assert [code_of(answer) for answer in await in_parallel(waiting)] == [(401, "invalid_token")] * len(attempts)
    assert len(await events_of(app)) == before
    assert await permissions_of(admin, victim) == OWN
    assert (await admin.get(f"/admin/roles/{role}")).json()["permissions"] == ["users:write"]


async def test_a_role_given_and_deleted_at_once_is_given_to_nobody(admin: Account) -> None:
    """Whichever comes first: the role is gone, nobody holds it, and no living token carries its permission."""
    account = await register(admin.client)
    for _ in range(TURNS):
        role = await make_role(admin, "users:read")
        deletion = admin.request("DELETE", f"/admin/roles/{role}")
        renewal = refresh(account.client, account.refresh_token)
        given, deleted, renewed = await in_parallel([give(admin, account, role), deletion, renewal])
        assert deleted.status_code == 204
        assert given.status_code == 200 or code_of(given) == (422, "unknown_role")
        assert await permissions_of(admin, account) == OWN
        account.refresh_token = renewed.json()["refresh_token"]
        if await is_alive(account.client, renewed.json()["access_token"]):
            assert set(renewed.json()["scope"].split()) == OWN


async def test_no_living_token_carries_what_was_taken_meanwhile(admin: Account) -> None:
    """Logins and refreshes beside a change of the role: their tokens are dead or say what holds now."""
    account = await holder(admin, "users:read")
    role = (await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]["id"]
    living = 0
    for turn in range(TURNS):
        permission = ("roles:read", "users:read")[turn % 2]
        calls = [
            log_in(account.client, account.email, account.password),
            refresh(account.client, account.refresh_token),
            change(admin, role, permission),
            log_in(account.client, account.email, account.password),
        ]
        first, renewed, changed, second = await in_parallel(calls)
        assert changed.status_code == 200
        account.refresh_token = renewed.json()["refresh_token"]
        for tokens in (first.json(), renewed.json(), second.json()):
            if await is_alive(account.client, tokens["access_token"]):
                living += 1
                assert set(tokens["scope"].split()) == OWN | {permission}
    assert await renew(account) == OWN | {"users:read"}
    assert living <= TURNS * 3


async def test_of_two_changes_based_on_one_version_one_is_made(admin: Account, account: Account) -> None:
    role = await make_role(admin)
    version = {"If-Match": '"1"'}
    answers = await in_parallel(change(admin, role, name, headers=version) for name in ("users:read", "users:write"))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    path = f"/admin/users/{account.id}/roles"
    version = {"If-Match": (await admin.get(path)).headers["etag"]}
    bodies: list[dict[str, Any]] = [{"role": role, "custom_roles": []} for role in ("reviewer", "author")]
    answers = await in_parallel(admin.request("PUT", path, json=body, headers=version) for body in bodies)
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_parallel_sets_of_roles_leave_one_of_them(admin: Account, account: Account) -> None:
    """Never a mixture, never a 5xx."""
    one, other = await make_role(admin, "users:read"), await make_role(admin, "roles:read")
    sets = {"users:read": [one], "roles:read": [other], "users:read roles:read": [one, other], "": []}
    answers = await in_parallel(give(admin, account, *roles) for roles in list(sets.values()) * 3)
    assert {answer.status_code for answer in answers} == {200}
    held = (await admin.get(f"/admin/users/{account.id}/roles")).json()
    assert {item["id"] for item in held["custom_roles"]} in [set(roles) for roles in sets.values()]
    assert set(held["permissions"]) - OWN in [set(names.split()) for names in sets]


async def test_changes_of_everything_at_once_do_not_lock_each_other_out(
    admin: Account, client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    """Roles that administrators hold too, edited, given and taken while those administrators are changed."""
    other = await make_admin(await register(client))
    role = await make_role(admin, "users:read")
    people = [await register(client) for _ in range(3)]
    for account in people:
        assert (await give(admin, account, role)).status_code == 200
    for account in (other, admin):
        assert (await give(admin, account, role, role="admin")).status_code == 200
    for turn in range(3):
        await renew(other)
        await renew(admin)
        permission = ("roles:read", "users:read")[turn % 2]
        calls = [
            change(admin, role, permission),
            give(other, people[0]),
            give(other, people[1], role),
            give(admin, other, role, role="admin"),
            other.request("PATCH", f"/admin/users/{people[2].id}", json={"role": ("author", "user")[turn % 2]}),
            admin.request("PATCH", f"/admin/users/{other.id}", json={"full_name": f"Turn {turn}"}),
            log_in(client, other.email, other.password),
            log_in(client, people[1].email, people[1].password),
        ]
        answers = await in_parallel(calls)
        # A change of the role that the actor holds itself ends its token: what comes later is refused, and no worse.
        assert {answer.status_code for answer in answers} <= {200, 401}, [answer.text for answer in answers]
        assert answers[0].status_code == 200
