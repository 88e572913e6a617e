"""Access tokens made with raw base64 and cryptography, not with our code: what an attacker would bring."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
)
from pydantic import SecretStr

from app.auth.errors import InvalidTokenError
from app.auth.tokens import (
    AccessTokenCodec,
    IssuedToken,
    SigningKey,
)
from app.core.clock import Clock
from app.core.keys import derive_key

SECRET = SecretStr("k7Q2mZx9Lr4Tn8Vb1Wc6Yd3Hf5Jg0Ps-")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW = int(START.timestamp())
USER_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
SESSION_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
KEY = SigningKey.generate_es256()
OLD_KEY = SigningKey.generate_es256()
STRANGE_KEY = SigningKey.generate_es256()
HS_KEY = SigningKey.hs256(SECRET)
HS_RAW = derive_key(SECRET, "access token hs256")

Signer = Callable[[bytes], bytes]


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def make_codec(clock: Clock, active: SigningKey = KEY, *verifying: SigningKey) -> AccessTokenCodec:
    made = AccessTokenCodec(issuer="merit", audience="merit-api", lifetime_seconds=600, clock=clock)
    made.set_keys(active, verifying or (OLD_KEY, HS_KEY))
    return made


def issue(codec: AccessTokenCodec) -> IssuedToken:
    return codec.issue(
        user_id=USER_ID,
        session_id=SESSION_ID,
        client_id="web",
        auth_version=3,
        scope=["profile:write", "profile:read"],
        amr=["pwd"],
        acr="aal1",
        auth_time=START - timedelta(minutes=1),
    )


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def private_part(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    private = load_pem_private_key(key.private_pem(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return private


def es256(key: SigningKey) -> Signer:
    private = private_part(key)

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def hs256(secret: bytes) -> Signer:
    return lambda message: hmac.digest(secret, message, hashlib.sha256)


SIGN = es256(KEY)
DROP = object()


def header(**changes: Any) -> dict[str, Any]:
    return merged({"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"}, changes)


def payload(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": "merit",
        "aud": "merit-api",
        "sub": str(USER_ID),
        "client_id": "web",
        "exp": NOW + 600,
        "iat": NOW,
        "nbf": NOW,
        "jti": "a-token",
        "sid": str(SESSION_ID),
        "ver": 3,
        "scope": "profile:read profile:write",
        "acr": "aal1",
        "amr": ["pwd"],
        "auth_time": NOW - 60,
    }
    return merged(claims, changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**base, **changes}.items() if value is not DROP}


def forge(
    head: dict[str, Any] | bytes | None = None, body: dict[str, Any] | bytes | None = None, sign: Signer = SIGN
) -> str:
    head = header() if head is None else head
    body = payload() if body is None else body
    parts = [b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (head, body)]
    message = ".".join(parts)
    return f"{message}.{b64(sign(message.encode()))}"


def assert_refused(codec: AccessTokenCodec, token: str) -> None:
    """Always the same answer, twice, without the token and without a trace of the reason."""
    for _ in range(2):
        with pytest.raises(InvalidTokenError) as caught:
            codec.verify(token)
        error = caught.value
        assert (error.code, error.status_code, error.title) == ("invalid_token", 401, "Invalid access token")
        assert (error.detail, error.extra, error.headers) == (None, {}, InvalidTokenError.default_headers)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
