"""C7: costs are exact, to the last decimal, by whatever they are grouped."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import httpx
import pytest

from app.auth.guests.types import Owner
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.service import UsageService
from app.chat.usage.types import PriceUnit, SettledUsage, TokenCounts
from app.core.ids import new_id
from app.main import Services
from tests.chat.usage.support import load, record, settled
from tests.support import Account, register

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD_PRICES = (
    PriceCreate(match_pattern="odd/*", unit=PriceUnit.INPUT, price=Decimal("0.000000123456789")),
    PriceCreate(match_pattern="odd/*", unit=PriceUnit.OUTPUT, price=Decimal("0.000000987654321")),
    PriceCreate(match_pattern="odd/*", unit=PriceUnit.CACHED_INPUT, price=Decimal("0.000000000000001")),
    PriceCreate(match_pattern="odd/b", unit=PriceUnit.REQUEST, price=Decimal("0.333333333")),
)


async def costs(account: Account, path: str, **query: object) -> list[dict[str, object]]:
    """Every result of a report over the first week of March, through all its pages."""
    results, page = [], None
    while True:
        params = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-08T00:00:00Z", **query}
        answer = await account.get(path, params=params | ({"page": page} if page else {}))
        assert answer.status_code == httpx.codes.OK, answer.text
        for bucket in answer.json()["data"]:
            results += [{**result, "start": bucket["start_time"]} for result in bucket["results"]]
        page = answer.json()["next_page"]
        if page is None:
            return results


def total(results: list[dict[str, object]]) -> Decimal:
    return sum((Decimal(str(result["cost_usd"])) for result in results), Decimal(0))


async def test_sums_are_exact_by_whatever_they_are_grouped(services: Services, admin: Account) -> None:
    await load(services, *ODD_PRICES)
    random = Random(7)  # noqa: S311 - no secret
    owners = [Owner(user_id=UUID((await register(admin.client)).id)) for _ in range(3)]
    conversations = [new_id() for _ in range(5)]
    used = [
        settled(
            random.choice(owners),
            prompt=random.randrange(2_000_000),
            completion=random.randrange(200_000),
            cached=random.randrange(1000),
            model=random.choice(["odd/a", "odd/b", "nobody/knows"]),
            provider="odd",
            conversation_id=random.choice(conversations),
            at=NOON + timedelta(seconds=random.randrange(6 * 86_400)),
        )
        for _ in range(300)
    ]
    by_hand: dict[SettledUsage, Decimal] = {}
    async with services.database.session() as session:
        for usage in used:
            by_hand[usage] = (await UsageService(session, services.auth).settle(usage)).usd
        await session.commit()
    exact = sum(by_hand.values(), Decimal(0))
    assert exact.as_tuple().exponent == -9
    for query in (
        {"bucket": "1d"}, {"bucket": "1h", "limit": 100}, {"bucket": "1m", "limit": 1440},
        {"group_by": "model"}, {"group_by": "user"}, {"group_by": "conversation"},
        {"group_by": ["model", "user", "conversation"], "bucket": "1h", "limit": 24},
    ):  # fmt: skip
        assert total(await costs(admin, "/admin/usage", **query)) == exact, query
    by_model: dict[object, Decimal] = defaultdict(Decimal)
    for usage, cost in by_hand.items():
        by_model[usage.model] += cost
    found: dict[object, Decimal] = defaultdict(Decimal)
    for result in await costs(admin, "/admin/usage", group_by="model"):
        found[result["model"]] += Decimal(str(result["cost_usd"]))
    assert found == by_model
    mine = sum((cost for usage, cost in by_hand.items() if usage.owner == owners[0]), Decimal(0))
    assert total(await costs(admin, "/admin/usage", user_id=str(owners[0].id), bucket="1h", limit=168)) == mine


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (TokenCounts(), "0"),
        (TokenCounts(prompt=1), "0.000000123"),
        (TokenCounts(prompt=1_000_000), "0.123456789"),
        (TokenCounts(completion=3), "0.000002963"),  # 2.962962963 rounded once, not three times 0.988
        (TokenCounts(prompt=1000, cached=1000), "0.000000000"),
        (TokenCounts(prompt=5, cached=9, cache_write=9), "0.000000000"),  # more parts than the whole has
    ],
)
async def test_a_reply_costs_its_tokens_rounded_once(
    services: Services, account: Account, tokens: TokenCounts, cost: str
) -> None:
    await load(services, *ODD_PRICES)
    usage = settled(Owner(user_id=UUID(account.id)), model="odd/a", provider="odd", at=NOON)
    assert await record(services, usage, tokens=tokens) == Decimal(cost)


async def test_half_a_nano_dollar_goes_to_the_even_one(services: Services, account: Account) -> None:
    await load(services, PriceCreate(match_pattern="half", unit=PriceUnit.INPUT, price=Decimal("0.0000000005")))
    owner = Owner(user_id=UUID(account.id))
    found = [
        await record(services, settled(owner, model="half", provider="x", at=NOON, prompt=prompt))
        for prompt in (1, 3, 5)
    ]
    assert found == [Decimal("0E-9"), Decimal("2E-9"), Decimal("2E-9")]


async def test_a_reply_is_settled_once(services: Services, account: Account) -> None:
    await load(services, *ODD_PRICES)
    usage = settled(Owner(user_id=UUID(account.id)), model="odd/b", provider="odd", at=NOON, prompt=10)
    first = await record(services, usage)
    assert await record(services, usage, tokens=TokenCounts(prompt=99)) == first
    (result,) = await costs(account, "/usage")
    assert (result["input_tokens"], result["num_model_requests"], result["cost_usd"]) == (10, 1, f"{first:f}")


async def test_the_ledger_goes_with_the_account_only(services: Services, account: Account) -> None:
    usage = settled(Owner(user_id=UUID(account.id)), at=NOON, prompt=10)
    async with services.database.session() as session:
        await UsageService(session, services.auth).settle(usage)
        await session.commit()
    (result,) = await costs(account, "/usage", group_by="conversation")
    assert result["num_unpriced_requests"] == 1, "a conversation of which nothing is left still counts"
