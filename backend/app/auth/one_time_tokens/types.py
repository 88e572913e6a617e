"""Enums and values of one-time tokens."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class TokenPurpose(StrEnum):
    """What a token is for. It can be used for nothing else."""

    VERIFY_EMAIL = "verify_email"
    REGISTER = "register"
    INVITATION = "invitation"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose, not a secret
    CHANGE_EMAIL = "change_email"
    UNDO_EMAIL_CHANGE = "undo_email_change"
    SECURE_ACCOUNT = "secure_account"


LIFETIMES = {
    TokenPurpose.VERIFY_EMAIL: timedelta(days=3),
    TokenPurpose.REGISTER: timedelta(days=1),
    TokenPurpose.INVITATION: timedelta(days=7),
    TokenPurpose.RESET_PASSWORD: timedelta(hours=1),
    TokenPurpose.CHANGE_EMAIL: timedelta(days=1),
    TokenPurpose.UNDO_EMAIL_CHANGE: timedelta(days=7),
    TokenPurpose.SECURE_ACCOUNT: timedelta(days=7),
}
"""How long a link works, from the moment its mail is sent."""

CODE_LIFETIME = timedelta(minutes=10)
MAX_CODE_TRIES = 5
CODE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class TokenProof:
    """What someone shows to prove that a mail reached them: the token of its link, or address and typed code."""

    token: str | None = field(default=None, repr=False)
    email: str | None = None
    code: str | None = field(default=None, repr=False)
