"""OpenAI's own client, talking to the gateway of a server with a provider."""

from collections.abc import AsyncIterator

import openai
import pytest

from tests.chat.responses.conftest import caller, live_app, provider
from tests.chat.responses.stage import Caller, LiveApp

__all__ = ["caller", "live_app", "provider", "sdk"]


@pytest.fixture
async def sdk(live_app: LiveApp, caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK as anybody uses it, with the access token of an account as its key."""
    token = caller.http.headers["authorization"].removeprefix("Bearer ")
    async with openai.AsyncOpenAI(base_url=gateway_of(live_app), api_key=token, max_retries=0) as client:
        yield client


def gateway_of(live_app: LiveApp) -> str:
    """What the SDK takes as `base_url`."""
    return live_app.url.removesuffix("/api/v1") + "/openai/v1"
