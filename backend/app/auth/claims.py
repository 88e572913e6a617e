"""The claims of access tokens as they stand in the JSON (RFC 9068 section 2.2)."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.auth.types import AccessClaims

_Timestamp = Annotated[int, Field(ge=0, le=253_402_300_799)]  # up to the year 9999, the last that datetime knows


class AccessPayload(BaseModel):
    """The claims as they must stand in the JSON: all of them, each of exactly its type."""

    model_config = ConfigDict(strict=True)

    iss: str
    aud: str | list[str]
    sub: UUID
    client_id: str
    exp: _Timestamp
    iat: _Timestamp
    nbf: _Timestamp
    jti: str
    sid: UUID
    ver: int
    scope: str
    acr: str
    amr: list[str]
    auth_time: _Timestamp


def payload_of(claims: AccessClaims) -> dict[str, Any]:
    """The members that a token with these claims is signed with."""
    return {
        "iss": claims.iss,
        "aud": claims.aud,
        "sub": str(claims.sub),
        "client_id": claims.client_id,
        "exp": claims.exp,
        "iat": claims.iat,
        "nbf": claims.iat,
        "jti": claims.jti,
        "sid": str(claims.sid),
        "ver": claims.ver,
        "scope": " ".join(sorted(claims.scope)),
        "acr": claims.acr,
        "amr": claims.amr,
        "auth_time": claims.auth_time,
    }
