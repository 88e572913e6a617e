"""Fixtures of the tests of conversations."""

import httpx
import pytest

from tests.chat.stage import GuestCaller, make_guest
from tests.support import Account, register


@pytest.fixture
async def guest(client: httpx.AsyncClient) -> GuestCaller:
    """Somebody without an account."""
    return await make_guest(client)


@pytest.fixture
async def stranger(client: httpx.AsyncClient) -> Account:
    """Somebody else's account."""
    return await register(client)
