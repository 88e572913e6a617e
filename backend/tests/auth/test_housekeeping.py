"""What is deleted in time, and what is not."""

import httpx
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.housekeeping import Housekeeping
from app.auth.models import AuthSession, LoginThrottle
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.types import AuditAction
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.main import Services
from tests.auth.scenarios import WRONG_PASSWORD, actions_of, log_in
from tests.auth.stage import eventually
from tests.conftest import AppFactory
from tests.support import Account, ManualClock


async def count(services: Services, model: type[AuthSession] | type[LoginThrottle]) -> int:
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(model)) or 0)


async def test_counts_and_sessions_go_when_they_mean_nothing_any_more(
    app: FastAPI, client: httpx.AsyncClient, account: Account, services: Services, clock: ManualClock
) -> None:
    await log_in(client, "nobody@example.com", WRONG_PASSWORD)
    counted = await count(services, LoginThrottle)
    assert counted >= 3
    for days, throttles, sessions in ((0.9, counted, 1), (0.2, 0, 1), (58, 0, 1), (2, 0, 0)):
        clock.advance(days=days)
        await services.jobs.run_due()
        assert (await count(services, LoginThrottle), await count(services, AuthSession)) == (throttles, sessions)
    assert AuditAction.LOGIN in await actions_of(app, account.id)


async def test_it_is_due_every_ten_minutes(services: Services, clock: ManualClock, app: FastAPI) -> None:
    clock.stop()
    await services.jobs.run_due()
    async with services.database.read_session() as session:
        jobs = JobRepository(session, clock)
        (row,) = await jobs.list_(Job.kind == Housekeeping.KIND)
    assert row.due_at == clock.now() + Housekeeping.INTERVAL


async def test_a_server_does_it_by_itself(
    make_app: AppFactory, services: Services, clock: ManualClock, account: Account
) -> None:
    clock.advance(days=61)

    async def is_tidy() -> bool:
        return await count(services, AuthSession) == 0

    async with make_app(job_workers=1):
        await eventually(is_tidy)


async def test_one_time_tokens_go_a_week_after_their_end(
    account: Account, services: Services, clock: ManualClock
) -> None:
    """Until then the answer can say that a link was used or is too old; three days is how long this one works."""
    clock.stop()
    await services.jobs.run_due()
    for days, left in ((9.99, 1), (0.02, 0)):
        clock.advance(days=days)
        await services.jobs.run_due()
        async with services.database.read_session() as session:
            assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == left
