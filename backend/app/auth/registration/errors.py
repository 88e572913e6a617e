"""Why a pending registration is not completed."""

from app.core.errors import InvalidInputError


class PasswordRequiredError(InvalidInputError):
    """A pending registration is completed by whoever began it: its password is needed beside the link or code."""

    code = "password_required"
    title = "The password of the registration is needed"
