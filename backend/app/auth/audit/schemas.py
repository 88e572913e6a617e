"""The audit trail's JSON."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.auth.audit.types import EventBy
from app.auth.types import AuditAction, AuditOutcome


def _to_hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


class AuditEventRead(BaseModel):
    """A security event: who did what to whom, when, from where, and how it ended.

    `user_id` is whom it concerns, `actor_id` who did it. `sequence` and `mac` are its place in the chain; events from
    before the chain have neither.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    sequence: Annotated[int | None, Field(examples=[1204])]
    occurred_at: datetime
    action: AuditAction
    outcome: AuditOutcome
    user_id: UUID | None
    actor_id: UUID | None
    session_id: UUID | None
    address: Annotated[str | None, Field(examples=["203.0.113.7"])]
    user_agent: Annotated[str | None, Field(examples=["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"])]
    request_id: Annotated[str | None, Field(examples=["0199c2a4-7d1e-7c3a-9b54-2f6f5a1f7c10"])]
    detail: Annotated[dict[str, Any], Field(examples=[{"members": ["full_name"]}])]
    mac: Annotated[str | None, BeforeValidator(_to_hex), Field(description="In hexadecimal.")]


class OwnEventRead(BaseModel):
    """A security event of your account. Where someone else caused it, `address` and `device` are null."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    occurred_at: datetime
    action: AuditAction
    outcome: AuditOutcome
    by: Annotated[EventBy, Field(description="`unknown` is someone who did not prove to be you.")]
    session_id: UUID | None
    address: Annotated[str | None, Field(examples=["203.0.113.7"])]
    device: Annotated[str | None, Field(examples=["Firefox on Linux"])]
