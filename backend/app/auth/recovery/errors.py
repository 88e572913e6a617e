"""The refusals of account recovery."""

from app.core.errors import ConflictError


class AccountDisabledError(ConflictError):
    """The account is disabled; enable it first."""

    code = "account_disabled"
    title = "The account is disabled"
