"""Keyset pages: signed cursors, and the shape of every list answer."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr

from app.core.base64url import from_base64url, to_base64url
from app.core.errors import InvalidCursorError
from app.core.keys import derive_key

ItemT = TypeVar("ItemT")

_TAG_BYTES = 16
_MAX_CURSOR_LENGTH = 1024

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """One page of a list; `next_cursor` is None on the last one."""

    items: list[ItemT]
    next_cursor: str | None


class PageRead(BaseModel, Generic[ItemT]):
    """One page of a list; `next_cursor` is null on the last one."""

    model_config = ConfigDict(from_attributes=True)

    items: list[ItemT]
    next_cursor: str | None


class CursorCodec:
    """Makes cursors that only this service can make, so that their values need no further suspicion."""

    def __init__(self, secret: SecretStr) -> None:
        self._key = derive_key(secret, "pagination cursor")

    def encode(self, scope: str, values: list[Any]) -> str:
        """A URL-safe cursor for the position `values` in the list that `scope` names (its sort order)."""
        payload = orjson.dumps([scope, *values])
        return to_base64url(self._tag(payload) + payload)

    def decode(self, scope: str, cursor: str) -> list[Any]:
        """The position behind a cursor.

        Raises:
            InvalidCursorError: not a cursor of this service, or one of a list in another order.
        """
        try:
            if len(cursor) > _MAX_CURSOR_LENGTH:
                raise ValueError
            raw = from_base64url(cursor)
            payload = raw[_TAG_BYTES:]
            if not hmac.compare_digest(raw[:_TAG_BYTES], self._tag(payload)):
                raise ValueError
            made_for, *values = orjson.loads(payload)
            if made_for != scope:
                raise ValueError
        except ValueError:
            raise InvalidCursorError("The cursor does not belong to this list.") from None
        return list(values)

    def _tag(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:_TAG_BYTES]
