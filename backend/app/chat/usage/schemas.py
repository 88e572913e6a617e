"""The JSON of prices, limits and use. Amounts are decimal numbers in text: no program rounds them on the way."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StrictInt, model_validator

from app.chat.responses.types import MAX_PROVIDER_LENGTH
from app.chat.types import MAX_MODEL_LENGTH
from app.chat.usage.types import (
    ANY_PROVIDER,
    COST_DECIMALS,
    MAX_SCOPE_ID_LENGTH,
    MAX_TIER_LENGTH,
    PRICE_DECIMALS,
    STANDARD_TIER,
    LimitScope,
    Metric,
    PriceUnit,
    UsageBucket,
    UsageSums,
)
from app.core.moments import UtcMoment
from app.core.pagination import Page
from app.core.text import SafeLine

MAX_PRICES = 5000
MAX_LIMIT_UNITS = 10**15
LONGEST_WINDOW_SECONDS = 366 * 86_400
_MOST_GAPS = 4
_HIGHEST_PRICE = Decimal(1000)

Amount = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str)]


class PriceCreate(BaseModel):
    """What one unit of some models costs in US dollars, from a moment on."""

    model_config = ConfigDict(extra="forbid")

    match_pattern: Annotated[
        SafeLine, Field(max_length=MAX_MODEL_LENGTH, examples=["gpt-4o-mini*"], description="`*` stands for any text.")
    ]
    unit: PriceUnit
    price: Annotated[Decimal, Field(ge=0, le=10**9, max_digits=24, examples=["0.15"])]
    per: Annotated[Literal["1", "1000", "1000000"], Field(description="How many units cost `price`.")] = "1"
    provider: Annotated[SafeLine, Field(max_length=MAX_PROVIDER_LENGTH)] = ANY_PROVIDER
    tier: Annotated[SafeLine, Field(max_length=MAX_TIER_LENGTH)] = STANDARD_TIER
    service_tier: Annotated[
        list[Annotated[SafeLine, Field(max_length=MAX_TIER_LENGTH)]] | None,
        Field(min_length=1, max_length=8, description="The service tiers that this price tier is for."),
    ] = None
    tokens_prompt_above: Annotated[
        StrictInt | None, Field(ge=0, le=2**31 - 1, description="The price tier is for prompts longer than this.")
    ] = None
    valid_from: UtcMoment = Field(default=datetime.fromisoformat("1970-01-01T00:00:00Z"), validate_default=True)
    valid_to: UtcMoment | None = None

    @model_validator(mode="after")
    def _require_exact(self) -> Self:
        """Refuse what could not be stored or never hold."""
        exponent = self.unit_price.normalize().as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > PRICE_DECIMALS or self.unit_price > _HIGHEST_PRICE:
            raise ValueError(f"the price of one unit has at most {PRICE_DECIMALS} decimals and is at most 1000")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to must be after valid_from")
        if self.match_pattern.count("*") > _MOST_GAPS:
            raise ValueError(f"a pattern has at most {_MOST_GAPS} asterisks")
        return self

    @property
    def unit_price(self) -> Decimal:
        """The price of one."""
        return self.price.scaleb(1 - len(self.per))

    @property
    def conditions(self) -> dict[str, Any]:
        """When the price tier applies."""
        wanted = {"service_tier": self.service_tier, "tokens_prompt_above": self.tokens_prompt_above}
        return {name: value for name, value in wanted.items() if value is not None}


class PricesCreate(BaseModel):
    """Prices to load; those that are there already are changed."""

    model_config = ConfigDict(extra="forbid")

    prices: Annotated[
        list[PriceCreate],
        Field(
            min_length=1,
            max_length=MAX_PRICES,
            examples=[[{"match_pattern": "gpt-4o-mini*", "unit": "input", "price": "0.15", "per": "1000000"}]],
        ),
    ]


class PriceRead(BaseModel):
    """The price of one unit of the models that a pattern matches."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    match_pattern: Annotated[str, Field(examples=["gpt-4o-mini*"])]
    provider: Annotated[str, Field(examples=["*"])]
    tier: Annotated[str, Field(examples=["standard"])]
    conditions: dict[str, Any]
    unit: PriceUnit
    price: Annotated[Amount, Field(examples=["0.00000015"])]
    valid_from: datetime
    valid_to: datetime | None
    created_at: datetime
    updated_at: datetime


class PricesLoadedRead(BaseModel):
    """How many prices are new, how many were changed, and how many were there like this."""

    model_config = ConfigDict(from_attributes=True)

    added: int
    changed: int
    unchanged: int


LimitAmount = Annotated[
    Decimal,
    Field(
        ge=0,
        max_digits=24,
        decimal_places=COST_DECIMALS,
        examples=["100000"],
        description="Tokens, messages or US dollars.",
    ),
]


class LimitCreate(BaseModel):
    """A limit of what may be used in each window."""

    model_config = ConfigDict(extra="forbid")

    scope_type: LimitScope
    scope_id: Annotated[
        str,
        Field(
            max_length=MAX_SCOPE_ID_LENGTH,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="The id of an account or guest, or a role's name; empty for each account, each guest, or all.",
        ),
    ] = ""
    metric: Metric
    window_seconds: Annotated[StrictInt, Field(ge=60, le=LONGEST_WINDOW_SECONDS, examples=[86_400])]
    amount: LimitAmount

    @model_validator(mode="after")
    def _require_sense(self) -> Self:
        """Refuse what no owner could meet."""
        if self.scope_type is LimitScope.GLOBAL and self.scope_id:
            raise ValueError("a global limit has no scope_id")
        if self.scope_type is LimitScope.ROLE and not self.scope_id:
            raise ValueError("the limit of a role names it in scope_id")
        if self.scope_type in {LimitScope.USER, LimitScope.GUEST} and self.scope_id:
            self.scope_id = str(UUID(self.scope_id))
        return self


class LimitUpdate(BaseModel):
    """A new amount of a limit."""

    model_config = ConfigDict(extra="forbid")

    amount: LimitAmount


class LimitRead(BaseModel):
    """A limit of what may be used in each window."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    scope_type: LimitScope
    scope_id: str
    metric: Metric
    window_seconds: int
    amount: Annotated[Amount, Field(examples=["100000"])]
    created_at: datetime
    updated_at: datetime


class QuotaRead(BaseModel):
    """A limit that holds for you, in tokens, messages or US dollars, and what is gone of it in the present window."""

    model_config = ConfigDict(from_attributes=True)

    scope: LimitScope
    metric: Metric
    window_seconds: int
    limit: Annotated[Amount, Field(examples=["100000"])]
    used: Annotated[Amount, Field(examples=["1234"])]
    reserved: Annotated[Amount, Field(examples=["500"])]
    remaining: Annotated[Amount, Field(examples=["98266"])]
    resets_at: datetime


class QuotasRead(BaseModel):
    """The limits that hold for you; none where there are none."""

    model_config = ConfigDict(from_attributes=True)

    items: list[QuotaRead]


class UsageResultRead(BaseModel):
    """What one group used in a bucket; members that nothing was told apart by are null."""

    object: Literal["organization.usage.completions.result"]
    input_tokens: int
    output_tokens: int
    input_cached_tokens: int
    input_cache_write_tokens: int
    output_reasoning_tokens: int
    num_model_requests: int
    num_unpriced_requests: Annotated[int, Field(description="Of models without a price; they count as free.")]
    cost_usd: Annotated[Amount, Field(examples=["0.000012345"])]
    model: str | None
    user_id: UUID | None
    conversation_id: UUID | None


class UsageBucketRead(BaseModel):
    """One bucket: from `start_time` up to, and without, `end_time`, both in seconds since 1970."""

    object: Literal["bucket"]
    start_time: int
    end_time: int
    results: list[UsageResultRead]


class UsagePageRead(BaseModel):
    """Some buckets, the oldest first; `next_page` is the `page` of those that follow."""

    object: Literal["page"]
    data: list[UsageBucketRead]
    has_more: bool
    next_page: str | None


def page_read(page: Page[UsageBucket]) -> UsagePageRead:
    """A page in the shape of OpenAI's usage API."""
    buckets = [
        UsageBucketRead(
            object="bucket", start_time=bucket.start, end_time=bucket.end, results=[_result(s) for s in bucket.results]
        )
        for bucket in page.items
    ]
    more = page.next_cursor is not None
    return UsagePageRead(object="page", data=buckets, has_more=more, next_page=page.next_cursor)


def _result(sums: UsageSums) -> UsageResultRead:
    return UsageResultRead(
        object="organization.usage.completions.result",
        input_tokens=sums.tokens.prompt,
        output_tokens=sums.tokens.completion,
        input_cached_tokens=sums.tokens.cached,
        input_cache_write_tokens=sums.tokens.cache_write,
        output_reasoning_tokens=sums.tokens.reasoning,
        num_model_requests=sums.requests,
        num_unpriced_requests=sums.unpriced,
        cost_usd=sums.cost_usd,
        model=sums.group.get("model"),
        user_id=sums.group.get("user_id"),
        conversation_id=sums.group.get("conversation_id"),
    )
