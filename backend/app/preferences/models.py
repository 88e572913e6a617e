"""The tables of preferences."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base
from app.db.types import JsonValue, KeyString
from app.preferences.types import MAX_KEY_LENGTH


class PreferenceHead(Base):
    """The number of an account's last change. Whoever changes its preferences holds this row until the commit."""

    __tablename__ = "preference_heads"
    __table_args__ = (MYSQL_TABLE,)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int]


class UserPreference(Base):
    """One preference that is set, on every device (`ACCOUNT_LAYER`) or on one.

    `seq` is the number of the change that set it, and the version for `If-Match`: unlike a counter of the row it does
    not begin again where a preference is unset and set anew.
    """

    __tablename__ = "user_preferences"
    __table_args__ = (MYSQL_TABLE,)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    device_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(KeyString(MAX_KEY_LENGTH), primary_key=True)
    value: Mapped[Any] = mapped_column(JsonValue(), nullable=False)
    seq: Mapped[int]
    updated_at: Mapped[datetime]


class PreferenceChange(Base):
    """One change of an account's preferences, numbered without gaps. Null values are none.

    `changed_by` is the session or the personal token that made it.
    """

    __tablename__ = "preference_changes"
    __table_args__ = (Index(None, "user_id", "device_id", "key", "seq"), MYSQL_TABLE)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    device_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(KeyString(MAX_KEY_LENGTH))
    old_value: Mapped[Any] = mapped_column(JsonValue(), nullable=True)
    new_value: Mapped[Any] = mapped_column(JsonValue(), nullable=True)
    changed_at: Mapped[datetime]
    changed_by: Mapped[UUID]
