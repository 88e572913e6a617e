"""The tables of prices, limits and use."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.guests.ownership import EXACTLY_ONE_OWNER, OwnerMixin
from app.chat.responses.types import MAX_PROVIDER_LENGTH, UsageSource
from app.chat.types import MAX_MODEL_LENGTH
from app.chat.usage.errors import LimitExistsError
from app.chat.usage.types import (
    COST_DECIMALS,
    MAX_SCOPE_ID_LENGTH,
    MAX_TIER_LENGTH,
    PRICE_DECIMALS,
    LimitScope,
    Metric,
    PriceUnit,
)
from app.db.base import MYSQL_TABLE, Base, IdMixin, TimestampMixin, VersionMixin
from app.db.types import EnumString, ExactDecimal, JsonDict, KeyString

MAX_COUNTER_SCOPE_LENGTH = 40


class ModelPrice(IdMixin, TimestampMixin, Base):
    """The price of one unit of the models that a pattern matches, in US dollars, from a moment on.

    `*` in a pattern stands for any text; `match_prefix` is what comes before the first. `conditions` say when the tier
    applies. `valid_to` is the first moment when the price no longer holds.
    """

    __tablename__ = "model_prices"
    __table_args__ = (
        UniqueConstraint("match_pattern", "provider", "tier", "unit", "valid_from"),
        Index(None, "match_prefix"),
        Index(None, "created_at", "id"),
        MYSQL_TABLE,
    )

    match_pattern: Mapped[str] = mapped_column(KeyString(MAX_MODEL_LENGTH))
    match_prefix: Mapped[str] = mapped_column(KeyString(MAX_MODEL_LENGTH))
    provider: Mapped[str] = mapped_column(KeyString(MAX_PROVIDER_LENGTH))
    tier: Mapped[str] = mapped_column(KeyString(MAX_TIER_LENGTH))
    conditions: Mapped[dict[str, Any]] = mapped_column(JsonDict, default=dict)
    unit: Mapped[PriceUnit] = mapped_column(EnumString(PriceUnit))
    price: Mapped[Decimal] = mapped_column(ExactDecimal(PRICE_DECIMALS))
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]


class UsageLimit(IdMixin, TimestampMixin, VersionMixin, Base):
    """How much may be used in each window. `amount` counts tokens, messages or nano-dollars.

    `scope_id` is the id of an account or a guest, or a role's name; empty it means each account, each guest, or all.
    """

    __tablename__ = "usage_limits"
    __table_args__ = (
        UniqueConstraint("scope_type", "scope_id", "metric", "window_seconds", info={"error": LimitExistsError}),
        Index(None, "created_at", "id"),
        MYSQL_TABLE,
    )

    scope_type: Mapped[LimitScope] = mapped_column(EnumString(LimitScope))
    scope_id: Mapped[str] = mapped_column(KeyString(MAX_SCOPE_ID_LENGTH))
    metric: Mapped[Metric] = mapped_column(EnumString(Metric))
    window_seconds: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)


class UsageCounter(Base):
    """What was used in one window, and what running responses may still use."""

    __tablename__ = "usage_counters"
    __table_args__ = (
        PrimaryKeyConstraint("scope", "metric", "window_seconds", "window_start"),
        Index(None, "window_end"),
        MYSQL_TABLE,
    )

    scope: Mapped[str] = mapped_column(KeyString(MAX_COUNTER_SCOPE_LENGTH))
    metric: Mapped[Metric] = mapped_column(EnumString(Metric))
    window_seconds: Mapped[int]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    used: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)


class UsageReservation(Base):
    """What one running response has reserved of a counter; 0 once it was released.

    There is no key to the response: what is reserved must be found again when the conversation is gone.
    """

    __tablename__ = "usage_reservations"
    __table_args__ = (
        PrimaryKeyConstraint("response_id", "scope", "metric", "window_seconds"),
        Index(None, "created_at"),
        MYSQL_TABLE,
    )

    response_id: Mapped[UUID]
    scope: Mapped[str] = mapped_column(KeyString(MAX_COUNTER_SCOPE_LENGTH))
    metric: Mapped[Metric] = mapped_column(EnumString(Metric))
    window_seconds: Mapped[int]
    window_start: Mapped[datetime]
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class UsageRecord(IdMixin, OwnerMixin, Base):
    """What one response used and cost. It outlives the response and the conversation, and goes with the owner.

    `is_priced` tells a model that costs nothing from one that nobody has given a price.
    """

    __tablename__ = "usage_records"
    __table_args__ = (
        CheckConstraint(EXACTLY_ONE_OWNER, name="owner"),
        UniqueConstraint("response_id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "guest_id", "created_at", "id"),
        Index(None, "created_at", "id"),
        MYSQL_TABLE,
    )

    response_id: Mapped[UUID]
    conversation_id: Mapped[UUID | None]
    model: Mapped[str] = mapped_column(KeyString(MAX_MODEL_LENGTH))
    provider: Mapped[str] = mapped_column(KeyString(MAX_PROVIDER_LENGTH))
    tokens_prompt: Mapped[int]
    tokens_completion: Mapped[int]
    tokens_total: Mapped[int]
    tokens_cached: Mapped[int]
    tokens_cache_write: Mapped[int]
    tokens_reasoning: Mapped[int]
    usage_source: Mapped[UsageSource] = mapped_column(EnumString(UsageSource))
    cost_usd: Mapped[Decimal] = mapped_column(ExactDecimal(COST_DECIMALS))
    is_priced: Mapped[bool]
    created_at: Mapped[datetime]
