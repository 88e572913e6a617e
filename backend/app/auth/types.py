"""Enums and values of the account package."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a person is here; each role grants permissions."""

    USER = "user"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a caller may do; the same names are the OAuth2 scopes that narrow a token (RFC 6749 section 3.3)."""

    PROFILE_READ = "profile:read"
    PROFILE_WRITE = "profile:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"


PERMISSION_DESCRIPTIONS = {
    Permission.PROFILE_READ: "Read your own profile and sessions",
    Permission.PROFILE_WRITE: "Change your own profile, password and sessions",
    Permission.USERS_READ: "Read every account",
    Permission.USERS_WRITE: "Change every account",
}

_OWN_ACCOUNT = frozenset({Permission.PROFILE_READ, Permission.PROFILE_WRITE})

ROLE_PERMISSIONS = {
    Role.USER: _OWN_ACCOUNT,
    Role.REVIEWER: _OWN_ACCOUNT,
    Role.ADMIN: frozenset(Permission),
}


def permissions_of(role: Role, *, is_superuser: bool) -> frozenset[Permission]:
    """The permissions that an account has; a superuser has them all."""
    return frozenset(Permission) if is_superuser else ROLE_PERMISSIONS[role]


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
    DISABLED = "disabled"
    LIMIT = "limit"


class AuditAction(StrEnum):
    """The security events that are recorded, each in the transaction of the change it tells of."""

    REGISTERED = "registered"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    REFRESH_REUSED = "refresh_reused"
    SESSION_ENDED = "session_ended"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an event, not a secret
    PASSWORD_CHANGE_FAILED = "password_change_failed"  # noqa: S105
    PROFILE_UPDATED = "profile_updated"
    USER_UPDATED = "user_updated"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    ADMIN_CREATED = "admin_created"


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
    """Where a request comes from. `address` is the peer's or, behind trusted proxies, the one they report."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as proven by a verified access token (RFC 9068)."""

    user_id: UUID
    session_id: UUID
    client_id: str
    permissions: frozenset[str]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of one access token (RFC 9068 section 2.2). `ver` is the user's auth version at issue."""

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


FIRST_PARTY_CLIENT = "merit"
"""The client id of logins that name none."""


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A login, whichever endpoint it came through. `login` is an e-mail address or a user name."""

    login: str
    password: str
    client_id: str = FIRST_PARTY_CLIENT
    scope: frozenset[str] | None = None
    device_name: str | None = None


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
    """What a login or a refresh hands out. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    scope: str
