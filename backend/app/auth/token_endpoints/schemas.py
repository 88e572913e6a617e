"""What introspection tells (RFC 7662 section 2.2)."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field


class InactiveTokenRead(BaseModel):
    """Expired, revoked, of a disabled account, of another kind, or no token at all: nothing else is told."""

    active: Literal[False]


class ActiveTokenRead(BaseModel):
    """A token that is accepted at this moment."""

    active: Literal[True]
    scope: str = Field(description="Space-separated permissions.")
    client_id: str
    token_type: Literal["Bearer"]
    exp: int = Field(description="When it expires, in seconds since 1970.")
    iat: int
    nbf: int
    sub: UUID = Field(description="The account that it speaks for.")
    aud: str
    iss: str
    jti: str
    sid: UUID = Field(description="The session, or the personal token or service secret, that it depends on.")
