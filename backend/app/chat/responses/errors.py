"""The refusals around replies."""

from app.core.errors import (
    AppError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
    TooManyRequestsError,
)


class ResponseNotFoundError(NotFoundError):
    """No such response, or not one of the caller's."""

    code = "response_not_found"
    title = "No such response"


class ReplyInProgressError(ConflictError):
    """The message to go on from is a reply that is still being written."""

    code = "reply_in_progress"
    title = "The reply is still being written"


class NotAReplyError(ConflictError):
    """Only a model's reply can be made again or continued."""

    code = "not_a_reply"
    title = "This message is no reply"


class NotIncompleteError(ConflictError):
    """The reply is whole: there is nothing to continue."""

    code = "reply_complete"
    title = "The reply is complete"


class NothingToAnswerError(InvalidInputError):
    """There is no message of a person that a reply could answer."""

    code = "nothing_to_answer"
    title = "Nothing to answer"


class EventsGoneError(AppError):
    """The events behind this one were deleted some time after the reply had ended; the message has the text."""

    code = "events_gone"
    status_code = 410
    title = "The events are gone"


class TooManyRepliesError(TooManyRequestsError):
    """As many replies are being written for this caller as may be at once."""

    code = "too_many_replies"
    title = "Too many replies at once"
    default_headers = {"Retry-After": "5"}  # noqa: RUF012


class RepliesBusyError(ServiceUnavailableError):
    """This process writes as many replies as it may at once."""

    code = "replies_busy"
    title = "Too many replies are being written"
