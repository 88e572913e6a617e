"""The documents under `/.well-known/`."""

from pydantic import BaseModel, Field


class PublicKeyRead(BaseModel):
    """One public key (RFC 7517 section 4, RFC 7518 section 6.2)."""

    kid: str
    kty: str = Field(examples=["EC"])
    alg: str = Field(examples=["ES256"])
    use: str = Field(examples=["sig"])
    crv: str = Field(examples=["P-256"])
    x: str
    y: str


class KeySetRead(BaseModel):
    """The keys that access tokens are verified with (RFC 7517 section 5); none where tokens are signed with HS256."""

    keys: list[PublicKeyRead]
