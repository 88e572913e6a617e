"""The counts behind the limits, one by one; `test_limits.py` tells what they mean for a caller."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from app.auth.repository import LoginThrottleRepository
from app.main import Services
from tests.support import ManualClock

DAY = timedelta(days=1)


async def state(throttles: LoginThrottleRepository, key: str = "a") -> Row[Any] | None:
    """What is known of a key: `failures` and `blocked_until`."""
    found = await throttles.counts([key])
    return found[0] if found else None


async def failures_of(throttles: LoginThrottleRepository) -> int:
    """How many failures `a` has."""
    row = await state(throttles)
    assert row is not None
    return int(row.failures)


async def test_a_count_goes_up_within_its_window_and_begins_again_behind_it(
    services: Services, clock: ManualClock
) -> None:
    clock.stop()
    async with services.database.session() as session:
        throttles = LoginThrottleRepository(session, clock)
        for expected in (1, 2, 3):
            await throttles.raise_count("a", DAY)
            assert await failures_of(throttles) == expected
        clock.advance(seconds=DAY.total_seconds())
        await throttles.raise_count("a", DAY)
        assert await failures_of(throttles) == 4, "the window ends behind its last moment"
        clock.advance(seconds=1)
        await throttles.raise_count("a", DAY)
        assert await failures_of(throttles) == 1
        assert await state(throttles, "b") is None


async def test_what_is_taken_back_blocks_nothing_and_is_never_owed(services: Services, clock: ManualClock) -> None:
    """An owner may have been forgiven in between: then there is nothing left to take."""
    clock.stop()
    async with services.database.session() as session:
        throttles = LoginThrottleRepository(session, clock)
        await throttles.raise_count("a", DAY)
        await throttles.block("a", clock.now() + DAY)
        blocked = await state(throttles)
        assert blocked is not None
        assert (blocked.failures, blocked.blocked_until) == (1, clock.now() + DAY)
        await throttles.take_back("a")
        free = await state(throttles)
        assert free is not None
        assert free.failures == 0
        assert free.blocked_until < clock.now()
        await throttles.take_back("a")
        assert await failures_of(throttles) == 0
        await throttles.forget("a")
        assert await state(throttles) is None
        await throttles.take_back("a")
        assert await state(throttles) is None
