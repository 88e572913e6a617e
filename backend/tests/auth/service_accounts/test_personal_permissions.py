"""What is for people only is not for machines, however it comes to them."""

from uuid import UUID

import pytest

from app.auth.permissions import PermissionRegistry, all_permissions
from app.auth.service_accounts.models import ServiceAccount
from app.auth.service_accounts.repository import ServiceAccountRepository
from app.auth.types import Role
from app.main import Services
from tests.auth.credentials import make_service, service_of
from tests.support import Account

PERSONAL = sorted(name for name, permission in all_permissions().items() if permission.is_personal)


def test_some_are_personal_and_most_are_not() -> None:
    assert {"profile:read", "profile:write"} <= set(PERSONAL)
    assert not any(name.startswith(("users:", "roles:", "audit:")) for name in PERSONAL)


@pytest.mark.parametrize("name", PERSONAL)
async def test_none_can_be_given(admin: Account, name: str) -> None:
    answer = await make_service(admin, ["users:read", name])
    assert (answer.status_code, answer.json()["code"]) == (422, "personal_permission")


async def test_one_that_was_given_before_permits_nothing(admin: Account, services: Services) -> None:
    """A release may make a permission personal that a machine has already."""
    service = await service_of(admin)
    async with services.database.session() as session:
        accounts = ServiceAccountRepository(session, services.clock)
        await accounts.update(UUID(service.id), {ServiceAccount.scope: "profile:read users:read"})
        await session.commit()
    assert (await service.ask()).json()["scope"] == "users:read"
    refused = await service.ask(scope="profile:read")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_what_guests_have_is_personal() -> None:
    registry = PermissionRegistry()
    one = registry.declare("things:use", "Use things", to=Role, guests=True)
    assert (one.is_personal, one.is_for_guests, one.roles) == (True, True, frozenset(Role))
