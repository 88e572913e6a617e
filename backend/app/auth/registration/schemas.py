"""The JSON of registration."""

from pydantic import BaseModel, ConfigDict

from app.auth.one_time_tokens.schemas import TokenText
from app.auth.registration.types import Registrant
from app.auth.schemas import Email, FullName, Password, Username


class RegisterRequest(BaseModel):
    """A new account. `invitation` is the token of an invitation's link, for the address that was invited."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    username: Username | None = None
    full_name: FullName | None = None
    invitation: TokenText | None = None

    def to_registrant(self, guest_token: str | None) -> Registrant:
        """What the service takes."""
        return Registrant(
            email=self.email,
            password=self.password.get_secret_value(),
            username=self.username,
            full_name=self.full_name,
            invitation=None if self.invitation is None else self.invitation.get_secret_value(),
            guest_token=guest_token,
        )
