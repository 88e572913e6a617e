"""Quotas: which limits hold, and that what is reserved is given back, once."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from app.auth.guests.types import Owner
from app.chat.usage.errors import QuotaExceededError
from app.chat.usage.models import UsageLimit, UsageRecord
from app.chat.usage.repository import UsageLimitRepository
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.service import UsageService, rate_limit_headers
from app.chat.usage.types import LimitScope, Metric, PriceUnit, TokenCounts
from app.core.ids import new_id
from app.main import Services
from tests.auth.guests.stage import visitor
from tests.auth.roles.players import make_role, renew
from tests.chat.usage.support import limit, load, record, reserve, settled, states
from tests.support import Account, ManualClock, register


@pytest.fixture
def owner(account: Account) -> Owner:
    return Owner(user_id=UUID(account.id))


async def test_without_limits_nothing_is_counted(services: Services, account: Account, owner: Owner) -> None:
    await reserve(services, owner, tokens=10**9)
    assert (await account.get("/quota")).json() == {"items": []}
    assert "ratelimit" not in (await account.get("/quota")).headers


async def test_a_reservation_is_settled_once(services: Services, owner: Owner) -> None:
    await limit(services, LimitScope.USER, Metric.TOKENS, 100)
    response_id = await reserve(services, owner, tokens=60)
    with pytest.raises(QuotaExceededError):
        await reserve(services, owner, tokens=60)
    usage = settled(owner, response_id, prompt=10, completion=15)
    for _ in range(2):
        await record(services, usage)
        await release(services, response_id)
        found = (await states(services, owner))[Metric.TOKENS]
        assert (int(found.used), int(found.reserved), int(found.remaining)) == (25, 0, 75)


async def release(services: Services, response_id: UUID) -> None:
    async with services.database.session() as session:
        await UsageService(session, services.auth).release(response_id)
        await session.commit()


async def test_a_released_reply_still_counts_when_it_ends_after_all(services: Services, owner: Owner) -> None:
    """A worker that was given up for dead, and was not."""
    await limit(services, LimitScope.USER, Metric.TOKENS, 100)
    response_id = await reserve(services, owner, tokens=60)
    for _ in range(2):
        await release(services, response_id)
        assert (await states(services, owner))[Metric.TOKENS].reserved == 0
    await record(services, settled(owner, response_id, completion=40))
    found = (await states(services, owner))[Metric.TOKENS]
    assert (int(found.used), int(found.reserved)) == (40, 0)


async def test_a_provider_that_counts_more_than_was_reserved_can_at_most_use_the_limit_up(
    services: Services, owner: Owner
) -> None:
    """The ledger tells the truth all the same."""
    await limit(services, LimitScope.USER, Metric.TOKENS, 100)
    first, second = [await reserve(services, owner, tokens=40) for _ in range(2)]
    await record(services, settled(owner, first, completion=55))
    found = (await states(services, owner))[Metric.TOKENS]
    assert (int(found.used), int(found.reserved)) == (55, 40)
    third = await reserve(services, owner, tokens=5)
    for response_id in (second, third):
        await record(services, settled(owner, response_id, completion=1000))
        found = (await states(services, owner))[Metric.TOKENS]
        assert found.used + found.reserved == 100
    with pytest.raises(QuotaExceededError):
        await reserve(services, owner, tokens=1)
    async with services.database.read_session() as session:
        [(total,)] = await session.rows(select(func.sum(UsageRecord.tokens_total)))
    assert total == 2055


async def test_more_than_was_reserved_counts_as_it_is_where_the_limit_has_changed(
    services: Services, owner: Owner
) -> None:
    await limit(services, LimitScope.USER, Metric.TOKENS, 100)
    response_ids = [await reserve(services, owner, tokens=40) for _ in range(2)]
    for response_id, amount in zip(response_ids, (10, None), strict=True):
        await change_limits(services, amount)
        await record(services, settled(owner, response_id, completion=50))
    await limit(services, LimitScope.USER, Metric.TOKENS, 200)
    assert int((await states(services, owner))[Metric.TOKENS].used) == 50, "no room was left under the first one"


async def change_limits(services: Services, amount: int | None) -> None:
    """Set all limits to an amount, or remove them."""
    async with services.database.session() as session:
        limits = UsageLimitRepository(session, services.clock)
        if amount is None:
            await limits.delete_where()
        else:
            await limits.update_where(values={UsageLimit.amount: amount})
        await session.commit()


async def test_a_refusal_reserves_nothing_even_where_it_is_committed(services: Services, owner: Owner) -> None:
    await limit(services, LimitScope.USER, Metric.MESSAGES, 10)
    await limit(services, LimitScope.USER, Metric.TOKENS, 5)
    async with services.database.session() as session:
        with pytest.raises(QuotaExceededError):
            await UsageService(session, services.auth).reserve(owner, new_id(), "m", most_prompt=0, most_completion=6)
        await session.commit()
    found = await states(services, owner)
    assert [int(found[metric].reserved) for metric in (Metric.MESSAGES, Metric.TOKENS)] == [0, 0]


async def test_the_refusal_says_when_to_come_back(services: Services, owner: Owner, clock: ManualClock) -> None:
    clock.stop()
    await limit(services, LimitScope.USER, Metric.MESSAGES, 1, window_seconds=3600)
    await reserve(services, owner)
    with pytest.raises(QuotaExceededError) as refusal:
        await reserve(services, owner)
    state = (await states(services, owner))[Metric.MESSAGES]
    wait = refusal.value.headers["Retry-After"]
    assert refusal.value.headers["RateLimit"] == f'"user-messages";r=0;t={wait}'
    assert refusal.value.headers["RateLimit-Policy"] == '"user-messages";q=1;w=3600'
    assert refusal.value.extra["resets_at"] == state.resets_at.isoformat()
    assert 0 < int(wait) <= 3600
    clock.advance(seconds=int(wait))
    await reserve(services, owner)
    assert (await states(services, owner))[Metric.MESSAGES].reserved == 1, "of the new window"


async def test_a_reply_counts_in_the_window_that_it_was_asked_in(
    services: Services, owner: Owner, clock: ManualClock
) -> None:
    await limit(services, LimitScope.USER, Metric.TOKENS, 100, window_seconds=60)
    response_id = await reserve(services, owner, tokens=60)
    clock.advance(seconds=60)
    await record(services, settled(owner, response_id, completion=60))
    found = (await states(services, owner))[Metric.TOKENS]
    assert (int(found.used), int(found.reserved)) == (0, 0)


async def test_what_a_reply_costs_at_most_is_reserved(services: Services, owner: Owner) -> None:
    await load(
        services,
        PriceCreate(match_pattern="gpt*", unit=PriceUnit.INPUT, price=Decimal("0.000001")),
        PriceCreate(match_pattern="gpt*", unit=PriceUnit.OUTPUT, price=Decimal("0.000004")),
    )
    await limit(services, LimitScope.USER, Metric.COST, "0.001")
    response_id = await reserve(services, owner, tokens=300, prompt=100, model="gpt-x")
    found = (await states(services, owner))[Metric.COST]
    assert (found.limit, found.reserved) == (Decimal("0.001"), Decimal("0.0009"))
    with pytest.raises(QuotaExceededError, match="Try again"):
        await reserve(services, owner, tokens=101, prompt=0, model="gpt-x")
    with pytest.raises(QuotaExceededError, match="alone"):
        await reserve(services, owner, tokens=1000, prompt=0, model="gpt-x")
    await reserve(services, owner, tokens=10**6, model="merit/echo")  # which has no price
    usage = settled(owner, response_id, model="gpt-x", provider="openai")
    assert await record(services, usage, tokens=TokenCounts(prompt=90, completion=10)) == Decimal("0.00013")
    assert (await states(services, owner))[Metric.COST].used == Decimal("0.00013")


async def test_the_owners_own_limit_goes_before_its_roles_and_everyones(
    services: Services, admin: Account, account: Account, owner: Owner
) -> None:
    async def amount() -> int:
        return int((await states(services, owner))[Metric.TOKENS].limit)

    await limit(services, LimitScope.USER, Metric.TOKENS, 100)
    await limit(services, LimitScope.USER, Metric.TOKENS, 7, scope_id=str(new_id()))
    await limit(services, LimitScope.GUEST, Metric.TOKENS, 8)
    await limit(services, LimitScope.ROLE, Metric.TOKENS, 9, scope_id="reviewer")
    assert await amount() == 100
    await limit(services, LimitScope.ROLE, Metric.TOKENS, 50, scope_id="user")
    assert await amount() == 50
    role = await make_role(admin, "users:read", name="Power Users")
    await admin.request("PUT", f"/admin/users/{account.id}/roles", json={"role": "user", "custom_roles": [role]})
    await renew(account)
    await limit(services, LimitScope.ROLE, Metric.TOKENS, 70, scope_id="power users")
    assert await amount() == 70, "the most generous of the roles"
    await limit(services, LimitScope.USER, Metric.TOKENS, 10, scope_id=account.id)
    assert await amount() == 10
    await limit(services, LimitScope.GLOBAL, Metric.TOKENS, 5)
    await limit(services, LimitScope.USER, Metric.TOKENS, 6, window_seconds=60)
    items = (await account.get("/quota")).json()["items"]
    assert [(item["scope"], item["limit"]) for item in items] == [("user", "6"), ("user", "10"), ("global", "5")]


async def test_owners_share_the_global_limit_only(services: Services, account: Account, owner: Owner) -> None:
    other = Owner(user_id=UUID((await register(account.client)).id))
    await limit(services, LimitScope.USER, Metric.MESSAGES, 2)
    await limit(services, LimitScope.GLOBAL, Metric.MESSAGES, 3)
    await reserve(services, owner)
    await reserve(services, owner)
    with pytest.raises(QuotaExceededError, match="Try again"):
        await reserve(services, owner)
    await reserve(services, other)
    with pytest.raises(QuotaExceededError) as refusal:
        await reserve(services, other)
    assert refusal.value.extra["scope"] == "global"


async def test_guests_have_quotas_and_hand_over_what_they_used(
    services: Services, client: httpx.AsyncClient, account: Account
) -> None:
    guest = await visitor(client)
    owner = Owner(guest_id=UUID(guest.id))
    await limit(services, LimitScope.GUEST, Metric.MESSAGES, 1)
    await limit(services, LimitScope.USER, Metric.MESSAGES, 9)
    response_id = await reserve(services, owner)
    with pytest.raises(QuotaExceededError):
        await reserve(services, owner)
    await record(services, settled(owner, response_id, prompt=3))
    (item,) = (await guest.get("/quota")).json()["items"]
    assert (item["scope"], item["used"], item["remaining"]) == ("guest", "1", "0")
    days = {"start": "2026-01-01T00:00:00Z", "end": "2031-01-01T00:00:00Z", "limit": 1440}

    async def requests(caller: Any) -> int:
        found: int = 0
        page = None
        while True:
            query = days | ({"page": page} if page else {})
            answer = (await caller.get("/usage", params=query)).json()
            found += sum(r["num_model_requests"] for bucket in answer["data"] for r in bucket["results"])
            page = answer["next_page"]
            if page is None:
                return found

    assert await requests(guest) == 1
    answer = await account.request("POST", "/guests/claim", headers=guest.headers)
    assert answer.is_success, answer.text
    assert await requests(account) == 1


async def test_the_headers_tell_of_every_limit(services: Services, account: Account, owner: Owner) -> None:
    await limit(services, LimitScope.USER, Metric.COST, "1.5")
    await limit(services, LimitScope.GLOBAL, Metric.MESSAGES, 3)
    answer = await account.get("/quota")
    assert answer.headers["ratelimit-policy"] == '"user-cost";q=1500000000;w=86400, "global-messages";q=3;w=86400'
    assert answer.headers["ratelimit"].startswith('"user-cost";r=1500000000;t=')
    assert rate_limit_headers([], services.clock.now()) == {}
