"""The pages under `/account`: a GET shows, a POST does, and nothing of them loads, runs or leaks anything."""

import base64
import hashlib
import re

import httpx
import pytest
from fastapi import FastAPI

from app.auth.bootstrap import create_admin
from app.auth.mail_flows.page_rendering import CHANGE_PASSWORD, PAGES
from app.auth.mail_flows.sender import FORGOT_PAGE
from app.auth.mail_flows.sender import PAGES as PAGE_OF_PURPOSE
from app.main import Services
from tests.auth.mail_flows.flows import (
    NEW_PASSWORD,
    change_email,
    email_of,
    forgot,
    move_to,
    reset_token,
    token_of,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import as_bytes, is_alive, log_in, stored_rows
from tests.mailbox import Mailbox
from tests.statements import recorded_sql
from tests.support import PASSWORD, Account, ManualClock

WITHOUT_TOKEN = {FORGOT_PAGE, CHANGE_PASSWORD.path}
SECURED = "Your account is locked for everyone else"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


async def submit(client: httpx.AsyncClient, page: str, **fields: str) -> httpx.Response:
    """Press the button of a page."""
    return await client.post(f"/account/{page}", data=fields)


def message_of(answer: httpx.Response) -> str:
    """What a page says."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = re.search(r'class="message" role="(?:alert|status)"[^>]*>([^<]*)<', answer.text)
    assert found is not None, answer.text
    return found[1]


def test_every_purpose_leads_to_a_page() -> None:
    assert set(PAGE_OF_PURPOSE.values()) | WITHOUT_TOKEN == set(PAGES)


@pytest.mark.parametrize("path", sorted(PAGES))
async def test_a_page_is_sealed(client: httpx.AsyncClient, services: Services, path: str) -> None:
    """No scripts, no other hosts, no referrer with the token, no cache, no frame; and no SQL to show it."""
    with recorded_sql(services.database) as statements:
        answer = await client.get(path, params={"token": "mot_shown"})
    assert statements == []
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-robots-tag"] == "noindex"
    assert "set-cookie" not in headers
    policy = headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert not re.search(r"<script|https?://|\son\w+=|\sstyle=", answer.text)
    assert '<html lang="en"' in answer.text
    assert 'name="viewport"' in answer.text
    assert set(re.findall(r'<label for="(\w+)"', answer.text)) == set(re.findall(r'<input id="(\w+)"', answer.text))


async def test_following_a_link_uses_nothing_up(app: FastAPI, account: Account, mailbox: Mailbox) -> None:
    """R7: GET and HEAD, ten times each, by whatever scans mails; then one POST does it, and a second one does not."""
    link = await mailbox.link(account.email)
    before = as_bytes(await stored_rows(app))
    for method in ("GET", "HEAD") * 10:
        answer = await account.client.request(method, link)
        assert answer.status_code == 200
        assert (token_of(link) in answer.text) is (method == "GET")
    assert as_bytes(await stored_rows(app)) == before
    assert (await account.get("/users/me")).json()["email_verified_at"] is None
    done = await submit(account.client, "verify-email", token=token_of(link))
    assert (done.status_code, message_of(done)) == (200, "Thank you, your address is confirmed. You can log in now.")
    assert (await account.get("/users/me")).json()["email_verified_at"] is not None
    again = await submit(account.client, "verify-email", token=token_of(link))
    assert again.status_code == 400
    assert message_of(again).startswith("This link has been used already")
    assert "<form" not in again.text


async def test_a_password_is_reset_by_the_page(account: Account, mailbox: Mailbox) -> None:
    """A weak one is refused in plain words beside the form, which still has the token."""
    assert (await submit(account.client, "password/forgot", email=account.email)).status_code == 200
    token = await token_to(mailbox, account.email)
    weak = await submit(account.client, "password/reset", token=token, new_password="password1")
    assert weak.status_code == 422
    assert "guessed first" in message_of(weak)
    assert f'value="{token}"' in weak.text
    assert "password1" not in weak.text
    done = await submit(account.client, "password/reset", token=token, new_password=NEW_PASSWORD)
    assert done.status_code == 200
    assert "saved" in message_of(done)
    assert "set-cookie" not in done.headers
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
    used = await submit(account.client, "password/reset", token=token, new_password=NEW_PASSWORD)
    assert message_of(used).startswith("This link has been used already")


async def test_forgotten_passwords_tell_nobody(client: httpx.AsyncClient, account: Account) -> None:
    answers = [await submit(client, "password/forgot", email=email) for email in (account.email, "no@example.com")]
    assert answers[0].text == answers[1].text
    refused = await submit(client, "password/forgot", email='"><script>alert(1)</script>')
    assert refused.status_code == 422
    assert "<script" not in refused.text
    assert "&lt;script&gt;" in refused.text  # what was typed in is there to be mended


async def test_an_address_is_changed_and_changed_back_by_the_pages(account: Account, mailbox: Mailbox) -> None:
    old = account.email
    await change_email(account, "ada.new@example.com")
    done = await submit(account.client, "email/confirm", token=await token_to(mailbox, "ada.new@example.com"))
    assert "this is the e-mail address of your account now" in message_of(done)
    assert await email_of(account) == "ada.new@example.com"
    done = await submit(account.client, "email/undo", token=await token_to(mailbox, old))
    assert "has this address again" in message_of(done)
    assert not await is_alive(account.client, account.access_token)
    assert (await mailbox.latest(old))["Subject"] == SECURED


@pytest.mark.usefixtures("proven")
async def test_an_account_is_secured_by_the_page(account: Account, mailbox: Mailbox) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await account.request("POST", "/users/me/password", json=body)
    done = await submit(account.client, "secure", token=await token_to(mailbox, account.email))
    assert "nobody is logged in" in message_of(done)
    assert (await mailbox.latest(account.email))["Subject"] == SECURED


async def test_an_invitation_is_accepted_by_the_page(admin: Account, account: Account, mailbox: Mailbox) -> None:
    """The invited address need not be typed in; what was is kept when something is refused."""
    await admin.request("POST", "/admin/invitations", json={"email": "eve@example.com"})
    token = await token_to(mailbox, "eve@example.com")
    fields = {"token": token, "full_name": "Eve & <Co>", "username": account.username or "", "password": PASSWORD}
    refused = await submit(admin.client, "invitation", **fields)
    assert refused.status_code == 409
    assert message_of(refused) == "This user name is taken. Please choose another one."
    assert 'value="Eve &amp; &lt;Co&gt;"' in refused.text
    assert PASSWORD not in refused.text
    unusable = await submit(admin.client, "invitation", **{**fields, "username": "!"})
    assert (unusable.status_code, message_of(unusable)) == (422, "Please check what you have typed in.")
    done = await submit(admin.client, "invitation", **{**fields, "username": ""})
    assert (done.status_code, message_of(done)[:8]) == (200, "Welcome!")
    assert (await log_in(admin.client, "eve@example.com", PASSWORD)).is_success


@pytest.mark.parametrize("path", sorted(set(PAGES) - WITHOUT_TOKEN))
@pytest.mark.parametrize(
    "token", ["", "x", "mot_" + "a" * 82, "x" * 4000, '"><script>', "\0", "\r\nSet-Cookie: a=b", "\x1b[2J", "{{ 7*7 }}"]
)
async def test_what_is_no_token_is_refused_in_words(client: httpx.AsyncClient, path: str, token: str) -> None:
    """On the way in and on the way out: no 5xx, no markup, no header."""
    shown = await client.get(path, params={"token": token})
    assert shown.status_code in {200, 422}
    fields = {"token": token, "new_password": NEW_PASSWORD, "password": PASSWORD}
    refused = await client.post(path, data=fields)
    assert refused.status_code in {400, 422}
    for answer in (shown, refused):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "<script" not in answer.text
        assert ">49<" not in answer.text
        assert "set-cookie" not in answer.headers
        assert NEW_PASSWORD not in answer.text


async def test_a_page_takes_forms_only(client: httpx.AsyncClient, services: Services) -> None:
    """Another media type, a file or nothing at all are refused, in words too."""
    for options in (
        {"json": {"token": "x"}},
        {"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"files": {"token": ("token.txt", b"x")}},
        {},
    ):
        answer = await client.post("/account/verify-email", **options)
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.put("/account/verify-email")).status_code == 405
    assert await tokens_in(services) == []


async def test_a_page_is_no_way_around_a_purpose(account: Account, mailbox: Mailbox) -> None:
    token = await reset_token(account, mailbox)
    for path in set(PAGES) - {"/account/password/reset"} - WITHOUT_TOKEN:
        answer = await account.client.post(path, data={"token": token, "password": PASSWORD})
        assert answer.status_code == 400
        assert message_of(answer).startswith("This link does not work")
    assert (await submit(account.client, "password/reset", token=token, new_password=NEW_PASSWORD)).status_code == 200


async def test_an_old_link_says_so(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    token = await reset_token(account, mailbox)
    clock.advance(hours=1, seconds=1)
    answer = await submit(account.client, "password/reset", token=token, new_password=NEW_PASSWORD)
    assert (answer.status_code, message_of(answer)) == (400, "This link is too old. Please ask for a new one.")


async def test_a_taken_address_says_so(account: Account, services: Services, mailbox: Mailbox) -> None:
    """A violated constraint, which comes to light at the write, is a page as well."""
    token = await move_to(account, mailbox, "ada.new@example.com")
    (old,) = {recipient for recipient in await _recipients(mailbox) if "new" not in recipient}
    parts = (services.database, services.auth)
    await create_admin(*parts, email=old, password=NEW_PASSWORD, is_forced=True)
    answer = await submit(account.client, "email/undo", token=token)
    assert answer.status_code == 409
    assert message_of(answer) == "There is another account with this e-mail address by now."


async def _recipients(mailbox: Mailbox) -> set[str]:
    return {str(mail["To"]) for mail in await mailbox.all()}


async def test_the_pages_are_not_part_of_the_api(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert not [path for path in app.openapi()["paths"] if path.startswith("/account")]
    assert (await forgot(client, "nobody@example.com")).status_code == 202


async def test_a_form_that_cannot_be_shown_again_is_refused_all_the_same(client: httpx.AsyncClient) -> None:
    """Control characters in any field, and forms of another charset: no 500, and nothing of it comes back."""
    for page in ("invitation", "password/reset", "verify-email"):
        answer = await submit(client, page, token="a\0b", username="x\0\x1b[31m", full_name="\x7f", password="b")
        assert answer.status_code == 422
        assert "\x1b" not in answer.text
        assert "\0" not in answer.text
    body = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n\\ud800\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    answer = await client.post("/account/invitation", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "text/html; charset=utf-8")
