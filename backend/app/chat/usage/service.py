"""Quotas and costs of replies: reserved before a model is called, settled after it.

What is reserved is the most that a reply can use. It is taken out of every limit that holds, by statements whose
condition is the limit, within the caller's transaction: parallel replies cannot spend more than there is.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.usage.errors import QuotaExceededError
from app.chat.usage.models import UsageLimit, UsageRecord
from app.chat.usage.pricing import find_sheet, highest_cost, names_of, prefixes_of, round_cost
from app.chat.usage.repository import (
    ModelPriceRepository,
    UsageCounterRepository,
    UsageLimitRepository,
    UsageRecordRepository,
)
from app.chat.usage.types import (
    COST_DECIMALS,
    CounterKey,
    EffectiveLimit,
    LimitScope,
    Metric,
    QuotaState,
    QuotaView,
    SettledCost,
    SettledUsage,
    TokenCounts,
    UsageParts,
    from_units,
    to_units,
)
from app.core.ids import new_id
from app.db.engine import Session

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsageService:
    """What one owner may use, and what replies have used, within one transaction. Never commits."""

    def __init__(self, session: Session, parts: UsageParts) -> None:
        self._clock = parts.clock
        self._prices = ModelPriceRepository(session, parts.clock)
        self._limits = UsageLimitRepository(session, parts.clock)
        self._counters = UsageCounterRepository(session, parts.clock)
        self._records = UsageRecordRepository(session, parts.clock)

    async def reserve(
        self,
        owner: Owner,
        response_id: UUID,
        model: str | Sequence[str],
        *,
        most_prompt: int,
        most_completion: int,
    ) -> None:
        """Reserve one message, its tokens and their cost, before a model is called.

        Args:
            owner: who asks.
            response_id: the reply, which `settle` or `release` ends the reservation of.
            model: the model, best with its provider's prefix; all of them where others may take its place.
            most_prompt: the most tokens that the prompt can have.
            most_completion: the most that the completion can have; the reply must be cut there.

        Raises:
            QuotaExceededError: a limit leaves no room. Nothing is reserved then.
        """
        limits = await self._effective(owner)
        if not limits:
            return
        models = [model] if isinstance(model, str) else model
        amounts = {Metric.MESSAGES: 1, Metric.TOKENS: most_prompt + most_completion}
        if any(limit.key.metric is Metric.COST for limit in limits):
            amounts[Metric.COST] = await self._highest_cost(models, most_prompt, most_completion)
        held: list[tuple[CounterKey, int]] = []
        for limit in limits:
            amount = amounts[limit.key.metric]
            if not await self._counters.reserve(limit.key, amount, limit.amount):
                for key, reserved in held:
                    await self._counters.settle(key, reserved=reserved, used=0)
                raise self._exceeded(limit, amount)
            held.append((limit.key, amount))
        await self._counters.remember(response_id, held)

    async def settle(self, response: SettledUsage) -> SettledCost:
        """Record what a reply has used, count it, and give back what it had reserved beyond that.

        To repeat it changes nothing. A reply whose reservation was released before counts in the same windows.
        """
        held = await self._counters.reservations(response.response_id)
        prices = await self._prices.with_prefixes(prefixes_of(names_of(response.model, response.provider)))
        sheet = find_sheet(prices, response)
        cost = round_cost(Decimal(0) if sheet is None else sheet.cost(response.tokens))
        if not await self._records.add_once(_record(response, cost, is_priced=sheet is not None)):
            known = await self._records.get_by(UsageRecord.response_id, response.response_id)
            return SettledCost(cost if known is None else known.cost_usd, None)
        used = {
            Metric.MESSAGES: 1,
            Metric.TOKENS: response.tokens.total,
            Metric.COST: to_units(Metric.COST, cost),
        }
        bounds = await self._bounds(response.owner, held, used)
        for key, reserved in held:
            await self._counters.settle(key, reserved=reserved, used=used[key.metric], limit=bounds.get(key))
        if held:
            await self._counters.forget(response.response_id)
        return SettledCost(cost, None if sheet is None else sheet.told)

    async def release(self, response_id: UUID) -> None:
        """Give back what a reply has reserved, because it used nothing or nobody knows what. It may be repeated."""
        held = [(key, amount) for key, amount in await self._counters.reservations(response_id) if amount]
        for key, reserved in held:
            await self._counters.settle(key, reserved=reserved, used=0)
        if held:
            await self._counters.empty(response_id)

    async def quota(self, owner: Owner) -> list[QuotaState]:
        """The limits that hold for an owner, and what is gone of them."""
        limits = await self._effective(owner)
        counted = await self._counters.read([limit.key for limit in limits]) if limits else {}
        return [_state(limit, *counted.get(limit.key, (0, 0))) for limit in limits]

    async def view(self, owner: Owner) -> QuotaView:
        """`quota`, and the moment that it tells of."""
        return QuotaView(self._clock.now(), await self.quota(owner))

    async def _effective(self, owner: Owner) -> list[EffectiveLimit]:
        """The limits that hold for an owner, in the order of locks.

        Of those with the same metric and window the one for the owner itself holds, else the largest of its roles',
        else the one for each owner of its kind; those for all together hold besides.
        """
        kind = LimitScope.USER if owner.user_id else LimitScope.GUEST
        rows = await self._limits.that_may_concern(kind, owner.id)
        roles: Collection[str] = ()
        if owner.user_id and any(row.scope_type is LimitScope.ROLE for row in rows):
            roles = await self._limits.roles_of(owner.user_id)
        own: dict[tuple[Metric, int], UsageLimit] = {}
        for row in sorted(rows, key=_precedence):
            if row.scope_type is not LimitScope.GLOBAL and (
                row.scope_type is not LimitScope.ROLE or row.scope_id in roles
            ):
                own.setdefault((row.metric, row.window_seconds), row)
        now = self._clock.now()
        shared = [_effective(row, LimitScope.GLOBAL, now) for row in rows if row.scope_type is LimitScope.GLOBAL]
        limits = [*shared, *(_effective(row, f"{kind}:{owner.id.hex}", now) for row in own.values())]
        return sorted(limits, key=lambda limit: limit.key.order)

    async def _bounds(
        self, owner: Owner, held: Sequence[tuple[CounterKey, int]], used: Mapping[Metric, int]
    ) -> dict[CounterKey, int]:
        """The limits of the counters of which a reply used more than it had reserved, as far as they still hold."""
        exceeded = [key for key, reserved in held if used[key.metric] > reserved]
        if not exceeded:
            return {}
        amounts = {limit.key.of_any_window: limit.amount for limit in await self._effective(owner)}
        return {key: amounts[key.of_any_window] for key in exceeded if key.of_any_window in amounts}

    async def _highest_cost(self, models: Iterable[str], prompt: int, completion: int) -> int:
        """The most that a reply can cost, in nano-dollars, rounded up."""
        models = list(models)
        prefixes = prefixes_of(name for model in models for name in names_of(model, None))
        prices = await self._prices.with_prefixes(prefixes)
        cost = highest_cost(prices, models, self._clock.now(), prompt=prompt, completion=completion)
        return int(cost.scaleb(COST_DECIMALS).to_integral_value(ROUND_CEILING))

    def _exceeded(self, limit: EffectiveLimit, asked: int) -> QuotaExceededError:
        seconds = max(1, math.ceil((limit.resets_at - self._clock.now()).total_seconds()))
        key = limit.key
        name = f"{limit.scope.value}-{key.metric.value}"
        # RateLimit fields: draft-ietf-httpapi-ratelimit-headers.
        headers = {
            "Retry-After": str(seconds),
            "RateLimit-Policy": f'"{name}";q={limit.amount};w={key.window_seconds}',
            "RateLimit": f'"{name}";r=0;t={seconds}',
        }
        too_large = asked > limit.amount
        detail = "The reply alone may need more than the limit." if too_large else f"Try again in {seconds} s."
        return QuotaExceededError(
            detail,
            headers=headers,
            scope=limit.scope.value,
            metric=key.metric.value,
            limit=str(from_units(key.metric, limit.amount)),
            window_seconds=key.window_seconds,
            resets_at=limit.resets_at.isoformat(),
        )


def rate_limit_headers(states: Collection[QuotaState], now: datetime) -> dict[str, str]:
    """The `RateLimit` fields that tell of every limit; none where there are no limits. Costs are in nano-dollars."""
    if not states:
        return {}
    policies, levels = [], []
    for state in states:
        name = f'"{state.scope.value}-{state.metric.value}"'
        seconds = max(0, math.ceil((state.resets_at - now).total_seconds()))
        policies.append(f"{name};q={to_units(state.metric, state.limit)};w={state.window_seconds}")
        levels.append(f"{name};r={to_units(state.metric, state.remaining)};t={seconds}")
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(levels)}


def _precedence(row: UsageLimit) -> tuple[int, int]:
    """Whose limit comes first: the owner's own, then the largest of its roles', then everyone's."""
    place = 1 if row.scope_type is LimitScope.ROLE else 0 if row.scope_id else 2
    return place, -row.amount


def _effective(row: UsageLimit, scope: str, now: datetime) -> EffectiveLimit:
    """Windows begin at whole multiples of their length since 1970 in UTC."""
    length = timedelta(seconds=row.window_seconds)
    start = _EPOCH + (now - _EPOCH) // length * length
    key = CounterKey(scope, row.metric, row.window_seconds, start)
    return EffectiveLimit(row.id, row.scope_type, key, row.amount, start + length)


def _state(limit: EffectiveLimit, used: int, reserved: int) -> QuotaState:
    metric = limit.key.metric
    return QuotaState(
        scope=limit.scope,
        metric=metric,
        window_seconds=limit.key.window_seconds,
        limit=from_units(metric, limit.amount),
        used=from_units(metric, used),
        reserved=from_units(metric, reserved),
        remaining=from_units(metric, max(0, limit.amount - used - reserved)),
        resets_at=limit.resets_at,
    )


def _record(response: SettledUsage, cost: Decimal, *, is_priced: bool) -> dict[str, object]:
    tokens: TokenCounts = response.tokens
    return {
        "id": new_id(),
        "response_id": response.response_id,
        "user_id": response.owner.user_id,
        "guest_id": response.owner.guest_id,
        "conversation_id": response.conversation_id,
        "model": response.model,
        "provider": response.provider,
        "tokens_prompt": tokens.prompt,
        "tokens_completion": tokens.completion,
        "tokens_total": tokens.total,
        "tokens_cached": tokens.cached,
        "tokens_cache_write": tokens.cache_write,
        "tokens_reasoning": tokens.reasoning,
        "usage_source": response.source,
        "cost_usd": cost,
        "is_priced": is_priced,
        "created_at": response.at,
    }
