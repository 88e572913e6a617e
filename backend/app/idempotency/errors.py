"""The refusals around idempotency keys."""

from app.core.errors import BadRequestError, ConflictError, InvalidInputError


class MalformedIdempotencyKeyError(BadRequestError):
    """`Idempotency-Key` is neither a string of RFC 8941 nor a bare one, or is too long."""

    code = "malformed_idempotency_key"
    title = "Malformed Idempotency-Key"


class IdempotencyKeyReusedError(InvalidInputError):
    """The key came with another request before: most likely a fault of the client, which would lose this one."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key belongs to another request"


class IdempotencyInProgressError(ConflictError):
    """The first request with this key is not answered yet; ask again in a moment."""

    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is under way"


class AnswerNotKeptError(ConflictError):
    """The first request with this key succeeded, with an answer that was too long to keep."""

    code = "idempotency_answer_not_kept"
    title = "Done already, with an answer too long to keep"
