"""The refusals around service accounts."""

from collections.abc import Mapping
from typing import ClassVar

from app.auth.errors import REALM
from app.core.errors import AppError, BadRequestError, ConflictError, InvalidInputError, NotFoundError


class ServiceAccountNotFoundError(NotFoundError):
    """No such service account."""

    code = "service_account_not_found"
    title = "No such service account"


class ServiceSecretNotFoundError(NotFoundError):
    """The service account has no such secret."""

    code = "secret_not_found"
    title = "No such secret"


class PersonalPermissionError(InvalidInputError):
    """A permission to be given makes sense for people only: a service account has no profile."""

    code = "personal_permission"
    title = "This permission is for people"


class TooManyServiceSecretsError(ConflictError):
    """The service account has two living secrets: enough to change from one to the other."""

    code = "too_many_secrets"
    title = "Too many secrets"


class InvalidClientError(AppError):
    """Unknown client, wrong or expired secret, disabled, or none given: one answer for all (RFC 6749 section 5.2)."""

    code = "invalid_client"
    status_code = 401
    title = "Invalid client"
    default_headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}


class UnauthorizedClientError(BadRequestError):
    """The client may not use this grant (RFC 6749 section 5.2)."""

    code = "unauthorized_client"
    title = "This client may not use this grant"
