"""Values of invitations."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.auth.types import Role


class InvitationStatus(StrEnum):
    """What became of an invitation."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class InvitationView:
    """An invitation as administrators see it; `invited_by` is the id of an account, which may be gone."""

    id: UUID
    email: str
    role: Role
    status: InvitationStatus
    invited_by: UUID
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
