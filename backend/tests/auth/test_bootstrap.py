"""The first administrator: made once, with credentials of one's own."""

import asyncio

import httpx
import pytest
from sqlalchemy import select

from app.auth.bootstrap import (
    EXAMPLE_PASSWORDS,
    AddressTakenError,
    AdminExistsError,
    AdminOutcome,
    ExampleCredentialsError,
    create_admin,
    has_admin,
)
from app.auth.errors import WeakPasswordError
from app.auth.models import AuditEvent, User
from app.auth.types import AuditAction, Role
from app.core.errors import AppError, InvalidInputError
from app.main import Services
from tests.auth.stage import code_of
from tests.support import API, PASSWORD, Account, ManualClock, register

EMAIL = "chief@example.net"


async def create(
    services: Services, email: str = EMAIL, password: str = PASSWORD, *, is_forced: bool = False
) -> AdminOutcome:
    """Create an administrator at this service."""
    return await create_admin(services.database, services.auth, email=email, password=password, is_forced=is_forced)


async def users_of(services: Services) -> list[User]:
    """Every account."""
    async with services.database.session() as session:
        return list(await session.scalars(select(User)))


@pytest.mark.parametrize(
    ("email", "password", "refusal"),
    [
        (EMAIL, "short", WeakPasswordError),
        (EMAIL, "qwertyuiop", WeakPasswordError),
        (EMAIL, "chief@example.net", WeakPasswordError),
        (EMAIL, "", WeakPasswordError),
        *(
            (EMAIL, password.upper(), (ExampleCredentialsError, WeakPasswordError))
            for password in sorted(EXAMPLE_PASSWORDS)
        ),
        ("Admin@Example.com", PASSWORD, ExampleCredentialsError),
        ("admin@papa.com", PASSWORD, ExampleCredentialsError),
        (EMAIL, "Admin@Papa.com", ExampleCredentialsError),
        ("no address", PASSWORD, InvalidInputError),
    ],
)
async def test_credentials_that_can_be_guessed_are_refused(
    services: Services, email: str, password: str, refusal: type[AppError] | tuple[type[AppError], ...]
) -> None:
    """A1: weak, default and example passwords, and the addresses of examples; nothing is left behind."""
    with pytest.raises(refusal) as caught:
        await create(services, email, password)
    assert not password or password not in str(caught.value)
    assert await users_of(services) == []
    assert not await has_admin(services.database, services.auth)


async def test_the_first_administrator_may_do_everything(services: Services, client: httpx.AsyncClient) -> None:
    """A1: created with all rights, on record, and able to log in; again is no change, the password least of all."""
    assert await create(services, "Chief@Example.net") is AdminOutcome.CREATED
    assert await create(services, password="quite another passphrase") is AdminOutcome.ALREADY_THERE
    assert await create(services, password="weak") is AdminOutcome.ALREADY_THERE
    (user,) = await users_of(services)
    assert (user.email, user.role, user.is_superuser, user.is_active) == ("Chief@Example.net", Role.ADMIN, True, True)
    assert await has_admin(services.database, services.auth)
    async with services.database.session() as session:
        (event,) = await session.scalars(select(AuditEvent))
    assert (event.action, event.user_id, event.detail) == (AuditAction.ADMIN_CREATED, user.id, {"how": "created"})
    login = await client.post(f"{API}/auth/login", json={"email": EMAIL, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert (await client.get(f"{API}/admin/users", headers=headers)).status_code == 200


async def test_a_further_administrator_is_made_on_purpose_only(services: Services) -> None:
    """A1: a second one needs to be forced."""
    await create(services)
    with pytest.raises(AdminExistsError):
        await create(services, "second@example.net")
    assert len(await users_of(services)) == 1
    assert await create(services, "second@example.net", is_forced=True) is AdminOutcome.CREATED
    assert len(await users_of(services)) == 2


async def test_an_account_is_promoted_on_purpose_only(
    services: Services, account: Account, client: httpx.AsyncClient
) -> None:
    """A1: whoever registered the address first does not become administrator by it; forced, its tokens are renewed."""
    with pytest.raises(AddressTakenError):
        await create(services, account.email)
    assert not await has_admin(services.database, services.auth)
    with pytest.raises(WeakPasswordError):
        await create(services, account.email, "short", is_forced=True)
    assert await create(services, account.email, "six purple bicycles", is_forced=True) is AdminOutcome.PROMOTED
    assert code_of(await account.get("/users/me")) == (401, "invalid_token")
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": account.refresh_token})
    assert renewed.json()["code"] == "invalid_grant"
    assert (await account.login()).status_code == 401  # the password of whoever registered it
    account.password = "six purple bicycles"  # not a secret: of an account that lives for one test
    await account.login()
    assert (await account.get("/admin/users")).status_code == 200


async def test_a_disabled_administrator_comes_back_by_force(services: Services, account: Account) -> None:
    """A1: the way back in for an operator who was locked out."""
    root = await register(account.client, email=EMAIL)
    await create(services, EMAIL, is_forced=True)
    await create(services, account.email, is_forced=True)
    await account.login()
    assert (await account.request("POST", f"/admin/users/{root.id}/disable")).status_code == 200
    with pytest.raises(AdminExistsError):
        await create(services, EMAIL)
    assert await create(services, EMAIL, is_forced=True) is AdminOutcome.PROMOTED
    assert (await root.login()).status_code == 200


async def test_two_operators_at_once_make_one(services: Services, clock: ManualClock) -> None:
    """A1, idempotent: parallel starts of one deployment all succeed, and one account comes of it."""
    outcomes = await asyncio.gather(*(create(services) for _ in range(5)))
    assert sorted(outcomes) == [AdminOutcome.ALREADY_THERE] * 4 + [AdminOutcome.CREATED]
    assert len(await users_of(services)) == 1
