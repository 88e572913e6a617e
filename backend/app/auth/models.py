"""The tables of the account package."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.errors import EmailTakenError, RotationUnderWayError, UsernameTakenError
from app.auth.types import (
    MAX_NAME_LENGTH,
    MAX_USERNAME_LENGTH,
    AuditAction,
    AuditOutcome,
    KeyState,
    Role,
    SessionEndReason,
)
from app.core.text import MAX_EMAIL_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin, TimestampMixin, VersionMixin
from app.db.types import EnumString, FixedBytes, JsonDict, KeyString, SafeString

MAX_USER_AGENT_LENGTH = 256


class User(IdMixin, TimestampMixin, VersionMixin, Base):
    """An account. `*_normalized` are the forms in which names are compared and searched.

    `auth_version` rises when every access token of the account must die: at a change of role or state.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email_normalized", info={"error": EmailTakenError}),
        UniqueConstraint("username_normalized", info={"error": UsernameTakenError}),
        Index(None, "created_at", "id"),
        Index(None, "full_name_normalized"),
        Index(None, "last_login_at"),
        Index(None, "role"),
        MYSQL_TABLE,
    )

    email: Mapped[str] = mapped_column(SafeString(MAX_EMAIL_LENGTH))
    email_normalized: Mapped[str] = mapped_column(KeyString(MAX_EMAIL_LENGTH))
    username: Mapped[str | None] = mapped_column(SafeString(MAX_USERNAME_LENGTH))
    username_normalized: Mapped[str | None] = mapped_column(KeyString(MAX_USERNAME_LENGTH))
    full_name: Mapped[str | None] = mapped_column(SafeString(MAX_NAME_LENGTH))
    full_name_normalized: Mapped[str | None] = mapped_column(KeyString(MAX_NAME_LENGTH))
    hashed_password: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(Boolean(), default=True)
    is_superuser: Mapped[bool] = mapped_column(Boolean(), default=False)
    role: Mapped[Role] = mapped_column(EnumString(Role), default=Role.USER)
    email_verified_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    auth_version: Mapped[int] = mapped_column(default=1)


class AuthSession(IdMixin, Base):
    """One login on one device: the family of its refresh tokens, of which only two digests are kept.

    `scope` is the space-separated limit asked for at login, or null for all that the role permits. `expires_at`
    moves with every refresh, `absolute_expires_at` never does. `device_id` is the one of the browser's device cookie.
    """

    __tablename__ = "auth_sessions"
    __table_args__ = (Index(None, "user_id", "created_at", "id"), Index(None, "expires_at"), MYSQL_TABLE)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    client_id: Mapped[str] = mapped_column(SafeString(64))
    scope: Mapped[str | None] = mapped_column(SafeString(500))
    rt_generation: Mapped[int] = mapped_column(default=1)
    rt_hash: Mapped[bytes] = mapped_column(FixedBytes(32))
    previous_rt_hash: Mapped[bytes | None] = mapped_column(FixedBytes(32))
    device_id: Mapped[UUID | None]
    device_name: Mapped[str | None] = mapped_column(SafeString(100))
    user_agent: Mapped[str | None] = mapped_column(SafeString(MAX_USER_AGENT_LENGTH))
    address: Mapped[str | None] = mapped_column(String(45))
    method: Mapped[str] = mapped_column(String(32))
    auth_time: Mapped[datetime]
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    absolute_expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[SessionEndReason | None] = mapped_column(EnumString(SessionEndReason))

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither ended nor expired."""
        return self.revoked_at is None and min(self.expires_at, self.absolute_expires_at) > now


class Revocation(IdMixin, Base):
    """An ended session, or the auth version below which a user's access tokens are dead.

    One that names neither tells of changed signing keys. Kept for as long as an access token can live; every worker
    holds the rows in memory.
    """

    __tablename__ = "revocations"
    __table_args__ = (Index(None, "created_at"), MYSQL_TABLE)

    session_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    minimum_auth_version: Mapped[int | None]
    created_at: Mapped[datetime]


class SigningKeyRecord(IdMixin, Base):
    """A key that signs or verifies access tokens. A removed one keeps its row, without its private part.

    `active_slot` is 1 on the one active key of an algorithm, 2 on the one that comes next. `state_changed_at` is null
    until the key leaves the state that it was made in.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        UniqueConstraint("kid"),
        UniqueConstraint("algorithm", "active_slot", info={"error": RotationUnderWayError}),
        MYSQL_TABLE,
    )

    kid: Mapped[str] = mapped_column(KeyString(64))
    algorithm: Mapped[str] = mapped_column(String(16))
    private_key: Mapped[bytes] = mapped_column(LargeBinary(1024))
    state: Mapped[KeyState] = mapped_column(EnumString(KeyState))
    active_slot: Mapped[int | None]
    created_at: Mapped[datetime]
    state_changed_at: Mapped[datetime | None]

    @property
    def state_since(self) -> datetime:
        """When the key came into its present state."""
        return self.state_changed_at or self.created_at


class LoginThrottle(Base):
    """Failed logins of one account from one network, or of one network altogether."""

    __tablename__ = "login_throttles"
    __table_args__ = (Index(None, "updated_at"), MYSQL_TABLE)

    key: Mapped[str] = mapped_column(KeyString(128), primary_key=True)
    failures: Mapped[int]
    window_started_at: Mapped[datetime]
    blocked_until: Mapped[datetime]
    updated_at: Mapped[datetime]


class AuditEvent(IdMixin, Base):
    """Who did what, when, from where and with what outcome. Outlives the account it tells of.

    `sequence` and `mac` make it a link of the chain (`app.auth.audit.chain`); events older than the chain have neither.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        UniqueConstraint("sequence"),
        *(
            Index(None, column, "occurred_at", "id")
            for column in ("action", "actor_id", "address", "outcome", "request_id", "session_id", "user_id")
        ),
        Index(None, "occurred_at", "id"),
        MYSQL_TABLE,
    )

    occurred_at: Mapped[datetime]
    action: Mapped[AuditAction] = mapped_column(EnumString(AuditAction))
    outcome: Mapped[AuditOutcome] = mapped_column(EnumString(AuditOutcome))
    user_id: Mapped[UUID | None]
    actor_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(SafeString(MAX_USER_AGENT_LENGTH))
    request_id: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    sequence: Mapped[int | None] = mapped_column(BigInteger())
    mac: Mapped[bytes | None] = mapped_column(FixedBytes(32))
