"""The refusals around prices, limits and use."""

from app.core.errors import ConflictError, InvalidInputError, NotFoundError, TooManyRequestsError


class QuotaExceededError(TooManyRequestsError):
    """A limit of use leaves no room for this reply; `resets_at` says until when."""

    code = "quota_exceeded"
    title = "Quota exceeded"


class LimitNotFoundError(NotFoundError):
    """No such limit."""

    code = "limit_not_found"
    title = "No such limit"


class LimitExistsError(ConflictError):
    """There is such a limit already; change its amount instead."""

    code = "limit_exists"
    title = "There is such a limit"


class TooManyLimitsError(ConflictError):
    """There are as many limits as there may be."""

    code = "too_many_limits"
    title = "Too many limits"


class UsageRangeError(InvalidInputError):
    """The range of a report is reversed, or holds more than a report may."""

    code = "invalid_range"
    title = "Invalid range"
