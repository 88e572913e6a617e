"""The table of idempotency keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import FixedBytes, KeyString

MAX_KEY_LENGTH = 128
MAX_OPERATION_LENGTH = 64
MAX_ANSWER_BYTES = 131_072
_ANSWER = LargeBinary(MAX_ANSWER_BYTES).with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


class IdempotencyKey(IdMixin, Base):
    """A request that an owner may repeat, and how it was answered.

    `owner_id` is an account or a guest. `status`, `headers` and `body` are those of the answer; all are NULL until it
    is known, and a body that was too long stays so. `resource_id` is there instead where the key stands for a thing,
    whose present state is the answer.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("owner_id", "operation", "key"), Index(None, "expires_at", "id"), MYSQL_TABLE)

    owner_id: Mapped[UUID]
    operation: Mapped[str] = mapped_column(KeyString(MAX_OPERATION_LENGTH))
    key: Mapped[str] = mapped_column(KeyString(MAX_KEY_LENGTH))
    fingerprint: Mapped[bytes] = mapped_column(FixedBytes(32))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None] = mapped_column(_ANSWER)
    resource_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
