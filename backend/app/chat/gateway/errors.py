"""The refusals of the gateway."""

from app.core.errors import AppError, InvalidInputError, NotFoundError, ServiceUnavailableError


class UnknownModelError(NotFoundError):
    """Nobody offers this model; `GET /openai/v1/models` lists those there are."""

    code = "model_not_found"
    title = "No such model"


class LastMessageError(InvalidInputError):
    """With `store` the last message must be a person's, which is what the reply is kept with."""

    code = "last_message_not_of_user"
    title = "The last message must be of the role user"


class ReplyFailedError(ServiceUnavailableError):
    """No provider answered; what was asked is kept, because `store` was set."""

    code = "reply_failed"
    title = "The model does not answer"


class ReplyInterruptedError(AppError):
    """The provider failed in the midst of the reply, which is useless without its end to this kind of client."""

    code = "reply_interrupted"
    status_code = 502
    title = "The reply broke off"
