"""The bearer scheme: from the `Authorization` header to the principal, without SQL."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Security
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from app.auth.components import AuthComponents
from app.auth.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    MalformedAuthorizationError,
    MissingTokenError,
    StaleLoginError,
    challenge,
)
from app.auth.tokens import UnknownKeyError
from app.auth.types import PERMISSION_DESCRIPTIONS, AccessClaims, Permission, Principal

_FORM_HELP = (
    "Log in with e-mail address or user name. Leave the rest empty: there is no client secret, and a token without "
    "chosen scopes has every permission of the account."
)
TOKEN_URL = "/api/v1/auth/token"  # noqa: S105 - an address, not a secret


class BearerScheme(SecurityBase):
    """Verifies the access token of a request (RFC 6750 section 2.1), and that it carries the scopes needed.

    FastAPI's own scheme lets an empty token pass; this one keeps only its description in the OpenAPI document, where
    Swagger UI's form finds the token endpoint.
    """

    NAME: ClassVar[str] = "account"

    def __init__(self) -> None:
        scopes = {permission.value: text for permission, text in PERMISSION_DESCRIPTIONS.items()}
        flow = OAuthFlowPassword(tokenUrl=TOKEN_URL, refreshUrl=TOKEN_URL, scopes=scopes)
        self.model = OAuth2Model(flows=OAuthFlows(password=flow), description=_FORM_HELP)
        self.scheme_name = self.NAME

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> Principal:
        """The caller.

        Raises:
            MissingTokenError, MalformedAuthorizationError, InvalidTokenError: no usable token.
            InsufficientScopeError: the token lacks a needed permission.
        """
        parts: AuthComponents = request.app.state.merit.auth
        claims = await _verified(parts, bearer_token(request))
        if await parts.revocations.is_revoked(claims):
            raise InvalidTokenError
        missing = [scope for scope in security_scopes.scopes if scope not in claims.scope]
        if missing:
            scope = " ".join(security_scopes.scopes)
            raise InsufficientScopeError(
                f"This needs the permission {scope}.", headers=challenge(error="insufficient_scope", scope=scope)
            )
        request.scope["merit.caller"] = claims.sub
        return Principal(
            user_id=claims.sub,
            session_id=claims.sid,
            client_id=claims.client_id,
            permissions=claims.scope,
            auth_time=datetime.fromtimestamp(claims.auth_time, UTC),
        )


def bearer_token(request: Request) -> str:
    """The token of the one `Authorization: Bearer …` header.

    Raises:
        MissingTokenError: there is none, or one of another scheme.
        MalformedAuthorizationError: two headers, or not exactly one token after one space.
    """
    lines = request.headers.getlist("authorization")
    if not lines:
        raise MissingTokenError
    if len(lines) > 1:
        raise MalformedAuthorizationError("Send one Authorization header.")
    scheme, space, token = lines[0].partition(" ")
    if scheme.lower() != "bearer":
        raise MissingTokenError
    if not space or not token or " " in token:
        raise MalformedAuthorizationError("Send one token after 'Bearer '.")
    return token


async def _verified(parts: AuthComponents, token: str) -> AccessClaims:
    try:
        return parts.access_tokens.verify(token)
    except UnknownKeyError:
        # Another worker may have added a key since ours were loaded.
        if not await parts.keys.reload():
            raise InvalidTokenError from None
    try:
        return parts.access_tokens.verify(token)
    except UnknownKeyError:
        raise InvalidTokenError from None


_bearer = BearerScheme()


def require(*permissions: Permission) -> Any:
    """The dependency that lets only callers with these permissions in, and gives the endpoint its `Principal`."""
    return Security(_bearer, scopes=[permission.value for permission in permissions])


ProfileReader = Annotated[Principal, require(Permission.PROFILE_READ)]
ProfileWriter = Annotated[Principal, require(Permission.PROFILE_WRITE)]
UsersReader = Annotated[Principal, require(Permission.USERS_READ)]
UsersWriter = Annotated[Principal, require(Permission.USERS_WRITE)]


async def _fresh(request: Request, principal: ProfileWriter) -> Principal:
    """A caller who has logged in a moment ago (RFC 9470)."""
    parts: AuthComponents = request.app.state.merit.auth
    max_age = parts.settings.fresh_login_seconds
    if (parts.clock.now() - principal.auth_time).total_seconds() > max_age:
        headers = challenge(error=StaleLoginError.code, error_description=StaleLoginError.title, max_age=str(max_age))
        raise StaleLoginError(f"Log in again; {max_age} s after a login this is refused.", headers=headers)
    return principal


async def _optional(request: Request) -> Principal | None:
    """The caller, or None where there is no token or a dead one."""
    try:
        return await _bearer(request, SecurityScopes())
    except (MissingTokenError, InvalidTokenError):
        return None


OptionalPrincipal = Annotated[Principal | None, Depends(_optional)]
FreshProfileWriter = Annotated[Principal, Security(_fresh)]
