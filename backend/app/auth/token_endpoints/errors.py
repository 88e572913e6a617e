"""The refusals of revocation and introspection."""

from app.core.errors import BadRequestError


class UnsupportedTokenTypeError(BadRequestError):
    """The token is alive, but of a kind that cannot be revoked alone (RFC 7009 section 2.2.1)."""

    code = "unsupported_token_type"
    title = "This kind of token cannot be revoked"
