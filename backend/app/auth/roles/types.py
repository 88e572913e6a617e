"""Custom roles, and the roles of an account, as they are shown."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.auth.types import Role

MAX_DESCRIPTION_LENGTH = 500
MAX_ROLE_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class RoleView:
    """A custom role with its permissions in alphabetical order."""

    id: UUID
    name: str
    description: str | None
    permissions: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    row_version: int


@dataclass(frozen=True, slots=True)
class UserRolesView:
    """The roles of an account, and all that they permit together. `row_version` is the account's."""

    role: Role
    is_superuser: bool
    custom_roles: tuple[RoleView, ...]
    permissions: tuple[str, ...]
    row_version: int


@dataclass(frozen=True, slots=True)
class PermissionView:
    """A permission that the code declares, and the built-in roles that it comes with."""

    name: str
    description: str
    roles: tuple[Role, ...]
