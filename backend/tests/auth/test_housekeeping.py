"""What is deleted in time, and what is not."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth import housekeeping
from app.auth.models import AuthSession, LoginThrottle
from app.auth.types import AuditAction
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
    for days, throttles, sessions in ((0.9, 3, 1), (0.2, 0, 1), (58, 0, 1), (2, 0, 0)):
        clock.advance(days=days)
        await services.auth.housekeeping.tidy()
        assert (await count(services, LoginThrottle), await count(services, AuthSession)) == (throttles, sessions)
    assert AuditAction.LOGIN in await actions_of(app, account.id)


async def test_it_runs_by_itself_and_survives_a_fault(
    make_app: AppFactory, services: Services, clock: ManualClock, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_EVERY_SECONDS", 0.01)
    faults = 1

    async def tidy(app: FastAPI) -> None:
        nonlocal faults
        if faults:
            faults -= 1
            raise ConnectionError("the database is away")
        await original(app.state.merit.auth.housekeeping)

    original = housekeeping.Housekeeping.tidy
    async with make_app() as app:
        monkeypatch.setattr(housekeeping.Housekeeping, "tidy", lambda _self: tidy(app))
        clock.advance(days=61)

        async def is_tidy() -> bool:
            return await count(services, AuthSession) == 0

        await eventually(is_tidy)
    assert faults == 0
    assert account.id
