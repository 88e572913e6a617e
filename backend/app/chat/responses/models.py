"""The tables of replies: what was asked of models, every attempt, and the events that a stream is replayed from."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.chat.responses.types import MAX_PROVIDER_LENGTH, AttemptStatus, EventKind, UsageSource
from app.chat.types import MAX_MODEL_LENGTH, MessageStatus
from app.db.base import MYSQL_TABLE, Base, IdMixin
from app.db.types import EnumString, ExactDecimal, JsonDict, KeyString, SafeString

MAX_ERROR_LENGTH = 1000


class Response(IdMixin, Base):
    """The making of one assistant message. `conversation_id` and the owner stand here too, for the sums of `/usage`.

    While it runs, `lease_owner` names who generates it, and whoever finds `lease_expires_at` in the past may mark it
    `incomplete`. `cost_usd` is exact to the ninth decimal; `price_sheet` has the prices that it comes from.
    """

    __tablename__ = "responses"
    __table_args__ = (
        UniqueConstraint("message_id"),
        Index(None, "status", "lease_expires_at"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "guest_id", "created_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "conversation_id"),
        Index(None, "completed_at", "id"),
        MYSQL_TABLE,
    )

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID]
    user_id: Mapped[UUID | None]
    guest_id: Mapped[UUID | None]
    model_requested: Mapped[str] = mapped_column(SafeString(MAX_MODEL_LENGTH))
    model_used: Mapped[str | None] = mapped_column(SafeString(MAX_MODEL_LENGTH))
    provider: Mapped[str | None] = mapped_column(SafeString(MAX_PROVIDER_LENGTH))
    status: Mapped[MessageStatus] = mapped_column(EnumString(MessageStatus), default=MessageStatus.QUEUED)
    finish_reason: Mapped[str | None] = mapped_column(SafeString(32))
    error_code: Mapped[str | None] = mapped_column(SafeString(64))
    error_detail: Mapped[str | None] = mapped_column(SafeString(MAX_ERROR_LENGTH))
    tokens_prompt: Mapped[int | None]
    tokens_completion: Mapped[int | None]
    tokens_total: Mapped[int | None]
    tokens_cached: Mapped[int | None]
    tokens_cache_write: Mapped[int | None]
    tokens_reasoning: Mapped[int | None]
    usage_source: Mapped[UsageSource | None] = mapped_column(EnumString(UsageSource))
    cost_usd: Mapped[Decimal | None] = mapped_column(ExactDecimal(9))
    price_sheet: Mapped[dict[str, Any] | None] = mapped_column(JsonDict)
    completion_time_ms: Mapped[int | None]
    ttft_ms: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(KeyString(128))
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    last_event_seq: Mapped[int] = mapped_column(default=0)
    params: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)


class ResponseAttempt(IdMixin, Base):
    """One call of one provider for a response; `number` counts from 1 along the fallback order."""

    __tablename__ = "response_attempts"
    __table_args__ = (UniqueConstraint("response_id", "number"), MYSQL_TABLE)

    response_id: Mapped[UUID] = mapped_column(ForeignKey("responses.id", ondelete="CASCADE"))
    number: Mapped[int]
    provider: Mapped[str] = mapped_column(SafeString(MAX_PROVIDER_LENGTH))
    model: Mapped[str] = mapped_column(SafeString(MAX_MODEL_LENGTH))
    status: Mapped[AttemptStatus] = mapped_column(EnumString(AttemptStatus), default=AttemptStatus.RUNNING)
    error: Mapped[str | None] = mapped_column(SafeString(MAX_ERROR_LENGTH))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ResponseEvent(Base):
    """One event of a reply's stream; deltas are stored together, at most 250 ms or 1 kB of them in a row."""

    __tablename__ = "response_events"
    __table_args__ = (PrimaryKeyConstraint("response_id", "seq"), MYSQL_TABLE)

    response_id: Mapped[UUID] = mapped_column(ForeignKey("responses.id", ondelete="CASCADE"))
    seq: Mapped[int]
    kind: Mapped[EventKind] = mapped_column(EnumString(EventKind))
    payload: Mapped[dict[str, Any]] = mapped_column(JsonDict)
    created_at: Mapped[datetime]
