"""Access tokens (RFC 9068) and the keys that sign them: the only module that uses python-jose, behind strict checks.

On its own the library accepts tokens without `aud` or `exp`, ignores `typ` and `crit`, and parses whatever comes. Here
everything that is not exactly what `AccessTokenCodec.issue` writes is refused, with one error that says nothing.
"""

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JWSError
from pydantic import SecretStr, ValidationError

from app.auth.claims import AccessPayload, payload_of
from app.auth.errors import InvalidTokenError
from app.auth.types import AccessClaims
from app.core.base64url import from_base64url, to_base64url
from app.core.clock import Clock
from app.core.ids import new_id
from app.core.keys import derive_key

LEEWAY_SECONDS = 30
"""How far clocks may differ."""

_MAX_TOKEN_LENGTH = 8192
_MAX_CACHED_TOKENS = 20_000
_JITTER = 0.05
_NONCE_BYTES = 12
_HEADER_MEMBERS = {"alg", "kid", "typ"}  # nothing else: no crit, jku, jwk, x5u, x5c (RFC 8725 section 3)
_TOKEN_TYPES = {"at+jwt", "application/at+jwt"}  # RFC 9068 section 2.1
_THREE_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class UnknownKeyError(InvalidTokenError):
    """No known key has the token's `kid`: it may have been added by another worker, so reload the keys once."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key and the one algorithm it serves.

    `kid` is the key's JWK thumbprint (RFC 7638), so the same `kid` is always the same key. The key objects are made
    once: making one from a PEM costs more than a hundred signatures.
    """

    kid: str
    algorithm: str
    private: Key = field(repr=False)
    public: Key = field(repr=False)

    @classmethod
    def generate_es256(cls) -> Self:
        """A new ES256 key pair (ECDSA on P-256 with SHA-256, RFC 7518 section 3.4)."""
        return cls._from_private(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_private_pem(cls, pem: bytes) -> Self:
        """An ES256 key pair from its unencrypted private PEM. Raises ValueError where it is none."""
        private = load_pem_private_key(pem, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic curve key")  # noqa: TRY004 - the value's fault, not the caller's
        return cls._from_private(private)

    @classmethod
    def hs256(cls, secret: SecretStr) -> Self:
        """The HS256 key of a single service, derived from its `SECRET_KEY` (RFC 7518 section 3.2)."""
        raw = derive_key(secret, "access token hs256")
        key = jwk.construct(raw, "HS256")
        return cls(kid=_thumbprint({"k": to_base64url(raw), "kty": "oct"}), algorithm="HS256", private=key, public=key)

    @classmethod
    def _from_private(cls, private: ec.EllipticCurvePrivateKey) -> Self:
        if not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("ES256 keys are on the curve P-256")  # noqa: TRY004 - the value's fault, not the caller's
        public = _construct(private.public_key())
        members = public.to_dict()
        return cls(
            kid=_thumbprint({name: members[name] for name in ("crv", "kty", "x", "y")}),
            algorithm="ES256",
            private=_construct(private),
            public=public,
        )

    def private_pem(self) -> bytes:
        """The unencrypted private part, for `encrypt_private_key`. Raises ValueError for a symmetric key."""
        if self.algorithm != "ES256":
            raise ValueError("the key has no private PEM")
        return self.private.to_pem()

    def public_jwk(self) -> dict[str, str]:
        """The member of a JWK set that publishes the key (RFC 7517). Raises ValueError for a symmetric key."""
        if self.algorithm != "ES256":
            raise ValueError("the key has no public part")
        return {**self.public.to_dict(), "kid": self.kid, "use": "sig"}

    def sign(self, payload: Mapping[str, Any]) -> str:
        """The payload as an access token of this key."""
        return jws.sign(payload, self.private, headers={"typ": "at+jwt", "kid": self.kid}, algorithm=self.algorithm)


def encrypt_private_key(key: SigningKey, secret: SecretStr) -> bytes:
    """The private part for the database: AES-256-GCM under a key derived from `SECRET_KEY`, bound to the `kid`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = AESGCM(derive_key(secret, "signing key encryption"))
    return nonce + cipher.encrypt(nonce, key.private_pem(), key.kid.encode())


def decrypt_private_key(encrypted: bytes, kid: str, secret: SecretStr) -> SigningKey:
    """The key that `encrypt_private_key` put away.

    Raises:
        ValueError: encrypted under another `SECRET_KEY`, changed, or not the key of this `kid`.
    """
    cipher = AESGCM(derive_key(secret, "signing key encryption"))
    try:
        pem = cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], kid.encode())
    except (InvalidTag, ValueError):
        raise ValueError("the signing key was encrypted under another SECRET_KEY, or changed") from None
    return SigningKey.from_private_pem(pem)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new access token and what it says; `expires_in` is its life in seconds."""

    token: str
    expires_in: int
    claims: AccessClaims


class AccessTokenCodec:
    """Issues and verifies access tokens; verified ones are remembered, so that a signature is checked once.

    Not thread-safe: it belongs to the event loop.

    Args:
        issuer: the `iss` of all tokens.
        former_issuer: one that tokens of these keys may have instead, because it was theirs before.
        audience: the `aud` of all tokens.
        lifetime_seconds: the mean life; single tokens differ by up to 5 % so that they do not all expire at once.
        clock: the time to go by.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        lifetime_seconds: int,
        clock: Clock,
        former_issuer: str | None = None,
    ) -> None:
        self._issuer = issuer
        self._issuers = frozenset({issuer, former_issuer or issuer})
        self._audience = audience
        self._lifetime_seconds = lifetime_seconds
        self._jitter_seconds = int(lifetime_seconds * _JITTER)
        self._clock = clock
        self._active: SigningKey | None = None
        self._keys: dict[str, SigningKey] = {}
        self._verified: OrderedDict[bytes, AccessClaims] = OrderedDict()  # by SHA-256 of the token, oldest first

    @property
    def longest_life_seconds(self) -> int:
        """How long after its issue a token may still be accepted: revocations must be remembered that long."""
        return self._lifetime_seconds + self._jitter_seconds + LEEWAY_SECONDS

    def knows(self, kid: str) -> bool:
        """Whether tokens of this key are accepted."""
        return kid in self._keys

    def public_jwks(self) -> list[dict[str, str]]:
        """The keys that verify, as the members of a JWK set (RFC 7517); a symmetric one is never among them."""
        keys = sorted(self._keys.values(), key=lambda key: key.kid)
        return [key.public_jwk() for key in keys if key.algorithm == "ES256"]

    def set_keys(self, active: SigningKey, verifying: Iterable[SigningKey]) -> None:
        """Sign with `active`, accept signatures of it and of `verifying`. Tokens of other keys end at once."""
        self._active = active
        self._keys = {key.kid: key for key in (*verifying, active)}
        for digest in [digest for digest, claims in self._verified.items() if claims.kid not in self._keys]:
            del self._verified[digest]

    def issue(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        client_id: str,
        auth_version: int,
        scope: Iterable[str],
        amr: Iterable[str],
        acr: str,
        auth_time: datetime,
        not_after: datetime | None = None,
    ) -> IssuedToken:
        """A signed token for one session, whose end `not_after` it does not outlive.

        Raises:
            RuntimeError: `set_keys` has not been called.
        """
        if self._active is None:
            raise RuntimeError("no signing key is set")
        now = int(self._clock.now().timestamp())
        jitter = secrets.randbelow(2 * self._jitter_seconds + 1) - self._jitter_seconds
        expires_in = self._lifetime_seconds + jitter
        if not_after is not None:
            expires_in = min(expires_in, int(not_after.timestamp()) - now)
        claims = AccessClaims(
            iss=self._issuer,
            aud=self._audience,
            sub=user_id,
            client_id=client_id,
            exp=now + expires_in,
            iat=now,
            jti=str(new_id()),
            sid=session_id,
            ver=auth_version,
            scope=frozenset(scope),
            acr=acr,
            amr=tuple(amr),
            auth_time=int(auth_time.timestamp()),
            kid=self._active.kid,
        )
        return IssuedToken(token=self._active.sign(payload_of(claims)), expires_in=expires_in, claims=claims)

    def verify(self, token: str) -> AccessClaims:
        """The claims of a token that this service issued and that is valid now.

        Raises:
            UnknownKeyError: its key is not known here; worth one reload of the keys.
            InvalidTokenError: anything else is wrong with it.
        """
        if len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
            raise InvalidTokenError
        now = self._clock.now().timestamp()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        cached = self._verified.get(digest)
        if cached is not None and cached.exp + LEEWAY_SECONDS > now:
            return cached
        key = self._key_of(token)
        claims = self._accept(_read_payload(token, key), key.kid, now)
        self._remember(digest, claims, now)
        return claims

    def _key_of(self, token: str) -> SigningKey:
        if _THREE_SEGMENTS.fullmatch(token) is None:
            raise InvalidTokenError
        header = _read_header(token.partition(".")[0])
        if header.keys() != _HEADER_MEMBERS or not all(isinstance(value, str) for value in header.values()):
            raise InvalidTokenError
        if header["typ"].lower() not in _TOKEN_TYPES:
            raise InvalidTokenError
        key = self._keys.get(header["kid"])
        if key is None:
            raise UnknownKeyError
        if header["alg"] != key.algorithm:
            raise InvalidTokenError
        return key

    def _accept(self, payload: AccessPayload, kid: str, now: float) -> AccessClaims:
        audiences = [payload.aud] if isinstance(payload.aud, str) else payload.aud
        is_ours = payload.iss in self._issuers and self._audience in audiences
        is_current = max(payload.nbf, payload.iat) - LEEWAY_SECONDS <= now < payload.exp + LEEWAY_SECONDS
        # A longer life comes from another setting; revocations are not remembered that long.
        is_short = payload.exp - payload.iat <= self._lifetime_seconds + self._jitter_seconds
        if not (is_ours and is_current and is_short):
            raise InvalidTokenError
        return AccessClaims(
            iss=payload.iss,
            aud=self._audience,
            sub=payload.sub,
            client_id=payload.client_id,
            exp=payload.exp,
            iat=payload.iat,
            jti=payload.jti,
            sid=payload.sid,
            ver=payload.ver,
            scope=frozenset(payload.scope.split()),
            acr=payload.acr,
            amr=tuple(payload.amr),
            auth_time=payload.auth_time,
            kid=kid,
        )

    def _remember(self, digest: bytes, claims: AccessClaims, now: float) -> None:
        verified = self._verified
        while verified:
            oldest = next(iter(verified.values()))
            if len(verified) < _MAX_CACHED_TOKENS and oldest.exp + LEEWAY_SECONDS > now:
                break
            verified.popitem(last=False)
        verified[digest] = claims


def _read_header(segment: str) -> Mapping[str, Any]:
    try:
        header = orjson.loads(_decode(segment))
    except orjson.JSONDecodeError:
        raise InvalidTokenError from None
    if not isinstance(header, dict):
        raise InvalidTokenError
    return header


def _read_payload(token: str, key: SigningKey) -> AccessPayload:
    _decode(token.rpartition(".")[2])
    try:
        return AccessPayload.model_validate_json(jws.verify(token, key.public, algorithms=[key.algorithm]))
    except (JWSError, ValidationError):
        raise InvalidTokenError from None


def _decode(segment: str) -> bytes:
    try:
        return from_base64url(segment)
    except ValueError:
        raise InvalidTokenError from None


def _construct(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> Key:
    return jwk.construct(key, "ES256")  # type: ignore[arg-type] # the stubs leave out the objects of cryptography


def _thumbprint(members: Mapping[str, str]) -> str:
    return to_base64url(hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest())
