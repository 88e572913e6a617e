"""What is peculiar to the OAuth2 token endpoint: its grants and its form of errors (RFC 6749)."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.auth.errors import UnsupportedGrantTypeError
from app.core.errors import AppError, BadRequestError
from app.core.problems import by_status, describe_response

_OAUTH_CODES = {
    "invalid_credentials": "invalid_grant",
    "not_authenticated": "invalid_client",
    "validation_failed": "invalid_request",
    "malformed_body": "invalid_request",
    "login_throttled": "temporarily_unavailable",
    "refresh_token_twice": "invalid_request",
}


class OAuthRequestError(BadRequestError):
    """A parameter of the grant is missing (RFC 6749 section 5.2)."""

    code = "invalid_request"
    title = "Invalid request"


@dataclass(frozen=True, slots=True)
class Grant:
    """The grant of one token request: the client's own, a refresh token, or else a user name and password."""

    username: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    is_of_client: bool = False


def token_request(
    grant_type: str | None, username: str | None, password: str | None, refresh_token: str | None
) -> Grant:
    """The grant that the form's members make; without `grant_type` it is `password`, as old clients mean it.

    Raises:
        UnsupportedGrantTypeError: another grant.
        OAuthRequestError: a member of the grant is missing.
    """
    match grant_type or "password":
        case "password":
            if not username or not password:
                raise OAuthRequestError("username and password are required.")
            return Grant(username=username, password=password)
        case "refresh_token":
            if not refresh_token:
                raise OAuthRequestError("refresh_token is required.")
            return Grant(refresh_token=refresh_token)
        case "client_credentials":
            return Grant(is_of_client=True)
        case _:
            raise UnsupportedGrantTypeError("Use password, refresh_token or client_credentials.")


def oauth_error_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of the token endpoint, as `error_responses` makes those of the others."""
    return {
        status: describe_response(
            {_oauth_code(error): _example(error) for error in group}, schema="OAuthError", media_type="application/json"
        )
        for status, group in by_status(errors).items()
    }


def _example(error: type[AppError]) -> dict[str, Any]:
    value = {"error": _oauth_code(error), "error_description": error.title}
    return {"summary": error.title, "value": value}


def _oauth_code(error: AppError | type[AppError]) -> str:
    return _OAUTH_CODES.get(error.code, error.code)


def render_oauth_error(error: AppError, _request: Request) -> Response:
    """An error of the token endpoint in the form of RFC 6749 section 5.2."""
    code = _oauth_code(error)
    is_grammar = code in {"invalid_grant", "invalid_request"}
    return JSONResponse(
        {"error": code, "error_description": error.detail or error.title},
        status_code=400 if is_grammar else error.status_code,
        headers={**error.headers, "Cache-Control": "no-store", "Pragma": "no-cache"},
    )
