"""The registry of permissions: what domains declare, and what the built-in roles permit."""

import pytest

from app.auth.permissions import (
    PermissionDeclarationError,
    PermissionRegistry,
    all_permissions,
    declare,
    freeze_permissions,
    known_permissions,
    permissions_of,
)
from app.auth.types import MAX_PERMISSION_LENGTH, Role
from tests.support import OWN


def test_a_permission_is_a_name_with_its_meaning_and_roles() -> None:
    registry = PermissionRegistry()
    write = registry.declare("questions:write", "Write questions", to=[Role.AUTHOR])
    assert write == "questions:write"
    assert " ".join(sorted([write, "a:b"])) == "a:b questions:write"
    assert write.description == "Write questions"
    assert write.roles == {Role.AUTHOR, Role.ADMIN}
    assert registry.of_role(Role.AUTHOR) == registry.of_role(Role.ADMIN) == {write}
    assert registry.of_role(Role.USER) == frozenset()


@pytest.mark.parametrize("description", ["Write questions", "Something else"])
def test_a_permission_is_declared_once(description: str) -> None:
    registry = PermissionRegistry()
    registry.declare("questions:write", "Write questions")
    with pytest.raises(PermissionDeclarationError, match="twice"):
        registry.declare("questions:write", description)


def test_nothing_is_declared_after_the_application_was_built() -> None:
    registry = PermissionRegistry()
    registry.freeze()
    with pytest.raises(PermissionDeclarationError, match="after the application was built"):
        registry.declare("questions:write", "Write questions")
    freeze_permissions()
    with pytest.raises(PermissionDeclarationError):
        declare("questions:write", "Write questions")
    assert "questions:write" not in all_permissions()


@pytest.mark.parametrize(
    "name", ["", "questions", "Questions:write", "questions:", ":write", "a b:c", "a:b:c", 'a:"', "a:é", "a:b\n"]
)
def test_a_name_is_a_scope_token(name: str) -> None:
    """RFC 6749 section 3.3 allows more, but these names stand in headers, URLs and code."""
    with pytest.raises(PermissionDeclarationError, match="no name"):
        PermissionRegistry().declare(name, "Whatever")


def test_a_name_fits_its_column() -> None:
    registry = PermissionRegistry()
    name = f"{'q' * (MAX_PERMISSION_LENGTH - 6)}:write"
    registry.declare(name, "Whatever")
    with pytest.raises(PermissionDeclarationError):
        registry.declare(f"q{name}", "Whatever")


def test_the_view_is_ordered_and_cannot_be_changed() -> None:
    registry = PermissionRegistry()
    for name in ("b:read", "a:write", "a:read"):
        registry.declare(name, name)
    assert list(registry.all()) == ["a:read", "a:write", "b:read"]
    with pytest.raises(TypeError):
        registry.all()["c:read"] = registry.all()["a:read"]  # type: ignore[index]


def test_unknown_names_permit_nothing() -> None:
    assert known_permissions(["profile:read", "questions:gone", "", "PROFILE:READ"]) == {"profile:read"}
    assert permissions_of(Role.USER, is_superuser=False, custom=["questions:gone"]) == OWN


@pytest.mark.parametrize("role", [Role.USER, Role.REVIEWER, Role.AUTHOR])
def test_ordinary_roles_permit_ones_own_account(role: Role) -> None:
    assert permissions_of(role, is_superuser=False) == OWN
    assert permissions_of(role, is_superuser=False, custom=["users:read"]) == OWN | {"users:read"}


def test_administrators_and_superusers_may_do_everything() -> None:
    everything = set(all_permissions())
    assert everything >= OWN | {"users:read", "users:write", "roles:read", "roles:write"}
    assert permissions_of(Role.ADMIN, is_superuser=False) == everything
    assert all(permissions_of(role, is_superuser=True) == everything for role in Role)
