"""Secrets that people and machines keep: `<prefix>_<id>_<secret><crc32>`, recognised without the database.

The checksum lets scanners of source code tell a real one from a look-alike, as anyone can compute it. Whether this
service wrote it, the last 8 bytes of the secret say, which are an HMAC: text that was made up is refused before any
query. What opens the door is neither, but the 256 random bits whose digest the database keeps.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import SecretStr

from app.core.keys import derive_key

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ID_BYTES = 16
_RANDOM_BYTES = 32
_TAG_BYTES = 8
_SECRET_BYTES = _RANDOM_BYTES + _TAG_BYTES

# How many base62 digits hold a UUID, the secret and a CRC-32.
_ID_DIGITS, _SECRET_DIGITS, _CRC_DIGITS = 22, 54, 6


@dataclass(frozen=True, slots=True)
class SecretText:
    """One secret, as it is shown once. `digest` is the SHA-256 of `text`: what the database keeps."""

    id: UUID
    text: str = field(repr=False)
    digest: bytes = field(repr=False)


class SecretTextCodec:
    """Makes and recognises the secrets of one kind.

    Args:
        prefix: tells the kind; no two kinds share one, so none can be used for another.
        secret: `SECRET_KEY`; under another one no secret is recognised any more.
    """

    def __init__(self, prefix: str, secret: SecretStr) -> None:
        self._prefix = prefix
        self._key = derive_key(secret, f"secret text {prefix}")
        self._form = re.compile(pattern_of(prefix))

    def is_ours(self, text: str) -> bool:
        """Whether a text claims to be of this kind."""
        return text.startswith(f"{self._prefix}_")

    def has_form(self, text: str) -> bool:
        """Whether a text looks like one, whoever wrote it."""
        return self._form.fullmatch(text) is not None

    def new(self, id_: UUID) -> SecretText:
        """A new secret of 256 random bits."""
        return self.encode(id_, secrets.token_bytes(_RANDOM_BYTES))

    def decode(self, text: str) -> SecretText | None:
        """The secret behind a text; None where it is not exactly one that `new` made under this `SECRET_KEY`."""
        if not self.has_form(text) or text[-_CRC_DIGITS:] != _checksum(text[:-_CRC_DIGITS]):
            return None
        _, id_digits, rest = text.split("_")
        try:
            id_ = UUID(bytes=_from_base62(id_digits, _ID_BYTES))
            secret = _from_base62(rest[:_SECRET_DIGITS], _SECRET_BYTES)
        except OverflowError:
            return None
        # One comparison for the tag; the digits are the one canonical way to write the bytes.
        found = self.encode(id_, secret[:_RANDOM_BYTES])
        return found if hmac.compare_digest(found.text.encode(), text.encode()) else None

    def encode(self, id_: UUID, random: bytes) -> SecretText:
        """The secret that these 32 bytes make."""
        tag = hmac.digest(self._key, id_.bytes + random, hashlib.sha256)[:_TAG_BYTES]
        body = f"{self._prefix}_{_to_base62(id_.bytes, _ID_DIGITS)}_{_to_base62(random + tag, _SECRET_DIGITS)}"
        text = body + _checksum(body)
        return SecretText(id=id_, text=text, digest=hashlib.sha256(text.encode()).digest())


def pattern_of(prefix: str) -> str:
    """The regular expression for secret scanners."""
    return rf"{prefix}_[0-9A-Za-z]{{{_ID_DIGITS}}}_[0-9A-Za-z]{{{_SECRET_DIGITS + _CRC_DIGITS}}}"


def _checksum(body: str) -> str:
    """CRC-32 (ISO 3309) of everything before it, in base62."""
    return _to_base62(zlib.crc32(body.encode()).to_bytes(4), _CRC_DIGITS)


def _to_base62(data: bytes, digits: int) -> str:
    number, text = int.from_bytes(data), ""
    for _ in range(digits):
        number, digit = divmod(number, len(_ALPHABET))
        text = _ALPHABET[digit] + text
    return text


def _from_base62(text: str, size: int) -> bytes:
    """Raises OverflowError where the number needs more than `size` bytes."""
    number = 0
    for character in text:
        number = number * len(_ALPHABET) + _VALUES[character]
    return number.to_bytes(size)
