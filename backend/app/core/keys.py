"""Keys for single purposes, derived from `SECRET_KEY`."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr


def derive_key(secret: SecretStr, purpose: str) -> bytes:
    """32 bytes that serve one purpose only, by HKDF-SHA256 (RFC 5869), so that no two uses share a key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(
        secret.get_secret_value().encode()
    )
