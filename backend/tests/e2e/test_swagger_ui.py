"""The API's pages in a real browser: register, authorize by the form, see oneself; nothing comes from elsewhere."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.server import LiveServer

pytestmark = pytest.mark.browser

NAME = "Grace Brewster Hopper"
PASSWORD = "a long quiet passphrase"

REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page with everything it asked for and everything it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
async def watched(browser: Browser, live_server: LiveServer) -> AsyncIterator[Watched]:
    """A fresh profile; when the test is over, the page must have spoken to the server alone, without complaint."""
    context = await browser.new_context(base_url=live_server.url)
    await context.add_init_script(REPORT_VIOLATIONS)
    watched = Watched(await context.new_page())
    page = watched.page
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("requestfailed", lambda request: watched.complaints.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: watched.complaints.append(message.text) if message.type == "error" else None,
    )
    yield watched
    await context.close()
    local = (f"{live_server.url}/", f"blob:{live_server.url}/", "data:")
    assert [url for url in watched.requests if not url.startswith(local)] == []
    assert watched.complaints == []


async def open_operation(page: Page, group: str, name: str) -> Locator:
    """Unfold a group of Swagger UI, and an operation in it by its operation id."""
    heading = page.locator(f"#operations-tag-{group}")
    if await heading.get_attribute("data-is-open") == "false":
        await heading.click()
    operation = page.locator(f"#operations-{group}-{name}")
    await operation.locator(".opblock-summary-control").click()
    return operation


async def execute(operation: Locator) -> tuple[str, str]:
    """Press Execute; give the status and the body that Swagger UI shows."""
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table tr.response")
    status = await answer.locator(".response-col_status").inner_text()
    body = await answer.locator(".response-col_description .highlight-code").first.inner_text()
    return status.strip(), body


async def register(page: Page, email: str) -> None:
    """Make an account with `Try it out`."""
    operation = await open_operation(page, "auth", "register")
    account = {"email": email, "password": PASSWORD, "full_name": NAME}
    await operation.locator("textarea.body-param__text").fill(json.dumps(account))
    status, body = await execute(operation)
    assert status.startswith("201"), body


async def authorize(page: Page, email: str) -> None:
    """Log in by the Authorize form, with every permission left unchecked, which means all that the account has."""
    await page.locator(".auth-wrapper > .authorize").click()
    forms = page.locator(".modal-ux")
    form = forms.locator(".auth-container").filter(has=page.locator("#oauth_username"))
    await form.locator("#oauth_username").fill(email)
    await form.locator("#oauth_password").fill(PASSWORD)
    await form.locator("button.authorize").click()
    await expect(forms.get_by_role("button", name="Remove authorization").first).to_be_visible()
    await forms.get_by_role("button", name="Close").first.click()


async def expect_needs(page: Page, operation: Locator) -> None:
    """See what an operation needs, in its description and behind its lock."""
    await expect(operation.locator(".opblock-description")).to_contain_text("Access: permission profile:read")
    await operation.locator("button.authorization__btn").click()
    dialog = page.locator(".modal-ux")
    await expect(dialog.locator(".scopes").first).to_contain_text("profile:read")
    await dialog.get_by_role("button", name="Close").first.click()


async def expect_me(operation: Locator, email: str) -> None:
    """Ask who one is, and see the name."""
    status, body = await execute(operation)
    assert status == "200"
    assert NAME in body
    assert email in body


async def test_register_authorize_and_see_oneself_also_after_a_reload(watched: Watched) -> None:
    page = watched.page
    email = f"{os.urandom(6).hex()}@example.com"
    await page.goto("/docs")
    await register(page, email)
    operation = await open_operation(page, "users", "get_me")
    await expect_needs(page, operation)
    await authorize(page, email)
    await expect_me(operation, email)
    await page.reload()  # the address names the operation, so that it opens again by itself
    await expect_me(operation, email)


async def test_redoc_shows_every_group_and_finds_an_operation(watched: Watched) -> None:
    page = watched.page
    await page.goto("/redoc")
    await expect(page.locator("h1").first).to_contain_text("Merit")
    for group in ("auth", "users", "admin"):
        await expect(page.locator(f"[id='tag/{group}']")).to_be_attached()
    await page.get_by_role("textbox").fill("password")
    await expect(page.locator("[data-role='search:results']")).to_be_visible(timeout=30_000)
    assert not [url for url in watched.requests if "redoc.ly" in url]
