"""M1: many changes of one person's preferences at once, through the application's real pools."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.main import Services
from app.preferences.types import MAX_PREFERENCES
from tests.conftest import AppFactory, client_of
from tests.preferences.stage import PATH, change, device, feed, put, undo, values
from tests.support import Account, register

CONCURRENT = 100


@pytest.fixture
async def crowd(account: Account, make_app: AppFactory) -> AsyncIterator[list[Account]]:
    """The account in two applications on one database, as it would be served by two workers."""
    async with make_app() as other, client_of(other) as client:
        yield [account, Account(client, account.id, account.email, account.password, None, account.access_token)]


async def test_a_hundred_changes_at_once_lose_none(crowd: list[Account]) -> None:
    """M1: of different preferences, from two workers, from the very first change of the account on."""
    answers = await asyncio.gather(
        *(change(crowd[number % 2], {f"x-{number}": number}) for number in range(CONCURRENT))
    )
    assert [answer.status_code for answer in answers] == [200] * CONCURRENT
    assert await values(crowd[0]) == {f"x-{number}": number for number in range(CONCURRENT)}
    assert sorted(answer.json()["seq"] for answer in answers) == list(range(1, CONCURRENT + 1))
    items = (await feed(crowd[0]))["items"]
    assert [item["seq"] for item in items] == list(range(1, CONCURRENT + 1)), "no gaps"
    assert {item["key"] for item in items} == {f"x-{number}" for number in range(CONCURRENT)}


async def test_of_many_with_one_version_one_wins(crowd: list[Account]) -> None:
    """M1: compare and set. All read the same; one is let through, the others are told that they are stale."""
    for version in (0, 1):
        answers = await asyncio.gather(
            *(put(crowd[number % 2], "x-a", [version, number], if_match=version) for number in range(20))
        )
        codes = [answer.status_code for answer in answers]
        assert sorted(codes) == [200] + [412] * 19
        assert (await values(crowd[0]))["x-a"] == [version, codes.index(200)]


async def test_counting_up_with_versions_counts_right(crowd: list[Account]) -> None:
    """Read, add one, write with the version, again where it was stale: what a client does with a shared value."""
    await put(crowd[0], "x-count", 0)

    async def count(account: Account) -> None:
        while True:
            read = (await account.get(f"{PATH}/x-count")).json()
            if (await put(account, "x-count", read["value"] + 1, if_match=read["version"])).status_code == 200:
                return

    await asyncio.gather(*(count(crowd[number % 2]) for number in range(10)))
    assert await values(crowd[0]) == {"x-count": 10}


async def test_batches_are_never_mixed(crowd: list[Account]) -> None:
    """Whoever writes last, all keys are of one writer; keys in another order do not lock each other up."""
    keys = [f"x-{number}" for number in range(10)]
    answers = await asyncio.gather(
        *(
            change(crowd[writer % 2], dict.fromkeys(keys if writer % 3 else reversed(keys), writer))
            for writer in range(20)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len(set((await values(crowd[0])).values())) == 1
    assert all(len({one["value"] for one in answer.json()["preferences"].values()}) == 1 for answer in answers)


async def test_two_undos_of_one_change_undo_it_once(crowd: list[Account]) -> None:
    await put(crowd[0], "x-a", 1)
    await put(crowd[0], "x-a", 2)
    answers = await asyncio.gather(*(undo(crowd[number % 2], 2) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert await values(crowd[0]) == {"x-a": 1}


async def test_the_limit_holds_at_once(crowd: list[Account]) -> None:
    """Parallel requests, each for a device of its own, do not get past it together."""
    for start in range(0, MAX_PREFERENCES - 50, 50):
        await change(crowd[0], {f"x-{number}": 1 for number in range(start, start + 50)})
    answers = await asyncio.gather(
        *(change(crowd[number % 2], {f"x-{one}": 1 for one in range(20)}, on=device()) for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]


async def test_who_waits_holds_no_connection(services: Services, account: Account) -> None:
    """Else a hundred changes of one person would be an outage for everyone."""
    bystander = await register(account.client)
    async with services.preference_turns.take(UUID(account.id)):
        waiting = [asyncio.create_task(change(account, {"x-a": number})) for number in range(30)]
        await asyncio.sleep(0.3)
        assert services.database.writer.pool.checkedout() == 0  # type: ignore[attr-defined] # the pool counts
        assert (await put(bystander, "x-a", 1)).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert len((await feed(account))["items"]) == 30


async def test_people_do_not_wait_for_each_other(account: Account, crowd: list[Account]) -> None:
    """First changes of many accounts at the same time."""
    others = [await register(account.client) for _ in range(6)]
    answers = await asyncio.gather(*(put(other, "x-a", turn) for turn in range(3) for other in others))
    assert {answer.status_code for answer in answers} == {200}
    assert [len((await feed(other))["items"]) for other in others] == [3] * 6
