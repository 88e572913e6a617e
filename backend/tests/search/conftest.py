"""Fixtures of the tests of the index."""

import pytest

from app.auth.guests.types import Owner
from app.main import Services
from tests.search.stage import Library


@pytest.fixture
def library(services: Services) -> Library:
    """The index."""
    return Library(services)


@pytest.fixture
async def owner(library: Library) -> Owner:
    """Somebody who owns documents."""
    return await library.guest()
