"""What the tests of roles share: roles made and given through the API, and accounts that hold them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from app.auth.types import Principal, PrincipalKind
from app.core.ids import new_id
from tests.support import API, Account, register

MakeAdmin = Callable[..., Awaitable[Account]]


async def make_role(actor: Account, *permissions: str, name: str | None = None) -> str:
    """The id of a new role."""
    body = {"name": name or f"role-{new_id().hex}", "permissions": list(permissions)}
    answer = await actor.request("POST", "/admin/roles", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def give(actor: Account, account: Account, *roles: str, role: str = "user") -> httpx.Response:
    """The answer to a request that lets an account have these roles and no others."""
    body = {"role": role, "custom_roles": list(roles)}
    return await actor.request("PUT", f"/admin/users/{account.id}/roles", json=body)


async def renew(account: Account, **members: Any) -> set[str]:
    """Refresh an account's tokens; the scope of the new one."""
    body = {"refresh_token": account.refresh_token, **members}
    answer = await account.client.post(f"{API}/auth/refresh", json=body)
    assert answer.status_code == 200, answer.text
    account.access_token, account.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
    return set(answer.json()["scope"].split())


async def holder(admin: Account, *permissions: str) -> Account:
    """A new account that has these permissions by a custom role, with a token that carries them."""
    account = await register(admin.client)
    assert (await give(admin, account, await make_role(admin, *permissions))).status_code == 200
    await renew(account)
    return account


async def permissions_of(admin: Account, account: Account) -> set[str]:
    """All that an account may do, as administrators see it."""
    return set((await admin.get(f"/admin/users/{account.id}/roles")).json()["permissions"])


def principal(user_id: str, *permissions: str, kind: PrincipalKind = PrincipalKind.SESSION) -> Principal:
    """A caller as the bearer scheme makes it of a token with these scopes."""
    return Principal(
        kind=kind,
        user_id=UUID(user_id),
        session_id=new_id(),
        client_id="merit",
        permissions=frozenset(permissions),
        auth_time=datetime.now(UTC),
    )
