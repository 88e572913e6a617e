"""People's grants and clients: whoever proves to be a client is looked at first, and nobody takes a machine's name."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from app.auth.models import AuthSession
from app.main import Services
from tests.auth.credentials import Service, basic, service_of
from tests.auth.scenarios import claims_of, refresh
from tests.auth.service_accounts.test_client_credentials import DEAD, error_of
from tests.auth.stage import code_of
from tests.support import API, Account

INVALID_CLIENT = (401, "invalid_client")


@pytest.fixture
async def service(admin: Account) -> Service:
    """A service account that may read accounts."""
    return await service_of(admin)


def form_of(account: Account, grant_type: str) -> dict[str, str]:
    """What a person's grant needs of an account."""
    if grant_type == "password":
        return {"grant_type": grant_type, "username": account.email, "password": account.password}
    return {"grant_type": grant_type, "refresh_token": account.refresh_token}


async def ask(account: Account, grant_type: str, headers: Any = None, **members: str) -> httpx.Response:
    """A request for one of the grants of people."""
    form = {**form_of(account, grant_type), **members}
    return await account.client.post(f"{API}/auth/token", data=form, headers=headers)


@pytest.mark.parametrize("grant_type", ["password", "refresh_token"])
async def test_a_client_without_a_secret_needs_none(account: Account, grant_type: str) -> None:
    """Swagger UI's empty Basic header and empty members do no harm, nor does an old access token."""
    for headers, members in (
        ({}, {}),
        ({}, {"client_id": "merit"}),
        (basic("", ""), {}),
        ({}, {"client_id": "", "client_secret": ""}),
        ({"Authorization": "Bearer old"}, {}),
    ):
        answer = await ask(account, grant_type, headers, **members)
        assert answer.status_code == 200, answer.text
        account.refresh_token = answer.json()["refresh_token"]


@pytest.mark.parametrize("grant_type", ["password", "refresh_token"])
async def test_a_client_that_proves_itself_wrongly_is_refused(
    account: Account, service: Service, grant_type: str
) -> None:
    """RFC 6749 sections 3.2.1 and 6: it must be authenticated where it tries; nothing is used up."""
    for headers, members in (
        (basic(service.id, "wrong"), {}),
        (basic("merit", "junk"), {}),
        (basic("merit", ""), {}),
        (basic("", "junk"), {}),
        ({"Authorization": "Basic !!!"}, {}),
        ({}, {"client_id": "merit", "client_secret": "junk"}),
        ({}, {"client_secret": "junk"}),
        ({}, {"client_id": service.id, "client_secret": "junk"}),
    ):
        assert error_of(await ask(account, grant_type, headers, **members)) == INVALID_CLIENT, (headers, members)
    twice = [("Authorization", basic("", "")["Authorization"])] * 2
    assert error_of(await ask(account, grant_type, twice)) == (400, "invalid_request")
    assert (await refresh(account.client, account.refresh_token)).is_success


@pytest.mark.parametrize("grant_type", ["password", "refresh_token"])
async def test_a_service_account_uses_no_grant_of_people(account: Account, service: Service, grant_type: str) -> None:
    """RFC 6749 section 5.2: who it is, it has proven."""
    assert error_of(await ask(account, grant_type, service.basic)) == (400, "unauthorized_client")
    in_form = {"client_id": service.id, "client_secret": service.secret}
    assert error_of(await ask(account, grant_type, **in_form)) == (400, "unauthorized_client")


async def test_nobody_gets_tokens_in_the_name_of_a_service_account(
    account: Account, admin: Account, services: Services, service: Service
) -> None:
    """A resource server that trusts a `client_id` must not meet a person under it."""
    for name in (service.id, service.id.upper()):
        assert error_of(await ask(account, "password", client_id=name)) == INVALID_CLIENT
        assert error_of(await ask(account, "refresh_token", client_id=name)) == INVALID_CLIENT
        assert code_of(await account.login(client_id=name)) == INVALID_CLIENT
        assert code_of(await refresh(account.client, account.refresh_token, client_id=name)) == INVALID_CLIENT
    async with services.database.writer.begin() as connection:  # a session that an earlier release opened
        mine = AuthSession.user_id == UUID(account.id)
        await connection.execute(update(AuthSession).where(mine).values(client_id=service.id))
    for name in (service.id, "merit"):
        assert not (await refresh(account.client, account.refresh_token, client_id=name)).is_success
    assert (await account.login(client_id=admin.id)).is_success
    assert claims_of(services, account.access_token).client_id == admin.id


async def test_a_machine_cannot_pass_for_a_person(client: httpx.AsyncClient, service: Service) -> None:
    """It has no password, and its secret is no token."""
    login = await client.post(f"{API}/auth/login", json={"username": service.id, "password": service.secret})
    assert code_of(login) == (401, "invalid_credentials")
    assert code_of(await refresh(client, service.secret)) == (400, "invalid_grant")
    answer = await client.get(f"{API}/admin/users", headers={"Authorization": f"Bearer {service.secret}"})
    assert code_of(answer) == DEAD
