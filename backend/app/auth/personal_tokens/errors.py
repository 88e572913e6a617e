"""The refusals around personal access tokens."""

from app.core.errors import ConflictError, NotFoundError


class PersonalTokenNotFoundError(NotFoundError):
    """No such personal access token, or not one of the caller's."""

    code = "token_not_found"
    title = "No such token"


class TooManyPersonalTokensError(ConflictError):
    """The account has as many living tokens as it may have."""

    code = "too_many_tokens"
    title = "Too many tokens"
