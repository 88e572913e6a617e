"""The JSON of account recovery."""

from app.auth.one_time_tokens.schemas import LinkRequest, ProofRequest
from app.auth.schemas import Email, Input, Password


class PasswordForgottenRequest(Input):
    """The address of an account."""

    email: Email


class PasswordResetRequest(ProofRequest):
    """A new password, and the proof that the mail has arrived."""

    new_password: Password


class SecureAccountRequest(LinkRequest):
    """The token of a link in a security notice."""
