"""Enums and values of the account package."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

MAX_NAME_LENGTH = 200
MAX_USERNAME_LENGTH = 32
MAX_PERMISSION_LENGTH = 64
MAX_PASSWORD_LENGTH = 256
"""In characters (code points), so that a password's cost is bounded."""


class Role(StrEnum):
    """What a person is here: the built-in roles, one an account. `app.auth.permissions` tells what each permits."""

    USER = "user"
    REVIEWER = "reviewer"
    AUTHOR = "author"
    ADMIN = "admin"


class PrincipalKind(StrEnum):
    """What a caller has proven itself with."""

    SESSION = "session"
    PERSONAL_TOKEN = "personal_token"  # noqa: S105 - a kind, not a secret
    SERVICE = "service"


class KeyState(StrEnum):
    """The life of a signing key: published, signing, only verifying, gone."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    REMOVED = "removed"


class LogoutScope(StrEnum):
    """Which of the caller's sessions a logout ends."""

    SESSION = "session"
    OTHERS = "others"
    ALL = "all"


class SessionEndReason(StrEnum):
    """Why a session ended."""

    LOGOUT = "logout"
    ENDED_BY_OWNER = "ended_by_owner"
    ENDED_BY_ADMIN = "ended_by_admin"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason, not a secret
    REFRESH_REUSED = "refresh_reused"
    PASSWORD_RESET = "password_reset"  # noqa: S105
    SECURED = "secured"
    DISABLED = "disabled"
    LIMIT = "limit"
    REPLACED = "replaced"


class AuditAction(StrEnum):
    """The security events that are recorded, each in the transaction of the change it tells of."""

    REGISTERED = "registered"
    REGISTRATION_FAILED = "registration_failed"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    THROTTLED = "throttled"
    LOGOUT = "logout"
    REFRESH_REUSED = "refresh_reused"
    SESSION_ENDED = "session_ended"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an event, not a secret
    PASSWORD_CHANGE_FAILED = "password_change_failed"  # noqa: S105
    PASSWORD_RESET_REQUESTED = "password_reset_requested"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    MAIL_CODE_FAILED = "mail_code_failed"
    EMAIL_VERIFIED = "email_verified"
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGED = "email_changed"
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    ACCOUNT_SECURED = "account_secured"
    INVITATION_CREATED = "invitation_created"
    INVITATION_REVOKED = "invitation_revoked"
    PROFILE_UPDATED = "profile_updated"
    USER_UPDATED = "user_updated"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_SESSIONS_ENDED = "user_sessions_ended"
    USER_TOKENS_REVOKED = "user_tokens_revoked"
    ADMIN_CREATED = "admin_created"
    ROLE_CREATED = "role_created"
    ROLE_UPDATED = "role_updated"
    ROLE_DELETED = "role_deleted"
    USER_ROLES_CHANGED = "user_roles_changed"
    PERSONAL_TOKEN_CREATED = "personal_token_created"  # noqa: S105
    PERSONAL_TOKEN_REVOKED = "personal_token_revoked"  # noqa: S105
    SERVICE_CREATED = "service_created"
    SERVICE_UPDATED = "service_updated"
    SERVICE_DELETED = "service_deleted"
    SERVICE_SECRET_CREATED = "service_secret_created"  # noqa: S105
    SERVICE_SECRET_REVOKED = "service_secret_revoked"  # noqa: S105
    SERVICE_TOKEN_ISSUED = "service_token_issued"  # noqa: S105
    SERVICE_LOGIN_FAILED = "service_login_failed"
    JOB_REQUEUED = "job_requeued"
    KEY_ROTATION_STARTED = "key_rotation_started"
    KEY_STATE_CHANGED = "key_state_changed"
    KEYS_COMPROMISED = "keys_compromised"
    AUDIT_EXPORTED = "audit_exported"
    GUEST_CLAIMED = "guest_claimed"
    SHARE_CREATED = "share_created"
    SHARE_REVOKED = "share_revoked"
    PRICES_LOADED = "prices_loaded"
    USAGE_LIMIT_CREATED = "usage_limit_created"
    USAGE_LIMIT_UPDATED = "usage_limit_updated"
    USAGE_LIMIT_DELETED = "usage_limit_deleted"
    METRIC_RETENTION_SET = "metric_retention_set"
    METRIC_RETENTION_REMOVED = "metric_retention_removed"


class AuditOutcome(StrEnum):
    """How the attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"


class UserSort(StrEnum):
    """The orders in which accounts can be listed; a leading minus is descending."""

    CREATED_AT = "created_at"
    CREATED_AT_DESC = "-created_at"
    EMAIL = "email"
    EMAIL_DESC = "-email"


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from. `address` is the peer's or, behind trusted proxies, the one they report.

    `is_operator` tells of the command line: what comes from there is recorded as nobody's, by an operator.
    """

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    is_operator: bool = False


COMMAND_LINE = Client(is_operator=True)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as proven by a verified token. `session_id` is the id of the session, or of the other credential."""

    kind: PrincipalKind
    user_id: UUID
    session_id: UUID
    client_id: str
    permissions: frozenset[str]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts at the service's own command line: above permissions, not above rules, and no account."""

    user_id: None = None


OPERATOR = Operator()
Actor = Principal | Operator
"""Who administers: a caller, or an operator."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of one access token (RFC 9068 section 2.2). `ver` is the user's auth version at issue.

    `kid` is the key that signed it, None where no key did.
    """

    iss: str
    aud: str
    sub: UUID
    client_id: str
    exp: int
    iat: int
    jti: str
    sid: UUID
    ver: int
    scope: frozenset[str]
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    kid: str | None = None


FIRST_PARTY_CLIENT = "merit"
"""The client id of logins that name none."""

NO_ASSURANCE = "0"
"""The `acr` of tokens that no person logged in for (OpenID Connect Core 1.0 section 2)."""


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A login, whichever endpoint it came through. `login` is an e-mail address or a user name."""

    login: str
    password: str
    client_id: str = FIRST_PARTY_CLIENT
    scope: frozenset[str] | None = None
    device_name: str | None = None
    device_cookie: str | None = field(default=None, repr=False)
    guest_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner sees it. `refreshed_at` is exact to the minute."""

    id: UUID
    created_at: datetime
    refreshed_at: datetime
    address: str | None
    device: str
    device_name: str | None
    method: str
    current: bool


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a refresh hands out. `expires_in` is the access token's life in seconds.

    `device_cookie` is for the browser to keep, after a login.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    scope: str
    device_cookie: str | None = field(default=None, repr=False)
