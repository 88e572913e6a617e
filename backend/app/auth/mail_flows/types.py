"""Enums and values of the mails of accounts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.types import Client

MAIL_JOB = "auth.mail"
"""The kind of the jobs that send these mails."""


class Notice(StrEnum):
    """The mails that tell of something that has happened; the names of their templates."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a notice, not a secret
    PASSWORD_RESET = "password_reset"  # noqa: S105
    REFRESH_REUSED = "refresh_reused"
    NEW_DEVICE = "new_device"
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_SECURED = "account_secured"
    ALREADY_REGISTERED = "already_registered"


PURPOSE_OF_NOTICE = {
    Notice.PASSWORD_CHANGED: TokenPurpose.SECURE_ACCOUNT,
    Notice.PASSWORD_RESET: TokenPurpose.SECURE_ACCOUNT,
    Notice.REFRESH_REUSED: TokenPurpose.SECURE_ACCOUNT,
    Notice.NEW_DEVICE: TokenPurpose.SECURE_ACCOUNT,
    Notice.EMAIL_CHANGED: TokenPurpose.UNDO_EMAIL_CHANGE,
    Notice.ACCOUNT_SECURED: TokenPurpose.RESET_PASSWORD,
}
"""What the link in a notice is for. ALREADY_REGISTERED has none: it may go to anyone whose address was typed in."""


@dataclass(frozen=True, slots=True)
class MailOrder:
    """What a job needs to know to make one mail; the rest is read when it is sent. It holds no secret."""

    token_id: UUID
    template: str
    at: datetime
    client: Client

    def to_payload(self) -> dict[str, Any]:
        """The payload of the job."""
        return {
            "token_id": str(self.token_id),
            "template": self.template,
            "at": self.at.isoformat(),
            "address": self.client.address,
            "user_agent": self.client.user_agent,
            "request_id": self.client.request_id,
        }

    @classmethod
    def from_payload(cls, payload: Any) -> Self:
        """The order behind a job's payload."""
        client = Client(payload["address"], payload["user_agent"], payload["request_id"])
        return cls(UUID(payload["token_id"]), payload["template"], datetime.fromisoformat(payload["at"]), client)
