"""How a client proves who it is at the OAuth2 endpoints (RFC 6749 section 2.3.1)."""

from base64 import b64decode
from typing import Annotated, Any
from urllib.parse import unquote_plus

from fastapi import Depends, Form
from starlette.requests import Request

from app.auth.oauth import OAuthRequestError
from app.auth.service_accounts.errors import InvalidClientError, UnauthorizedClientError
from app.auth.service_accounts.grant import ClientCredentials, ClientCredentialsGrant
from app.auth.types import Client
from app.db.session import SessionDep

CLIENT_SCHEME = "client"
CLIENT_SCHEME_MODEL = {
    "type": "http",
    "scheme": "basic",
    "description": "A service account's id and secret, each percent-encoded first (RFC 6749 section 2.3.1).",
}
OPTIONAL_CLIENT: dict[str, Any] = {"security": [{CLIENT_SCHEME: []}, {}]}
"""The `openapi_extra` of a route where service accounts authenticate themselves, and others need not."""

_MAX_CREDENTIALS_LENGTH = 1024
_NOBODY = "Basic Og=="  # ":"

ClientIdForm = Annotated[str | None, Form(max_length=64)]
ClientSecretForm = Annotated[
    str | None, Form(max_length=512, json_schema_extra={"format": "password"}, description="Or by HTTP Basic.")
]


def client_credentials(request: Request, client_id: str | None, client_secret: str | None) -> ClientCredentials:
    """The credentials of the one `Authorization: Basic …` header, or else those in the form.

    Raises:
        OAuthRequestError: both were used, two headers came, or they name two clients.
        InvalidClientError: there are none, or what the header holds is none.
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        if not client_id or not client_secret:
            raise InvalidClientError
        return ClientCredentials(client_id, client_secret)
    if len(headers) > 1 or client_secret:
        raise OAuthRequestError("Authenticate the client in one way only.")
    credentials = _from_basic(headers[0])
    if client_id and client_id != credentials.client_id:
        raise OAuthRequestError("client_id is not that of the Authorization header.")
    return credentials


async def public_client(
    request: Request, grant: ClientCredentialsGrant, client: Client, client_id: str | None, client_secret: str | None
) -> str | None:
    """The client of a person's grant, which has nothing to prove itself with; None where none is named.

    One that tries to prove itself is authenticated first (RFC 6749 sections 3.2.1 and 6). A service account has a grant
    of its own, and no other. An HTTP Basic header of an empty id and secret, as Swagger UI sends it, says nothing.

    Raises:
        OAuthRequestError, InvalidClientError, LoginThrottledError: it is not who it says.
        UnauthorizedClientError: it is a service account.
    """
    headers = [text for text in request.headers.getlist("authorization") if text.partition(" ")[0].lower() == "basic"]
    if not client_secret and headers in ([], [_NOBODY]):
        return client_id
    await grant.authenticate(client_credentials(request, client_id, client_secret), client)
    raise UnauthorizedClientError("Service accounts use client_credentials.")


def _from_basic(header: str) -> ClientCredentials:
    """RFC 7617, with both parts percent-encoded as RFC 6749 has it."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _MAX_CREDENTIALS_LENGTH:
        raise InvalidClientError
    try:
        client_id, colon, client_secret = b64decode(encoded, validate=True).decode().partition(":")
        if not colon:
            raise InvalidClientError
        return ClientCredentials(unquote_plus(client_id, errors="strict"), unquote_plus(client_secret, errors="strict"))
    except ValueError:  # not ASCII, no base64, or no UTF-8
        raise InvalidClientError from None


async def get_client_credentials_grant(request: Request, session: SessionDep) -> ClientCredentialsGrant:
    """The grant of this request."""
    return ClientCredentialsGrant(session, request.app.state.merit.auth)


ClientCredentialsGrantDep = Annotated[ClientCredentialsGrant, Depends(get_client_credentials_grant)]
