"""The table of guests."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import FixedBytes


class Guest(IdMixin, Base):
    """Someone without an account, known by a token of which only the digest is kept.

    Once `claimed_at` is set, the token is dead for good, also when the account that claimed it is deleted.
    `last_seen_at` is exact to the hour.
    """

    __tablename__ = "guests"
    __table_args__ = (Index(None, "last_seen_at", "id"), Index(None, "claimed_by_user_id"), MYSQL_TABLE)

    secret_hash: Mapped[bytes] = mapped_column(FixedBytes(32))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    claimed_by_user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    claimed_at: Mapped[datetime | None]
