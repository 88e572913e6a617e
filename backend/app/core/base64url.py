"""Base64url without padding (RFC 4648 section 5, RFC 7515 section 2): how bytes are written into tokens."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def to_base64url(data: bytes) -> str:
    """The one canonical text for some bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes that `to_base64url` wrote.

    Raises:
        ValueError: padded, of other characters, or not canonical (RFC 4648 section 3.5).
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise ValueError("not canonical base64url")
    return data
