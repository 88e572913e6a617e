"""`/auth`: register, log in, renew and end sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, status

from app.auth.bearer import BearerScheme
from app.auth.dependencies import AuthServiceDep, ClientDep, OptionalPrincipal, forbid_storing
from app.auth.errors import (
    EmailTakenError,
    HashQueueFullError,
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidScopeError,
    LoginThrottledError,
    MalformedAuthorizationError,
    MissingTokenError,
    RegistrationClosedError,
    RegistrationThrottledError,
    UnsupportedGrantTypeError,
    UsernameTakenError,
    WeakPasswordError,
)
from app.auth.models import User
from app.auth.oauth import OAuthRequestError, oauth_error_responses, render_oauth_error, token_request
from app.auth.schemas import ClientId, LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest, TokenRead, UserRead
from app.auth.types import FIRST_PARTY_CLIENT, PasswordLogin, TokenPair
from app.core.problems import error_responses
from app.core.text import SafeStr

router = APIRouter(prefix="/auth", tags=["auth"])
_FormText = Annotated[str | None, Form(max_length=512)]


@router.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    response_model=UserRead,
    summary="Create an account",
    responses=error_responses(
        RegistrationClosedError,
        RegistrationThrottledError,
        EmailTakenError,
        UsernameTakenError,
        WeakPasswordError,
        HashQueueFullError,
    ),
)
async def register(body: RegisterRequest, auth: AuthServiceDep, client: ClientDep) -> User:
    """Create an account with a password. The address is compared without regard to case."""
    return await auth.register(
        email=body.email,
        password=body.password.get_secret_value(),
        username=body.username,
        full_name=body.full_name,
        client=client,
    )


@router.post(
    "/login",
    response_model=TokenRead,
    summary="Log in",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(InvalidCredentialsError, InvalidScopeError, LoginThrottledError, HashQueueFullError),
)
async def login(body: LoginRequest, auth: AuthServiceDep, client: ClientDep) -> dict[str, object]:
    """Exchange a password for an access token and a refresh token. Failures do not tell whether the account exists."""
    request = PasswordLogin(
        login=body.email or body.username or "",
        password=body.password.get_secret_value(),
        client_id=body.client_id,
        scope=_scopes(body.scope),
        device_name=body.device_name,
    )
    return _token_answer(await auth.login(request, client))


@router.post(
    "/token",
    response_model=TokenRead,
    summary="Log in or refresh by OAuth2 form",
    dependencies=[Depends(forbid_storing)],
    responses=oauth_error_responses(
        OAuthRequestError,
        InvalidGrantError,
        InvalidScopeError,
        UnsupportedGrantTypeError,
        LoginThrottledError,
        HashQueueFullError,
    ),
)
async def create_token(
    auth: AuthServiceDep,
    client: ClientDep,
    grant_type: Annotated[str | None, Form(max_length=64, examples=["password"])] = None,
    username: Annotated[SafeStr | None, Form(max_length=254, description="E-mail address or user name.")] = None,
    password: Annotated[str | None, Form(max_length=256, json_schema_extra={"format": "password"})] = None,
    refresh_token: _FormText = None,
    scope: _FormText = None,
    client_id: Annotated[ClientId | None, Form()] = None,
    client_secret: _FormText = None,  # noqa: ARG001 - forms send it; first-party clients have none
) -> dict[str, object]:
    """The token endpoint of RFC 6749: the grants `password` (first-party clients only) and `refresh_token`."""
    grant = token_request(grant_type, username, password, refresh_token)
    scopes, client_id = _scopes(scope), client_id or FIRST_PARTY_CLIENT
    if grant.refresh_token is not None:
        tokens = await auth.refresh(grant.refresh_token, client_id=client_id, scope=scopes, client=client)
    else:
        request = PasswordLogin(login=grant.username, password=grant.password, client_id=client_id, scope=scopes)
        tokens = await auth.login(request, client)
    return _token_answer(tokens)


create_token.error_renderer = render_oauth_error  # type: ignore[attr-defined]


@router.post(
    "/refresh",
    response_model=TokenRead,
    summary="Renew the tokens",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(InvalidGrantError, InvalidScopeError),
)
async def refresh(body: RefreshRequest, auth: AuthServiceDep, client: ClientDep) -> dict[str, object]:
    """Exchange a refresh token for new tokens.

    Repeating the exchange within 30 seconds gives the same refresh token again; using an older one ends the session.
    """
    return _token_answer(
        await auth.refresh(
            body.refresh_token.get_secret_value(), client_id=body.client_id, scope=_scopes(body.scope), client=client
        )
    )


@router.post(
    "/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Log out",
    responses=error_responses(MissingTokenError, MalformedAuthorizationError),
    openapi_extra={"security": [{BearerScheme.NAME: []}, {}]},
)
async def logout(
    auth: AuthServiceDep, client: ClientDep, principal: OptionalPrincipal, body: LogoutRequest | None = None
) -> None:
    """End this session, all `others`, or `all`, proven by an access token or by a refresh token in the body."""
    body = body or LogoutRequest()
    text = None if body.refresh_token is None else body.refresh_token.get_secret_value()
    await auth.logout(principal, body.scope, client, refresh_token=text)


def _scopes(text: str | None) -> frozenset[str] | None:
    """The names in a scope parameter; an empty one is none (RFC 6749 section 3.3)."""
    return frozenset(text.split()) or None if text else None


def _token_answer(tokens: TokenPair) -> dict[str, object]:
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "token_type": "bearer",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }
