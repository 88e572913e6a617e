"""C6: whatever happens at once, no more is spent than a quota holds."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app.auth.guests.types import Owner
from app.chat.models import Conversation
from app.chat.repository import ConversationRepository
from app.chat.usage.errors import QuotaExceededError
from app.chat.usage.models import UsageRecord
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.service import UsageService
from app.chat.usage.types import LimitScope, Metric, PriceUnit, QuotaState
from app.core.ids import new_id
from app.main import Services
from tests.chat.responses.stage import providers
from tests.chat.usage.support import limit, load, settled, states
from tests.conftest import AppFactory, client_of
from tests.support import API, Account
from tools.provider import Provider

LIMITS = {Metric.TOKENS: Decimal(1000), Metric.COST: Decimal("0.8")}
HEEDLESS = "test/x+words=200"
PRICES = {PriceUnit.INPUT: Decimal("0.001"), PriceUnit.OUTPUT: Decimal("0.002")}
DENSE = " ".join("a" * 40)
"""A token for each letter: a third of the bytes that texts have for theirs."""


@dataclass
class Crowd:
    """Somebody who asks for much at once."""

    http: httpx.AsyncClient
    services: Services
    owner: Owner

    async def spent(self) -> dict[Metric, Decimal]:
        """The sums of the ledger."""
        statement: Any = select(func.sum(UsageRecord.tokens_total), func.sum(UsageRecord.cost_usd))
        async with self.services.database.read_session() as session:
            rows: Any = await session.rows(statement)
        [(tokens, cost)] = rows
        return {Metric.TOKENS: Decimal(tokens), Metric.COST: cost}

    async def conversations(self, count: int) -> list[UUID]:
        """New conversations."""
        now = self.services.clock.now()
        rows = [
            Conversation(id=new_id(), user_id=self.owner.user_id, default_model="merit/echo", last_message_at=now)
            for _ in range(count)
        ]
        async with self.services.database.session() as session:
            await ConversationRepository(session, self.services.clock).add_all(rows)
            await session.commit()
        return [row.id for row in rows]

    async def send(self, conversation_id: UUID) -> int:
        """Send a message; the status of the answer."""
        body = {"content": DENSE, "model": HEEDLESS, "params": {"max_tokens": 10}}
        return (await self.http.post(f"{API}/conversations/{conversation_id}/messages", json=body)).status_code

    async def complete(self) -> int:
        """Ask through the gateway; the status of the answer."""
        body = {"messages": [{"role": "user", "content": DENSE}], "model": HEEDLESS, "max_tokens": 10}
        return (await self.http.post("/openai/v1/chat/completions", json=body)).status_code


async def ask(services: Services, owner: Owner, tokens: int) -> UUID | None:
    """One request: reserve in a transaction of its own; the reply's id, or None where the quota refused."""
    response_id = new_id()
    try:
        async with services.database.session() as session:
            usage = UsageService(session, services.auth)
            await usage.reserve(owner, response_id, "merit/echo", most_prompt=0, most_completion=tokens)
            await session.commit()
    except QuotaExceededError:
        return None
    return response_id


async def finish(services: Services, owner: Owner, response_id: UUID, tokens: int) -> None:
    async with services.database.session() as session:
        await UsageService(session, services.auth).settle(settled(owner, response_id, completion=tokens))
        await session.commit()


async def test_200_parallel_reservations_promise_no_more_than_the_quota(services: Services, account: Account) -> None:
    owner = Owner(user_id=UUID(account.id))
    await limit(services, LimitScope.USER, Metric.TOKENS, 1000)
    await limit(services, LimitScope.GLOBAL, Metric.MESSAGES, 30)
    answers: Sequence[UUID | None] = await asyncio.gather(*(ask(services, owner, 40) for _ in range(200)))
    admitted = [response_id for response_id in answers if response_id is not None]
    assert len(admitted) == 25, "40 tokens each of 1000"
    found = await states(services, owner)
    assert [int(found[metric].reserved) for metric in (Metric.TOKENS, Metric.MESSAGES)] == [1000, 25]
    await asyncio.gather(*(finish(services, owner, response_id, 30) for response_id in admitted))
    found = await states(services, owner)
    assert [int(amount) for amount in (found[Metric.TOKENS].used, found[Metric.TOKENS].reserved)] == [750, 0]
    assert [int(amount) for amount in (found[Metric.MESSAGES].used, found[Metric.MESSAGES].reserved)] == [25, 0]
    again = await asyncio.gather(*(ask(services, owner, 40) for _ in range(50)))
    assert sum(answer is not None for answer in again) == 5, "of messages 5 are left, of tokens 6"


@pytest.fixture
async def crowd(make_app: AppFactory, provider: Provider, account: Account, services: Services) -> AsyncIterator[Crowd]:
    """Where one person may have all these replies under way; who looks on has connections of their own."""
    most = {"max_replies": 400, "max_replies_per_owner": 400}
    async with make_app(llm_providers=providers(provider), **most) as app, client_of(app) as http:
        http.headers.update(account.headers)
        yield Crowd(http, services, Owner(user_id=UUID(account.id)))


async def test_200_parallel_requests_spend_no_more_than_the_quotas(crowd: Crowd) -> None:
    """Dense prompts, and a model that does not heed `max_tokens`; half of the requests come through the gateway."""
    prices = (PriceCreate(match_pattern="x*", unit=unit, price=price) for unit, price in PRICES.items())
    await load(crowd.services, *prices)
    for metric, amount in LIMITS.items():
        await limit(crowd.services, LimitScope.USER, metric, str(amount))
    places = await crowd.conversations(100)
    samples: list[dict[Metric, QuotaState]] = []

    async def send(number: int) -> int:
        return await (crowd.send(places[number // 2]) if number % 2 else crowd.complete())

    async def look() -> None:
        while True:
            with suppress(DBAPIError):  # a database under load may take too long for an onlooker
                samples.append(await states(crowd.services, crowd.owner))
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    codes = Counter(await asyncio.gather(*map(send, range(200))))
    while (await states(crowd.services, crowd.owner))[Metric.TOKENS].reserved:  # noqa: ASYNC110 - see `sleep`
        await asyncio.sleep(0.05)  # the last replies are settled behind their answers
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    assert set(codes) <= {200, 202, 429, 503}, "a slow machine refuses some, or answers before the reply is over"
    assert codes[200] + codes[202] >= 7, "as many as the limits had room for at once"
    ends = await states(crowd.services, crowd.owner)
    spent = await crowd.spent()
    assert samples
    for metric, amount in LIMITS.items():
        assert all(sample[metric].used + sample[metric].reserved <= amount for sample in samples)
        assert ends[metric].reserved == 0
        assert 0 < ends[metric].used == spent[metric] <= amount, "and the ledger tells the same"
