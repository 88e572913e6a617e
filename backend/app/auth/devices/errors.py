"""The refusals of the cookie transport."""

from app.core.errors import BadRequestError, ForbiddenError


class OriginRefusedError(ForbiddenError):
    """A cookie may be used by pages of this service, of `PUBLIC_URL` and of `CORS_ORIGINS` only."""

    code = "origin_refused"
    title = "This page may not use cookies here"


class RefreshTokenTwiceError(BadRequestError):
    """One refresh token came in the body and one in the cookie: which one is meant, nobody can tell."""

    code = "refresh_token_twice"
    title = "Send the refresh token in the body or in the cookie"
