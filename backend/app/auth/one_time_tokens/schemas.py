"""The JSON of whatever takes a one-time token."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from app.auth.one_time_tokens.types import CODE_DIGITS, TokenProof
from app.auth.schemas import Email, Input

TokenText = Annotated[SecretStr, Field(min_length=1, max_length=128, examples=["mot_…"])]
Code = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=rf"^[0-9]{{{CODE_DIGITS}}}$"),
    Field(examples=["042137"], description="The six digits in the mail; they work for ten minutes."),
]


class LinkRequest(Input):
    """The token of a link."""

    token: TokenText


class AcceptedRead(BaseModel):
    """The answer to whoever asks for a mail, whether or not one is sent."""

    detail: Annotated[str, Field(examples=["If there is something to send, the mail is on its way."])]


ACCEPTED = AcceptedRead(detail="If there is something to send, the mail is on its way.")


class ProofRequest(Input):
    """The token of a link, or address and code."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.com", "code": "042137"}]})

    token: TokenText | None = None
    email: Email | None = None
    code: Code | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        by_code = (self.email is not None, self.code is not None)
        if by_code not in {(True, True), (False, False)} or by_code[0] == (self.token is not None):
            raise ValueError("give either token, or email and code")
        return self

    def to_proof(self) -> TokenProof:
        """What the service takes."""
        token = None if self.token is None else self.token.get_secret_value()
        return TokenProof(token=token, email=self.email, code=self.code)
