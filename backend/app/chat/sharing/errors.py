"""The refusals around links to conversations."""

from app.core.errors import AppError, ConflictError, ForbiddenError, NotFoundError, TooManyRequestsError


class ShareNotFoundError(NotFoundError):
    """No such link; strangers are told so of one that has ended too."""

    code = "share_not_found"
    title = "No such link"


class ShareGoneError(AppError):
    """The link has ended. Only its owner is told so (RFC 9110 section 15.5.11)."""

    code = "share_gone"
    status_code = 410
    title = "The link has ended"


class SharePasswordRequiredError(ForbiddenError):
    """The link has a password; send it with `POST`."""

    code = "share_password_required"
    title = "The link has a password"


class SharePasswordWrongError(ForbiddenError):
    """This is not the link's password."""

    code = "share_password_wrong"
    title = "Wrong password"


class ShareThrottledError(TooManyRequestsError):
    """Too many wrong passwords for a link, or from a network."""

    code = "share_throttled"
    title = "Too many wrong passwords"


class TooManySharesError(ConflictError):
    """The account has as many links as it may have."""

    code = "too_many_shares"
    title = "Too many links"


class NothingToShareError(ConflictError):
    """The conversation has no message yet."""

    code = "nothing_to_share"
    title = "There is nothing to share"
