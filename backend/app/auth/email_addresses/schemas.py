"""The JSON of addresses."""

from app.auth.one_time_tokens.schemas import LinkRequest, ProofRequest
from app.auth.schemas import Email, Input, Password


class EmailVerifyRequest(ProofRequest):
    """The proof that the mail to an address has arrived; with the password if it completes a registration."""

    password: Password | None = None

    def to_password(self) -> str | None:
        """What the service takes."""
        return None if self.password is None else self.password.get_secret_value()


class VerificationResendRequest(Input):
    """The address to prove."""

    email: Email


class EmailChangeRequest(Input):
    """The address that an account is to have."""

    email: Email


class EmailConfirmRequest(ProofRequest):
    """The proof that the mail to a new address has arrived; with a code, `email` is the new address."""


class EmailUndoRequest(LinkRequest):
    """The token of the link that went to the old address."""
