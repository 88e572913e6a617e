"""A server with a provider for the tests of replies."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.guests.types import Owner
from tests.chat.responses.stage import Caller, LiveApp, live, providers
from tests.support import ManualClock, make_settings, register
from tools.provider import Provider


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[Provider]:
    """A provider; what goes wrong stands in the model's name."""
    async with Provider() as provider:
        yield provider


def of(provider: Provider) -> dict[str, Any]:
    """The settings of both servers; the provider `hasty` waits for half a second."""
    hasty = {"name": "hasty", "base_url": provider.url(), "models": ["hasty-*"], "idle_seconds": 0.5}
    return {"llm_providers": [*providers(provider), hasty], "reply_drain_seconds": 0}


@pytest.fixture(scope="session")
async def live_app(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, provider: Provider, session_clock: ManualClock
) -> AsyncIterator[LiveApp]:
    """The server that most tests share."""
    settings = make_settings(
        database_url,
        tmp_path_factory.mktemp("live"),
        llm_providers=providers(provider, idle_seconds=1.5),
        reply_drain_seconds=0,
    )
    async with live(settings, provider, session_clock) as app:
        yield app


@pytest.fixture(scope="session")
async def other_worker(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, provider: Provider, session_clock: ManualClock
) -> AsyncIterator[LiveApp]:
    """Another server on the same database, which knows nothing of what `live_app` generates."""
    folder = tmp_path_factory.mktemp("other")
    settings = make_settings(database_url, folder, **of(provider))
    async with live(settings, provider, session_clock) as app:
        yield app


@pytest.fixture
async def caller(app: FastAPI, client: httpx.AsyncClient, live_app: LiveApp) -> AsyncIterator[Caller]:
    """Somebody with a conversation, who calls `live_app`; every row is gone after the test."""
    account = await register(client)
    async with live_app.client() as http:
        http.headers.update(account.headers)
        owner = Owner(user_id=UUID(account.id))
        yield Caller(http, owner, await live_app.conversation(owner))
        await live_app.come_to_rest()
