"""Nobody gives what they do not have, takes from those above them, or grows by any way round: every path is tried."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.auth.errors import InvalidTokenError, SessionRequiredError, SuperuserProtectedError
from app.auth.models import User
from app.auth.permissions import ROLES_WRITE, USERS_WRITE, all_permissions
from app.auth.roles.authority import Authority, Standing
from app.auth.roles.errors import AccountProtectedError
from app.auth.types import PrincipalKind, Role
from app.core.ids import new_id
from app.main import Services
from tests.auth.roles.players import MakeAdmin, give, holder, make_role, permissions_of, principal, renew
from tests.auth.stage import code_of
from tests.mailbox import Mailbox
from tests.support import OWN, Account, register

NOT_HELD = (403, "permission_not_held")
PROTECTED = (403, "account_protected")


async def set_role(actor: Account, account: Account, **members: Any) -> httpx.Response:
    """A request by the older way to change the built-in role."""
    return await actor.request("PATCH", f"/admin/users/{account.id}", json=members)


async def change(actor: Account, role: str, *permissions: str) -> httpx.Response:
    return await actor.request("PATCH", f"/admin/roles/{role}", json={"permissions": list(permissions)})


async def of(admin: Account, account: Account) -> str:
    """The custom role that an account holds."""
    return str((await admin.get(f"/admin/users/{account.id}/roles")).json()["custom_roles"][0]["id"])


@pytest.mark.parametrize("permission", ["users:write", "keys:write", "profile:write users:write"])
async def test_a_role_is_made_only_of_what_its_maker_has(admin: Account, permission: str) -> None:
    writer = await holder(admin, "roles:write", "roles:read")
    body = {"name": "mine", "permissions": ["roles:read", *permission.split()]}
    answer = await writer.request("POST", "/admin/roles", json=body)
    assert code_of(answer) == NOT_HELD
    assert "users:write" in answer.json()["detail"] or "keys:write" in answer.json()["detail"]
    assert (await make_role(writer, "roles:read", "roles:write", "profile:write")) is not None


async def test_nobody_makes_the_own_role_grow(admin: Account) -> None:
    """The role that gives someone the right to change roles is the first that they would change."""
    writer = await holder(admin, "roles:write")
    role = await of(admin, writer)
    assert code_of(await change(writer, role, "roles:write", "users:write")) == NOT_HELD
    assert code_of(await change(writer, role, *all_permissions())) == NOT_HELD
    assert await permissions_of(admin, writer) == OWN | {"roles:write"}


async def test_a_role_above_its_editor_can_shrink_but_not_grow(admin: Account) -> None:
    """What it has already is given by nobody now; what is added is."""
    writer = await holder(admin, "roles:write")
    role = await make_role(admin, "users:read", "users:write")
    assert (await change(writer, role, "users:read")).status_code == 200
    assert code_of(await change(writer, role, "users:read", "users:write")) == NOT_HELD
    assert (await change(writer, role, "users:read", "roles:write")).status_code == 200


async def test_a_role_above_its_editor_keeps_its_name_and_stays(admin: Account) -> None:
    """Whoever could not give it neither disguises it nor takes it from all its holders at once."""
    writer = await holder(admin, "roles:write", "roles:read")
    strong, weak = await make_role(admin, "roles:read", "users:write"), await make_role(admin, "roles:read")
    for members in ({"name": "Viewers"}, {"description": "harmless"}, {"name": "Viewers", "permissions": []}):
        assert code_of(await writer.request("PATCH", f"/admin/roles/{strong}", json=members)) == NOT_HELD
        assert (await writer.request("PATCH", f"/admin/roles/{weak}", json=members)).status_code == 200
    assert code_of(await writer.request("DELETE", f"/admin/roles/{strong}")) == NOT_HELD
    assert (await writer.request("DELETE", f"/admin/roles/{weak}")).status_code == 204
    role = (await admin.get(f"/admin/roles/{strong}")).json()
    assert role["name"] != "Viewers"
    assert role["permissions"] == ["roles:read", "users:write"]


async def test_nobody_gives_a_role_with_more_than_they_have(admin: Account) -> None:
    """Neither to others nor to themselves, alone or among harmless ones."""
    manager, friend = await holder(admin, "users:write"), await register(admin.client)
    strong, weak = await make_role(admin, "users:write", "roles:write"), await make_role(admin, "users:write")
    for account in (manager, friend):
        assert code_of(await give(manager, account, strong)) == NOT_HELD
        assert code_of(await give(manager, account, weak, strong)) == NOT_HELD
    assert (await give(manager, friend, weak)).status_code == 200
    assert await permissions_of(admin, friend) == OWN | {"users:write"}


@pytest.mark.parametrize("permissions", [["users:write"], sorted(all_permissions())], ids=["manager", "everything"])
async def test_only_administrators_make_administrators(admin: Account, permissions: list[str]) -> None:
    """Not even a role with every permission makes its holder one of them, by neither path, for neither person."""
    manager, friend = await holder(admin, *permissions), await register(admin.client)
    for account in (manager, friend):
        assert code_of(await give(manager, account, role="admin")) == PROTECTED
        assert code_of(await set_role(manager, account, role="admin")) == PROTECTED
        assert code_of(await set_role(manager, account, is_superuser=True)) == (403, "superuser_protected")
    assert (await give(admin, friend, role="admin")).status_code == 200


async def test_only_superusers_make_superusers(admin: Account, account: Account) -> None:
    assert code_of(await set_role(admin, account, is_superuser=True)) == (403, "superuser_protected")
    assert code_of(await set_role(admin, admin, is_superuser=True)) == (403, "superuser_protected")
    body = {"role": "admin", "custom_roles": [], "is_superuser": True}
    answer = await admin.request("PUT", f"/admin/users/{account.id}/roles", json=body)
    assert code_of(answer) == (422, "validation_failed")


async def test_administrators_and_superusers_are_out_of_reach_of_others(
    admin: Account, client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    """Whoever may change accounts changes, disables, enables and logs out none that may do more."""
    manager = await holder(admin, *all_permissions())
    superuser = await make_admin(await register(client), is_superuser=True)
    strong = await holder(admin, "keys:write")
    weak_manager = await holder(admin, "users:write", "users:read")
    for actor, target, refusal in (
        (manager, admin, PROTECTED),
        (manager, superuser, (403, "superuser_protected")),
        (admin, superuser, (403, "superuser_protected")),
        (weak_manager, strong, PROTECTED),
        (weak_manager, manager, PROTECTED),
        (weak_manager, admin, PROTECTED),
    ):
        path = f"/admin/users/{target.id}"
        for attempt in (
            give(actor, target),
            set_role(actor, target, role="user"),
            set_role(actor, target, full_name="Renamed"),
            actor.request("POST", f"{path}/disable"),
            actor.request("POST", f"{path}/enable"),
            actor.request("DELETE", f"{path}/sessions"),
        ):
            assert code_of(await attempt) == refusal
        assert (await target.get("/users/me")).json()["full_name"] != "Renamed"


async def test_peers_and_those_below_can_be_managed(admin: Account) -> None:
    manager, peer = await holder(admin, "users:write"), await holder(admin, "users:write")
    for account in (peer, await register(admin.client)):
        path = f"/admin/users/{account.id}"
        assert (await set_role(manager, account, role="reviewer")).status_code == 200
        assert (await manager.request("POST", f"{path}/disable")).status_code == 200
        assert (await manager.request("POST", f"{path}/enable")).status_code == 200
        assert (await manager.request("DELETE", f"{path}/sessions")).status_code == 204


async def test_a_disabled_account_above_is_not_enabled(admin: Account) -> None:
    """Enabling gives all its permissions back: the way round to an old account of one's own."""
    manager, old = await holder(admin, "users:write"), await holder(admin, "keys:write")
    assert (await admin.request("POST", f"/admin/users/{old.id}/disable")).status_code == 200
    assert code_of(await manager.request("POST", f"/admin/users/{old.id}/enable")) == PROTECTED


async def test_a_narrowed_token_gives_no_more_than_it_carries(admin: Account, account: Account) -> None:
    """Scopes never widen, not by way of another account either: an administrator's token for one thing does one."""
    strong, weak = await make_role(admin, "keys:write"), await make_role(admin, "users:write")
    assert (await admin.login(scope="users:write roles:write")).is_success
    assert code_of(await give(admin, account, strong)) == NOT_HELD
    assert code_of(await give(admin, account, role="admin")) == NOT_HELD
    assert code_of(await set_role(admin, account, role="admin")) == NOT_HELD
    assert code_of(await change(admin, weak, "users:write", "keys:write")) == NOT_HELD
    body = {"name": "more", "permissions": ["keys:write"]}
    assert code_of(await admin.request("POST", "/admin/roles", json=body)) == NOT_HELD
    assert (await give(admin, account, weak)).status_code == 200
    assert (await set_role(admin, account, role="reviewer")).status_code == 200


async def test_the_last_administrator_stays_by_every_path(
    admin: Account, client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    """A role with every permission is no administrator: it neither counts as one nor replaces one."""
    await holder(admin, *all_permissions())
    last = (409, "last_admin")
    full = await make_role(admin, *all_permissions())
    for role in ("user", "reviewer", "author"):
        assert code_of(await give(admin, admin, role=role)) == last
        assert code_of(await give(admin, admin, full, role=role)) == last
        assert code_of(await set_role(admin, admin, role=role)) == last
    assert code_of(await admin.request("POST", f"/admin/users/{admin.id}/disable")) == last
    assert (await give(admin, admin, full, role="admin")).status_code == 200
    await renew(admin)
    await make_admin(await register(client))
    assert (await give(admin, admin)).status_code == 200


async def test_roles_of_a_superuser_are_set_by_superusers_and_change_nothing(
    client: httpx.AsyncClient, make_admin: MakeAdmin
) -> None:
    superuser = await make_admin(await register(client), is_superuser=True)
    role = await make_role(superuser, "users:read")
    given = await give(superuser, superuser, role, role="user")
    assert given.status_code == 200
    assert set(given.json()["permissions"]) == set(all_permissions())
    assert await renew(superuser) == set(all_permissions())


@pytest.mark.parametrize("method", ["POST /admin/roles", "PATCH /admin/roles/{}", "DELETE /admin/roles/{}"])
async def test_reading_roles_does_not_change_them(admin: Account, method: str) -> None:
    reader, role = await holder(admin, "roles:read", "users:write"), await make_role(admin, "roles:read")
    verb, path = method.format(role).split()
    body = {"name": "mine", "permissions": ["roles:read"]}
    answer = await reader.request(verb, path, **({} if verb == "DELETE" else {"json": body}))
    assert code_of(answer) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="merit", error="insufficient_scope", scope="roles:write"'


@pytest.mark.parametrize("kind", [PrincipalKind.PERSONAL_TOKEN, PrincipalKind.SERVICE])
async def test_programs_give_no_roles(services: Services, admin: Account, kind: PrincipalKind) -> None:
    """K3 in spirit: what outlives a token is not made with one."""
    async with services.database.session() as session:
        with pytest.raises(SessionRequiredError) as refusal:
            await Authority(session, services.auth).lock_in_person(
                principal(admin.id, "users:write", kind=kind), USERS_WRITE
            )
    assert 'error="insufficient_scope"' in refusal.value.headers["WWW-Authenticate"]


async def test_a_service_stands_where_its_token_says(services: Services, admin: Account) -> None:
    """It has no row among the users, is no administrator, and may do only what is declared."""
    async with services.database.session() as session:
        authority = Authority(session, services.auth)
        service = principal(str(new_id()), "users:write", "questions:gone", kind=PrincipalKind.SERVICE)
        standing = await authority.lock(service, USERS_WRITE)
        assert standing.held == {"users:write"}
        assert not standing.is_admin
        assert not standing.is_superuser
        with pytest.raises(InvalidTokenError):
            await authority.lock(service, ROLES_WRITE)
        with pytest.raises(AccountProtectedError):
            await authority.changeable(standing, UUID(admin.id))


@pytest.mark.parametrize("is_disabled", [True, False], ids=["disabled", "gone"])
async def test_who_is_disabled_or_gone_stands_nowhere(
    services: Services, admin: Account, account: Account, *, is_disabled: bool
) -> None:
    """Though the token should have been verified a moment ago."""
    if is_disabled:
        await admin.request("POST", f"/admin/users/{account.id}/disable")
    actor = principal(account.id if is_disabled else str(new_id()), "users:write")
    async with services.database.session() as session:
        with pytest.raises(InvalidTokenError):
            await Authority(session, services.auth).standing(actor)


def test_a_superuser_is_made_by_a_superuser_whatever_else_holds() -> None:
    everything = frozenset(all_permissions().values())
    standing = Standing(held=everything, givable=everything, is_admin=True, is_superuser=False)
    user = User(role=Role.USER, is_superuser=False)
    with pytest.raises(SuperuserProtectedError):
        standing.require_rank(user, Role.USER, is_superuser=True)


async def test_nobody_sends_links_to_those_above_them(admin: Account, make_admin: MakeAdmin, mailbox: Mailbox) -> None:
    """A reset link ends nothing yet, but whoever reads another's mails would get their rights by it."""
    helper = await holder(admin, "users:read", "users:write")
    stronger = await holder(admin, "roles:write")
    superuser = await make_admin(await register(admin.client), is_superuser=True)
    await mailbox.all()
    mailbox.clear()
    for account, refusal in ((admin, PROTECTED), (stronger, PROTECTED), (superuser, (403, "superuser_protected"))):
        answer = await helper.request("POST", f"/admin/users/{account.id}/send-reset")
        assert code_of(answer) == refusal
    assert await mailbox.all() == []
    weaker = await register(admin.client)
    assert (await helper.request("POST", f"/admin/users/{weaker.id}/send-reset")).status_code == 202
