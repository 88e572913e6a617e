"""`/admin/roles` and `/admin/permissions`: custom roles made, read, changed and deleted."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import insert

from app.auth.permissions import all_permissions
from app.auth.roles.models import RolePermission
from app.auth.roles.schemas import MAX_PERMISSIONS_PER_ROLE
from app.main import Services
from tests.auth.roles.players import give, holder, make_role, permissions_of, renew
from tests.auth.scenarios import events_of, in_parallel
from tests.auth.stage import code_of
from tests.statements import recorded_sql
from tests.support import OWN, Account, register

NOBODY = "0199c2a4-7d3e-7000-8000-000000000000"


async def create(actor: Account, **members: Any) -> httpx.Response:
    return await actor.request("POST", "/admin/roles", json={"name": "support", "permissions": [], **members})


async def change(actor: Account, role: str, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    return await actor.request("PATCH", f"/admin/roles/{role}", json=members, headers=headers or {})


async def test_permissions_are_listed_with_their_built_in_roles(admin: Account) -> None:
    listed = (await admin.get("/admin/permissions")).json()
    assert [item["name"] for item in listed] == sorted(all_permissions())
    by_name = {item["name"]: item for item in listed}
    assert by_name["users:write"]["roles"] == ["admin"]
    assert by_name["profile:read"]["roles"] == ["user", "reviewer", "author", "admin"]
    assert all(item["description"] for item in listed)


async def test_a_role_is_made_read_changed_and_deleted(admin: Account) -> None:
    made = await create(admin, description="Answers questions", permissions=["users:read", "profile:read"])
    role = made.json()
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert (role["name"], role["description"]) == ("support", "Answers questions")
    assert role["permissions"] == ["profile:read", "users:read"]
    read = await admin.get(f"/admin/roles/{role['id']}")
    assert (read.json(), read.headers["etag"]) == (role, '"1"')
    changed = await change(admin, role["id"], name="Help desk", description=None, permissions=["users:read"])
    assert changed.headers["etag"] == '"2"'
    assert changed.json() | {"updated_at": None} == role | {
        "name": "Help desk", "description": None, "permissions": ["users:read"], "updated_at": None
    }  # fmt: skip
    assert (await admin.get(f"/admin/roles/{role['id']}")).json() == changed.json()
    assert (await admin.request("DELETE", f"/admin/roles/{role['id']}")).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await admin.request(method, f"/admin/roles/{role['id']}", **({"json": {}} if method == "PATCH" else {}))
        assert code_of(gone) == (404, "role_not_found")


async def test_a_stale_version_changes_nothing(admin: Account) -> None:
    role = await make_role(admin, "users:read")
    await change(admin, role, description="Newer")
    stale = {"If-Match": '"1"'}
    refused = await change(admin, role, stale, permissions=["users:write"])
    assert code_of(refused) == (412, "precondition_failed")
    assert code_of(await admin.request("DELETE", f"/admin/roles/{role}", headers=stale)) == (412, "precondition_failed")
    assert (await admin.get(f"/admin/roles/{role}")).json()["permissions"] == ["users:read"]
    fresh = {"If-Match": '"2"'}
    assert (await change(admin, role, fresh, permissions=["users:write"])).status_code == 200
    assert (await admin.request("DELETE", f"/admin/roles/{role}", headers={"If-Match": '"3"'})).status_code == 204


async def test_roles_come_in_pages_by_name(services: Services, admin: Account) -> None:
    """One statement for the roles of a page and one for their permissions, however many there are."""
    for number in range(7):
        await make_role(admin, "users:read", *(["users:write"] if number % 2 else []), name=f"Role {number}")
    names: list[str] = []
    cursor = None
    with recorded_sql(services.database) as statements:
        while True:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await admin.get("/admin/roles", params=query)).json()
            names += [item["name"] for item in page["items"]]
            assert all("users:read" in item["permissions"] for item in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        await asyncio.sleep(0)
    assert names == [f"Role {number}" for number in range(7)]
    assert len(statements) == 3 * 2
    of_users = (await admin.get("/admin/users", params={"limit": 1})).json()["next_cursor"]
    if of_users:
        assert code_of(await admin.get("/admin/roles", params={"cursor": of_users})) == (422, "invalid_cursor")


async def test_a_list_without_roles_is_empty(admin: Account) -> None:
    assert (await admin.get("/admin/roles")).json() == {"items": [], "next_cursor": None}


async def test_a_name_is_taken_however_it_is_written(admin: Account) -> None:
    """The built-in ones too: nobody may pass a role of their own off as one that everyone knows."""
    await make_role(admin, name="Support")
    other = await make_role(admin, name="other")
    for name in ("support", "SUPPORT", " Support ", "user", "Reviewer", "AUTHOR", "admin"):
        assert code_of(await create(admin, name=name)) == (409, "role_name_taken")
        assert code_of(await change(admin, other, name=name)) == (409, "role_name_taken")


async def test_a_role_can_keep_its_own_name(admin: Account) -> None:
    role = await make_role(admin, name="support")
    assert (await change(admin, role, name="Support")).json()["name"] == "Support"


async def test_parallel_roles_of_one_name_make_one(admin: Account) -> None:
    answers = await in_parallel(create(admin, name=f"{'sS'[n % 2]}upport") for n in range(8))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len((await admin.get("/admin/roles")).json()["items"]) == 1


MALFORMED: list[dict[str, Any]] = [
    {"name": "x"}, {"name": "a" * 65}, {"name": ""}, {"name": "sup\x00port"}, {"name": "süpport"},
    {"name": "a  b"}, {"name": "-ab"}, {"name": "a\nb"}, {"name": None},
    {"permissions": None}, {"permissions": "users:read"}, {"permissions": ["users:read\x00"]},
    {"permissions": ["x" * 65]}, {"permissions": ["users:read"] * (MAX_PERMISSIONS_PER_ROLE + 1)},
    {"description": "a\nb"}, {"description": "a" * 501}, {"id": NOBODY}, {"row_version": 7},
]  # fmt: skip


async def test_a_malformed_role_is_refused(admin: Account) -> None:
    role = await make_role(admin, "users:read", name="before")
    before = (await admin.get(f"/admin/roles/{role}")).json()
    for members in MALFORMED:
        assert code_of(await create(admin, **members)) == (422, "validation_failed")
        assert code_of(await change(admin, role, **members)) == (422, "validation_failed")
    assert (await admin.get(f"/admin/roles/{role}")).json() == before
    assert len((await admin.get("/admin/roles")).json()["items"]) == 1


async def test_only_declared_permissions_can_be_put_into_a_role(admin: Account) -> None:
    """422, and the refusal does not repeat what was sent."""
    role = await make_role(admin, "users:read")
    for name in ("users:destroy", "USERS:READ", "*", "", "users:*", "admin"):
        made = await create(admin, permissions=["users:read", name])
        for refused in (made, await change(admin, role, permissions=[name])):
            assert code_of(refused) == (422, "unknown_permission")
            assert refused.json()["errors"][0]["loc"] == ["body", "permissions"]
    assert (await admin.get(f"/admin/roles/{role}")).json()["permissions"] == ["users:read"]
    assert len((await admin.get("/admin/roles")).json()["items"]) == 1


async def test_repeated_permissions_count_once(admin: Account) -> None:
    made = await create(admin, permissions=["users:read"] * 5)
    assert made.json()["permissions"] == ["users:read"]


async def test_a_permission_that_the_code_took_back_is_ignored(
    app: FastAPI, services: Services, client: httpx.AsyncClient, admin: Account
) -> None:
    """A row of an older release permits nothing, shows nowhere, breaks nothing, and goes with the next change."""
    account = await register(client)
    role = await make_role(admin, "users:read")
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(RolePermission).values(role_id=UUID(role), permission="questions:gone"))
    assert (await give(admin, account, role)).json()["custom_roles"][0]["permissions"] == ["users:read"]
    assert await renew(account) == OWN | {"users:read"}
    assert (await admin.get(f"/admin/roles/{role}")).json()["permissions"] == ["users:read"]
    assert await permissions_of(admin, account) == OWN | {"users:read"}
    assert (await account.login(scope="questions:gone")).json()["code"] == "invalid_scope"
    assert (await change(admin, role, permissions=["users:read", "users:write"])).status_code == 200
    async with services.database.read_session() as session:
        rows = await session.rows(RolePermission.__table__.select())
    assert {row.permission for row in rows} == {"users:read", "users:write"}


async def test_changes_of_roles_are_on_record(app: FastAPI, admin: Account) -> None:
    """Who changed what, with the old and the new permissions."""
    role = await make_role(admin, "users:read", name="support")
    await change(admin, role, permissions=["users:read", "users:write"])
    await admin.request("DELETE", f"/admin/roles/{role}")
    made, changed, deleted = [event for event in await events_of(app) if event.action.value.startswith("role_")]
    assert {str(event.actor_id) for event in (made, changed, deleted)} == {admin.id}
    assert {event.user_id for event in (made, changed, deleted)} == {None}
    old = {"name": "support", "description": None, "permissions": ["users:read"]}
    new = old | {"permissions": ["users:read", "users:write"]}
    assert (made.action.value, made.detail) == ("role_created", {"role_id": role, "new": old})
    assert (changed.action.value, changed.detail) == ("role_updated", {"role_id": role, "old": old, "new": new})
    assert (deleted.action.value, deleted.detail) == ("role_deleted", {"role_id": role, "old": new})


async def test_refused_changes_leave_no_record(app: FastAPI, admin: Account) -> None:
    writer = await holder(admin, "roles:write")
    before = len(await events_of(app))
    assert (await create(writer, permissions=["users:write"])).status_code == 403
    assert (await create(writer, permissions=["nothing"])).status_code == 422
    assert len(await events_of(app)) == before
