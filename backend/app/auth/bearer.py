"""The bearer scheme: from the `Authorization` header to the principal, without SQL."""

from typing import Annotated, Any, ClassVar

from fastapi import Depends, Security
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlowPassword, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from app.auth.components import AuthComponents
from app.auth.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    MalformedAuthorizationError,
    MissingTokenError,
    SessionRequiredError,
    StaleLoginError,
    challenge,
)
from app.auth.permissions import (
    PROFILE_READ,
    PROFILE_WRITE,
    USERS_READ,
    USERS_WRITE,
    Permission,
    all_permissions,
)
from app.auth.proof import principal_of, prove, require_person
from app.auth.types import Principal, PrincipalKind
from app.core.problems import refuses

_FORM_HELP = (
    "People log in by the flow `password`, with e-mail address or user name. Leave the rest empty: there is no client "
    "secret, and a token without chosen scopes has every permission of the account. Service accounts use the flow "
    "`clientCredentials`."
)
TOKEN_URL = "/api/v1/auth/token"  # noqa: S105 - an address, not a secret


class BearerScheme(SecurityBase):
    """Verifies the access token of a request (RFC 6750 section 2.1), and that it carries the scopes needed.

    FastAPI's own scheme lets an empty token pass; this one keeps only its description in the OpenAPI document, where
    Swagger UI's form finds the token endpoint.
    """

    NAME: ClassVar[str] = "account"

    def __init__(self) -> None:
        self.scheme_name = self.NAME

    @property
    def model(self) -> OAuth2Model:  # type: ignore[override] # made for each document, for permissions are declared later
        """What the OpenAPI document says of it."""
        scopes = {name: permission.description for name, permission in all_permissions().items()}
        flows = OAuthFlows(
            password=OAuthFlowPassword(tokenUrl=TOKEN_URL, refreshUrl=TOKEN_URL, scopes=scopes),
            clientCredentials=OAuthFlowClientCredentials(tokenUrl=TOKEN_URL, scopes=scopes),
        )
        return OAuth2Model(flows=flows, description=_FORM_HELP)

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> Principal:
        """The caller.

        Raises:
            MissingTokenError, MalformedAuthorizationError, InvalidTokenError: no usable token.
            InsufficientScopeError: the token lacks a needed permission.
        """
        parts: AuthComponents = request.app.state.merit.auth
        kind, claims = await prove(parts, bearer_token(request))
        if kind is PrincipalKind.PERSONAL_TOKEN:
            parts.personal_tokens.usage.note(claims.sid, request.scope.get("merit.client_address"))
        missing = [scope for scope in security_scopes.scopes if scope not in claims.scope]
        if missing:
            scope = " ".join(security_scopes.scopes)
            raise InsufficientScopeError(
                f"This needs the permission {scope}.", headers=challenge(error="insufficient_scope", scope=scope)
            )
        request.scope["merit.caller"] = claims.sub
        return principal_of(kind, claims)


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


_bearer = BearerScheme()


@refuses(SessionRequiredError)
async def _interactive(principal: Annotated[Principal, Security(_bearer)]) -> Principal:
    """A caller who has logged in, and not a program with a personal or service token."""
    require_person(principal)
    return principal


@refuses(StaleLoginError)
async def _fresh(request: Request, principal: Annotated[Principal, Security(_interactive)]) -> Principal:
    """A caller who has logged in a moment ago (RFC 9470)."""
    parts: AuthComponents = request.app.state.merit.auth
    max_age = parts.settings.fresh_login_seconds
    if (parts.clock.now() - principal.auth_time).total_seconds() > max_age:
        headers = challenge(error=StaleLoginError.code, error_description=StaleLoginError.title, max_age=str(max_age))
        raise StaleLoginError(f"Log in again; {max_age} s after a login this is refused.", headers=headers)
    return principal


def require(*permissions: Permission, interactive: bool = False, fresh: bool = False) -> Any:
    """The dependency that lets only callers with these permissions in, and gives the endpoint its `Principal`.

    `interactive` is for whatever changes credentials, makes tokens or ends sessions: it needs a login session.
    `fresh` needs one whose login was a moment ago.
    """
    dependency = _fresh if fresh else _interactive if interactive else _bearer
    return Security(dependency, scopes=list(permissions))


ProfileReader = Annotated[Principal, require(PROFILE_READ)]
ProfileWriter = Annotated[Principal, require(PROFILE_WRITE)]
InteractiveProfileReader = Annotated[Principal, require(PROFILE_READ, interactive=True)]
InteractiveProfileWriter = Annotated[Principal, require(PROFILE_WRITE, interactive=True)]
FreshProfileWriter = Annotated[Principal, require(PROFILE_WRITE, fresh=True)]
UsersReader = Annotated[Principal, require(USERS_READ)]
UsersWriter = Annotated[Principal, require(USERS_WRITE)]
InteractiveUsersWriter = Annotated[Principal, require(USERS_WRITE, interactive=True)]


async def _optional(request: Request) -> Principal | None:
    """The caller, or None where there is no token or a dead one."""
    try:
        return await _bearer(request, SecurityScopes())
    except (MissingTokenError, InvalidTokenError):
        return None


OptionalPrincipal = Annotated[Principal | None, Depends(_optional)]
