"""What other programs need to know of this service, made from its settings and its keys."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from app.auth.components import AuthComponents
from app.auth.permissions import all_permissions
from app.auth.wellknown.errors import NotPublishedError
from app.core.logging import get_logger

logger = get_logger("auth.wellknown")

_TOKEN = "/api/v1/auth/token"  # noqa: S105 - an address, not a secret
_REVOKE = "/api/v1/auth/revoke"
_INTROSPECT = "/api/v1/auth/introspect"
KEY_SET = "/.well-known/jwks.json"
SECURITY = "/.well-known/security.txt"
_SECURITY_TEXT_LIFE = timedelta(days=180)  # RFC 9116 section 2.5.5 recommends less than a year

GRANT_TYPES = ("password", "refresh_token", "client_credentials")
_CLIENT_SECRET = ("client_secret_basic", "client_secret_post")


class WellKnownService:
    """The documents under `/.well-known/`. They cost no SQL but where the keys have changed."""

    def __init__(self, components: AuthComponents) -> None:
        self._settings = components.settings
        self._keys = components.keys
        self._revocations = components.revocations
        self._access_tokens = components.access_tokens
        self._clock = components.clock

    @property
    def key_set_max_age(self) -> int:
        """How many seconds the key set may be kept; a new key is in it twice as long before its first use."""
        return self._settings.jwks_max_age_seconds

    async def key_set(self) -> dict[str, Any]:
        """The keys that verify access tokens (RFC 7517 section 5)."""
        try:
            await self._revocations.catch_up()
        except Exception as error:  # the database may be away: the last keys known serve verifiers better than none
            logger.warning("the key set may be old", error=type(error).__name__)
        return {"keys": self._access_tokens.public_jwks()}

    def metadata(self) -> dict[str, Any]:
        """What OAuth2 clients and resource servers can find here (RFC 8414 section 2).

        Raises:
            NotPublishedError: the issuer is not the address that clients have this document from (section 3.3).
        """
        issuer, base = self._settings.issuer, self._settings.base_url
        if issuer != base:
            raise NotPublishedError("Set PUBLIC_URL, and leave JWT_ISSUER empty: the issuer must be this address.")
        document = {
            "issuer": issuer,
            "token_endpoint": base + _TOKEN,
            "token_endpoint_auth_methods_supported": ["none", *_CLIENT_SECRET],
            "grant_types_supported": list(GRANT_TYPES),
            # There is no authorization endpoint. Section 2 requires the member, section 3.2 omits empty ones: libraries
            # refuse a document without it, and none minds an empty list.
            "response_types_supported": [],
            "scopes_supported": list(all_permissions()),
            "revocation_endpoint": base + _REVOKE,
            "revocation_endpoint_auth_methods_supported": ["none", *_CLIENT_SECRET],
            "introspection_endpoint": base + _INTROSPECT,
            "introspection_endpoint_auth_methods_supported": [*_CLIENT_SECRET, "Bearer"],
        }
        if self._keys.is_rotatable:
            document["jwks_uri"] = base + KEY_SET
        if self._settings.docs_enabled:
            document["service_documentation"] = f"{base}/docs"
        return document

    def security_text(self) -> str:
        """Where to report a security problem (RFC 9116).

        Raises:
            NotPublishedError: no contact is set.
        """
        if self._settings.security_contact is None:
            raise NotPublishedError
        expires = datetime.combine((self._clock.now() + _SECURITY_TEXT_LIFE).date(), time(), UTC)
        lines = [
            f"Contact: {self._settings.security_contact}",
            f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
            "Preferred-Languages: en",
        ]
        if self._settings.public_url is not None:
            lines.append(f"Canonical: {self._settings.public_url}{SECURITY}")
        return "".join(f"{line}\n" for line in lines)
