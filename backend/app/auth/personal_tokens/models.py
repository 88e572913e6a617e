"""The table of personal access tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.personal_tokens.types import MAX_TOKEN_NAME_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import FixedBytes, SafeString

MAX_SCOPE_LENGTH = 4000


class PersonalToken(IdMixin, Base):
    """A personal access token, of which only the digest is kept. A revoked one is gone; the audit trail tells of it.

    `scope` is what its maker granted it, space-separated; what it may do is never more than its owner may do now.
    `last_used_at` is exact to the minute.
    """

    __tablename__ = "personal_access_tokens"
    __table_args__ = (Index(None, "user_id", "created_at", "id"), Index(None, "expires_at"), MYSQL_TABLE)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(SafeString(MAX_TOKEN_NAME_LENGTH))
    token_hash: Mapped[bytes] = mapped_column(FixedBytes(32))
    scope: Mapped[str] = mapped_column(SafeString(MAX_SCOPE_LENGTH))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str | None] = mapped_column(String(45))

    @property
    def scopes(self) -> list[str]:
        """The permissions in `scope`, in alphabetical order."""
        return self.scope.split()
