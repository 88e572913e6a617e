"""`/auth`: log in, renew and end sessions."""

from typing import Annotated

from fastapi import Depends, Form, status
from starlette.requests import Request

from app.auth.bearer import BearerScheme
from app.auth.dependencies import AuthServiceDep, ClientDep, OptionalPrincipal, forbid_storing
from app.auth.devices.cookies import REFRESH_COOKIE_PARAMETER, TokenTransportDep
from app.auth.devices.errors import OriginRefusedError, RefreshTokenTwiceError
from app.auth.errors import (
    HashQueueFullError,
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidScopeError,
    LoginThrottledError,
    MalformedAuthorizationError,
    MissingTokenError,
    SessionRequiredError,
    UnsupportedGrantTypeError,
)
from app.auth.guests.dependencies import OptionalGuestToken
from app.auth.oauth import OAuthRequestError, oauth_error_responses, render_oauth_error, token_request
from app.auth.schemas import ClientId, LoginRequest, LogoutRequest, RefreshRequest, TokenRead
from app.auth.service_accounts.client_auth import (
    OPTIONAL_CLIENT,
    ClientCredentialsGrantDep,
    ClientSecretForm,
    client_credentials,
    public_client,
)
from app.auth.service_accounts.errors import InvalidClientError, UnauthorizedClientError
from app.auth.service_accounts.grant import ServiceToken
from app.auth.service_accounts.schemas import ServiceTokenRead
from app.auth.types import FIRST_PARTY_CLIENT, PasswordLogin
from app.core.problems import error_responses
from app.core.text import SafeStr
from app.routing import api_router

router = api_router("/auth", tags=["auth"])
_FormText = Annotated[str | None, Form(max_length=512)]


@router.post(
    "/login",
    response_model=TokenRead,
    summary="Log in",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        InvalidCredentialsError,
        InvalidClientError,
        InvalidScopeError,
        OriginRefusedError,
        LoginThrottledError,
        HashQueueFullError,
    ),
)
async def login(
    body: LoginRequest,
    auth: AuthServiceDep,
    client: ClientDep,
    transport: TokenTransportDep,
    guest_token: OptionalGuestToken = None,
) -> dict[str, object]:
    """Exchange a password for an access token and a refresh token. Failures do not tell whether the account exists.

    A browser also gets a device cookie, by which it is known at the next login; that cookie alone logs nobody in.
    """
    transport.choose(use_cookie=body.use_cookie)
    request = PasswordLogin(
        login=body.email or body.username or "",
        password=body.password.get_secret_value(),
        client_id=body.client_id,
        scope=_scopes(body.scope),
        device_name=body.device_name,
        device_cookie=transport.device_cookie,
        guest_token=guest_token,
    )
    return transport.answer(await auth.login(request, client))


@router.post(
    "/token",
    response_model=TokenRead | ServiceTokenRead,
    summary="Log in or refresh by OAuth2 form",
    dependencies=[Depends(forbid_storing)],
    responses=oauth_error_responses(
        OAuthRequestError,
        InvalidClientError,
        InvalidGrantError,
        InvalidScopeError,
        UnauthorizedClientError,
        UnsupportedGrantTypeError,
        LoginThrottledError,
        HashQueueFullError,
    ),
    openapi_extra=OPTIONAL_CLIENT,
)
async def create_token(
    request: Request,
    auth: AuthServiceDep,
    service_grant: ClientCredentialsGrantDep,
    client: ClientDep,
    transport: TokenTransportDep,
    grant_type: Annotated[str | None, Form(max_length=64, examples=["password"])] = None,
    username: Annotated[SafeStr | None, Form(max_length=254, description="E-mail address or user name.")] = None,
    password: Annotated[str | None, Form(max_length=256, json_schema_extra={"format": "password"})] = None,
    refresh_token: _FormText = None,
    scope: _FormText = None,
    client_id: Annotated[ClientId | None, Form()] = None,
    client_secret: ClientSecretForm = None,
    guest_token: OptionalGuestToken = None,
) -> dict[str, object]:
    """The token endpoint of RFC 6749: the grants `password` (first-party clients only), `refresh_token`, and
    `client_credentials` of service accounts, which authenticate themselves by HTTP Basic or in the form. The first two
    are for clients without a secret; a refresh token in the cookie besides is refused.
    """
    grant = token_request(grant_type, username, password, refresh_token)
    scopes = _scopes(scope)
    if grant.is_of_client:
        credentials = client_credentials(request, client_id, client_secret)
        return _service_token_answer(await service_grant.issue(credentials, scopes, client))
    public = await public_client(request, service_grant, client, client_id, client_secret)
    client_id = public or FIRST_PARTY_CLIENT
    if grant.refresh_token is not None:
        transport.refuse_cookie()
        tokens = await auth.refresh(grant.refresh_token, client_id=client_id, scope=scopes, client=client)
    else:
        login = PasswordLogin(
            grant.username,
            grant.password,
            client_id,
            scopes,
            device_cookie=transport.device_cookie,
            guest_token=guest_token,
        )
        tokens = await auth.login(login, client)
    return transport.answer(tokens)


create_token.error_renderer = render_oauth_error  # type: ignore[attr-defined]


@router.post(
    "/refresh",
    response_model=TokenRead,
    summary="Renew the tokens",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        InvalidGrantError, InvalidClientError, InvalidScopeError, RefreshTokenTwiceError, OriginRefusedError
    ),
    openapi_extra=REFRESH_COOKIE_PARAMETER,
)
async def refresh(
    auth: AuthServiceDep, client: ClientDep, transport: TokenTransportDep, body: RefreshRequest | None = None
) -> dict[str, object]:
    """Exchange a refresh token for new tokens.

    Repeating the exchange within 30 seconds gives the same refresh token again; using an older one ends the session.
    A token that came in the cookie goes back there, and is null in the answer.
    """
    body = body or RefreshRequest()
    text = transport.refresh_token(body.refresh_token, use_cookie=body.use_cookie)
    tokens = await auth.refresh(text, client_id=body.client_id, scope=_scopes(body.scope), client=client)
    return transport.answer(tokens)


@router.post(
    "/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Log out",
    responses=error_responses(
        MissingTokenError,
        MalformedAuthorizationError,
        SessionRequiredError,
        RefreshTokenTwiceError,
        OriginRefusedError,
    ),
    openapi_extra={"security": [{BearerScheme.NAME: []}, {}], **REFRESH_COOKIE_PARAMETER},
)
async def logout(
    auth: AuthServiceDep,
    client: ClientDep,
    principal: OptionalPrincipal,
    transport: TokenTransportDep,
    body: LogoutRequest | None = None,
) -> None:
    """End this session, all `others`, or `all`, proven by an access token, or by a refresh token in body or cookie."""
    body = body or LogoutRequest()
    text = transport.logout_token(body.refresh_token, has_access_token=principal is not None)
    await auth.logout(principal, body.scope, client, refresh_token=text)


def _scopes(text: str | None) -> frozenset[str] | None:
    """The names in a scope parameter; an empty one is none (RFC 6749 section 3.3)."""
    return frozenset(text.split()) or None if text else None


def _service_token_answer(token: ServiceToken) -> dict[str, object]:
    return {
        "access_token": token.access_token,
        "token_type": "bearer",
        "expires_in": token.expires_in,
        "scope": token.scope,
    }
