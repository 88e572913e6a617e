"""The texts of one-time tokens: links' tokens `mot_<id>_<secret><crc32>`, and codes of six digits.

Both are derived by HMAC from the row's id and purpose when the mail is made, and again when one is presented. So
neither the table nor the jobs that send the mails hold anything that can be presented.
"""

import hashlib
import hmac
from collections.abc import Iterable
from uuid import UUID

from pydantic import SecretStr

from app.auth.one_time_tokens.types import CODE_DIGITS, TokenPurpose
from app.auth.secret_texts import SecretTextCodec
from app.core.keys import derive_key

PREFIX = "mot"


class OneTimeTokenCodec:
    """Makes and recognises tokens and codes under keys derived from `SECRET_KEY`."""

    def __init__(self, secret: SecretStr) -> None:
        self._texts = SecretTextCodec(PREFIX, secret)
        self._token_key = derive_key(secret, "one-time token")
        self._code_key = derive_key(secret, "one-time code")

    def token(self, purpose: TokenPurpose, id_: UUID) -> str:
        """The text in a link."""
        return self._texts.encode(id_, _mac(self._token_key, purpose, id_)).text

    def code(self, purpose: TokenPurpose, id_: UUID) -> str:
        """The six digits that a person can type."""
        number = int.from_bytes(_mac(self._code_key, purpose, id_)) % 10**CODE_DIGITS
        return f"{number:0{CODE_DIGITS}}"

    def id_of(self, text: str, purposes: Iterable[TokenPurpose]) -> UUID | None:
        """The row behind a token; None where it is not exactly one of ours for one of these purposes."""
        found = self._texts.decode(text)
        if found is None:
            return None
        ours = (self.token(purpose, found.id).encode() for purpose in purposes)
        return found.id if any(hmac.compare_digest(one, text.encode()) for one in ours) else None

    def is_code(self, code: str, purpose: TokenPurpose, id_: UUID) -> bool:
        """Whether this is the code of a row."""
        return hmac.compare_digest(self.code(purpose, id_).encode(), code.encode())


def _mac(key: bytes, purpose: TokenPurpose, id_: UUID) -> bytes:
    return hmac.digest(key, id_.bytes + purpose.encode(), hashlib.sha256)
