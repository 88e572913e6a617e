"""The tree of errors that callers may see. Each situation is one class with a stable `code` and an HTTP status."""

from collections.abc import Mapping
from typing import Any, ClassVar


class ConfigurationError(Exception):
    """A setting stops the start. Shown as one line; carries the setting's name and never its value."""

    exit_code: ClassVar[int] = 78  # EX_CONFIG of sysexits.h

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting} {reason}")
        self.setting = setting
        self.reason = reason


class AppError(Exception):
    """A refusal the caller is told of, rendered as RFC 9457 problem+json with `code` and `status_code`.

    `headers` go out with the answer; `extra` are further members of the problem document.
    """

    code: ClassVar[str] = "internal_error"
    status_code: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = {**self.default_headers, **(headers or {})}
        self.extra = extra


class BadRequestError(AppError):
    """The request cannot be understood."""

    code = "bad_request"
    status_code = 400
    title = "Bad request"


class ForbiddenError(AppError):
    """The caller is known but may not do this."""

    code = "forbidden"
    status_code = 403
    title = "Forbidden"


class NotFoundError(AppError):
    """The thing does not exist, or is not the caller's to see."""

    code = "not_found"
    status_code = 404
    title = "Not found"


class ConflictError(AppError):
    """The change contradicts the present state."""

    code = "conflict"
    status_code = 409
    title = "Conflict"


class PreconditionFailedError(AppError):
    """The `If-Match` version is no longer the current one (RFC 9110 section 13.1.1)."""

    code = "precondition_failed"
    status_code = 412
    title = "Changed in the meantime"


class InvalidInputError(AppError):
    """Well-formed input with an unacceptable value; `errors` lists type and location, never the value."""

    code = "validation_failed"
    status_code = 422
    title = "Invalid input"

    @classmethod
    def at(cls, *location: str, type_: str, message: str) -> "InvalidInputError":
        """One fault at one place, in the same form as the validator's own."""
        return cls(errors=[{"loc": list(location), "type": type_, "msg": message}])


class InvalidCursorError(InvalidInputError):
    """The `cursor` parameter is not one that this list handed out."""

    code = "invalid_cursor"
    title = "Invalid cursor"


class TooManyRequestsError(AppError):
    """A limit is reached; `Retry-After` says when to come back."""

    code = "too_many_requests"
    status_code = 429
    title = "Too many requests"


class ServiceUnavailableError(AppError):
    """A part this answer needs is away or overloaded; the same request may succeed shortly."""

    code = "service_unavailable"
    status_code = 503
    title = "Service unavailable"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1, **extra: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)}, **extra)


class StorageFullError(AppError):
    """The database cannot take more data (RFC 4918 section 11.5)."""

    code = "storage_full"
    status_code = 507
    title = "Storage full"
