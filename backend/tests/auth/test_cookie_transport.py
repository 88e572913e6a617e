"""The refresh token in a cookie: what browsers send, what other sites try, and what scripts never see."""

from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.auth.scenarios import is_alive, refresh
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, answers_of, register

COOKIE = "__Host-merit_refresh"
HERE = "https://merit.example.com"
FRONT = "https://app.example.com"
OTHERS = [
    None, "null", "", "https://evil.example.org", "https://merit.example.com.evil.example.org", "http://merit.example.com",
    "https://merit.example.com:8443", "https://merit.example.com/", "https://MERIT.example.com", "https://example.com",
    "https://x.merit.example.com", f"{HERE} {FRONT}", f"{HERE}, {FRONT}", "*", "http://test",
]  # fmt: skip


@pytest.fixture
async def site(make_app: AppFactory) -> AsyncIterator[FastAPI]:
    """An application with a public address, and one more origin that may use its cookies."""
    async with make_app(public_url=f"{HERE}/", cors_origins=FRONT) as application:
        yield application


@pytest.fixture
async def browser(site: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose cookies each test sends by hand: nothing here is TLS."""
    async with client_of(site) as client:
        yield client


@pytest.fixture
async def ada(browser: httpx.AsyncClient) -> Account:
    """An account of the site."""
    return await register(browser)


async def post(
    browser: httpx.AsyncClient, path: str, token: str | None = None, *, origin: str | None = HERE, **body: Any
) -> httpx.Response:
    """A request of a page, with the cookie that the browser has."""
    headers = {"Origin": origin} if origin is not None else {}
    if token is not None:
        headers["Cookie"] = f"theme=dark; {COOKIE}={token}"
    return await browser.post(f"{API}/auth/{path}", json=body or None, headers=headers)


async def enter(browser: httpx.AsyncClient, account: Account, **options: Any) -> httpx.Response:
    """A login that asks for the cookie."""
    members = {"email": account.email, "password": PASSWORD, "use_cookie": True}
    return await post(browser, "login", **{**members, **options})


def cookie_in(answer: httpx.Response) -> Morsel[str]:
    """The cookie with the refresh token that an answer sets."""
    assert answer.is_success, answer.text
    lines = [line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE)]
    assert len(lines) == 1
    return SimpleCookie(lines[0])[COOKIE]


async def logged_in(browser: httpx.AsyncClient, account: Account) -> str:
    """The refresh token in the cookie of a new session."""
    return cookie_in(await enter(browser, account)).value


async def test_a_login_puts_the_refresh_token_into_a_cookie(browser: httpx.AsyncClient, ada: Account) -> None:
    """F10: `__Host-`, HttpOnly, Secure, SameSite=Strict, for the whole host and no other; and not into the body."""
    answer = await enter(browser, ada)
    cookie = cookie_in(answer)
    assert cookie.value.startswith("rt1.")
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert (cookie["samesite"].lower(), cookie["path"], cookie["domain"]) == ("strict", "/", "")
    assert int(cookie["max-age"]) == 30 * 86_400
    assert answer.json()["refresh_token"] is None
    assert cookie.value not in answer.text
    assert await is_alive(browser, answer.json()["access_token"])
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


async def test_without_being_asked_for_there_is_no_cookie(browser: httpx.AsyncClient, ada: Account) -> None:
    """F10: programs keep the token themselves, and need no Origin."""
    answer = await enter(browser, ada, use_cookie=False, origin=None)
    assert answer.json()["refresh_token"].startswith("rt1.")
    renewed = await refresh(browser, answer.json()["refresh_token"])
    assert renewed.json()["refresh_token"].startswith("rt1.")
    for one in (answer, renewed):
        assert not any(line.startswith(COOKIE) for line in one.headers.get_list("set-cookie"))


@pytest.mark.parametrize("body", [{}, {"use_cookie": False}, {"use_cookie": True}, {"scope": "profile:read"}])
async def test_what_comes_in_the_cookie_goes_back_there(
    browser: httpx.AsyncClient, ada: Account, body: dict[str, Any]
) -> None:
    """F10: rotation as ever; a script that leaves `use_cookie` out learns no token by it."""
    first = await logged_in(browser, ada)
    answer = await post(browser, "refresh", first, **body)
    second = cookie_in(answer).value
    assert second != first
    assert answer.json()["refresh_token"] is None
    assert second not in answer.text
    assert await is_alive(browser, answer.json()["access_token"])
    assert cookie_in(await post(browser, "refresh", second)).value not in {first, second}


async def test_a_token_can_move_from_the_body_into_the_cookie(browser: httpx.AsyncClient, ada: Account) -> None:
    answer = await post(browser, "refresh", refresh_token=ada.refresh_token, use_cookie=True)
    assert answer.json()["refresh_token"] is None
    assert (await post(browser, "refresh", cookie_in(answer).value)).is_success


@pytest.mark.parametrize("path", ["refresh", "logout"])
async def test_a_token_in_the_body_and_one_in_the_cookie_are_one_too_many(
    browser: httpx.AsyncClient, ada: Account, path: str
) -> None:
    """F10: 400, even for twice the same; neither is used, and no session ends."""
    token = await logged_in(browser, ada)
    for in_body in (token, ada.refresh_token, "rt1.garbage"):
        answer = await post(browser, path, token, refresh_token=in_body)
        assert code_of(answer) == (400, "refresh_token_twice")
        assert "set-cookie" not in answer.headers
    assert (await post(browser, "refresh", token)).is_success
    assert (await refresh(browser, ada.refresh_token)).is_success


@pytest.mark.parametrize("origin", OTHERS)
async def test_pages_of_others_cannot_use_the_cookie(
    browser: httpx.AsyncClient, ada: Account, origin: str | None
) -> None:
    """F10: an unknown, null or missing Origin is refused at each door, and nothing happens."""
    token = await logged_in(browser, ada)
    answers = [
        await post(browser, "refresh", token, origin=origin),
        await post(browser, "refresh", token, origin=origin, use_cookie=True),
        await post(browser, "refresh", origin=origin, refresh_token=ada.refresh_token, use_cookie=True),
        await post(browser, "logout", token, origin=origin),
        await post(browser, "logout", token, origin=origin, scope="all"),
        await enter(browser, ada, origin=origin),
    ]
    assert {code_of(answer) for answer in answers} == {(403, "origin_refused")}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert (await post(browser, "refresh", token)).is_success
    assert (await refresh(browser, ada.refresh_token)).is_success


async def test_two_origins_are_none(browser: httpx.AsyncClient, ada: Account) -> None:
    headers = [("Origin", HERE), ("Origin", FRONT), ("Cookie", f"{COOKIE}={await logged_in(browser, ada)}")]
    answer = await browser.post(f"{API}/auth/refresh", headers=headers)
    assert code_of(answer) == (403, "origin_refused")


async def test_a_front_end_of_the_same_site_may_use_the_cookie(browser: httpx.AsyncClient, ada: Account) -> None:
    """F10: CORS_ORIGINS; the browser is told that it may send and keep cookies for it, and for nobody else."""
    answer = await enter(browser, ada, origin=FRONT)
    assert answer.headers["access-control-allow-origin"] == FRONT
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert (await post(browser, "refresh", cookie_in(answer).value, origin=FRONT)).is_success
    for origin, is_allowed in ((FRONT, True), ("https://evil.example.org", False), ("null", False)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await browser.options(f"{API}/auth/refresh", headers=asked)
        assert (preflight.headers.get("access-control-allow-origin") == origin) is is_allowed
        assert preflight.headers.get("access-control-allow-origin") != "*"


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        (None, "http://127.0.0.1:8000"),
        ("https://merit.example.com:443", HERE),
        ("http://localhost:80", "http://localhost"),
        ("https://MERIT.example.com:8443/", "https://merit.example.com:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_our_own_origin_is_written_as_browsers_do(
    make_app: AppFactory, public_url: str | None, origin: str
) -> None:
    """F10: by default it is the address the service listens on."""
    async with make_app(public_url=public_url) as app, client_of(app) as browser:
        account = await register(browser)
        assert cookie_in(await enter(browser, account, origin=origin)).value
        assert code_of(await enter(browser, account, origin="http://127.0.0.1")) == (403, "origin_refused")


async def test_a_logout_clears_the_cookie_and_ends_its_session(browser: httpx.AsyncClient, ada: Account) -> None:
    """F10: also when the access token has expired, and twice."""
    answer = await enter(browser, ada)
    token = cookie_in(answer).value
    for _ in range(2):
        gone = await post(browser, "logout", token)
        assert (gone.status_code, gone.content) == (204, b"")
        cookie = cookie_in(gone)
        assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", "0", "/")
        assert cookie["secure"] is True
    assert not await is_alive(browser, answer.json()["access_token"])
    assert code_of(await post(browser, "refresh", token)) == (400, "invalid_grant")
    assert await is_alive(browser, ada.access_token), "another session"


async def test_a_logout_everywhere_works_by_cookie(browser: httpx.AsyncClient, ada: Account) -> None:
    token = await logged_in(browser, ada)
    assert (await post(browser, "logout", token, scope="all")).status_code == 204
    assert not await is_alive(browser, ada.access_token)


async def test_an_access_token_says_which_session_ends(browser: httpx.AsyncClient, ada: Account) -> None:
    """The cookie comes of itself, perhaps from another tab's account; the browser forgets it all the same."""
    other = await register(browser)
    token = await logged_in(browser, other)
    headers = {**ada.headers, "Cookie": f"{COOKIE}={token}"}
    answer = await browser.post(f"{API}/auth/logout", headers=headers)
    assert cookie_in(answer).value == ""
    assert not await is_alive(browser, ada.access_token)
    assert (await post(browser, "refresh", token)).is_success
    without = await browser.post(f"{API}/auth/logout", headers=other.headers)
    assert "set-cookie" not in without.headers


async def test_the_cookie_is_no_access_token(browser: httpx.AsyncClient, ada: Account) -> None:
    """CSRF: it opens no other door; the API takes the header alone."""
    token = await logged_in(browser, ada)
    headers = {"Cookie": f"{COOKIE}={token}", "Origin": HERE}
    for method, path in (("GET", "/users/me"), ("GET", "/users/me/sessions"), ("POST", "/users/me/password")):
        assert (await browser.request(method, f"{API}{path}", headers=headers)).status_code == 401
    form = {"grant_type": "refresh_token"}
    answer = await browser.post(f"{API}/auth/token", data=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), "the form is for programs"
    form["refresh_token"] = ada.refresh_token
    answer = await browser.post(f"{API}/auth/token", data=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), (
        "F10: one in the form, one in the cookie"
    )
    assert (await post(browser, "refresh", token)).is_success, "neither was used"
    form = {"username": ada.email, "password": ada.password}
    answer = await browser.post(f"{API}/auth/token", data=form, headers=headers)
    assert answer.json()["refresh_token"].startswith("rt1."), "Swagger UI logs in beside a page that uses the cookie"
    assert not any(line.startswith(COOKIE) for line in answer.headers.get_list("set-cookie"))


async def test_a_form_of_another_site_cannot_refresh(browser: httpx.AsyncClient, ada: Account) -> None:
    """CSRF: what a page can send without asking first has a body that is not read, or an Origin that is refused."""
    token = await logged_in(browser, ada)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"Cookie": f"{COOKIE}={token}", "Content-Type": media_type, "Origin": "https://evil.example.org"}
        answer = await browser.post(f"{API}/auth/refresh", content=b'{"use_cookie":true}', headers=headers)
        assert answer.status_code in {403, 415}
        assert "set-cookie" not in answer.headers
    assert (await post(browser, "refresh", token)).is_success


@pytest.mark.parametrize(
    "token", ["x", "rt1.x", "rt1.0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01.1.AAAA.AAAA", "é", "A" * 5000]
)
async def test_a_broken_cookie_is_an_invalid_grant(browser: httpx.AsyncClient, ada: Account, token: str) -> None:
    headers = {b"Origin": HERE.encode(), b"Cookie": f"{COOKIE}={token}".encode()}
    answer = await browser.post(f"{API}/auth/refresh", headers=headers)
    assert code_of(answer) == (400, "invalid_grant")
    assert (await browser.post(f"{API}/auth/logout", headers=headers)).status_code == 204


async def test_a_refresh_without_any_token_is_incomplete(browser: httpx.AsyncClient) -> None:
    for use_cookie in (False, True):
        answer = await post(browser, "refresh", use_cookie=use_cookie)
        assert code_of(answer) == (422, "validation_failed")
        assert answer.json()["errors"][0]["loc"] == ["body", "refresh_token"]
    assert code_of(await post(browser, "refresh", "")) == (422, "validation_failed"), "a cookie that was cleared"


async def test_the_document_tells_of_the_cookie(browser: httpx.AsyncClient) -> None:
    document = (await browser.get("/openapi.json")).json()
    paths = document["paths"]
    for path in ("refresh", "logout"):
        (parameter,) = [one for one in paths[f"{API}/auth/{path}"]["post"]["parameters"] if one["in"] == "cookie"]
        assert (parameter["name"], parameter["required"]) == (COOKIE, False)
    for path in ("refresh", "logout", "login"):
        refusals = str(answers_of(document, paths[f"{API}/auth/{path}"]["post"])["403"])
        assert "origin_refused" in refusals
