"""Who calls the endpoints of tokens, and the service behind them."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.security import SecurityScopes
from starlette.requests import Request

from app.auth.bearer import BearerScheme
from app.auth.dependencies import ClientDep
from app.auth.errors import REALM, InsufficientScopeError, MissingTokenError, challenge
from app.auth.permissions import TOKENS_INTROSPECT
from app.auth.service_accounts.client_auth import (
    ClientCredentialsGrantDep,
    ClientIdForm,
    ClientSecretForm,
    client_credentials,
)
from app.auth.token_endpoints.service import TokenEndpointService
from app.auth.types import PrincipalKind
from app.db.session import SessionDep

_bearer = BearerScheme()
_EITHER_SCHEME = {"WWW-Authenticate": f'Bearer realm="{REALM}", Basic realm="{REALM}", charset="UTF-8"'}
_NOT_PERMITTED = challenge(error="insufficient_scope", scope=TOKENS_INTROSPECT)


async def get_token_endpoint_service(request: Request, session: SessionDep) -> TokenEndpointService:
    """The service of this request."""
    return TokenEndpointService(session, request.app.state.merit.auth)


async def get_calling_client(
    request: Request,
    grant: ClientCredentialsGrantDep,
    client: ClientDep,
    client_id: ClientIdForm = None,
    client_secret: ClientSecretForm = None,
) -> str | None:
    """The client that says who it is: a service account proves it, a public client has nothing to prove it with.

    Raises:
        OAuthRequestError, InvalidClientError, LoginThrottledError: it tried to prove it, and failed.
    """
    if client_secret is None and "authorization" not in request.headers:
        return client_id
    service = await grant.authenticate(client_credentials(request, client_id, client_secret), client)
    return str(service.account.id)


async def get_introspector(
    request: Request,
    grant: ClientCredentialsGrantDep,
    client: ClientDep,
    client_id: ClientIdForm = None,
    client_secret: ClientSecretForm = None,
) -> UUID:
    """The service account that may ask about tokens (RFC 7662 section 2.1), proven by its secret or an access token.

    Raises:
        MissingTokenError: it did not say who it is.
        InvalidClientError, InvalidTokenError: it is not who it says.
        InsufficientScopeError: it may not, or is a person.
    """
    authorization = request.headers.get("authorization", "")
    if not authorization and client_secret is None:
        raise MissingTokenError(headers=_EITHER_SCHEME)
    if authorization.partition(" ")[0].lower() == "bearer":
        principal = await _bearer(request, SecurityScopes([TOKENS_INTROSPECT]))
        if principal.kind is not PrincipalKind.SERVICE:
            raise InsufficientScopeError("Only service accounts may ask about tokens.", headers=_NOT_PERMITTED)
        return principal.user_id
    service = await grant.authenticate(client_credentials(request, client_id, client_secret), client)
    if TOKENS_INTROSPECT not in service.permissions:
        raise InsufficientScopeError(f"This needs the permission {TOKENS_INTROSPECT}.", headers=_NOT_PERMITTED)
    return service.account.id


TokenEndpointServiceDep = Annotated[TokenEndpointService, Depends(get_token_endpoint_service)]
CallingClient = Annotated[str | None, Depends(get_calling_client)]
Introspector = Annotated[UUID, Depends(get_introspector)]
