"""An application with operations that exist to be repeated."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.routing import serve
from tests.conftest import client_of, started
from tests.idempotency.stage import made, workshop
from tests.support import Account, ManualClock, make_settings


@pytest.fixture(scope="session")
async def workshop_app(
    app: FastAPI, database_url: str, session_clock: ManualClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FastAPI]:
    """A further application on the database of `app`, which has the workshop's operations too."""
    settings = make_settings(database_url, tmp_path_factory.mktemp("workshop"))
    application = create_app(settings, session_clock)
    serve(application, workshop)
    async with started(application) as running:
        yield running


@pytest.fixture
async def maker(workshop_app: FastAPI, account: Account) -> AsyncIterator[Account]:
    """`account` at the workshop, where nothing was made yet."""
    made.clear()
    async with client_of(workshop_app) as client:
        members = (account.id, account.email, account.password, account.username)
        yield Account(client, *members, account.access_token, account.refresh_token)


@pytest.fixture
def visitor_client(maker: Account) -> httpx.AsyncClient:
    """A client of the workshop that says nothing of itself."""
    return maker.client
