"""Taking turns within one process."""

import asyncio
import gc

import pytest

from app.core.turns import Turns


async def test_one_at_a_time_in_the_order_of_asking() -> None:
    turns, seen = Turns(), list[str]()

    async def work(name: str) -> None:
        async with turns.take("key"):
            seen.append(f"{name} begins")
            await asyncio.sleep(0)
            seen.append(f"{name} ends")

    await asyncio.gather(*(work(name) for name in "abc"))
    assert seen == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_keys_do_not_wait_for_each_other() -> None:
    turns = Turns()
    async with asyncio.timeout(1), turns.take("a"), turns.take("b"):
        assert len(turns) == 2


async def test_a_turn_ends_with_its_block_however_that_ends() -> None:
    turns = Turns()

    async def take() -> None:
        async with turns.take("key"):
            pass

    async with turns.take("key"):
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    with pytest.raises(ZeroDivisionError):
        async with turns.take("key"):
            raise ZeroDivisionError
    async with asyncio.timeout(1):
        await take()


async def test_nothing_is_kept_of_keys_that_nobody_waits_for() -> None:
    turns = Turns()
    for number in range(100):
        async with turns.take(number):
            pass
    gc.collect()
    assert len(turns) == 0
