"""What the endpoints of the signing keys take and give."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.auth.types import KeyState


class KeyRotateRequest(BaseModel):
    """How to rotate."""

    model_config = ConfigDict(extra="forbid")

    compromised: StrictBool = Field(
        default=False,
        description="Somebody else may have the keys: end them all at once, and every access token with them.",
    )


class SigningKeyRead(BaseModel):
    """A signing key. Its private part never leaves the service."""

    kid: str = Field(description="Its JWK thumbprint (RFC 7638): the `kid` of its tokens.")
    algorithm: str
    state: KeyState
    created_at: datetime
    state_since: datetime
    changes_at: datetime | None = Field(
        description="When its next state comes, or for the active key the publication of its successor; null for never."
    )


class SigningKeysRead(BaseModel):
    """The keys that sign or verify, the oldest first."""

    items: list[SigningKeyRead]
