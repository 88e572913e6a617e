"""What the tests of use share."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from app.auth.guests.types import Owner
from app.auth.types import COMMAND_LINE
from app.chat.responses.types import UsageSource
from app.chat.usage.administration import PriceService
from app.chat.usage.models import UsageLimit
from app.chat.usage.repository import UsageLimitRepository
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.service import UsageService
from app.chat.usage.types import LimitScope, Metric, QuotaState, SettledUsage, TokenCounts, to_units
from app.core.ids import new_id
from app.main import Services

DAY = 86_400


async def limit(
    services: Services,
    scope: LimitScope,
    metric: Metric,
    amount: int | str,
    *,
    scope_id: str = "",
    window_seconds: int = DAY,
) -> None:
    """Set a limit, without any endpoint."""
    async with services.database.session() as session:
        row = UsageLimit(
            scope_type=scope,
            scope_id=scope_id,
            metric=metric,
            window_seconds=window_seconds,
            amount=to_units(metric, Decimal(amount)),
        )
        await UsageLimitRepository(session, services.clock).add(row)
        await session.commit()


def settled(
    owner: Owner,
    response_id: UUID | None = None,
    *,
    at: datetime | None = None,
    prompt: int = 0,
    completion: int = 0,
    cached: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
    model: str = "merit/echo",
    provider: str = "merit",
    conversation_id: UUID | None = None,
) -> SettledUsage:
    """What a reply used."""
    return SettledUsage(
        response_id=response_id or new_id(),
        owner=owner,
        conversation_id=conversation_id,
        model=model,
        provider=provider,
        tokens=TokenCounts(
            prompt=prompt, completion=completion, cached=cached, cache_write=cache_write, reasoning=reasoning
        ),
        source=UsageSource.PROVIDER,
        at=at or datetime.now(UTC),
    )


async def states(services: Services, owner: Owner) -> dict[Metric, QuotaState]:
    """The limits that hold for an owner, by metric."""
    async with services.database.read_session() as session:
        return {state.metric: state for state in await UsageService(session, services.auth).quota(owner)}


async def load(services: Services, *prices: PriceCreate) -> None:
    """Load prices, without any endpoint."""
    async with services.database.session() as session:
        await PriceService(session, services.auth).load(prices, COMMAND_LINE, actor_id=None)
        await session.commit()


async def record(services: Services, usage: SettledUsage, *, tokens: TokenCounts | None = None) -> Decimal:
    """Settle a reply; what it cost."""
    async with services.database.session() as session:
        wanted = usage if tokens is None else replace(usage, tokens=tokens)
        cost = await UsageService(session, services.auth).settle(wanted)
        await session.commit()
    return cost.usd


async def reserve(
    services: Services, owner: Owner, *, tokens: int = 0, prompt: int = 0, model: str = "merit/echo"
) -> UUID:
    """Reserve what a reply may use; its id."""
    response_id = new_id()
    async with services.database.session() as session:
        usage = UsageService(session, services.auth)
        await usage.reserve(owner, response_id, model, most_prompt=prompt, most_completion=tokens - prompt)
        await session.commit()
    return response_id
