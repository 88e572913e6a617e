"""What models cost, what people may use of them, and what they did use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from app.auth.guests.types import Owner
from app.auth.permissions import declare
from app.chat.responses.types import UsageSource
from app.core.clock import Clock
from app.core.pagination import CursorCodec
from app.db.engine import Database

MAX_TIER_LENGTH = 64
MAX_SCOPE_ID_LENGTH = 64

PRICES_READ = declare("prices:read", "Read the prices of models")
PRICES_WRITE = declare("prices:write", "Load prices of models")
QUOTAS_READ = declare("quotas:read", "Read everyone's limits of use")
QUOTAS_WRITE = declare("quotas:write", "Set and remove limits of use")
USAGE_READ = declare("usage:read", "Read what everyone used and what it cost")

COST_DECIMALS = 9
"""A response's cost is a whole number of nano-dollars, so that sums of costs are exact."""
PRICE_DECIMALS = 15
ANY_PROVIDER = "*"
STANDARD_TIER = "standard"


class UsageParts(Protocol):
    """What the services of use are built from; the parts of the account package and of the chat package have it."""

    @property
    def clock(self) -> Clock:
        """Tells the windows of limits."""

    @property
    def cursors(self) -> CursorCodec:
        """Makes the cursors of lists."""

    @property
    def database(self) -> Database:
        """Gives upkeep its sessions."""


class PriceUnit(StrEnum):
    """What a price is for: one token of a kind, or one request."""

    INPUT = "input"
    OUTPUT = "output"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    REASONING = "reasoning"
    REQUEST = "request"


class LimitScope(StrEnum):
    """Whom a limit holds for: one account or each, each with a role, one guest or each, or all together."""

    USER = "user"
    ROLE = "role"
    GUEST = "guest"
    GLOBAL = "global"


class Metric(StrEnum):
    """What is counted: tokens of prompt and completion, US dollars, or messages."""

    TOKENS = "tokens"
    COST = "cost"
    MESSAGES = "messages"


class BucketWidth(StrEnum):
    """How long a bucket of a report is."""

    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def seconds(self) -> int:
        """Its length."""
        return {"1m": 60, "1h": 3600, "1d": 86_400}[self.value]


class UsageGroup(StrEnum):
    """What the results of a bucket are told apart by."""

    MODEL = "model"
    USER = "user"
    CONVERSATION = "conversation"


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """The tokens of one response. `cached` and `cache_write` are parts of `prompt`, `reasoning` of `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """What limits of tokens count."""
        return self.prompt + self.completion


@dataclass(frozen=True, slots=True)
class SettledUsage:
    """What a response that has ended really used.

    `model` is the one that answered, with or without its provider's prefix. `at` is when the response was made: its
    prices are those of that moment.
    """

    response_id: UUID
    owner: Owner
    conversation_id: UUID | None
    model: str
    provider: str
    tokens: TokenCounts
    source: UsageSource
    at: datetime
    service_tier: str = "default"


@dataclass(frozen=True, slots=True)
class SettledCost:
    """What a response cost, rounded once to nine decimals (half to even), and the prices that it comes from.

    `sheet` is None where there was no price, or where the response had been settled before.
    """

    usd: Decimal
    sheet: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class UsageSums:
    """What was used in one bucket by one group. `bucket` is its number since 1970, `unpriced` of the `requests`."""

    bucket: int
    group: Mapping[str, Any]
    requests: int
    unpriced: int
    tokens: TokenCounts
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """One bucket of a report: `[start, end)` in seconds since 1970, and the sums of each group."""

    start: int
    end: int
    results: list[UsageSums]


@dataclass(frozen=True, slots=True)
class CounterKey:
    """One count: whose, of what, in windows of which length, which window.

    `scope` is `global`, or `user:` or `guest:` and an id. Transactions lock counters in the order of `order`, the one
    that all share last, so that they neither block each other in a circle nor wait long for it.
    """

    scope: str
    metric: Metric
    window_seconds: int
    window_start: datetime

    @property
    def order(self) -> tuple[bool, str, Metric, int]:
        """Where it comes among the counters of one response."""
        return (self.scope == LimitScope.GLOBAL, *self.of_any_window)

    @property
    def of_any_window(self) -> tuple[str, Metric, int]:
        """What all windows of one limit share."""
        return (self.scope, self.metric, self.window_seconds)


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """A limit as it holds for one owner now. `amount` counts tokens, messages or nano-dollars."""

    limit_id: UUID
    scope: LimitScope
    key: CounterKey
    amount: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A limit and what is gone of it, in tokens, messages or US dollars."""

    scope: LimitScope
    metric: Metric
    window_seconds: int
    limit: Decimal
    used: Decimal
    reserved: Decimal
    remaining: Decimal
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaView:
    """Every limit that holds for an owner at one moment."""

    at: datetime
    items: list[QuotaState]


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit as people see it: `amount` is in tokens, messages or US dollars."""

    id: UUID
    scope_type: LimitScope
    scope_id: str
    metric: Metric
    window_seconds: int
    amount: Decimal
    created_at: datetime
    updated_at: datetime
    row_version: int


def to_units(metric: Metric, amount: Decimal) -> int:
    """Tokens and messages as they are, dollars as nano-dollars.

    Raises:
        ValueError: it is no whole number of them.
    """
    units = amount.scaleb(COST_DECIMALS) if metric is Metric.COST else amount
    if units != units.to_integral_value():
        raise ValueError("has too many decimals")
    return int(units)


def from_units(metric: Metric, units: int) -> Decimal:
    """The reverse of `to_units`."""
    return Decimal(units).scaleb(-COST_DECIMALS) if metric is Metric.COST else Decimal(units)
