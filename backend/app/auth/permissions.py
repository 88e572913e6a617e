"""What a caller may do: permissions, as each domain declares them, and the built-in roles that they come with.

A permission's name is also the OAuth2 scope that narrows a token to it (RFC 6749 section 3.3).
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from app.auth.types import MAX_PERMISSION_LENGTH, Role

_NAME = re.compile(r"[a-z]+(?:_[a-z]+)*:[a-z]+(?:_[a-z]+)*")


class PermissionDeclarationError(RuntimeError):
    """A permission is declared twice, too late or under a name that is no scope: a fault of the code."""


class Permission(str):
    """A declared permission, such as `users:read`. Only `declare` makes them.

    `is_personal` ones make sense for people only: no service account can have them. `is_for_guests` says that guests
    have it too.
    """

    __slots__ = ("description", "is_for_guests", "is_personal", "roles")

    description: str
    roles: frozenset[Role]
    is_personal: bool
    is_for_guests: bool


class PermissionRegistry:
    """The permissions of one application. Once frozen it stays as it is: what the documentation shows is what holds."""

    def __init__(self) -> None:
        self._permissions: dict[str, Permission] = {}
        self._is_frozen = False

    def declare(
        self, value: str, description: str, *, to: Iterable[Role] = (), personal: bool = False, guests: bool = False
    ) -> Permission:
        """Make a permission known. Administrators have it, and the built-in roles in `to`.

        `personal` ones cannot be given to service accounts. `guests` have what they own under it as well as accounts
        do, which makes it personal too.

        Raises:
            PermissionDeclarationError: the name is taken or malformed, or the application is built already.
        """
        if self._is_frozen:
            raise PermissionDeclarationError(f"{value} is declared after the application was built.")
        if value in self._permissions:
            raise PermissionDeclarationError(f"{value} is declared twice.")
        if not _NAME.fullmatch(value) or len(value) > MAX_PERMISSION_LENGTH:
            raise PermissionDeclarationError(f"{value!r} is no name of a permission, such as 'users:read'.")
        permission = Permission(value)
        permission.description, permission.roles = description, frozenset({*to, Role.ADMIN})
        permission.is_personal, permission.is_for_guests = personal or guests, guests
        self._permissions[value] = permission
        return permission

    def freeze(self) -> None:
        """Refuse every declaration from now on."""
        self._is_frozen = True

    def all(self) -> Mapping[str, Permission]:
        """Every permission by its name, in the order of the names."""
        return MappingProxyType(dict(sorted(self._permissions.items())))

    def known(self, values: Iterable[str]) -> frozenset[Permission]:
        """The permissions among these names. Others, such as what a later release took back, permit nothing."""
        return frozenset(self._permissions[value] for value in values if value in self._permissions)

    def of_role(self, role: Role) -> frozenset[Permission]:
        """What a built-in role permits."""
        return frozenset(permission for permission in self._permissions.values() if role in permission.roles)


_registry = PermissionRegistry()
declare = _registry.declare
freeze_permissions = _registry.freeze
all_permissions = _registry.all
known_permissions = _registry.known


def permissions_of(role: Role, *, is_superuser: bool, custom: Iterable[str] = ()) -> frozenset[Permission]:
    """What an account may do: all that its built-in and its custom roles permit; a superuser may do everything."""
    built_in = _registry.of_role(Role.ADMIN if is_superuser else role)
    return built_in | _registry.known(custom)


PROFILE_READ = declare("profile:read", "Read your own profile and sessions", to=Role, personal=True)
PROFILE_WRITE = declare("profile:write", "Change your own profile, password and sessions", to=Role, personal=True)
USERS_READ = declare("users:read", "Read every account")
USERS_WRITE = declare("users:write", "Change every account")
ROLES_READ = declare("roles:read", "Read every role")
ROLES_WRITE = declare("roles:write", "Make, change and delete roles")
JOBS_READ = declare("jobs:read", "Read background jobs")
JOBS_WRITE = declare("jobs:write", "Run failed background jobs again")
AUDIT_READ = declare("audit:read", "Read the audit trail of every account")
KEYS_READ = declare("keys:read", "Read the state of the signing keys")
KEYS_WRITE = declare("keys:write", "Rotate the signing keys")
SERVICES_READ = declare("services:read", "Read service accounts")
SERVICES_WRITE = declare("services:write", "Make, change and delete service accounts")
INVITATIONS_WRITE = declare("invitations:write", "Invite people to register")
TOKENS_INTROSPECT = declare("tokens:introspect", "Ask whether someone's token is alive, as a service account")
