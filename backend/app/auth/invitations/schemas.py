"""The JSON of invitations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.auth.invitations.types import InvitationStatus
from app.auth.schemas import Email
from app.auth.types import Role


class InvitationCreate(BaseModel):
    """Someone to invite, and the role that their account will have."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    role: Role = Role.USER


class InvitationRead(BaseModel):
    """An invitation. Its link is in the mail alone."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: Annotated[str, Field(examples=["ada@example.com"])]
    role: Role
    status: InvitationStatus
    invited_by: UUID
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
