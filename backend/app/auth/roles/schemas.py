"""The JSON of roles."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.auth.roles.types import MAX_DESCRIPTION_LENGTH, MAX_ROLE_NAME_LENGTH
from app.auth.schemas import Input
from app.auth.types import MAX_PERMISSION_LENGTH, Role
from app.core.text import SafeLine, SafeStr

MAX_PERMISSIONS_PER_ROLE = 100
MAX_ROLES_PER_USER = 20

# ASCII only, as in user names: a look-alike of a known role would be given by mistake.
RoleName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=2,
        max_length=MAX_ROLE_NAME_LENGTH,
        pattern=r"^[A-Za-z0-9]+(?:[ ._-][A-Za-z0-9]+)*$",
    ),
    Field(examples=["support"]),
]
Description = Annotated[SafeLine, Field(max_length=MAX_DESCRIPTION_LENGTH, examples=["Answers questions of users"])]
PermissionName = Annotated[SafeStr, Field(max_length=MAX_PERMISSION_LENGTH)]
PermissionNames = Annotated[list[PermissionName], Field(max_length=MAX_PERMISSIONS_PER_ROLE, examples=[["users:read"]])]


class RoleCreate(Input):
    """A new role."""

    name: RoleName
    description: Description | None = None
    permissions: PermissionNames


class RoleUpdate(Input):
    """The members to change; a null description removes it, `permissions` replaces them all."""

    name: RoleName | None = None
    description: Description | None = None
    permissions: PermissionNames | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any(name in self.model_fields_set and getattr(self, name) is None for name in ("name", "permissions")):
            raise ValueError("name and permissions cannot be null")
        return self


class UserRolesUpdate(Input):
    """All the roles that an account has from now on: one built-in role and any custom ones."""

    role: Role
    custom_roles: Annotated[
        list[UUID],
        Field(max_length=MAX_ROLES_PER_USER, examples=[["0199c2a4-7d3e-7000-8000-000000000001"]]),
    ]


class RoleRead(BaseModel):
    """A custom role."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: Annotated[str, Field(examples=["support"])]
    description: Annotated[str | None, Field(examples=["Answers questions of users"])]
    permissions: Annotated[list[str], Field(examples=[["users:read"]])]
    created_at: datetime
    updated_at: datetime


class UserRolesRead(BaseModel):
    """The roles of an account; `permissions` is all that they permit together."""

    model_config = ConfigDict(from_attributes=True)

    role: Role
    is_superuser: bool
    custom_roles: list[RoleRead]
    permissions: Annotated[list[str], Field(examples=[["profile:read", "profile:write", "users:read"]])]


class PermissionRead(BaseModel):
    """A permission; it is also a scope that tokens can be narrowed to. `roles` are the built-in ones that have it."""

    model_config = ConfigDict(from_attributes=True)

    name: Annotated[str, Field(examples=["users:read"])]
    description: Annotated[str, Field(examples=["Read every account"])]
    roles: list[Role]
