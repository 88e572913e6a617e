"""The refusals of the account package."""

from collections.abc import Mapping
from typing import ClassVar

from app.core.errors import (
    AppError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
    TooManyRequestsError,
)

REALM = "merit"


def challenge(**parameters: str) -> dict[str, str]:
    """The `WWW-Authenticate` header of a bearer challenge (RFC 6750 section 3)."""
    return {"WWW-Authenticate": ", ".join([f'Bearer realm="{REALM}"', *(f'{k}="{v}"' for k, v in parameters.items())])}


class EmailTakenError(ConflictError):
    """Another account has this address."""

    code = "email_taken"
    title = "This e-mail address is taken"


class UsernameTakenError(ConflictError):
    """Another account has this user name."""

    code = "username_taken"
    title = "This user name is taken"


class RegistrationClosedError(ForbiddenError):
    """Accounts are made by administrators only."""

    code = "registration_closed"
    title = "Registration is closed"


class InvitationRequiredError(ForbiddenError):
    """Accounts are made by those who are invited."""

    code = "invitation_required"
    title = "An invitation is needed"


class InvalidCredentialsError(AppError):
    """Unknown account, wrong password or disabled account: the caller cannot tell which."""

    code = "invalid_credentials"
    status_code = 401
    title = "Wrong login or password"
    default_headers: ClassVar[Mapping[str, str]] = challenge()


class WeakPasswordError(InvalidInputError):
    """The password breaks a rule of the policy; `rule` says which."""

    code = "weak_password"
    title = "This password cannot be used"


class BreachCheckError(ServiceUnavailableError):
    """The source of breached passwords does not answer, and the service is set to accept none unchecked."""

    code = "breach_check_unavailable"
    title = "Passwords cannot be checked at the moment"


class InvalidTokenError(AppError):
    """The access token is missing something, expired, revoked or forged: one answer for all (RFC 6750 section 3.1)."""

    code = "invalid_token"
    status_code = 401
    title = "Invalid access token"
    default_headers: ClassVar[Mapping[str, str]] = challenge(error="invalid_token")


class MissingTokenError(AppError):
    """No credentials came with the request."""

    code = "not_authenticated"
    status_code = 401
    title = "Not authenticated"
    default_headers: ClassVar[Mapping[str, str]] = challenge()


class MalformedAuthorizationError(BadRequestError):
    """The Authorization header is not one bearer token (RFC 6750 section 3.1, `invalid_request`)."""

    code = "invalid_request"
    title = "Malformed Authorization header"
    default_headers: ClassVar[Mapping[str, str]] = challenge(error="invalid_request")


class InsufficientScopeError(ForbiddenError):
    """The token does not carry a needed permission (RFC 6750 section 3.1)."""

    code = "insufficient_scope"
    title = "Missing permission"


class SessionRequiredError(ForbiddenError):
    """Only someone who has logged in may do this, never a personal or service token, whatever its scopes."""

    code = "session_required"
    title = "Log in to do this"
    default_headers: ClassVar[Mapping[str, str]] = challenge(error="insufficient_scope")


class StaleLoginError(AppError):
    """The login is too old for this operation; log in again (RFC 9470 section 3)."""

    code = "insufficient_user_authentication"
    status_code = 401
    title = "A fresh login is needed"


class InvalidGrantError(BadRequestError):
    """The refresh token is unknown, used up, expired or revoked (RFC 6749 section 5.2)."""

    code = "invalid_grant"
    title = "Invalid grant"


class InvalidScopeError(BadRequestError):
    """The requested scope is unknown or wider than what may be granted (RFC 6749 section 5.2)."""

    code = "invalid_scope"
    title = "Invalid scope"


class UnsupportedGrantTypeError(BadRequestError):
    """The token endpoint does not know this grant (RFC 6749 section 5.2)."""

    code = "unsupported_grant_type"
    title = "Unsupported grant type"


class LoginThrottledError(TooManyRequestsError):
    """Too many failed logins from this network, for this account or at all."""

    code = "login_throttled"
    title = "Too many failed logins"


class RegistrationThrottledError(TooManyRequestsError):
    """Too many accounts were made from this network."""

    code = "registration_throttled"
    title = "Too many registrations"


class CredentialThrottledError(TooManyRequestsError):
    """This account made too many personal tokens or secrets of service accounts."""

    code = "credentials_throttled"
    title = "Too many tokens made"


class MailThrottledError(TooManyRequestsError):
    """Too many mails to this address, or from this network. Callers are not told: nothing is sent."""

    code = "mail_throttled"
    title = "Too many mails"


class CodeThrottledError(TooManyRequestsError):
    """Too many wrong codes for this address, or from this network. The links in the mails go on working."""

    code = "code_throttled"
    title = "Too many wrong codes"


class HashQueueFullError(ServiceUnavailableError):
    """Every hashing thread is busy and the queue is full."""

    code = "hash_queue_full"
    title = "Too many logins at once"


class WrongPasswordError(ForbiddenError):
    """The current password given to confirm a change is wrong."""

    code = "wrong_password"
    title = "Wrong password"


class UserNotFoundError(NotFoundError):
    """No such account."""

    code = "user_not_found"
    title = "No such account"


class SessionNotFoundError(NotFoundError):
    """No such session, or not one of the caller's."""

    code = "session_not_found"
    title = "No such session"


class LastAdminError(ConflictError):
    """The change would leave the service without an active administrator."""

    code = "last_admin"
    title = "The last administrator must stay"


class SuperuserProtectedError(ForbiddenError):
    """Only a superuser may change a superuser or make one."""

    code = "superuser_protected"
    title = "Only a superuser may do this"


class RotationUnderWayError(ConflictError):
    """A new signing key is published already and has yet to come into use."""

    code = "rotation_under_way"
    title = "A rotation is under way"


class KeysFollowFromSecretError(ConflictError):
    """With HS256 the one key is derived from `SECRET_KEY`: it changes with that, and cannot be rotated."""

    code = "keys_follow_from_secret"
    title = "With HS256 the signing key follows from SECRET_KEY"
