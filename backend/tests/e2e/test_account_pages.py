"""The way of a person with a real browser: a link in a mail, a page without JavaScript, a new password."""

import os
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, ViewportSize, expect

from tests.auth.stage import eventually
from tests.e2e.server import LiveServer
from tests.mailbox import links_in, parse_mail, recipients
from tests.support import API, PASSWORD

pytestmark = pytest.mark.browser

NEW_PASSWORD = "a new quiet passphrase"
RESET = "Choose a new password"
PHONE = ViewportSize(width=360, height=640)


def mailed_link(server: LiveServer, address: str, subject: str) -> str | None:
    """The link in a mail that the server has put into its outbox."""
    outbox = Path(server.environment["DATA_DIR"]) / "outbox"
    mails = [parse_mail(file) for file in outbox.glob("*.eml")]
    found = [mail for mail in mails if address in recipients(mail) and mail["Subject"] == subject]
    return links_in(found[0])[0] if found else None


async def test_a_forgotten_password_is_replaced_on_a_phone(browser: Browser, live_server: LiveServer) -> None:
    """Everything fits, nothing is blocked by the page's own policy, and the link can be followed twice before use."""
    email = f"{os.urandom(6).hex()}@example.com"
    async with httpx.AsyncClient(base_url=live_server.url, timeout=20) as client:
        answer = await client.post(f"{API}/auth/register", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201
        context = await browser.new_context(base_url=live_server.url, viewport=PHONE, java_script_enabled=False)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: complaints.append(request.url))
        await page.goto("/account/password/forgot")
        await page.get_by_label("E-mail address").fill(email)
        await page.get_by_role("button", name="Send me a link").click()
        await expect(page.get_by_role("status")).to_contain_text("on its way")

        async def has_come() -> bool:
            return mailed_link(live_server, email, RESET) is not None

        await eventually(has_come, seconds=20)
        link = mailed_link(live_server, email, RESET)
        assert link is not None
        assert link.startswith(f"{live_server.url}/account/password/reset?token=")
        for _ in range(2):
            await page.goto(link)
        await page.get_by_label("New password").fill("password1")
        await page.get_by_role("button", name="Save the new password").click()
        await expect(page.get_by_role("alert")).to_contain_text("guessed first")
        complaints.clear()  # Chromium notes the status of the refusal
        await page.get_by_label("New password").fill(NEW_PASSWORD)
        await page.get_by_role("button", name="Save the new password").click()
        await expect(page.get_by_role("status")).to_contain_text("Your new password is saved")
        box = await page.locator("main").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= PHONE["width"]
        assert "token" not in page.url
        assert complaints == []
        await context.close()
        for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
            answer = await client.post(f"{API}/auth/login", json={"email": email, "password": password})
            assert answer.status_code == status
