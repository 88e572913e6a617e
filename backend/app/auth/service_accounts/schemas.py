"""The JSON of service accounts."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from app.auth.personal_tokens.schemas import MAX_SCOPES, ScopeName
from app.auth.service_accounts.types import MAX_DESCRIPTION_LENGTH, MAX_SERVICE_NAME_LENGTH
from app.core.text import SafeLine

MAX_SECRET_LIFE_DAYS = 3650

ServiceName = Annotated[SafeLine, Field(max_length=MAX_SERVICE_NAME_LENGTH, examples=["question importer"])]
Description = Annotated[SafeLine, Field(max_length=MAX_DESCRIPTION_LENGTH)]
Permissions = Annotated[
    list[ScopeName],
    Field(
        max_length=MAX_SCOPES, examples=[["users:read"]], description="Permissions that you have; none of a person's."
    ),
]


class ServiceAccountCreate(BaseModel):
    """A new service account."""

    model_config = ConfigDict(extra="forbid")

    name: ServiceName
    description: Description | None = None
    permissions: Permissions


class ServiceAccountUpdate(BaseModel):
    """The members to change."""

    model_config = ConfigDict(extra="forbid")

    name: ServiceName | None = None
    description: Description | None = None
    permissions: Permissions | None = None
    is_active: StrictBool | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        never_null = self.model_fields_set - {"description"}
        if any(getattr(self, name) is None for name in never_null):
            raise ValueError("only description can be null")
        return self


class ServiceAccountRead(BaseModel):
    """A service account; its `id` is its `client_id`."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: Annotated[str, Field(examples=["question importer"])]
    description: str | None
    permissions: Annotated[list[str], Field(examples=[["users:read"]])]
    is_active: bool
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class ServiceSecretCreate(BaseModel):
    """A new secret; without `expires_in_days` it does not expire."""

    model_config = ConfigDict(extra="forbid")

    expires_in_days: Annotated[StrictInt, Field(ge=1, le=MAX_SECRET_LIFE_DAYS, examples=[365])] | None = None


class ServiceSecretRead(BaseModel):
    """A secret of a service account; `last_used_at` is exact to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ServiceSecretCreatedRead(BaseModel):
    """A new secret, and its text, which is not shown again."""

    model_config = ConfigDict(from_attributes=True)

    secret: ServiceSecretRead
    text: Annotated[str, Field(examples=["sas_0351nU68E7tH8pxZBgbaOi_GUnApE…"], description="The `client_secret`.")]


class ServiceTokenRead(BaseModel):
    """An access token of a service account (RFC 6749 section 4.4.3): there is nothing to refresh it with."""

    access_token: Annotated[str, Field(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.…"])]
    token_type: Annotated[str, Field(examples=["bearer"])]
    expires_in: Annotated[int, Field(examples=[600])]
    scope: Annotated[str, Field(examples=["users:read"])]
