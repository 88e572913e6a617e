"""The JSON of guests."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class GuestRead(BaseModel):
    """A guest. `expires_at` moves on, by the hour, as long as the guest comes back."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    expires_at: datetime


class GuestCreatedRead(BaseModel):
    """A new guest, and the token, which is not shown again."""

    model_config = ConfigDict(from_attributes=True)

    guest: GuestRead
    token: Annotated[str, Field(examples=["mgt_0351nU68E7tH8pxZBgbaOi_GUnApE…"], description="For `Guest-Token`.")]


class GuestClaimedRead(BaseModel):
    """The guest whose things are yours now."""

    guest_id: UUID
