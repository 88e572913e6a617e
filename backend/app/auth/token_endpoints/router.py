"""`/auth/revoke` and `/auth/introspect`: what OAuth2 clients and resource servers ask of tokens."""

from typing import Annotated

from fastapi import Depends, Form

from app.auth.bearer import BearerScheme
from app.auth.dependencies import ClientDep, forbid_storing
from app.auth.errors import (
    InsufficientScopeError,
    InvalidGrantError,
    InvalidTokenError,
    LoginThrottledError,
    MissingTokenError,
)
from app.auth.oauth import OAuthRequestError, oauth_error_responses, render_oauth_error
from app.auth.permissions import TOKENS_INTROSPECT
from app.auth.service_accounts.client_auth import CLIENT_SCHEME, OPTIONAL_CLIENT
from app.auth.service_accounts.errors import InvalidClientError
from app.auth.token_endpoints.dependencies import CallingClient, Introspector, TokenEndpointServiceDep
from app.auth.token_endpoints.errors import UnsupportedTokenTypeError
from app.auth.token_endpoints.schemas import ActiveTokenRead, InactiveTokenRead
from app.routing import api_router

router = api_router("/auth", tags=["auth"])

_MAX_TOKEN_LENGTH = 8192
Token = Annotated[str, Form(min_length=1, max_length=_MAX_TOKEN_LENGTH, examples=["rt1.0199c2a4-….1.…"])]
TokenTypeHint = Annotated[
    str | None, Form(max_length=64, description="Not needed: a token's kind is seen from the token.")
]


@router.post(
    "/revoke",
    summary="Revoke a token",
    dependencies=[Depends(forbid_storing)],
    responses=oauth_error_responses(
        OAuthRequestError, InvalidClientError, InvalidGrantError, UnsupportedTokenTypeError, LoginThrottledError
    ),
    openapi_extra=OPTIONAL_CLIENT,
)
async def revoke_token(
    token: Token,
    caller: CallingClient,
    tokens: TokenEndpointServiceDep,
    client: ClientDep,
    token_type_hint: TokenTypeHint = None,  # noqa: ARG001 - clients may send it
) -> None:
    """End what a token depends on (RFC 7009): a refresh or access token ends its session, a personal token itself.

    Whoever holds the token may do so. 200 also for what is no living token.
    """
    await tokens.revoke(token, caller, client)


@router.post(
    "/introspect",
    response_model=ActiveTokenRead | InactiveTokenRead,
    summary="Ask about a token",
    dependencies=[Depends(forbid_storing)],
    responses=oauth_error_responses(
        OAuthRequestError,
        InvalidClientError,
        MissingTokenError,
        InvalidTokenError,
        InsufficientScopeError,
        LoginThrottledError,
    ),
    openapi_extra={"security": [{CLIENT_SCHEME: []}, {BearerScheme.NAME: [TOKENS_INTROSPECT]}]},
)
async def introspect_token(
    token: Token,
    _asker: Introspector,
    tokens: TokenEndpointServiceDep,
    token_type_hint: TokenTypeHint = None,  # noqa: ARG001 - resource servers may send it
) -> dict[str, object]:
    """Whether an access token or personal token is accepted at this moment (RFC 7662), and what it permits.

    For service accounts, by HTTP Basic or with an access token of their own. A revoked token is told at once.
    """
    return await tokens.introspect(token)


revoke_token.error_renderer = render_oauth_error  # type: ignore[attr-defined]
introspect_token.error_renderer = render_oauth_error  # type: ignore[attr-defined]
