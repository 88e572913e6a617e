"""Inserts that may meet a row with the same key: what they leave, and that many at once never lock each other up."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from app.auth.models import LoginThrottle
from app.db.engine import Session
from app.db.repository import BaseRepository
from app.db.upsert import insert_if_new, insert_or_keep, insert_or_replace, insert_or_update
from app.main import Services
from tests.db.rows import row_of

KEY = ["key"]
AT_ONCE = 8


class Throttles(BaseRepository[LoginThrottle]):
    model = LoginThrottle


def row(key: str, failures: int) -> dict[str, Any]:
    return {**row_of(LoginThrottle.__table__, 1), "key": key, "failures": failures}


async def failures_of(services: Services) -> dict[str, int]:
    async with services.database.read_session() as session:
        throttles = await Throttles(session, services.clock).list_()
    return {throttle.key: throttle.failures for throttle in throttles}


async def execute(services: Services, make: Callable[[Session], Any], rows: Any) -> int:
    async with services.database.session() as session:
        result: Any = await session.execute(make(session), rows)
        await session.commit()
    return int(result.rowcount)


async def test_a_new_row_is_inserted_once(services: Services) -> None:
    counts = [
        await execute(services, lambda session: insert_if_new(session, LoginThrottle), row("a", number))
        for number in (1, 2)
    ]
    assert counts == [1, 0]
    assert await failures_of(services) == {"a": 1}


async def test_a_row_that_is_there_is_kept(services: Services) -> None:
    for number in (1, 2):
        await execute(services, lambda session: insert_or_keep(session, LoginThrottle), row("a", number))
    assert await failures_of(services) == {"a": 1}


async def test_many_rows_replace_those_with_their_keys(services: Services) -> None:
    def make(session: Session) -> Any:
        return insert_or_replace(session, LoginThrottle, KEY, ["failures"])

    await execute(services, make, [row("a", 1), row("b", 2)])
    await execute(services, make, [row("b", 3), row("c", 4)])
    assert await failures_of(services) == {"a": 1, "b": 3, "c": 4}


def _raised(new: Any) -> dict[str, Any]:
    return {"failures": LoginThrottle.failures + 9 + new.failures}


async def test_an_update_goes_by_what_is_there(services: Services) -> None:
    for _ in range(3):
        await execute(services, lambda session: insert_or_update(session, LoginThrottle, KEY, _raised), row("a", 1))
    assert await failures_of(services) == {"a": 21}


async def test_who_change_the_row_after_making_it_come_one_after_the_other(services: Services) -> None:
    """On MySQL an insert that fails on the key, in place of this, is a deadlock for all but one."""

    async def make_and_raise() -> None:
        async with services.database.session() as session:
            await session.execute(insert_or_keep(session, LoginThrottle).values(row("a", 0)))
            raised = update(LoginThrottle).where(LoginThrottle.key == "a").values(failures=LoginThrottle.failures + 1)
            await session.execute(raised, execution_options={"synchronize_session": False})
            await session.commit()

    await asyncio.gather(*(make_and_raise() for _ in range(AT_ONCE)))
    assert await failures_of(services) == {"a": AT_ONCE}
