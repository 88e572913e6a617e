"""An application with operations that take an owner, and guests of it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.core.settings import Settings
from app.main import Services, create_app
from app.routing import serve
from tests.auth.guests.stage import Visitor, claim_things, probe, visitor
from tests.conftest import client_of, started
from tests.support import ManualClock, make_settings


@pytest.fixture(scope="session", autouse=True)
async def _claims(app: FastAPI) -> None:
    """Things are claimed, whatever the domain that they belong to does."""
    app.state.merit.auth.guests.claims.register("probe", claim_things)


@pytest.fixture(scope="session")
async def probe_app(
    app: FastAPI, database_url: str, session_clock: ManualClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FastAPI]:
    """A further application on the database of `app`, which has the probe's operations too."""
    settings: Settings = make_settings(database_url, tmp_path_factory.mktemp("probe"))
    application = create_app(settings, session_clock)
    serve(application, probe)
    async with started(application) as running:
        yield running


@pytest.fixture
async def stranger(probe_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `probe_app`."""
    async with client_of(probe_app) as client:
        yield client


@pytest.fixture
async def guest(stranger: httpx.AsyncClient) -> Visitor:
    """A guest of `probe_app`."""
    return await visitor(stranger)


@pytest.fixture
def probe_services(probe_app: FastAPI) -> Services:
    """The parts of `probe_app`."""
    services: Services = probe_app.state.merit
    return services
