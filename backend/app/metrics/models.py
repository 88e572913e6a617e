"""The tables of metrics."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import FixedBytes, JsonDict, KeyString, SafeString
from app.metrics.types import (
    FOLDED,
    MAX_ERROR_CLASS_LENGTH,
    MAX_ERROR_LENGTH,
    MAX_OPERATION_LENGTH,
    MAX_TRACE_ID_LENGTH,
)

HASH_BYTES = 16


class SystemMetric(IdMixin, Base):
    """One operation that has ended: all that callers report, and a sample of what the service records itself."""

    __tablename__ = "system_metrics"
    __table_args__ = (Index(None, "operation", "created_at", "id"), Index(None, "user_id"), MYSQL_TABLE)

    operation: Mapped[str] = mapped_column(KeyString(MAX_OPERATION_LENGTH))
    duration_ms: Mapped[float] = mapped_column(Double())
    success: Mapped[bool]
    error: Mapped[str | None] = mapped_column(SafeString(MAX_ERROR_LENGTH))
    error_class: Mapped[str | None] = mapped_column(KeyString(MAX_ERROR_CLASS_LENGTH))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    trace_id: Mapped[str | None] = mapped_column(KeyString(MAX_TRACE_ID_LENGTH))
    extra_data: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    created_at: Mapped[datetime]


class MetricRollup(Base):
    """What is known of a series in one bucket of time.

    A row with a `source` belongs to the one process or request that writes it, and holds all that this one has seen:
    writing it again changes nothing. Folding moves such rows into those of no source, of every length at once.
    """

    __tablename__ = "metric_rollups"
    __table_args__ = (
        PrimaryKeyConstraint("operation", "bucket_seconds", "bucket_start", "dims_hash", "source"),
        Index(None, "bucket_seconds", "source", "bucket_start"),
        MYSQL_TABLE,
    )

    operation: Mapped[str] = mapped_column(KeyString(MAX_OPERATION_LENGTH))
    bucket_seconds: Mapped[int]
    bucket_start: Mapped[datetime]
    dims_hash: Mapped[bytes] = mapped_column(FixedBytes(HASH_BYTES))
    source: Mapped[UUID] = mapped_column(default=FOLDED)
    dims: Mapped[dict[str, Any]] = mapped_column(JsonDict)
    count: Mapped[int] = mapped_column(BigInteger())
    errors: Mapped[int] = mapped_column(BigInteger())
    sum_ms: Mapped[float] = mapped_column(Double())
    min_ms: Mapped[float] = mapped_column(Double())
    max_ms: Mapped[float] = mapped_column(Double())
    sketch: Mapped[bytes] = mapped_column(LargeBinary())


class MetricRetention(Base):
    """For how many days the metrics of operations are kept; the longest pattern that fits is the one that counts."""

    __tablename__ = "metric_retention"
    __table_args__ = (PrimaryKeyConstraint("pattern"), MYSQL_TABLE)

    pattern: Mapped[str] = mapped_column(KeyString(MAX_OPERATION_LENGTH))
    raw_days: Mapped[int]
    minute_days: Mapped[int]
    hour_days: Mapped[int]
