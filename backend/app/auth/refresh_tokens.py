"""Refresh tokens: `rt1.<session>.<generation>.<secret>.<tag>`, recognised without the database.

The tag is an HMAC, so that text that this service did not write is refused before any query and cannot harm a session.
The next generation's secret is derived from the present one: whoever repeats a rotation gets the same successor.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import SecretStr

from app.auth.errors import InvalidGrantError
from app.core.base64url import from_base64url, to_base64url
from app.core.keys import derive_key

_PREFIX = "rt1"
_SECRET_BYTES = 32
_TAG_BYTES = 16
_MAX_LENGTH = 128  # prefix, UUID, ten digits, 43 and 22 characters of base64url, four dots: 118


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One generation of a session's refresh token; generations count from 1."""

    session_id: UUID
    generation: int
    secret: bytes = field(repr=False)


class RefreshTokenCodec:
    """Makes, writes and reads refresh tokens under keys derived from `SECRET_KEY`."""

    def __init__(self, secret: SecretStr) -> None:
        self._tag_key = derive_key(secret, "refresh token tag")
        self._successor_key = derive_key(secret, "refresh token successor")

    def first(self, session_id: UUID) -> RefreshToken:
        """A new session's token, with a random secret of 256 bits."""
        return RefreshToken(session_id, generation=1, secret=secrets.token_bytes(_SECRET_BYTES))

    def successor(self, token: RefreshToken) -> RefreshToken:
        """The token of the next generation, always the same for the same token."""
        generation = token.generation + 1
        message = b"|".join((token.session_id.bytes, b"%d" % generation, token.secret))
        return RefreshToken(token.session_id, generation, hmac.digest(self._successor_key, message, hashlib.sha256))

    def encode(self, token: RefreshToken) -> str:
        """The text that the client keeps."""
        body = _body(token)
        return f"{body}.{to_base64url(self._tag(body))}"

    def decode(self, text: str) -> RefreshToken:
        """The token behind a text.

        Raises:
            InvalidGrantError: not exactly a text that `encode` wrote under this `SECRET_KEY`.
        """
        try:
            if len(text) > _MAX_LENGTH:
                raise ValueError
            _prefix, session_id, generation, secret, _tag = text.split(".")
            token = RefreshToken(UUID(session_id), int(generation), from_base64url(secret))
            # One comparison for the tag and for the one canonical way to write each part.
            if not hmac.compare_digest(self.encode(token).encode(), text.encode()):
                raise ValueError
        except ValueError:
            raise InvalidGrantError from None
        return token

    def digest(self, token: RefreshToken) -> bytes:
        """SHA-256 of the token, 32 bytes: what the database keeps. The token cannot be made from it."""
        return hashlib.sha256(_body(token).encode()).digest()

    def _tag(self, body: str) -> bytes:
        return hmac.digest(self._tag_key, body.encode(), hashlib.sha256)[:_TAG_BYTES]


def _body(token: RefreshToken) -> str:
    return f"{_PREFIX}.{token.session_id}.{token.generation}.{to_base64url(token.secret)}"
