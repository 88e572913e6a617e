"""The refusals around guests."""

from collections.abc import Mapping
from typing import ClassVar

from app.auth.errors import challenge
from app.core.errors import AppError, ConflictError, ForbiddenError, NotFoundError, TooManyRequestsError


class GuestsOffError(ForbiddenError):
    """The service is set to have no guests."""

    code = "guests_off"
    title = "Log in: there are no guests here"


class InvalidGuestTokenError(AppError):
    """The guest token is unknown, made up, forgotten after a long silence, or claimed: one answer for all."""

    code = "invalid_guest_token"
    status_code = 401
    title = "Invalid guest token"
    default_headers: ClassVar[Mapping[str, str]] = challenge()


class GuestNotFoundError(NotFoundError):
    """No guest has this token, or none any more."""

    code = "guest_not_found"
    title = "No such guest"


class GuestClaimedError(ConflictError):
    """What the guest had belongs to another account already."""

    code = "guest_claimed"
    title = "This guest was claimed already"


class GuestsThrottledError(TooManyRequestsError):
    """Too many guests came from this network."""

    code = "guests_throttled"
    title = "Too many guests"
