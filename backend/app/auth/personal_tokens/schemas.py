"""The JSON of personal access tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from app.auth.personal_tokens.types import MAX_TOKEN_NAME_LENGTH
from app.auth.types import MAX_PERMISSION_LENGTH
from app.core.text import SafeLine, SafeStr

DEFAULT_LIFE_DAYS = 90
MAX_LIFE_DAYS = 365
MAX_SCOPES = 100

ScopeName = Annotated[SafeStr, Field(min_length=1, max_length=MAX_PERMISSION_LENGTH)]


class PersonalTokenCreate(BaseModel):
    """A new personal access token."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[SafeLine, Field(max_length=MAX_TOKEN_NAME_LENGTH, examples=["nightly report"])]
    scopes: Annotated[
        list[ScopeName],
        Field(
            min_length=1, max_length=MAX_SCOPES, examples=[["profile:read"]], description="Permissions that you have."
        ),
    ]
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=MAX_LIFE_DAYS)] = DEFAULT_LIFE_DAYS


class PersonalTokenRead(BaseModel):
    """A personal access token; `last_used_at` is exact to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: Annotated[str, Field(examples=["nightly report"])]
    scopes: Annotated[list[str], Field(examples=[["profile:read"]])]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    last_used_address: Annotated[str | None, Field(examples=["203.0.113.7"])]


class PersonalTokenCreatedRead(BaseModel):
    """A new personal access token, and its text, which is not shown again."""

    model_config = ConfigDict(from_attributes=True)

    token: PersonalTokenRead
    text: Annotated[str, Field(examples=["pat_0351nU68E7tH8pxZBgbaOi_GUnApE…"], description="The bearer token.")]
