"""What the end-to-end tests share: a real server and a real browser."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.e2e.server import LiveServer, serving
from tests.support import skip_or_fail
from tools.browser import find_chromium
from tools.databases import fresh_database

PATIENCE_SECONDS = 30  # a busy machine is no fault
# The switches keep Chromium from speaking to its maker's hosts by itself.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server on SQLite, for all tests that only talk to it: what they look at is the same on every database."""
    with (
        fresh_database(None) as url,
        serving(tmp_path_factory.mktemp("server"), DATABASE_URL=url) as server,
    ):
        yield server


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; without one the test is skipped, or fails where REQUIRE_BROWSER=1."""
    executable = find_chromium()
    if executable is None:
        skip_or_fail("no Chromium is found; set CHROMIUM to its path", "REQUIRE_BROWSER")
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield chromium
        await chromium.close()
