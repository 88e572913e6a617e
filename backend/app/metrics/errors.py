"""The refusals of metrics."""

from app.core.errors import AppError, ConflictError, InvalidInputError, NotFoundError


class WindowTooWideError(InvalidInputError):
    """The time asked for has more steps or buckets than one answer may hold."""

    code = "window_too_wide"
    title = "Ask for less time, or in longer steps"


class UnsupportedMetricsError(AppError):
    """Metrics come as JSON, or as one JSON object a line."""

    code = "unsupported_media_type"
    status_code = 415
    title = "Unsupported media type"


class RetentionNotFoundError(NotFoundError):
    """There is no rule with this pattern."""

    code = "retention_not_found"
    title = "No such rule"


class TooManyRetentionsError(ConflictError):
    """There are as many rules as there may be."""

    code = "too_many_retentions"
    title = "Too many rules"
