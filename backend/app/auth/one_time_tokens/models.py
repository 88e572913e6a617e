"""The table of one-time tokens."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.one_time_tokens.types import TokenPurpose
from app.core.text import MAX_EMAIL_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import EnumString, JsonDict, KeyString, SafeString


class OneTimeToken(IdMixin, Base):
    """What one mail lets its reader do, once. It holds no secret: link and code are derived from its id.

    `issued_at` is when the mail was sent, or when it was found that none is to be sent; then `revoked_at` is set too,
    and the row only makes wrong codes count the same for addresses without an account. Until then nothing works.

    `email` is the mailbox that the mail went to. Addresses that compare equal (`email_normalized`) may be mailboxes of
    different people, so that what the mail permits is bound to this one.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        Index(None, "email_normalized", "purpose"),
        Index(None, "user_id", "purpose"),
        Index(None, "purpose", "created_at", "id"),
        Index(None, "expires_at"),
        MYSQL_TABLE,
    )

    purpose: Mapped[TokenPurpose] = mapped_column(EnumString(TokenPurpose))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(SafeString(MAX_EMAIL_LENGTH))
    email_normalized: Mapped[str] = mapped_column(KeyString(MAX_EMAIL_LENGTH))
    payload: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    code_tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    issued_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
