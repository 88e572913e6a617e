"""The dashboard: its figures as JSON, its page, and how a browser gets in and stays out."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.auth.devices.cookies import REFRESH_COOKIE
from app.auth.models import AuthSession
from app.main import Services
from app.metrics.charts import Steps, Track, number_text, plotted, stacked
from app.metrics.pages import DASHBOARD_COOKIE
from app.metrics.types import Period, Resolution, Rollup, Series, floor
from tests.metrics.stage import Recorded, aggregate
from tests.support import Account, ManualClock, register

PAGE = "/admin/dashboard"
ORIGIN = {"Origin": "http://127.0.0.1:8000"}


async def log_in(account: Account, *, origin: str | None = ORIGIN["Origin"], **change: str) -> httpx.Response:
    """Send the login form."""
    form = {"login": account.email, "password": account.password, "period": "1h", **change}
    headers = {} if origin is None else {"Origin": origin}
    return await account.client.post(PAGE, data=form, headers=headers)


def cookie_of(answer: httpx.Response, name: str = DASHBOARD_COOKIE) -> str:
    """The text of a cookie that an answer sets."""
    (line,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
    return line.partition("=")[2].partition(";")[0].strip('"')


async def show(
    client: httpx.AsyncClient, cookie: str, *, name: str = DASHBOARD_COOKIE, **params: str
) -> httpx.Response:
    """Open the page as a browser that keeps a cookie."""
    return await client.get(PAGE, params=params, headers={"Cookie": f"{name}={cookie}"})


async def fill(recorded: Recorded, clock: ManualClock) -> datetime:
    """Some hours of everything that the dashboard shows; returns the last of them."""
    hour = floor(clock.now(), Resolution.HOUR) - timedelta(hours=1)
    ok, refused, failed = ((("status", one),) for one in ("2xx", "4xx", "5xx"))
    for ago in (0, 2):
        at = hour - timedelta(hours=ago)
        for series, known in (
            (Series("http", ok), aggregate(*[20.0] * 90)),
            (Series("http", refused), aggregate(*[5.0] * 6)),
            (Series("http", failed), aggregate(*[400.0] * 4, errors=4)),
            (Series("http.get_me", ok), aggregate(*[20.0] * 90)),
            (Series("job"), aggregate(30.0, 50.0, errors=1)),
            (Series("job.mail"), aggregate(30.0, 50.0, errors=1)),
            (Series("llm"), aggregate(900.0)),
            (Series("llm.chat"), aggregate(900.0)),
            (Series("tokens.prompt"), aggregate(700.0)),
            (Series("tokens.completion"), aggregate(300.0)),
        ):
            await recorded.write(Rollup(series, Resolution.HOUR, at, known))
    return hour


async def test_the_figures_as_json(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    await fill(recorded, clock)
    found: dict[str, Any] = (await admin.get(PAGE, params={"period": "24h"})).json()
    assert found["requests"]["total"]["count"] == 200
    assert found["requests"]["total"]["error_rate"] == pytest.approx(0.04)
    assert [line["dimensions"]["status"] for line in found["statuses"]["lines"]] == ["2xx", "4xx", "5xx"]
    assert (found["jobs"]["total"]["errors"], found["models"]["total"]["count"]) == (2, 2)
    assert found["prompt_tokens"]["total"]["sum_ms"] == 1400
    assert [one["operation"] for one in found["busiest"]] == ["http.get_me", "llm.chat", "job.mail"]
    assert found["job_health"]["dead"] == 0
    assert len(found["requests"]["lines"][0]["points"]) == 2


async def test_the_page_shows_them_without_scripts(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    hour = await fill(recorded, clock)
    answer = await log_in(admin)
    page = await show(admin.client, cookie_of(answer), period="24h")
    assert page.status_code == 200
    for text in ("<svg", "Requests", "200", "refused (4xx)", "http.get_me", f"{hour:%Y-%m-%d %H:%M}", "2000"):
        assert text in page.text
    assert "<script" not in page.text
    assert not re.search(r'\sstyle="|\son\w+=', page.text), "the page's own policy would block these"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"


async def test_every_period_is_a_page_even_with_nothing_in_it(recorded: Recorded, admin: Account) -> None:
    cookie = cookie_of(await log_in(admin))
    for period in Period:
        page = await show(admin.client, cookie, period=period.value)
        assert page.status_code == 200
        assert "Nothing in this period" in page.text
    assert (await show(admin.client, cookie, period="2y")).status_code == 422


async def test_the_login_gives_a_session_that_can_only_read_metrics(services: Services, admin: Account) -> None:
    answer = await log_in(admin)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?period=1h")
    (line,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith(DASHBOARD_COOKIE)]
    for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert attribute in line
    async with services.database.read_session() as session:
        rows = await session.rows(select(AuthSession.scope).where(AuthSession.device_name == "Dashboard"))
    assert [row.scope for row in rows] == ["metrics:read"]
    body = {"refresh_token": cookie_of(answer), "client_id": "merit-dashboard"}
    token = (await admin.client.post("/api/v1/auth/refresh", json=body)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await admin.client.get("/api/v1/admin/users", headers=headers)).status_code == 403
    assert (await admin.client.get("/api/v1/metrics", headers=headers)).status_code == 200


async def test_looking_changes_nothing_and_a_used_token_ends_no_session(admin: Account) -> None:
    """A page that is loaded twice, or with an old cookie, must not rotate or end what a front end relies on."""
    answer = await admin.client.post(
        "/api/v1/auth/login",
        json={"email": admin.email, "password": admin.password, "use_cookie": True},
        headers=ORIGIN,
    )
    old = cookie_of(answer, REFRESH_COOKIE)
    for _ in range(2):
        assert (await show(admin.client, old, name=REFRESH_COOKIE)).status_code == 200
    renewed = await admin.client.post(
        "/api/v1/auth/refresh", headers={**ORIGIN, "Cookie": f"{REFRESH_COOKIE}={old}"}, json={}
    )
    new = cookie_of(renewed, REFRESH_COOKIE)
    assert (await show(admin.client, old, name=REFRESH_COOKIE)).status_code == 401
    assert (await show(admin.client, new, name=REFRESH_COOKIE)).status_code == 200


async def test_who_may_not_sees_the_login(account: Account, admin: Account, make_admin: Any) -> None:
    """Without a cookie, with nonsense, with the cookie of somebody without the right, and after a logout."""
    client = account.client
    assert (await client.get(PAGE)).status_code == 401
    answer = await client.post(
        "/api/v1/auth/login",
        json={"email": account.email, "password": account.password, "use_cookie": True},
        headers=ORIGIN,
    )
    for cookie in ("", "nonsense", "rt1.a.b.c.d", cookie_of(answer, REFRESH_COOKIE)):
        page = await show(client, cookie, name=REFRESH_COOKIE)
        assert page.status_code == 401
        assert "Password" in page.text
        assert "busiest" not in page.text
    mine = cookie_of(await log_in(admin))
    ended = await client.post(f"{PAGE}/logout", headers={**ORIGIN, "Cookie": f"{DASHBOARD_COOKIE}={mine}"})
    assert (ended.status_code, cookie_of(ended)) == (303, "")
    assert (await show(client, mine)).status_code == 401
    assert (await client.post(f"{PAGE}/logout", headers=ORIGIN)).status_code == 303


async def test_a_lost_right_closes_the_page_at_once(admin: Account, make_admin: Any, services: Services) -> None:
    cookie = cookie_of(await log_in(admin))
    assert (await show(admin.client, cookie)).status_code == 200
    boss = await make_admin(admin, is_superuser=True)
    other = await make_admin(await register(admin.client))
    theirs = cookie_of(await log_in(other))
    disabled = await boss.request("POST", f"/admin/users/{other.id}/disable")
    assert disabled.is_success
    assert (await show(admin.client, theirs)).status_code == 401


async def test_refusals_are_pages_in_plain_words(account: Account, admin: Account) -> None:
    """Wrong password, no right, another origin, too much text: the form again, and no cookie."""
    cases = [
        (await log_in(admin, password="not this one"), 401, "belong together"),
        (await log_in(account), 400, "may not read metrics"),
        (await log_in(admin, origin="https://evil.example"), 403, "this very address"),
        (await log_in(admin, origin="null"), 403, "this very address"),
        (await log_in(admin, origin=None), 403, "this very address"),
        (await log_in(admin, password="x" * 1000), 422, "check what you have typed"),
        (await log_in(admin, login="a\x00b"), 422, "check what you have typed"),
        (await admin.client.post(f"{PAGE}/logout"), 403, "this very address"),
    ]
    for answer, status, text in cases:
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False), answer.text
        assert text in answer.text
        assert answer.headers["content-type"].startswith("text/html")


def test_charts_have_round_axes_and_bars_that_add_up() -> None:
    steps = Steps(datetime(2026, 11, 22, 10, tzinfo=UTC), 3600, 3)
    chart = stacked("a", "A", "x", steps, [Track("one", "c1", [1, None, 30.0]), Track("two", "c2", [2.0, None, 7.0])])
    assert [label for _, label in chart.y_ticks] == ["0", "10", "20", "30", "40"]
    assert [bar.text for bar in chart.bars] == [
        "10:00: 1 x, one",
        "10:00: 2 x, two",
        "12:00: 30 x, one",
        "12:00: 7 x, two",
    ]
    assert chart.bars[2].y - chart.bars[3].height == pytest.approx(chart.bars[3].y, abs=0.2)
    assert chart.rows == [("2026-11-22 10:00", ["1", "2"]), ("2026-11-22 12:00", ["30", "7"])]
    assert not chart.is_empty


def test_lines_are_interrupted_where_nothing_happened() -> None:
    steps = Steps(datetime(2026, 11, 22, tzinfo=UTC), 86_400, 5)
    chart = plotted("a", "A", "ms", steps, [Track("p50", "c1", [1.0, 2.0, None, 4.0, None])])
    assert [points.count(",") for _, points in chart.lines] == [2]
    assert [dot.text for dot in chart.dots] == ["Nov 22: 1 ms, p50", "Nov 23: 2 ms, p50", "Nov 25: 4 ms, p50"]
    empty = plotted("b", "B", "ms", steps, [Track("p50", "c1", [None] * 5)])
    assert empty.is_empty
    assert (
        Steps(datetime(2026, 11, 22, tzinfo=UTC), 21_600, 1).label(datetime(2026, 11, 22, 6, tzinfo=UTC)) == "Sun 06:00"
    )


def test_numbers_are_short() -> None:
    texts = {0: "0", 0.1234: "0.123", 12.345: "12.3", 999.6: "1000", 9999: "9999", 12_345: "12.3k", 999_999: "1000k"}
    for value, text in {**texts, 1_234_567: "1.23M", 5e9: "5G"}.items():
        assert number_text(value) == text
