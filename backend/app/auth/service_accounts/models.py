"""The tables of service accounts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.service_accounts.types import MAX_DESCRIPTION_LENGTH, MAX_SERVICE_NAME_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin, TimestampMixin, VersionMixin
from app.db.types import FixedBytes, SafeString

MAX_SCOPE_LENGTH = 4000


class ServiceAccount(IdMixin, TimestampMixin, VersionMixin, Base):
    """A machine's account. Its id is its `client_id`; `scope` are its permissions, space-separated.

    `auth_version` rises when every access token of the account must die: when it is disabled or may do less.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (Index(None, "created_at", "id"), MYSQL_TABLE)

    name: Mapped[str] = mapped_column(SafeString(MAX_SERVICE_NAME_LENGTH))
    description: Mapped[str | None] = mapped_column(SafeString(MAX_DESCRIPTION_LENGTH))
    scope: Mapped[str] = mapped_column(SafeString(MAX_SCOPE_LENGTH))
    is_active: Mapped[bool] = mapped_column(Boolean(), default=True)
    auth_version: Mapped[int] = mapped_column(default=1)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    @property
    def permissions(self) -> list[str]:
        """The permissions in `scope`, in alphabetical order."""
        return self.scope.split()


class ServiceAccountSecret(IdMixin, Base):
    """A secret of a service account, of which only the digest is kept. `last_used_at` is exact to the minute."""

    __tablename__ = "service_account_secrets"
    __table_args__ = (Index(None, "service_account_id", "created_at", "id"), Index(None, "expires_at"), MYSQL_TABLE)

    service_account_id: Mapped[UUID] = mapped_column(ForeignKey("service_accounts.id", ondelete="CASCADE"))
    secret_hash: Mapped[bytes] = mapped_column(FixedBytes(32))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    def is_live(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or self.expires_at > now
