"""Why a one-time token or code is refused."""

from app.core.errors import BadRequestError


class UnknownTokenError(BadRequestError):
    """The token is forged, for something else, taken back, or its account or address is no longer what it was."""

    code = "token_unknown"
    title = "This link is not valid"


class TokenUsedError(BadRequestError):
    """The token has done its work already."""

    code = "token_used"
    title = "This link has been used already"


class TokenExpiredError(BadRequestError):
    """The token is too old."""

    code = "token_expired"
    title = "This link is too old"


class InvalidCodeError(BadRequestError):
    """The typed code is wrong, too old or tried too often, or no mail went to this address: nobody can tell which."""

    code = "code_invalid"
    title = "This code is not valid"
