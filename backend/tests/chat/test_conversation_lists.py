"""The list of conversations: orders, filters and pages."""

from typing import Any

import pytest

from app.core.ids import new_id
from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import GuestCaller, converse, folder, ids, say, statements_of
from tests.support import Account, ManualClock

SORTS = ["last_message_at", "-last_message_at", "created_at", "-created_at"]


async def listed(caller: Account | GuestCaller, **query: Any) -> list[str]:
    """The ids of all pages, each of two."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await caller.get("/conversations", params={**query, **cursor, "limit": 2})).json()
        found += ids(page["items"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_orders_and_pages(services: Services, account: Account, stranger: Account, clock: ManualClock) -> None:
    made = []
    for _ in range(5):
        made.append((await converse(account))["id"])
        clock.advance(seconds=1)
    await converse(stranger)
    for index in (1, 3):
        await say(services, account, made[index])
        clock.advance(seconds=1)
    by_message = [made[index] for index in (0, 2, 4, 1, 3)]
    assert await listed(account, sort="created_at") == made
    assert await listed(account, sort="-created_at") == made[::-1]
    assert await listed(account, sort="last_message_at") == by_message
    assert await listed(account) == by_message[::-1]


async def test_filters(account: Account) -> None:
    place = await folder(account)
    plain = (await converse(account))["id"]
    filed = (await converse(account, folder_id=place, tags=["a"]))["id"]
    other = (await converse(account, tags=["a", "b"]))["id"]
    for id_, change in ((plain, {"is_archived": True}), (other, {"is_pinned": True})):
        await account.request("PATCH", f"/conversations/{id_}", json=change)
    wanted: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {plain, filed, other}),
        ({"folder_id": place}, {filed}),
        ({"folder_id": str(new_id())}, set()),
        ({"tag": "a"}, {filed, other}),
        ({"tag": "A"}, set()),
        ({"tag": "b", "folder_id": place}, set()),
        ({"is_archived": True}, {plain}),
        ({"is_archived": False}, {filed, other}),
        ({"is_pinned": True}, {other}),
        ({"kind": "chat"}, {plain, filed, other}),
    ]
    for query, expected in wanted:
        assert set(await listed(account, **query)) == expected, query


async def test_a_cursor_belongs_to_its_order(account: Account) -> None:
    for _ in range(2):
        await converse(account)
    page = (await account.get("/conversations", params={"limit": 1})).json()
    query = {"cursor": page["next_cursor"], "sort": "created_at"}
    assert code_of(await account.get("/conversations", params=query)) == (422, "invalid_cursor")


@pytest.mark.parametrize("query", [{"sort": "title"}, {"limit": 101}, {"tag": ""}, {"kind": "x"}, {"folder_id": "x"}])
async def test_bad_queries_are_refused(account: Account, query: dict[str, Any]) -> None:
    assert (await account.get("/conversations", params=query)).status_code == 422


@pytest.mark.parametrize("sort", SORTS)
async def test_statements_do_not_depend_on_the_page(
    services: Services, account: Account, guest: GuestCaller, sort: str
) -> None:
    """One for the conversations and one for all their tags; a guest is proven by one more."""
    for caller in (account, guest):
        for number in range(8):
            await converse(caller, tags=["a", str(number)])
        for limit in (1, 8):
            with statements_of(services) as sent:
                page = (await caller.get("/conversations", params={"limit": limit, "sort": sort})).json()
            assert len(page["items"]) == limit
            assert len(sent) <= 3, sent
            assert not any("messages" in statement for statement in sent)
