"""The tables of imports."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.chat.transfer.types import ImportSource, ImportStatus
from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import EnumString, FixedBytes, JsonDict

CHUNK_BYTES = 60_000
"""What a BLOB of MySQL holds."""


class Import(IdMixin, Base):
    """A file of conversations, and what became of them.

    `position` is how many conversations were looked at: an attempt that follows a crash goes on behind them.
    """

    __tablename__ = "imports"
    __table_args__ = (Index(None, "user_id", "created_at", "id"), MYSQL_TABLE)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    source: Mapped[ImportSource | None] = mapped_column(EnumString(ImportSource))
    file_sha256: Mapped[bytes] = mapped_column(FixedBytes(32))
    file_bytes: Mapped[int]
    status: Mapped[ImportStatus] = mapped_column(EnumString(ImportStatus), default=ImportStatus.QUEUED)
    found: Mapped[int] = mapped_column(default=0)
    position: Mapped[int] = mapped_column(default=0)
    created: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    messages_created: Mapped[int] = mapped_column(default=0)
    errors: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class ImportChunk(Base):
    """A part of a file that waits to be imported; it goes when that is done."""

    __tablename__ = "import_chunks"
    __table_args__ = (PrimaryKeyConstraint("import_id", "seq"), MYSQL_TABLE)

    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    seq: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)
