"""An administrator looks at the dashboard with a real browser: no JavaScript, light and dark, wide and narrow."""

import os
from typing import Literal

import httpx
import pytest
from playwright.async_api import Browser, ViewportSize, expect
from sqlalchemy import create_engine, text

from app.db.url import parse_database_url
from tests.e2e.server import LiveServer
from tests.support import API, PASSWORD

pytestmark = pytest.mark.browser

LOOKS: list[tuple[Literal["dark", "light"], ViewportSize]] = [
    ("dark", ViewportSize(width=1280, height=900)),
    ("light", ViewportSize(width=360, height=640)),
]


def make_administrator(server: LiveServer, email: str) -> None:
    """Turn an account into an administrator, past the service."""
    url = parse_database_url(server.environment["DATABASE_URL"], setting="DATABASE_URL")
    engine = create_engine(url.synchronous)
    with engine.begin() as connection:
        connection.execute(text("UPDATE users SET role = 'admin' WHERE email = :email"), {"email": email})
    engine.dispose()


async def test_an_administrator_logs_in_looks_around_and_leaves(browser: Browser, live_server: LiveServer) -> None:
    """Nothing is blocked by the page's own policy, nothing is cut off, and after the logout nothing is shown."""
    email = f"{os.urandom(6).hex()}@example.com"
    async with httpx.AsyncClient(base_url=live_server.url, timeout=20) as client:
        answer = await client.post(f"{API}/auth/register", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201
    make_administrator(live_server, email)
    complaints: list[str] = []
    for scheme, size in LOOKS:
        context = await browser.new_context(
            base_url=live_server.url, viewport=size, color_scheme=scheme, java_script_enabled=False
        )
        page = await context.new_page()
        await page.goto("/admin/dashboard")
        page.on("console", lambda message: complaints.append(message.text))
        await page.get_by_label("E-mail address or user name").fill(email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("heading", name="Where the time goes")).to_be_visible()
        await expect(page.get_by_role("img", name="Time to answer")).to_be_visible()
        await page.get_by_role("navigation", name="Period").get_by_role("link", name="1h").click()
        await expect(page.get_by_role("link", name="1h")).to_have_attribute("aria-current", "page")
        box = await page.get_by_role("figure").first.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= size["width"]
        ground = await page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert ground == ("rgb(11, 16, 25)" if scheme == "dark" else "rgb(244, 246, 250)"), "the style is not blocked"
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Password")).to_be_visible()
        assert [one for one in complaints if "401" not in one] == []
        await context.close()
