"""`GET /usage` and `GET /admin/usage`: buckets, pages and groups, by an index."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, text

from app.auth.guests.types import Owner
from app.chat.usage import reports
from app.chat.usage.models import UsageRecord
from app.chat.usage.service import UsageService
from app.core.ids import new_id
from app.main import Services
from tests.architecture.test_query_plans import SEEKS, plans
from tests.auth.guests.stage import visitor
from tests.chat.usage.support import settled
from tests.db.rows import row_of
from tests.support import Account, register

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
RANGE = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00Z"}


async def used(services: Services, owner: Owner, *moments: timedelta, **members: Any) -> None:
    async with services.database.session() as session:
        for moment in moments:
            usage = settled(owner, at=MIDNIGHT + moment, prompt=10, completion=2, **members)
            await UsageService(session, services.auth).settle(usage)
        await session.commit()


@pytest.fixture
def owner(account: Account) -> Owner:
    return Owner(user_id=UUID(account.id))


async def test_buckets_have_openais_shape(services: Services, account: Account, owner: Owner) -> None:
    """https://platform.openai.com/docs/api-reference/usage/completions_object"""
    await used(services, owner, timedelta(), timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999))
    await used(services, owner, timedelta(days=1), cached=4, cache_write=3, reasoning=1)
    answer = (await account.get("/usage", params=RANGE)).json()
    assert (answer["object"], answer["has_more"], answer["next_page"]) == ("page", False, None)
    first, second, third = answer["data"]
    start = int(MIDNIGHT.timestamp())
    assert [first[name] for name in ("object", "start_time", "end_time")] == ["bucket", start, start + 86_400]
    assert third["results"] == []
    (result,) = first["results"]
    assert result == {
        "object": "organization.usage.completions.result",
        "input_tokens": 20,
        "output_tokens": 4,
        "input_cached_tokens": 0,
        "input_cache_write_tokens": 0,
        "output_reasoning_tokens": 0,
        "num_model_requests": 2,
        "num_unpriced_requests": 2,
        "cost_usd": "0.000000000",
        "model": None,
        "user_id": None,
        "conversation_id": None,
    }
    (result,) = second["results"]
    assert (result["input_cached_tokens"], result["output_reasoning_tokens"]) == (4, 1)
    assert result["input_cache_write_tokens"] == 3


async def test_a_range_is_cut_to_the_moment(services: Services, account: Account, owner: Owner) -> None:
    """Buckets begin at whole hours; what lies outside the range is in none."""
    await used(services, owner, *(timedelta(minutes=minute) for minute in (14, 15, 59, 60, 74, 75)))
    query = {"start": "2026-03-01T00:15:00Z", "end": "2026-03-01T01:15:00+00:00", "bucket": "1h"}
    buckets = (await account.get("/usage", params=query)).json()["data"]
    assert [bucket["results"][0]["num_model_requests"] for bucket in buckets] == [2, 2]
    assert buckets[0]["start_time"] == int(MIDNIGHT.timestamp())


async def test_pages_follow_each_other(services: Services, account: Account, owner: Owner) -> None:
    await used(services, owner, *(timedelta(hours=hour) for hour in range(0, 72, 5)))
    query: dict[str, Any] = {**RANGE, "bucket": "1h", "limit": 7}
    starts, requests = [], 0
    while True:
        page = (await account.get("/usage", params=query)).json()
        assert len(page["data"]) <= 7
        starts += [bucket["start_time"] for bucket in page["data"]]
        requests += sum(result["num_model_requests"] for bucket in page["data"] for result in bucket["results"])
        assert page["has_more"] is (page["next_page"] is not None)
        if not page["has_more"]:
            break
        query["page"] = page["next_page"]
    assert starts == [int(MIDNIGHT.timestamp()) + 3600 * hour for hour in range(72)]
    assert requests == 15
    other = await account.get("/usage", params={**query, "group_by": "model"})
    assert (other.status_code, other.json()["code"]) == (422, "invalid_cursor")


async def test_groups_stand_in_one_parameter_or_in_one_each(
    services: Services, account: Account, admin: Account, owner: Owner
) -> None:
    await used(services, owner, timedelta(hours=1), conversation_id=new_id())
    for caller, path in ((account, "/usage"), (admin, "/admin/usage")):
        each, both = [
            await caller.get(path, params={**RANGE, "group_by": names})
            for names in (["model", "conversation"], "model,conversation")
        ]
        assert both.status_code == 200, both.text
        assert both.json() == each.json()
        (result,) = [one for bucket in both.json()["data"] for one in bucket["results"]]
        assert result["model"]
        assert result["conversation_id"]


async def test_results_are_bounded_whatever_the_groups(
    services: Services, account: Account, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends early where its groups are too many; one bucket alone with too many is refused."""
    monkeypatch.setattr(reports, "MAX_RESULTS", 3)
    for hour, count in enumerate((2, 1, 2)):
        for _ in range(count):
            await used(services, owner, timedelta(hours=hour), conversation_id=new_id())
    query = {**RANGE, "bucket": "1h", "group_by": "conversation", "limit": 72}
    first = (await account.get("/usage", params=query)).json()
    assert [len(bucket["results"]) for bucket in first["data"]] == [2, 1]
    second = (await account.get("/usage", params={**query, "page": first["next_page"]})).json()
    assert sum(len(bucket["results"]) for bucket in second["data"]) == 2
    refused = await account.get("/usage", params={**query, "bucket": "1d"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_range")


@pytest.mark.parametrize(
    "query",
    [
        {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
        {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
        {"start": "0001-01-01T00:00:00Z", "end": "0001-01-02T00:00:00Z"},
        {"start": "2000-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-09T00:00:00Z", "bucket": "1m"},
        {**RANGE, "bucket": "1y"},
        {**RANGE, "group_by": "password"},
        {**RANGE, "group_by": ["model"] * 4},
        {**RANGE, "group_by": "model,model,model,model"},
        {**RANGE, "group_by": "model,"},
        {**RANGE, "limit": 1441},
        {**RANGE, "limit": 0},
        {"start": "2026-03-02T00:00:00Z"},
        {"start": "1767225600", "end": "1767225601"},
        {"start": "9999-12-30T00:00:00Z", "end": "9999-12-31T00:00:01Z"},
    ],
    ids=range(15),
)
async def test_what_is_no_range_is_refused(account: Account, admin: Account, query: dict[str, Any]) -> None:
    assert (await account.get("/usage", params=query)).status_code == 422
    assert (await admin.get("/admin/usage", params=query)).status_code == 422


async def test_everyone_sees_their_own(
    services: Services, client: httpx.AsyncClient, account: Account, admin: Account, owner: Owner
) -> None:
    other = Owner(user_id=UUID((await register(client)).id))
    guest = await visitor(client)
    conversation = new_id()
    await used(services, owner, timedelta(), conversation_id=conversation)
    await used(services, other, timedelta(), timedelta(minutes=1), conversation_id=conversation)
    await used(services, Owner(guest_id=UUID(guest.id)), timedelta())

    async def requests(caller: Any, path: str = "/usage", **query: Any) -> dict[Any, int]:
        answer = (await caller.get(path, params={**RANGE, **query})).json()
        results = answer["data"][0]["results"]
        return {result["user_id"]: result["num_model_requests"] for result in results}

    assert await requests(account, group_by="conversation") == {None: 1}
    assert await requests(account, group_by="user") == {account.id: 1}
    assert await requests(guest, group_by="user") == {None: 1}
    assert await requests(admin, "/admin/usage") == {None: 4}
    assert await requests(admin, "/admin/usage", group_by="user") == {account.id: 1, str(other.id): 2, None: 1}
    assert await requests(admin, "/admin/usage", group_by="user", user_id=account.id) == {account.id: 1}
    assert (await account.get("/admin/usage", params=RANGE)).status_code == 403


async def test_no_report_reads_the_whole_ledger(
    services: Services, account: Account, admin: Account, owner: Owner
) -> None:
    table = UsageRecord.__table__
    rows = []
    for n in range(4000):
        mine = owner.id if n % 50 == 0 else UUID(admin.id)
        row = row_of(table, n, {"users.id": [mine], "guests.id": [None]})
        rows.append({**row, "user_id": mine, "guest_id": None, "created_at": MIDNIGHT + timedelta(minutes=n)})
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(UsageRecord), rows)
    backend = services.database.url.backend
    async with services.database.reader.connect() as connection:
        await connection.execute(text("ANALYZE TABLE usage_records" if backend == "mysql" else "ANALYZE"))
    narrow = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T02:00:00Z", "bucket": "1h"}
    for caller, path in ((account, "/usage"), (admin, "/admin/usage")):
        for plan in await plans(services, caller, narrow, path=path, table="usage_records"):
            assert re.search(SEEKS[backend], plan), plan
